"""SAM2 as it was before fine-tuning, beside that of a model, with which it shares the image encoder."""

import copy
from collections.abc import Mapping

import torch
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

from refvessel.errors import UserError
from refvessel.model.naming import POINT_EMBED, to_module

_PREFIX = "grounding_encoder."
_SHARED = "vision_encoder."
_UNUSED = POINT_EMBED.removeprefix(_PREFIX)  # of points that somebody clicks
_TWICE = "prompt_encoder.shared_embedding.positional_embedding"


def original_sam2(sam2: Sam2VideoModel, tensors: Mapping[str, torch.Tensor], where: str) -> Sam2VideoModel:
    """A SAM2 with the decoder and the memory of a checkpoint; call it before anything is compiled.

    Args:
        sam2: that of a model, whose image encoder is used.
        tensors: of SAM2's own checkpoint, by official name.
        where: the checkpoint's name, for errors.

    Raises:
        UserError: where a tensor is missing, unknown or of another shape.
    """
    encoder = sam2.vision_encoder
    original = copy.deepcopy(sam2, {id(encoder): encoder})
    wanted = {
        name: tensor
        for name, tensor in original.state_dict().items()
        if not name.startswith(_SHARED) and name not in (_UNUSED, _TWICE)
    }
    found = {_name_of(name, where): tensor for name, tensor in tensors.items()}
    given = {
        name: tensor for name, tensor in found.items() if not name.startswith(_UNUSED.split("weight")[0])
    }
    if different := sorted(wanted.keys() ^ given.keys()):
        has = "lacks" if different[0] in wanted else "has an unknown"
        raise UserError(
            f"{where} {has} {different[0]}, so it is not the SAM2 that the model was fine-tuned from; give the "
            "sam2_*.pt of SAM2's first release that conversion takes."
        )
    with torch.no_grad():
        for name, tensor in wanted.items():
            if given[name].shape != tensor.shape:
                raise UserError(
                    f"{where} holds {name} of shape {list(given[name].shape)} where the model has "
                    f"{list(tensor.shape)}; give the SAM2 checkpoint that the model was fine-tuned from."
                )
            tensor.copy_(given[name])
    return original


def _name_of(official: str, where: str) -> str:
    """Our module's name for an official tensor of SAM2, below the model's `grounding_encoder`."""
    name = to_module(official, "")
    if name is None:
        raise UserError(
            f"{where} holds {official}, which SAM2's first release has not; give the sam2_*.pt that conversion "
            "takes."
        )
    return name.removeprefix(_PREFIX)
