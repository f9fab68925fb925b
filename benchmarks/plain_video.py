"""SAM2's memory by transformers' own session, one object and one frame at a time, as the official code has it.

It is what masks of videos are compared with, and their speed. The session cannot take a prompt of language, so
what it holds of prompted frames is put into it by hand.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from plain_loop import plain_states
from torch.nn import functional
from transformers import Sam2VideoInferenceSession

from refvessel.dataset.tree.loader import read_pixels
from refvessel.inference.sequence_plan import SequenceTask
from refvessel.model.grounding import upsample_logits
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.rle import encode
from refvessel.settings.video_section import Video


@torch.inference_mode()
def plain_logits(
    model: Sa2VAModel, frames: Iterable[torch.Tensor], state: torch.Tensor, prompted: Sequence[int]
) -> Iterator[tuple[int, torch.Tensor]]:
    """Place and logits of each frame, (size/4, size/4), of one object.

    Args:
        model: with objects that are there.
        frames: normalised, each (3, size, size).
        state: (hidden size,), of the [SEG].
        prompted: places of the frames that the state prompts.
    """
    sam2 = model.grounding_encoder
    session = Sam2VideoInferenceSession(
        inference_device=model.device,
        inference_state_device=model.device,
        video_storage_device=model.device,
        dtype=model.grounding_dtype,
    )
    session.obj_id_to_idx(1)
    count = sum(1 for frame in frames if session.add_new_frame(frame) is not None)
    for place in prompted:
        features, _ = sam2._prepare_vision_features(session, place, 1)
        maps = [
            each.permute(1, 2, 0).unflatten(2, size)
            for each, size in zip(features, sam2.backbone_feature_sizes, strict=True)
        ]
        empty = sam2.prompt_encoder.not_a_point_embed.weight
        prompt = model.text_hidden_fcs(state.to(model.grounding_dtype))
        no_mask = sam2.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        masks, scores, tokens, _ = sam2.mask_decoder(
            image_embeddings=maps[-1] + sam2.no_memory_embedding.reshape(1, -1, 1, 1),
            image_positional_embeddings=sam2.get_image_wide_positional_embeddings().to(maps[-1].dtype),
            sparse_prompt_embeddings=torch.cat([empty, empty, prompt[None]])[None, None],
            dense_prompt_embeddings=no_mask.expand_as(maps[-1]),
            multimask_output=True,
            high_resolution_features=maps[:-1],
        )
        best = int(scores[0, 0].argmax())
        yield place, masks[0, 0, best]
        mask = masks[:, 0, best : best + 1]
        square = functional.interpolate(mask.float(), scale_factor=4, mode="bilinear").to(mask.dtype)
        there = torch.ones(1, 1, device=model.device)
        memory, positions = sam2._encode_new_memory(features[-1], square, there, False)
        output = {
            "pred_masks": mask,
            "object_pointer": sam2.object_pointer_proj(tokens[:, :, best]),
            "object_score_logits": there,
            "maskmem_features": memory,
            "maskmem_pos_enc": positions,
        }
        session.store_output(0, place, output_value=output)
    first = min(prompted)
    onward = [(place, False) for place in range(first, count) if place not in prompted]
    for place, back in onward + [(place, True) for place in range(first - 1, -1, -1)]:
        yield place, sam2(session, frame_idx=place, reverse=back).pred_masks[0, 0]


def plain_video_seconds(
    model: Sa2VAModel, processor: Sa2VAProcessor, tasks: Iterable[SequenceTask], video: Video, shard: Path
) -> float:
    """Seconds from frames to masks on the disk, of one expression at a time, each frame encoded anew for it."""
    begin = time.perf_counter()
    autocast = torch.autocast(
        "cuda", torch.bfloat16, enabled=model.device.type == "cuda"
    )  # as the official code
    with shard.open("w") as stream, autocast:
        for task in tasks:
            for expression in task.expressions:
                images = [read_pixels(path) for path in task.files.paths]
                shown = list(range(min(video.frames, len(images))))
                view = processor.view_frames([images[place] for place in shown])
                question = video.question_for(expression.text).replace("{phrase}", expression.text)
                _, states = plain_states(model, processor, view, question)
                frames = (
                    model.pixels([processor.whole(image)[None]], model.grounding_dtype)[0] for image in images
                )
                for _, logits in plain_logits(model, frames, states[0], shown):
                    upsampled = upsample_logits(
                        logits[None].float(), model.image_size, task.files.height, task.files.width
                    )
                    mask = (upsampled.sigmoid() > 0.5)[0].cpu().numpy()
                    stream.write(f"{encode(mask)}\n")
    return time.perf_counter() - begin
