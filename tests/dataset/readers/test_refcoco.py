"""A tree is data too: what it says comes back through a second conversion."""

import numpy as np
import pytest

from refvessel import rle
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES, REFS
from refvessel.dataset.tree.refs import read_refs, write_refs
from refvessel.errors import UserError


def said(root) -> list:
    return [
        (each.phrase, each.patient, rle.decode(each.truth).tobytes(), each.ignore_mask, each.spacing)
        for split in ("train", "test")
        for each in read_expressions(root, split)
    ]


@pytest.fixture
def tree(source, convert, tmp_path):
    for name in ("train/p1_1.png", "test/p2_1.png", "test/p2_2.png"):
        source.labelme(name, [("vessel", [[2, 2], [20, 4], [8, 25]])])
    convert(
        phrases={"vessel": "vessel", "catheter": "catheter"},
        include_empty=True,
        splits={"train": 1.0},
        patient_pattern=r"(?P<split>\w+)/(?P<patient>p\d)",
        pseudonymise=False,
    )
    source.root = tmp_path / "tree"
    return tmp_path / "tree"


def test_a_tree_converts_to_what_it_says(tree, convert, tmp_path):
    phrases = {"vessel": "vessel", "catheter": "catheter"}
    convert("refcoco", output=tmp_path / "again", phrases=phrases, splits=None, pseudonymise=False)
    assert said(tmp_path / "again") == said(tree)
    assert sorted(path.name for path in (tmp_path / "again" / IMAGES).iterdir()) == sorted(
        path.name for path in (tree / IMAGES).iterdir()
    )


def test_an_empty_truth_stays_an_expression(tree, convert, tmp_path):
    summary = convert("refcoco", output=tmp_path / "again", splits=None)
    assert summary["counts"]["expressions_empty"] == 3
    assert summary["counts"]["regions_without_pixels"] == 0


def test_an_image_in_two_splits_is_refused(tree, convert, tmp_path):
    refs = read_refs(tree / REFS)
    refs[0]["split"] = "val"
    write_refs(tree / REFS, refs)
    with pytest.raises(UserError, match=r"the image .*\.png is in the splits test and val|train and val"):
        convert("refcoco", output=tmp_path / "again", splits=None)
    assert not (tmp_path / "again").exists()


def test_the_truth_is_the_same_to_the_pixel(tree, read):
    records = read("refcoco", root=tree)
    for record in records:
        (region,) = [region for region in record.regions if region.shapes]
        assert np.array_equal(
            rle.decode(region.draw((40, 30), record.stated_size).mask),
            rle.decode(region.shapes[0].rle),
        )
