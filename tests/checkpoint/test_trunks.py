import pytest

from refvessel.checkpoint.trunks import grounding_encoder_config
from refvessel.errors import UserError
from refvessel.model.naming import SAM2_PREFIX

TRUNK = SAM2_PREFIX + "image_encoder.trunk."


def trunk(embed_dim: int, stages: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The tensors that tell trunks apart, of a Hiera of this width and these blocks a stage."""
    widths = [embed_dim * 2**stage for stage, blocks in enumerate(stages) for _ in range(blocks)]
    blocks = {f"{TRUNK}blocks.{index}.norm2.weight": (width,) for index, width in enumerate(widths)}
    return {f"{TRUNK}patch_embed.proj.weight": (embed_dim, 3, 7, 7), **blocks}


@pytest.mark.parametrize(
    ("embed_dim", "stages", "global_blocks"),
    [
        (96, (1, 2, 7, 2), [5, 7, 9]),
        (96, (1, 2, 11, 2), [7, 10, 13]),
        (112, (2, 3, 16, 3), [12, 16, 20]),
        (16, (1, 2, 3, 1), [4, 5]),
    ],
)
def test_known_trunks_are_told_apart(embed_dim, stages, global_blocks):
    config = grounding_encoder_config(trunk(embed_dim, stages), "sam2.pt")
    assert (config["embed_dim"], config["stages"]) == (embed_dim, list(stages))
    assert config["global_att_blocks"] == global_blocks


def test_the_large_trunk_is_implied():
    assert grounding_encoder_config(trunk(144, (2, 6, 36, 4)), "sam2.pt") is None


@pytest.mark.parametrize(
    "shapes", [trunk(24, (1, 2, 3, 1)), trunk(96, (1, 2, 8, 2)), trunk(96, (1, 2, 7, 2, 1))]
)
def test_an_unknown_trunk_must_be_stated(shapes):
    with pytest.raises(UserError, match=r"sam2\.pt .* grounding_encoder_config"):
        grounding_encoder_config(shapes, "sam2.pt")


def test_a_file_without_a_trunk_is_refused():
    with pytest.raises(UserError, match=r"sam2\.pt holds no Hiera trunk"):
        grounding_encoder_config({"w": (1,)}, "sam2.pt")
