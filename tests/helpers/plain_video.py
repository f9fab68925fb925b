"""SAM2's memory by transformers' own session, one object and one frame at a time: what our masks are compared to.

The session cannot take a prompt of language, so what it holds of prompted frames is put into it by hand.
"""

from collections.abc import Sequence

import torch
from transformers import Sam2VideoInferenceSession

from refvessel.model.modeling import Sa2VAModel


@torch.inference_mode()
def plain_logits(
    model: Sa2VAModel, frames: torch.Tensor, state: torch.Tensor, prompted: Sequence[int]
) -> torch.Tensor:
    """The logits of one object: (frames, size/4, size/4).

    Args:
        model: in float32, with objects that are there.
        frames: normalised (frames, 3, size, size).
        state: (hidden size,), of the [SEG].
        prompted: places of the frames that the state prompts.
    """
    sam2 = model.grounding_encoder
    session = Sam2VideoInferenceSession(video=frames, dtype=torch.float32)
    session.obj_id_to_idx(1)
    logits = {}
    for place in prompted:
        features, _ = sam2._prepare_vision_features(session, place, 1)
        maps = [
            each.permute(1, 2, 0).unflatten(2, size)
            for each, size in zip(features, sam2.backbone_feature_sizes, strict=True)
        ]
        empty = sam2.prompt_encoder.not_a_point_embed.weight
        sparse = torch.cat([empty, empty, model.text_hidden_fcs(state)[None]])[None, None]
        masks, scores, tokens, _ = sam2.mask_decoder(
            image_embeddings=maps[-1] + sam2.no_memory_embedding.reshape(1, -1, 1, 1),
            image_positional_embeddings=sam2.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=sam2.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(
                maps[-1]
            ),
            multimask_output=True,
            high_resolution_features=maps[:-1],
        )
        best = int(scores[0, 0].argmax())
        logits[place] = masks[0, 0, best]
        square = torch.nn.functional.interpolate(masks[:, 0, best : best + 1], scale_factor=4, mode="bilinear")
        memory, positions = sam2._encode_new_memory(features[-1], square, torch.ones(1, 1), False)
        session.store_output(
            0,
            place,
            output_value={
                "pred_masks": masks[:, 0, best : best + 1],
                "object_pointer": sam2.object_pointer_proj(tokens[:, :, best]),
                "object_score_logits": torch.ones(1, 1),
                "maskmem_features": memory,
                "maskmem_pos_enc": positions,
            },
        )
    first = min(prompted)
    onward = [place for place in range(first, len(frames)) if place not in prompted]
    for place, back in [(each, False) for each in onward] + [(each, True) for each in range(first - 1, -1, -1)]:
        logits[place] = sam2(session, frame_idx=place, reverse=back).pred_masks[0, 0]
    return torch.stack([logits[place] for place in range(len(frames))])
