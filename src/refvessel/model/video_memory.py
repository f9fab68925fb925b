"""SAM2 over the frames of a video: each mask is decoded in the light of those before it.

frame ---> image encoder ---+---> memory attention ---> mask decoder ---> mask, pointer
                            |            ^                                   |
                            +------------|------> memory encoder <-----------+
                                         +---- memories, pointers of other frames

A *prompted* frame (SAM2 calls it a conditioning frame) gets its mask from the language model's [SEG] alone, as an
image does. Every other frame is *tracked*: without a prompt, from the memories of all prompted frames and of the
six frames before it, and from pointers to the object: of the prompted frames that lie behind it, and of the
fifteen frames before it. This is SAM2's own way, over transformers' modules for one frame; here many objects, and
objects of several videos that are equally far, go through them together. As in the official code, and unlike
transformers' own sessions, a prompt may be of language, and a prompted frame's mask is remembered as
probabilities. Where the object's score says that nothing is there, its pointer is SAM2's pointer to nothing;
whether the mask is blanked, too, differs: SAM2 itself does so, Sa2VA's extension of it (`_forward_sam_heads`)
leaves that out, of prompted and of tracked frames. Memories are kept in bfloat16, whatever the model computes in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch.nn import functional
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

from refvessel.errors import UserError
from refvessel.model.hiera import ImageEncoder

CHANNELS = 64  # of a memory: what transformers' memory attention takes, as SAM2 does
_TRACKED_MEMORIES = 6  # frames before the one at hand; with the prompted ones SAM2 counts seven kinds
_MEMORY_DTYPE = torch.bfloat16
_MASK_SCALE, _MASK_BIAS = 20.0, -10.0  # from a binary mask to logits
_ABSENT = -1024.0  # logits of a blanked mask, SAM2's NO_OBJ_SCORE


@dataclass(frozen=True)
class FrameFeatures:
    """SAM2's features of frames.

    coarse: (frames, hidden, size/16, size/16), without any memory.
    high_resolution: (frames, hidden/8, size/4, size/4) and (frames, hidden/4, size/8, size/8).
    """

    coarse: torch.Tensor
    high_resolution: tuple[torch.Tensor, torch.Tensor]

    def of(self, frames: torch.Tensor | slice) -> "FrameFeatures":
        """The features of the frames with these indices, in this order."""
        fine, middle = self.high_resolution
        return FrameFeatures(self.coarse[frames], (fine[frames], middle[frames]))


@dataclass(frozen=True)
class Remembered:
    """What later frames see of one frame.

    memory: bfloat16 (objects, size/16 * size/16, CHANNELS).
    pointer: (objects, hidden).
    """

    memory: torch.Tensor
    pointer: torch.Tensor

    def of(self, objects: torch.Tensor | slice) -> "Remembered":
        """Of the objects with these indices, in this order."""
        return Remembered(self.memory[objects], self.pointer[objects])


@dataclass(frozen=True)
class FrameMasks:
    """The masks of one frame, the best of the decoder's three for each object.

    logits: float32 (objects, size/4, size/4).
    iou_scores: float32 (objects, 3), the predicted IoU of all three; (objects, 1) of a mask that was given.
    pointer: (objects, hidden).
    """

    logits: torch.Tensor
    iou_scores: torch.Tensor
    pointer: torch.Tensor


def require_video(channels: int, hidden: int, where: str) -> None:
    """Raise UserError, opening with `where`, where memories of so many channels cannot be attended to."""
    if channels != CHANNELS or hidden % CHANNELS:
        raise UserError(
            f"{where}: SAM2's memories have {channels} channels and its features {hidden}, but memory attention "
            f"takes {CHANNELS} and a multiple of it; no frame but the prompted ones could be segmented. Give a "
            "model with SAM2's own sizes."
        )


class VideoMemory:
    """What SAM2 computes of frames, over the modules of one model.

    Args:
        sam2: whose decoder and memory.
        image_encoder: its image encoder.
        blanks: whether a mask is blanked where the object's score says that nothing is there: SAM2 itself does
            so, Sa2VA does not.
    """

    def __init__(self, sam2: Sam2VideoModel, image_encoder: ImageEncoder, *, blanks: bool = False) -> None:
        self._sam2: Any = sam2
        self._image_encoder = image_encoder
        self._blanks = blanks

    def encode(self, images: torch.Tensor) -> FrameFeatures:
        """The features of normalised frames: (frames, 3, size, size)."""
        coarse, fine = self._image_encoder.encode(images)
        return FrameFeatures(coarse, fine)

    def prompted(self, features: FrameFeatures, prompts: torch.Tensor) -> FrameMasks:
        """The masks that prompts of language get by themselves.

        Args:
            features: of as many frames as there are prompts, one each.
            prompts: (objects, hidden), what `text_hidden_fcs` makes of [SEG] states.
        """
        sparse = torch.cat([self._absent_points(len(prompts)), prompts.unsqueeze(1)], 1)
        return self._decode(features, self._without_memory(features.coarse), sparse)

    def tracked(
        self, features: FrameFeatures, memories: Sequence[tuple[int, Remembered]], pointers: torch.Tensor
    ) -> FrameMasks:
        """The masks of objects that other frames have shown.

        Args:
            features: of as many frames as there are objects, one each.
            memories: of each frame that is looked at, how many frames lie between, 0 for a prompted one.
            pointers: (objects, number, hidden).
        """
        embedding = self._with_memory(features.coarse, memories, pointers)
        return self._decode(features, embedding, self._absent_points(len(embedding)))

    def given(self, features: FrameFeatures, masks: torch.Tensor) -> FrameMasks:
        """Masks that are known, as SAM2 takes them (`add_new_mask`): they become logits of -10 and 10.

        Args:
            features: of as many frames as there are masks, one each.
            masks: bool (objects, height, width), of any size.
        """
        size = self._sam2.image_size
        square = functional.interpolate(
            masks[:, None].float(), size=(size, size), mode="bilinear", antialias=True
        )
        square = (square >= 0.5).to(features.coarse.dtype)  # (objects, 1, size, size)
        logits = functional.interpolate(
            (square * _MASK_SCALE + _MASK_BIAS).float(),
            size=(size // 4, size // 4),
            mode="bilinear",
            antialias=True,
        )[:, 0]
        there = square.flatten(1).any(1, keepdim=True).to(features.coarse.dtype)
        pointer = self._pointer_of_mask(features, square)
        pointer = there * pointer + (1 - there) * self._sam2.no_object_pointer
        return FrameMasks(logits, torch.ones_like(logits[:, :1, 0]), pointer)

    def remember(self, features: FrameFeatures, masks: FrameMasks) -> Remembered:
        """What later frames see of a frame with these masks; `features` are of its objects, one each."""
        size = self._sam2.image_size
        square = functional.interpolate(masks.logits[:, None], size=(size, size), mode="bilinear")
        config = self._sam2.config
        drawn = square.sigmoid() * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        memory, _ = self._sam2.memory_encoder(features.coarse, drawn.to(features.coarse.dtype))
        return Remembered(memory.to(_MEMORY_DTYPE).flatten(2).transpose(1, 2), masks.pointer)

    def _without_memory(self, coarse: torch.Tensor) -> torch.Tensor:
        return coarse + self._sam2.no_memory_embedding.reshape(1, -1, 1, 1)

    def _with_memory(
        self, coarse: torch.Tensor, memories: Sequence[tuple[int, Remembered]], pointers: torch.Tensor
    ) -> torch.Tensor:
        """The coarse features conditioned on memories: (objects, hidden, size/16, size/16), as they are."""
        objects, hidden, height, width = coarse.shape
        positions, times = self._memory_positions, self._times
        parts = torch.cat(
            [remembered.memory.to(coarse.dtype) for _, remembered in memories]
            + [
                pointers.reshape(objects, -1, CHANNELS)
            ],  # a pointer is as many tokens as it has times the channels
            dim=1,
        )  # (objects, tokens, channels)
        tokens_of_pointers = parts.shape[1] - len(memories) * height * width
        places = torch.cat(
            [positions + times[offset - 1] for offset, _ in memories]
            + [positions.new_zeros(tokens_of_pointers, CHANNELS)]
        )  # (tokens, channels)
        conditioned = self._sam2.memory_attention(
            current_vision_features=coarse.flatten(2).permute(2, 0, 1),
            current_vision_position_embeddings=self._feature_positions,
            memory=parts.transpose(0, 1),
            memory_posision_embeddings=places.unsqueeze(1),
            num_object_pointer_tokens=tokens_of_pointers,
        )  # (1, objects, size/16 * size/16, hidden)
        return conditioned[0].transpose(1, 2).reshape(objects, hidden, height, width)

    def _decode(self, features: FrameFeatures, embedding: torch.Tensor, sparse: torch.Tensor) -> FrameMasks:
        """The best of the decoder's masks for each object; `sparse` (objects, tokens, hidden) are its prompts."""
        logits, iou_scores, tokens, presence = self._masks(
            features, embedding, sparse, self._no_dense_prompt(embedding), several=True
        )
        best = iou_scores.argmax(-1)
        each = torch.arange(len(best), device=best.device)
        chosen = logits[each, best].float()
        if self._blanks:
            chosen = chosen.where(presence[..., None] > 0, _ABSENT)
        return FrameMasks(chosen, iou_scores.float(), self._pointer(tokens[each, best], presence))

    def _masks(
        self,
        features: FrameFeatures,
        embedding: torch.Tensor,
        sparse: torch.Tensor,
        dense: torch.Tensor,
        *,
        several: bool,
    ) -> tuple[torch.Tensor, ...]:
        """What the decoder gives for each object; n is 3 or 1.

        Logits (objects, n, size/4, size/4), predicted IoU (objects, n), tokens (objects, n, hidden) and the score
        of its presence (objects, 1).
        """
        parts = self._sam2.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=self._image_positions.expand(len(embedding), -1, -1, -1),
            sparse_prompt_embeddings=sparse.unsqueeze(1),  # one prompt per image
            dense_prompt_embeddings=dense,
            multimask_output=several,
            high_resolution_features=list(features.high_resolution),
        )
        return tuple(part[:, 0] for part in parts)

    def _pointer(self, token: torch.Tensor, presence: torch.Tensor) -> torch.Tensor:
        """What points to an object: from the token of its mask, or SAM2's pointer to nothing."""
        there = (presence > 0).to(token.dtype)
        return there * self._sam2.object_pointer_proj(token) + (1 - there) * self._sam2.no_object_pointer

    def _pointer_of_mask(self, features: FrameFeatures, square: torch.Tensor) -> torch.Tensor:
        """From the token of the decoder's single mask, given a mask (objects, 1, size, size) as dense prompt."""
        sam2 = self._sam2
        dense = sam2.prompt_encoder.mask_embed(sam2.mask_downsample(square))
        sparse = self._absent_points(len(square))
        _, _, tokens, presence = self._masks(features, features.coarse, sparse, dense, several=False)
        return self._pointer(tokens[:, 0], presence)

    def _absent_points(self, objects: int) -> torch.Tensor:
        """SAM2 pads an absent point prompt to two "not a point" embeddings: (objects, 2, hidden)."""
        return self._sam2.prompt_encoder.not_a_point_embed.weight.expand(objects, 2, -1)

    def _no_dense_prompt(self, embedding: torch.Tensor) -> torch.Tensor:
        return self._sam2.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(embedding)

    @cached_property
    def _image_positions(self) -> torch.Tensor:
        """(1, hidden, size/16, size/16), of the mask decoder."""
        return self._sam2.get_image_wide_positional_embeddings().to(self._dtype)

    @cached_property
    def _feature_positions(self) -> torch.Tensor:
        """(size/16 * size/16, 1, hidden), of the features that attend to memories."""
        return self._sine(self._sam2.vision_encoder.neck.position_encoding).unsqueeze(1)

    @cached_property
    def _memory_positions(self) -> torch.Tensor:
        """(size/16 * size/16, CHANNELS), of a memory's tokens."""
        return self._sine(self._sam2.memory_encoder.position_encoding)

    @cached_property
    def _times(self) -> torch.Tensor:
        """(7, CHANNELS): of memories that lie 1 to 6 frames back, and last of prompted ones."""
        return self._sam2.memory_temporal_positional_encoding.reshape(-1, CHANNELS)

    def _sine(self, encoding: Any) -> torch.Tensor:
        """A sine encoding in full precision, rounded once: (size/16 * size/16, channels)."""
        side = self._sam2.image_size // 16
        grid = encoding(torch.Size((1, 1, side, side)), self._sam2.device, torch.float32)
        return grid.flatten(2)[0].T.to(self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        return cast("torch.dtype", self._sam2.no_memory_embedding.dtype)

    @property
    def most_pointers(self) -> int:
        """How many frames back a pointer is looked at, the frame at hand counted."""
        return cast("int", self._sam2.config.max_object_pointers_in_encoder)


class Tracking:
    """Objects on their way through the frames of their videos, all of them equally far.

    Args:
        memory: what computes.
        prompted: what is remembered of the prompted frames, by their number.
    """

    def __init__(self, memory: VideoMemory, prompted: Mapping[int, Remembered]) -> None:
        self._memory = memory
        self._prompted = dict(sorted(prompted.items()))
        self._pointers_back = memory.most_pointers - 1
        self._tracked: dict[int, Remembered] = {}

    def step(self, number: int, features: FrameFeatures, *, backward: bool = False) -> FrameMasks:
        """The masks of the next frame, which is remembered.

        Args:
            number: of the frame, not a prompted one.
            features: of the frames of the objects, one each.
            backward: whether the frame before was the one after this one in time.
        """
        sign = -1 if backward else 1
        memories = [(0, each) for each in self._prompted.values()]
        memories += [
            (offset, self._tracked[number - sign * offset])
            for offset in range(_TRACKED_MEMORIES, 0, -1)
            if number - sign * offset in self._tracked
        ]
        pointers = [
            each.pointer for place, each in self._prompted.items() if sign * place <= sign * number
        ] + [
            self._tracked[number - sign * offset].pointer
            for offset in range(1, self._pointers_back + 1)
            if number - sign * offset in self._tracked
        ]
        masks = self._memory.tracked(features, memories, torch.stack(pointers, 1))
        self._tracked[number] = self._memory.remember(features, masks)
        self._forget(number, sign)
        return masks

    def keep(self, objects: torch.Tensor | slice) -> None:
        """Go on with these objects only: those of videos that have ended leave."""
        self._prompted = {number: each.of(objects) for number, each in self._prompted.items()}
        self._tracked = {number: each.of(objects) for number, each in self._tracked.items()}

    def _forget(self, number: int, sign: int) -> None:
        """What no later frame looks at: all but the last frames, and the first that a way back will begin with."""
        first = next(iter(self._prompted))
        near = {number - sign * offset for offset in range(self._pointers_back + 1)}
        if sign > 0 and first > 0:
            near |= {first + offset for offset in range(self._pointers_back + 1)}
        self._tracked = {place: each for place, each in self._tracked.items() if place in near}
