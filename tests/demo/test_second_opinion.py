"""A second annotator draws what the first drew, a pixel or so beside it."""

import json

import numpy as np
import pytest
import shapely

from refvessel.demo.annotations import write_labelme_folder
from refvessel.demo.second_opinion import write_second_annotation


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Folders of two annotators, and the outlines of each file in pixels of its image, (n, 2), side by side."""
    root = tmp_path_factory.mktemp("annotators")
    write_labelme_folder(output=root / "first", patients=[2, 3], frames=2)
    write_second_annotation(first=root / "first", output=root / "second")
    pairs = {}
    for path in (root / "first").glob("*.json"):
        contents = [json.loads((root / name / path.name).read_text()) for name in ("first", "second")]
        pairs[path.name] = [
            [np.asarray(shape["points"]) * 512 / each["imageWidth"] for shape in each["shapes"]]
            for each in contents
        ]
    return root, pairs


def test_the_second_is_off_by_a_pixel_or_so(both):
    _, pairs = both
    for first, second in pairs.values():
        drift = np.linalg.norm(np.concatenate(second) - np.concatenate(first), axis=1)
        assert 0.6 < np.sqrt((drift**2).mean()) < 1.5
        assert drift.max() < 4


def test_no_outline_crosses_itself_for_being_drawn_again(both):
    _, pairs = both
    outlines = [pair for first, second in pairs.values() for pair in zip(first, second, strict=True)]
    simple = [
        (shapely.is_valid(shapely.polygons(one)), shapely.is_valid(shapely.polygons(two)))
        for one, two in outlines
    ]
    assert len(simple) > 20
    assert [pair for pair in simple if pair[0] and not pair[1]] == []


def test_the_second_keeps_names_labels_and_sizes_and_has_no_images(both):
    root, pairs = both
    assert sorted(path.name for path in (root / "second").iterdir()) == sorted(pairs)
    for name in pairs:
        first, second = (json.loads((root / folder / name).read_text()) for folder in ("first", "second"))
        kept = [{**each, "shapes": [shape["label"] for shape in each["shapes"]]} for each in (first, second)]
        assert kept[0] == kept[1]


def test_the_second_draws_the_same_again(both, tmp_path):
    root, pairs = both
    write_second_annotation(first=root / "first", output=tmp_path / "again")
    for name in pairs:
        assert (tmp_path / "again" / name).read_bytes() == (root / "second" / name).read_bytes()
