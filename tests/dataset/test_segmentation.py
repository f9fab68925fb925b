import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from refvessel import rle
from refvessel.dataset.regions.segmentation import read_segmentation
from refvessel.errors import UserError


def plain_counts(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths: column by column, background first."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    return np.diff([0, *edges, len(flat)]).tolist()


MASKS = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


@given(MASKS)
def test_compressed_plain_and_bare_rles_give_the_same_mask(mask):
    height, width = mask.shape
    compressed = rle.encode(mask)
    plain = {"size": [height, width], "counts": plain_counts(mask)}
    for segmentation in ([compressed], [plain], compressed, plain):
        assert np.array_equal(rle.decode(read_segmentation(segmentation, height, width, "x")), mask)


def test_long_runs_are_read():
    mask = np.zeros((3000, 2000), np.uint8)
    mask[1500:, 700] = 1
    assert np.array_equal(rle.decode(read_segmentation([rle.encode(mask)], 3000, 2000, "x")), mask)


def test_overlapping_polygons_are_united():
    first, second = [2, 2, 20, 2, 20, 20, 2, 20], [10, 10, 28, 10, 28, 28, 10, 28]
    united = rle.decode(read_segmentation([first, second], 30, 30, "x"))
    parts = coco.decode(coco.frPyObjects([first, second], 30, 30))
    assert np.array_equal(united, parts.any(axis=2))


@pytest.mark.parametrize(
    "counts",
    [
        "",
        "0",
        "zzzzzzzz",
        "ab",
        "P",
        "é",
        "`",
        "1" * 30,
        "ooooooooooooooo0",
        [3, 12],
        [5, -1, 12],
        [16.0],
        None,
        7,
    ],
)
def test_an_rle_that_does_not_cover_its_image_is_refused(counts):
    with pytest.raises(UserError, match=r"^refs: annotation 5.*RLE"):
        read_segmentation([{"size": [4, 4], "counts": counts}], 4, 4, "refs: annotation 5")


@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12))
def test_no_text_is_read_as_an_rle_unless_its_runs_cover_the_image(counts):
    try:
        mask = read_segmentation([{"size": [5, 3], "counts": counts}], 5, 3, "x")
    except UserError:
        return
    assert rle.encode(rle.decode(mask))["size"] == [5, 3]
    assert rle.area(mask) == rle.decode(mask).sum()


def test_an_rle_of_another_size_is_refused():
    with pytest.raises(UserError, match=r"\[5, 4\].*\[4, 4\]"):
        read_segmentation([rle.empty(5, 4)], 4, 4, "x")


def test_an_empty_segmentation_is_an_empty_mask():
    assert rle.area(read_segmentation([], 4, 4, "x")) == 0
