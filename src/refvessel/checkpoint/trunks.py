"""SAM2's Hiera trunks: checkpoints state no settings, so they are told apart by their tensors' shapes."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from refvessel.errors import UserError
from refvessel.model.naming import SAM2_PREFIX

_TRUNK = SAM2_PREFIX + "image_encoder.trunk."
_BLOCK = re.compile(re.escape(_TRUNK) + r"blocks\.(\d+)\.norm2\.weight")
_STAGES = 4


class _Trunk(NamedTuple):
    name: str
    embed_dim: int
    stages: tuple[int, ...]  # blocks in each stage; the width doubles from stage to stage
    num_heads: int
    global_att_blocks: tuple[int, ...]
    window_spec: tuple[int, ...]
    background: int  # side of the positional embedding that windows share


# From SAM2's released configurations; micro is the parity model's.
_KNOWN = (
    _Trunk("tiny", 96, (1, 2, 7, 2), 1, (5, 7, 9), (8, 4, 14, 7), 7),
    _Trunk("small", 96, (1, 2, 11, 2), 1, (7, 10, 13), (8, 4, 14, 7), 7),
    _Trunk("base_plus", 112, (2, 3, 16, 3), 2, (12, 16, 20), (8, 4, 14, 7), 14),
    _Trunk("large", 144, (2, 6, 36, 4), 2, (23, 33, 43), (8, 4, 16, 8), 7),
    _Trunk("micro", 16, (1, 2, 3, 1), 1, (4, 5), (8, 4, 16, 8), 7),
)


def trunk_name(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """SAM2's name of the trunk with these tensors (official name -> shape); None of an unknown one."""
    try:
        return _trunk(shapes, "").name
    except UserError:
        return None


def grounding_encoder_config(shapes: Mapping[str, tuple[int, ...]], source: str) -> dict[str, Any] | None:
    """`config.json`'s `grounding_encoder_config` of a trunk with these tensors (official name -> shape).

    None for Hiera-L, which official folders imply.
    Raises UserError, naming the file `source`, for a trunk that is not known.
    """
    trunk = _trunk(shapes, source)
    if trunk.name == "large":
        return None
    return {
        "embed_dim": trunk.embed_dim,
        "num_heads": trunk.num_heads,
        "stages": list(trunk.stages),
        "global_att_blocks": list(trunk.global_att_blocks),
        "window_spec": list(trunk.window_spec),
        "window_pos_embed_bkg_spatial_size": [trunk.background, trunk.background],
        "image_size": 1024,
        "hidden_dim": 256,
    }


def _trunk(shapes: Mapping[str, tuple[int, ...]], source: str) -> _Trunk:
    patches = shapes.get(_TRUNK + "patch_embed.proj.weight")  # (embed_dim, 3, 7, 7)
    widths = [shape[0] for name, shape in shapes.items() if _BLOCK.fullmatch(name) and shape]
    if not patches or not widths:
        raise UserError(f"{source} holds no Hiera trunk; give a SAM2 checkpoint.")
    embed_dim = patches[0]
    stages = tuple(widths.count(embed_dim * 2**stage) for stage in range(_STAGES))
    known = [trunk for trunk in _KNOWN if (trunk.embed_dim, trunk.stages) == (embed_dim, stages)]
    if not known or sum(stages) != len(widths):
        raise UserError(
            f"{source} holds a trunk of width {embed_dim} with {len(widths)} blocks ({list(stages)} by stage), "
            "which is not known; state its settings as grounding_encoder_config in the base model's config.json."
        )
    return known[0]
