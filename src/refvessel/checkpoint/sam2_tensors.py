"""What SAM2's own checkpoint holds beside its image encoder: decoder and memory, before any fine-tuning."""

from pathlib import Path

import torch

from refvessel.checkpoint.layers import read_sam2_layer
from refvessel.checkpoint.tensors import whole
from refvessel.model.naming import SAM2_PREFIX

_IMAGE_ENCODER = f"{SAM2_PREFIX}image_encoder."


def read_sam2_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a SAM2 checkpoint by official name, without the image encoder's, which training leaves alone.

    Raises UserError where the file is none.
    """
    layer = read_sam2_layer(path)
    return {
        address.tensor: whole(tensor)
        for address, tensor in layer.tensors.items()
        if not address.tensor.startswith(_IMAGE_ENCODER)
    }
