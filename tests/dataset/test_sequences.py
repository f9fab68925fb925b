"""Runs as a data kind: which images are frames of one, in which order, and how they stand in the tree."""

import json
import re
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco
from stages import convert_dataset

from refvessel import rle
from refvessel.dataset.patients.sequences import natural_key
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.ref_vos import read_frame_table, read_mask_dict, read_ref_vos
from refvessel.errors import UserError

pytestmark = pytest.mark.usefixtures("converted_here")

PATTERN = r"^(?P<patient>[^_]+)_.*"
RUNS = r"_(?P<sequence>r\d+)_f(?P<frame>\d+)$"


def layout(tree, split="test"):
    return tree / "ref_vos" / split


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def two_runs(source):
    """Two patients of one run each; of three frames the second is annotated, of twelve the first and the last."""
    for frame in range(12):
        (source.labelme if frame in (0, 11) else source.image)(f"wang_r1_f{frame}.png")
    for frame in range(3):
        (source.labelme if frame == 1 else source.image)(f"li_r1_f{frame}.png")
    return source


@pytest.fixture
def converted(two_runs, convert, tmp_path):
    summary = convert(sequences=RUNS, patient_pattern=PATTERN)
    return tmp_path / "tree", summary


@given(
    st.lists(st.integers(0, 10**6), min_size=2, max_size=30, unique=True),
    st.sampled_from(["f", "Frame-", ""]),
)
@settings(max_examples=50, deadline=None)
def test_natural_order_is_that_of_the_numbers(numbers, prefix):
    names = [f"{prefix}{number}" for number in numbers]
    assert sorted(names, key=natural_key) == [f"{prefix}{number}" for number in sorted(numbers)]


def test_frames_stand_in_the_order_of_their_numbers_under_padded_names(converted, two_runs):
    tree, _ = converted
    videos = {len(files.paths): files for files in read_ref_vos(layout(tree))}
    for name, count in (("wang", 12), ("li", 3)):
        files = videos[count]
        assert files.video.frames == tuple(f"{index:05d}" for index in range(count))
        for index, path in enumerate(files.paths):
            original = two_runs.root / f"{name}_r1_f{index}.png"
            np.testing.assert_array_equal(pixels(path), pixels(original))


def test_only_annotated_frames_are_images_of_the_tree_and_they_fill_the_disk_once(converted):
    tree, summary = converted
    expressions = read_expressions(tree, "test")
    assert len(expressions) == 3 == summary["counts"]["images"]
    frames = [path for files in read_ref_vos(layout(tree)) for path in files.paths]
    assert {each.image_path.stat().st_ino for each in expressions} < {path.stat().st_ino for path in frames}


def test_the_table_leads_from_each_annotated_frame_to_its_expression(converted):
    tree, _ = converted
    table, masks = (
        read_frame_table(layout(tree) / "frames.json"),
        read_mask_dict(layout(tree) / "mask_dict.json"),
    )
    expressions = {each.sent_id: each for each in read_expressions(tree, "test")}
    found = set()
    for files in read_ref_vos(layout(tree)):
        (asked,) = files.video.expressions
        (annotation,) = asked.annotations
        places = table[files.video.name][asked.id]
        for frame, mask, path in zip(files.video.frames, masks[annotation], files.paths, strict=True):
            assert (mask is None) == (frame not in places)
            if mask is not None:
                place = places[frame]
                expression = expressions[place.sent_id]
                assert (expression.image_id, expression.ref_id) == (place.image_id, place.ref_id)
                assert expression.phrase == asked.text
                assert coco.area(expression.truth) == coco.area(mask) > 0
                assert path.samefile(expression.image_path)
                found.add(place.sent_id)
    assert found == expressions.keys()


def test_the_official_reading_of_the_layout_finds_every_frame_and_mask(converted):
    """As Sa2VA's loader reads it: JSON, frames sorted as text, RLEs by annotation."""
    tree, _ = converted
    meta = json.loads((layout(tree) / "meta_expressions.json").read_text())["videos"]
    masks = json.loads((layout(tree) / "mask_dict.json").read_text())
    for video, entry in meta.items():
        assert entry["frames"] == sorted(entry["frames"])
        for frame in entry["frames"]:
            with Image.open(layout(tree) / "JPEGImages" / video / f"{frame}.png") as image:
                assert image.size == (entry["width"], entry["height"])
        for expression in entry["expressions"].values():
            for annotation in expression["anno_id"]:
                assert len(masks[str(annotation)]) == len(entry["frames"])


def test_no_name_is_published(converted):
    tree, summary = converted
    published = json.dumps(summary) + " ".join(str(path.relative_to(tree)) for path in tree.rglob("*"))
    published += (layout(tree) / "meta_expressions.json").read_text()
    assert not re.search(r"wang|li_|_r1", published)
    assert all(re.fullmatch(r"p[0-9a-f]{10}_[0-9a-f]{10}", video) for video in summary["runs"])


def test_without_pseudonyms_runs_of_one_name_of_two_patients_stay_two(two_runs, convert, tmp_path):
    convert(sequences=RUNS, patient_pattern=PATTERN, pseudonymise=False)
    videos = read_ref_vos(layout(tmp_path / "tree"))
    assert {files.video.name: len(files.paths) for files in videos} == {"wang__r1": 12, "li__r1": 3}


def test_runs_that_would_be_published_under_one_name_are_refused(source, convert):
    for name in ("wang_r 1_f0.png", "wang_r?1_f0.png"):
        source.labelme(name)
    with pytest.raises(UserError, match="both be published as wang__r_1; rename one"):
        convert(
            sequences=r"_(?P<sequence>r.1)_f(?P<frame>\d+)$",
            patient_pattern=PATTERN,
            pseudonymise=False,
        )


def test_patients_are_not_split(two_runs, convert, tmp_path):
    for run in range(2, 6):
        for frame in range(2):
            two_runs.labelme(f"wang_r{run}_f{frame}.png")
    summary = convert(
        sequences=RUNS, patient_pattern=PATTERN, splits={"train": 0.5, "test": 0.5}, near_duplicates=None
    )
    patients = {}
    for run in summary["runs"].values():
        patients.setdefault(run["patient"], set()).add(run["split"])
    assert sorted(map(len, patients.values())) == [1, 1]
    for split in {next(iter(splits)) for splits in patients.values()}:
        names = {files.video.name for files in read_ref_vos(layout(tmp_path / "tree", split))}
        assert names == {name for name, run in summary["runs"].items() if run["split"] == split}


def test_a_frame_that_nobody_annotated_is_not_asked_even_where_empty_truths_are(two_runs, convert, tmp_path):
    two_runs.labelme("li_r1_f0.png", regions=[], image=False)
    summary = convert(
        sequences=RUNS, patient_pattern=PATTERN, include_empty=True, phrases={"vessel": "blood vessel"}
    )
    assert summary["counts"]["expressions"] == 4
    assert summary["counts"]["expressions_empty"] == 1
    masks = read_mask_dict(layout(tmp_path / "tree") / "mask_dict.json")
    areas = sorted(
        [None if mask is None else int(coco.area(mask)) for mask in run] for run in masks.values()
    )[0][:3]
    assert areas[0] == 0
    assert areas[2] is None


def test_folders_are_runs_in_the_natural_order_of_names(source, convert, tmp_path):
    for name in ("frame1", "frame2", "frame10"):
        source.labelme(f"p1/run a/{name}.png")
    convert(sequences="folder", patient_pattern="(?P<patient>p1)")
    (files,) = read_ref_vos(layout(tmp_path / "tree"))
    for path, name in zip(files.paths, ("frame1", "frame2", "frame10"), strict=True):
        np.testing.assert_array_equal(pixels(path), pixels(source.root / f"p1/run a/{name}.png"))


def test_fields_of_masks_say_which_run_and_frame(source, convert, tmp_path):
    for frame in (9, 10, 8):
        source.image(f"images/7_{frame}.png")
        mask = np.zeros((30, 40), np.uint8)
        mask[:frame, :2] = 255
        (source.root / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(source.root / f"masks/7_{frame}.png")
    convert(
        "masks",
        sequences="data",
        options={
            "images": "images/{sequence}_{frame}.png",
            "masks": "masks/{sequence}_{frame}.png",
            "patient": "{sequence}",
        },
    )
    (truths,) = read_mask_dict(layout(tmp_path / "tree") / "mask_dict.json").values()
    assert [coco.area(mask) for mask in truths] == [16, 18, 20]


@pytest.fixture
def read_again(tmp_path):
    """Convert the folder `copy` of the Ref-VOS layout to `again`."""

    def convert():
        return convert_dataset(
            format="refvos",
            root=tmp_path / "copy",
            output=tmp_path / "again",
            patient_pattern="(?P<patient>p[0-9a-f]+)_",
            single_split="test",
            key_file=tmp_path / "key" / "pseudonym.key",
        )

    return convert


def test_a_tree_of_runs_is_read_again_as_refvos(converted, read_again, tmp_path):
    tree, summary = converted
    shutil.copytree(layout(tree), tmp_path / "copy")
    again = read_again()
    assert again["counts"]["expressions"] == summary["counts"]["expressions"]
    assert {run["pixels_sha256"] for run in again["runs"].values()} == {
        run["pixels_sha256"] for run in summary["runs"].values()
    }

    def truths(folder):
        masks = read_mask_dict(layout(folder) / "mask_dict.json").values()
        return sorted(json.dumps(run) for run in masks)

    assert truths(tmp_path / "again") == truths(tree)


def test_without_the_table_a_null_says_that_nothing_is_shown(converted, read_again, tmp_path):
    tree, _ = converted
    shutil.copytree(layout(tree), tmp_path / "copy")
    (tmp_path / "copy/frames.json").unlink()
    again = read_again()
    assert again["counts"]["expressions"] == 15
    assert again["counts"]["expressions_empty"] == 12


def test_a_truth_of_another_size_is_an_error_even_where_it_is_empty(converted, read_again, tmp_path):
    tree, _ = converted
    shutil.copytree(layout(tree), tmp_path / "copy")
    masks = read_mask_dict(tmp_path / "copy/mask_dict.json")
    name, of_frames = next(iter(masks.items()))
    masks[name] = [rle.empty(3, 5), *of_frames[1:]]
    (tmp_path / "copy/mask_dict.json").write_text(json.dumps(masks))
    with pytest.raises(UserError, match=r"the mask of frame 0+ is of size \[3, 5\], the frames of video"):
        read_again()


def test_a_conversion_without_runs_is_what_it_was(two_runs, convert, tmp_path):
    summary = convert(patient_pattern=PATTERN)
    assert "runs" not in summary
    assert not (tmp_path / "tree/ref_vos").exists()
    assert summary["counts"]["images_not_annotated"] == 12


def test_numbers_that_are_missing_are_told(two_runs, convert):
    (two_runs.root / "wang_r1_f4.png").unlink()
    (two_runs.root / "wang_r1_f5.png").unlink()
    (warning,) = [
        each for each in convert(sequences=RUNS, patient_pattern=PATTERN)["warnings"] if "numbers" in each
    ]
    assert re.search(r"1 runs lack numbers between their frames \(p\w+: 2\)", warning)


@pytest.mark.parametrize(
    ("name", "size", "sentence"),
    [
        ("li_r1_f02.png", (40, 30), "are the same frame of the run r1"),
        ("li_r1_f3.png", (44, 30), "all frames of a run must be of one size"),
        ("li.png", (40, 30), "sequences finds no run"),
    ],
)
def test_what_makes_no_run_is_refused(two_runs, convert, name, size, sentence):
    two_runs.image(name, size)
    with pytest.raises(UserError, match=sentence):
        convert(sequences=RUNS, patient_pattern=PATTERN)


def test_regions_of_runs_are_refused(two_runs, convert):
    with pytest.raises(UserError, match="runs are asked for phrases"):
        convert(sequences=RUNS, patient_pattern=PATTERN, target="region")


def test_a_pattern_needs_its_group(two_runs, convert):
    with pytest.raises(UserError, match="has no group"):
        convert(sequences=r"r\d", patient_pattern=PATTERN)
