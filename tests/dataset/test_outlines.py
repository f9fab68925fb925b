"""The polygons beside a tree are those that its truths were drawn from."""

import numpy as np
import pytest

from refvessel import rle
from refvessel.dataset.regions.polygons import rasterise
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import OUTLINES
from refvessel.dataset.tree.outlines import outlines_file, read_outlines
from refvessel.errors import UserError

SQUARE, FAR, THIN = (
    [[3.2, 3], [12, 3], [12, 12.7], [3.2, 12.7]],
    [[22, 14], [35, 15], [30, 28]],
    [[20, 2], [20.2, 2], [20.2, 2.2]],  # no pixel's centre is inside
)


def outlines_and_truths(tree) -> tuple[dict, dict]:
    truths = {each.ref_id: each.truth for each in read_expressions(tree, "test")}
    return read_outlines(tree / OUTLINES), truths


def drawn_by_coco(outlines, truth) -> rle.RLE:
    """The union of the polygons by the truth's own rasteriser."""
    height, width = truth["size"]
    return rle.union([rle.empty(height, width), *(rasterise(each, height, width) for each in outlines)])


@pytest.mark.parametrize("target", ["phrase", "region"])
def test_drawing_the_polygons_gives_every_truth(source, convert, tmp_path, target):
    source.labelme("p1.png", [("vessel", SQUARE), ("catheter", FAR), ("vessel", FAR)])
    source.labelme("p2.png", [("catheter", SQUARE)], imageWidth=80, imageHeight=60)  # drawn at another size
    source.labelme("p3.png", [])
    convert(target=target, include_empty=True)
    outlines, truths = outlines_and_truths(tmp_path / "tree")
    assert outlines.keys() == truths.keys()
    assert {len(each) for each in outlines.values()} == ({0, 1, 2} if target == "phrase" else {0, 1})
    for ref_id, truth in truths.items():
        assert drawn_by_coco(outlines[ref_id], truth) == truth


def test_a_region_without_pixels_is_drawn_where_the_phrase_is_the_target_only(source, convert, tmp_path):
    source.labelme("p1.png", [("vessel", SQUARE), ("vessel", THIN)])
    convert()
    assert {ref_id: len(each) for ref_id, each in read_outlines(tmp_path / "tree" / OUTLINES).items()} == {
        1: 2
    }
    convert(target="region")
    assert not (tmp_path / "tree" / OUTLINES).exists()  # which of the two is the one truth is not known


def test_truths_of_masks_have_none(source, convert, tmp_path):
    for folder in ("images", "masks"):
        source.image(f"{folder}/p1.png")
    convert("masks", options={"threshold": 100})
    assert read_outlines(tmp_path / "tree" / OUTLINES) == {}


def test_what_is_written_is_read_back_and_a_damaged_file_is_named(tmp_path):
    polygons = {7: [np.array([[0.1, 2], [3, 4], [5, 6.5]])], 3: [], 9: [np.ones((4, 2)), np.zeros((3, 2))]}
    path = tmp_path / "outlines.npz"
    with outlines_file(path) as add:
        for ref_id in sorted(polygons):
            add(ref_id, polygons[ref_id])
    read = read_outlines(path)
    assert list(read) == [3, 7, 9]
    for ref_id, each in polygons.items():
        assert [found.tolist() for found in read[ref_id]] == [polygon.tolist() for polygon in each]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"outlines\.npz is not a file of outlines"):
        read_outlines(path)
