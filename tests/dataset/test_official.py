"""The official loader's reading of a tree, against its rules written out."""

import numpy as np
import pytest
from PIL import Image

from refvessel import rle
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.official_truths import added_up, official_count, official_splits, official_truths
from refvessel.dataset.tree.refs import write_refs
from refvessel.files import write_json

HEIGHT, WIDTH = 40, 60


def rectangle(left, top, right, bottom) -> list[int]:
    return [left, top, right, top, right, bottom, left, bottom]


def covered(*rectangles) -> np.ndarray:
    """How many of them cover each pixel."""
    count = np.zeros((HEIGHT, WIDTH), int)
    for left, top, _, _, right, bottom, *_ in rectangles:
        count[top:bottom, left:right] += 1
    return count


APART = [rectangle(2, 2, 10, 10), rectangle(20, 20, 30, 30)]
OVERLAPPING = [rectangle(5, 5, 30, 20), rectangle(15, 10, 45, 30)]
CROSSING = [rectangle(0, 18, 60, 22), rectangle(28, 0, 32, 40)]


@pytest.mark.parametrize(
    ("parts", "official"),
    [
        (APART, covered(*APART) > 0),
        (OVERLAPPING, covered(*OVERLAPPING) == 1),
        (CROSSING, covered(*CROSSING) == 1),
        ([*OVERLAPPING, OVERLAPPING[0]], None),
    ],
)
def test_overlapping_parts_have_holes(parts, official):
    got = rle.decode(added_up(parts, HEIGHT, WIDTH))
    if official is None:  # sums of 1, 2 and 3 beside each other: each change of value starts a run
        columns = covered(*parts).T.ravel()
        changes = np.cumsum(np.diff(columns, prepend=0) != 0) % 2
        official = changes.reshape(WIDTH, HEIGHT).T
    np.testing.assert_array_equal(got, official)


def test_run_lengths_are_added_up_like_polygons():
    rles = [rle.encode(covered(part) > 0) for part in OVERLAPPING]
    assert added_up(rles, HEIGHT, WIDTH) == added_up(OVERLAPPING, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("split", "taken"),
    [
        ("train", {"train"}),
        ("val", {"val"}),
        ("test", {"testA", "testAB", "testB", "test_2"}),
        ("testA", {"testA", "testAB", "valA"}),
        ("testB", {"testAB", "testB"}),
        ("testC", set()),
        ("testAB", {"testAB"}),
        ("test_2", None),
        ("valA", None),
    ],
)
def test_the_official_loader_selects_by_letters(split, taken):
    names = {"train", "val", "testA", "testAB", "testB", "test_2", "valA"}
    assert official_splits(split, names) == taken
    refs = [{"split": name, "sentences": [{}] * number} for number, name in enumerate(sorted(names), start=1)]
    numbers = {name: number for number, name in enumerate(sorted(names), start=1)}
    assert official_count(refs, split) == (None if taken is None else sum(numbers[name] for name in taken))


def test_only_truths_that_differ_are_told_one_a_sentence(tmp_path):
    (tmp_path / IMAGES).mkdir(parents=True)
    parts = {1: APART, 2: OVERLAPPING, 3: OVERLAPPING[:1], 4: OVERLAPPING}
    instances = {"images": [], "annotations": [], "categories": []}
    refs = []
    for number, segmentation in parts.items():
        Image.new("L", (WIDTH, HEIGHT)).save(tmp_path / IMAGES / f"{number}.png")
        instances["images"].append(
            {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT}
        )
        instances["annotations"].append({"id": number, "segmentation": segmentation})
        refs.append(
            {
                "ref_id": 10 * number,
                "ann_id": [number] if number == 4 else number,  # which REFER cannot read
                "image_id": number,
                "split": "val",
                "sentences": [{"sent_id": 100 * number + n, "sent": "vessel"} for n in range(2)],
            }
        )
    (tmp_path / INSTANCES).parent.mkdir(parents=True)
    write_json(tmp_path / INSTANCES, instances)
    write_refs(tmp_path / REFS, refs)
    expressions = read_expressions(tmp_path, "val")
    truths = official_truths(expressions, refs, {each["id"]: each for each in instances["annotations"]})
    assert truths.keys() == {200, 201}
    np.testing.assert_array_equal(rle.decode(truths[201]), covered(*OVERLAPPING) == 1)
