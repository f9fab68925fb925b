"""Whole conversions: from annotated images to a tree that the official reading understands."""

import hashlib
import json
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from pycocotools import mask as coco
from skimage.draw import disk, line

from refvessel import masks
from refvessel.dataset.convert import convert_dataset
from refvessel.dataset.loader import ReferringDataset
from refvessel.dataset.tree import IMAGES, INSTANCES, REFS, read_expressions
from refvessel.dataset.tree_writing import TreeImage, write_tree
from refvessel.errors import UserError
from refvessel.privacy.check import check_privacy
from refvessel.privacy.names import Name, read_name_table

TRIANGLE = [[2, 2], [20, 4], [8, 25]]
SQUARE = [[10, 10], [30, 10], [30, 28], [10, 28]]


def flat(polygon) -> list[float]:
    return np.asarray(polygon, float).ravel().tolist()


def union(polygons, height=30, width=40) -> np.ndarray:
    """The truth by pycocotools alone."""
    return coco.decode(coco.merge(coco.frPyObjects([flat(polygon) for polygon in polygons], height, width)))


def officially_read(root: Path, split: str) -> dict[str, dict[str, np.ndarray]]:
    """file_name -> phrase -> mask, read as the official loader does: pickle, JSON, polygons or RLEs in a list."""
    refs = pickle.loads((root / "ref_seg/refcoco/refs(unc).p").read_bytes())
    instances = json.loads((root / "ref_seg/refcoco/instances.json").read_text())
    images = {image["id"]: image for image in instances["images"]}
    annotations = {annotation["id"]: annotation for annotation in instances["annotations"]}
    read = {}
    for ref in refs:
        if split not in ref["split"]:
            continue
        image = images[ref["image_id"]]
        segmentation = annotations[ref["ann_id"]]["segmentation"]
        rles = (
            coco.frPyObjects(segmentation, image["height"], image["width"])
            if isinstance(segmentation[0], list)
            else segmentation
        )
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        for rle in rles:
            mask += coco.decode(rle)  # as integers: what overlaps becomes 2
        for sentence in ref["sentences"]:
            assert sentence["sent_id"] in ref["sent_ids"]
            read.setdefault(image["file_name"], {})[sentence["sent"]] = mask
    for name in read:
        assert (root / "glamm_data/images/coco2014/train2014" / name).is_file()
    return read


def bytes_of(tree: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()
    }


# What is in a tree


def test_overlapping_polygons_of_a_phrase_are_united(source, convert, tmp_path):
    source.labelme("p1_01.png", [("vessel", TRIANGLE), ("vessel", SQUARE), ("catheter", SQUARE)])
    convert()
    ((phrases),) = officially_read(tmp_path / "tree", "test").values()
    assert np.array_equal(phrases["vessel"], union([TRIANGLE, SQUARE]))
    assert np.array_equal(phrases["catheter"], union([SQUARE]))


def test_labels_of_one_phrase_are_united(source, convert, tmp_path):
    source.labelme("p1_01.png", [("LAD", TRIANGLE), ("RCA", SQUARE)])
    convert(phrases={"LAD": "blood vessel", "RCA": " blood vessel "})
    (phrases,) = officially_read(tmp_path / "tree", "test").values()
    assert list(phrases) == ["blood vessel"]
    assert np.array_equal(phrases["blood vessel"], union([TRIANGLE, SQUARE]))


def test_polygons_are_scaled_from_the_stated_to_the_real_size(source, convert, tmp_path):
    large = (np.array(SQUARE) * [80 / 40, 45 / 30]).tolist()
    source.labelme("p1_01.png", [("vessel", large)], imageWidth=80, imageHeight=45)
    source.labelme("p1_02.png", [("vessel", SQUARE)])
    summary = convert()
    for phrases in officially_read(tmp_path / "tree", "test").values():
        assert np.array_equal(phrases["vessel"], union([SQUARE]))
    assert summary["counts"]["images_scaled"] == 1


def test_polygons_over_the_border_are_clipped_and_counted(source, convert, tmp_path):
    source.labelme("p1_01.png", [("vessel", [[-5, 5], [30, 5], [30, 45]]), ("vessel", TRIANGLE)])
    summary = convert()
    (phrases,) = officially_read(tmp_path / "tree", "test").values()
    assert np.array_equal(phrases["vessel"], union([[[-5, 5], [30, 5], [30, 45]], TRIANGLE]))
    assert summary["counts"]["regions_clipped"] == 1


def test_a_region_without_a_pixel_is_counted_and_no_expression(source, convert):
    source.labelme("p1_01.png", [("vessel", [[5, 5], [5.01, 5], [5, 5.01]])])
    source.labelme("p1_02.png")
    counts = convert()["counts"]
    assert (counts["regions_without_pixels"], counts["expressions"], counts["images_dropped"]) == (1, 1, 1)


def test_an_outline_without_a_pixel_does_no_harm_by_crossing_itself(source, convert):
    source.labelme("p1_01.png", [("vessel", TRIANGLE), ("vessel", [[1, 1], [5, 5], [9, 9]])])
    counts = convert()["counts"]
    assert (counts["regions_without_pixels"], counts["regions_crossing_themselves"]) == (1, 0)


def test_images_without_an_expression_are_dropped_with_their_reason(source, convert):
    source.labelme("p1_01.png")
    source.labelme("p1_02.png", [])
    source.image("p1_03.png")
    summary = convert(pseudonymise=False)
    assert summary["dropped"] == {"p1_02": "no region"}
    assert (summary["counts"]["images_dropped"], summary["counts"]["images_not_annotated"]) == (1, 1)
    assert list(summary["images"]) == ["p1_01"]


def test_every_declared_phrase_is_asked_of_every_annotated_image_on_request(source, convert, tmp_path):
    source.labelme("p1_01.png", [("v", TRIANGLE)])
    source.labelme("p1_02.png", [])
    source.image("p1_03.png")
    summary = convert(
        phrases={"v": "vessel", "c": "catheter"}, include_empty=True, pseudonymise=False, single_split="val"
    )
    read = officially_read(tmp_path / "tree", "val")
    areas = {
        name: {phrase: int(mask.sum()) for phrase, mask in phrases.items()} for name, phrases in read.items()
    }
    assert areas == {
        "p1_01.png": {"vessel": int(union([TRIANGLE]).sum()), "catheter": 0},
        "p1_02.png": {"vessel": 0, "catheter": 0},
    }
    assert summary["counts"]["expressions_empty"] == 3
    assert summary["dropped"] == {}


def test_expressions_are_numbered_by_image_and_by_the_order_of_phrases(source, convert, tmp_path):
    for name in ("b_1.png", "a_1.png"):
        source.labelme(name, [("c", SQUARE), ("v", TRIANGLE)])
    convert(phrases={"v": "vessel", "c": "catheter"}, pseudonymise=False)
    expressions = read_expressions(tmp_path / "tree", "test")
    assert [(e.sent_id, e.image_id, e.phrase) for e in expressions] == [
        (1, "a_1", "vessel"),
        (2, "a_1", "catheter"),
        (3, "b_1", "vessel"),
        (4, "b_1", "catheter"),
    ]


def test_the_official_fields_are_all_there(source, convert, tmp_path):
    source.labelme("p1_01.png", [("blood vessel", SQUARE)])
    summary = convert()
    (image_id,) = summary["images"]
    instances = json.loads((tmp_path / "tree" / INSTANCES).read_text())
    patient = image_id.split("_")[0]
    assert instances["images"] == [
        {"id": 1, "file_name": f"{image_id}.png", "width": 40, "height": 30, "patient": patient}
    ]
    (annotation,) = instances["annotations"]
    assert isinstance(annotation["segmentation"], list)
    assert annotation["area"] == union([SQUARE]).sum()
    assert annotation["bbox"] == [10, 10, 20, 18]
    assert instances["categories"] == [{"id": 1, "name": "blood vessel", "supercategory": ""}]
    sentence = {"sent_id": 1, "sent": "blood vessel", "raw": "blood vessel", "tokens": ["blood", "vessel"]}
    assert pickle.loads((tmp_path / "tree" / REFS).read_bytes()) == [
        {
            "ref_id": 1,
            "ann_id": 1,
            "category_id": 1,
            "image_id": 1,
            "split": "test",
            "file_name": f"{image_id}.png",
            "sent_ids": [1],
            "sentences": [sentence],
        }
    ]


def test_the_summary_is_what_dataset_json_says(source, convert, tmp_path):
    for name in ("p1_02.png", "p1_01.png", "p2_07.png"):
        source.labelme(name)
    summary = convert(pseudonymise=False)
    assert json.loads((tmp_path / "tree" / "dataset.json").read_text()) == summary
    assert summary["splits"] == {"test": ["p1", "p2"]}
    assert summary["images"]["p1_02"] == {
        "patient": "p1",
        "frame": 2,
        "split": "test",
        "width": 40,
        "height": 30,
        "pixels_sha256": hashlib.sha256(
            np.asarray(Image.open(source.root / "p1_02.png").convert("RGB")).tobytes()
        ).hexdigest(),
    }
    assert summary["rasteriser"] == "coco"
    assert summary["pseudonymised"] is False
    assert summary["provenance"]["inputs"]["images"]["files"] == 3


@pytest.mark.parametrize(
    ("name", "published"),
    [("p1_01.PNG", "p1_01.png"), ("p1_01.jpeg", "p1_01.jpg"), ("p1_01.bmp", "p1_01.png")],
)
def test_pixels_are_published_unchanged(source, convert, tmp_path, name, published):
    source.labelme(name)
    convert(pseudonymise=False)
    ((read, phrases),) = officially_read(tmp_path / "tree", "test").items()
    assert read == published
    assert np.array_equal(phrases["vessel"], union([TRIANGLE]))
    (item,) = ReferringDataset(tmp_path / "tree", "test")
    assert Path(item["image_path"]).name == published
    assert np.array_equal(item["image"], Image.open(source.root / name).convert("RGB"))


def test_the_counts_are_said_on_standard_error(source, convert, capsys):
    source.labelme("p1_01.png")
    source.labelme("p2_01.png")
    convert()
    assert "2 images, 2 expressions, 2 patients (test 2)" in capsys.readouterr().err


# Real frames, through each form


def write_frames(source, shared: Path, form: str, factor: float) -> dict[str, list]:
    """The annotated frames of ARCADE in one of the forms, coordinates times `factor`; name -> polygons."""
    folder = shared / "vessels" / "arcade_stenosis"
    content = json.loads((folder / "annotations.json").read_text())
    polygons: dict[int, list] = {}
    for annotation in content["annotations"]:
        polygons.setdefault(annotation["image_id"], []).extend(annotation["segmentation"])
    frames = {
        image["file_name"]: polygons[image["id"]] for image in content["images"] if image["id"] in polygons
    }
    side, entries = round(512 * factor), []
    for name, parts in frames.items():
        scaled = [(np.array(part) * factor).tolist() for part in parts]
        (found,) = folder.rglob(name)
        target = source.root / ("" if form == "labelme" else "images") / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(found.read_bytes())
        if form == "labelme":
            regions = [("stenosis", np.reshape(part, (-1, 2)).tolist()) for part in scaled]
            source.labelme(name, regions, size=(side, side), image=False)
        else:
            entries.append({"image": name, "width": side, "height": side} | _sa2va_masks(form, scaled))
    if form != "labelme":
        source.sa2va(entries)
    return frames


def _sa2va_masks(form: str, polygons: list) -> dict[str, list]:
    if form == "flat":
        return {"mask": polygons, "text": ["stenosis"]}
    return {"mask": [polygons], "text": ["stenosis"]}


@pytest.mark.parametrize("factor", [1, 800 / 512])
@pytest.mark.parametrize("form", ["labelme", "flat", "nested"])
def test_real_frames_have_the_masks_of_pycocotools_in_every_form(
    source, convert, shared, tmp_path, form, factor
):
    frames = write_frames(source, shared, form, factor)
    summary = convert("labelme" if form == "labelme" else "sa2va", pseudonymise=False)
    assert summary["counts"]["images"] == len(frames) == 40
    assert summary["counts"]["images_scaled"] == (0 if factor == 1 else 40)
    read = officially_read(tmp_path / "tree", "test")
    dataset = ReferringDataset(tmp_path / "tree", "test")
    assert len(dataset) == 40
    for item in dataset:
        name = Path(item["image_path"]).name
        expected = coco.decode(coco.merge(coco.frPyObjects(frames[name], 512, 512)))
        assert expected.any()
        assert np.array_equal(read[name]["stenosis"], expected)
        assert np.array_equal(item["gt_masks"], expected[None])


# Round trip


@st.composite
def vessel_masks(draw) -> np.ndarray:
    """Rings, thick and one-pixel branches, and single pixels."""
    height, width = draw(st.integers(8, 64)), draw(st.integers(8, 64))
    mask = np.zeros((height, width), np.uint8)
    point = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    for centre, radius in draw(st.lists(st.tuples(point, st.integers(2, 20)), max_size=3)):
        ring = np.zeros_like(mask)
        ring[disk(centre, radius, shape=mask.shape)] = 1
        ring[disk(centre, radius - 1, shape=mask.shape)] = 0
        mask |= ring
    for start, end in draw(st.lists(st.tuples(point, point), max_size=6)):
        mask[line(*start, *end)] = 1
    for row, column in draw(st.lists(point, max_size=5)):
        mask[row, column] = 1
    return mask


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(vessel_masks(), min_size=1, max_size=1))
def test_any_mask_comes_back_identical_through_tree_and_loader(tmp_path, drawn):
    (mask,) = drawn
    height, width = mask.shape
    (tmp_path / IMAGES).mkdir(parents=True, exist_ok=True)
    Image.new("L", (width, height)).save(tmp_path / IMAGES / "a.png")
    truths = {"vessel": [masks.encode(mask)], "background": [masks.encode(1 - mask)]}
    write_tree(tmp_path, [TreeImage("a", "p", "test", width, height, truths)], ["background", "vessel"])
    (item,) = list(ReferringDataset(tmp_path, "test"))
    assert np.array_equal(item["gt_masks"], np.stack([1 - mask, mask]))
    assert np.array_equal(officially_read(tmp_path, "test")["a.png"]["vessel"], mask)


# The same bytes again


@pytest.mark.parametrize("pseudonymise", [True, False])
def test_two_runs_give_the_same_bytes(source, convert, tmp_path, pseudonymise):
    for number in range(12):
        source.labelme(f"p{number % 4}_{number}.png", [("vessel", TRIANGLE), ("catheter", SQUARE)])
    convert(output=tmp_path / "first", pseudonymise=pseudonymise, jobs=1)
    convert(output=tmp_path / "second", pseudonymise=pseudonymise, jobs=4)
    assert bytes_of(tmp_path / "first") == bytes_of(tmp_path / "second")


def test_an_older_tree_is_replaced_whole(source, convert, tmp_path):
    source.labelme("p1_01.png")
    convert(pseudonymise=False)
    (source.root / "p1_01.png").unlink()
    (source.root / "p1_01.json").unlink()
    source.labelme("p2_01.png")
    convert(pseudonymise=False)
    assert [path.name for path in (tmp_path / "tree" / IMAGES).iterdir()] == ["p2_01.png"]


# Names


def test_no_original_name_is_anywhere_in_a_pseudonymised_tree(source, convert, tmp_path):
    secret = "zhangwei20190304"
    annotation = source.labelme(f"ward 7/{secret}_0815.png", description=secret, flags={secret: True})
    text = PngImagePlugin.PngInfo()
    text.add_text("PatientName", secret)
    image = annotation.with_suffix(".png")
    Image.open(image).save(image, pnginfo=text)
    source.image(f"{secret}_0816.png")
    source.labelme(f"{secret}_0817.png", [])
    convert()
    everything = b"".join(
        name.encode() + b"\0" + content for name, content in bytes_of(tmp_path / "tree").items()
    )
    for original in (secret, "ward", "0815", "0816", "0817", str(source.root)):
        assert original.encode() not in everything
    assert secret.encode() in image.read_bytes()  # the search can find it


def test_a_key_gives_the_same_pseudonyms_again_and_another_key_others(source, convert, tmp_path):
    source.labelme("p1_01.png")
    first = convert(key_file=tmp_path / "a" / "key")
    assert list(convert(key_file=tmp_path / "a" / "key")["images"]) == list(first["images"])
    assert list(convert(key_file=tmp_path / "b" / "key")["images"]) != list(first["images"])


def test_the_key_lies_by_default_in_a_private_file_of_the_working_folder(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source.labelme("p1_01.png")
    convert_dataset(source_format="labelme", root=source.root, output=tmp_path / "tree", single_split="test")
    assert stat.S_IMODE(Path(".refvessel/pseudonym.key").stat().st_mode) == 0o600


def test_the_way_back_to_the_names_lies_beside_the_key_and_is_private(source, convert, tmp_path):
    source.labelme("ward 7/Zhang_01.png")
    summary = convert(phrases={"vessel": "blood vessel"})
    table = tmp_path / "key" / "names" / "tree.csv"
    ((image_id, image),) = summary["images"].items()
    assert set(read_name_table(table)) == {
        Name("image", image_id, "ward 7/Zhang_01.png"),
        Name("patient", image["patient"], "Zhang"),
        Name("word", "blood vessel", "blood vessel"),
        Name("word", "test", "test"),
        Name("word", "vessel", "vessel"),
    }
    assert stat.S_IMODE(table.parent.stat().st_mode) == 0o700
    check_privacy(tmp_path / "tree", [table])
    with pytest.raises(UserError, match="names the"):
        check_privacy(source.root, [table])
    convert(pseudonymise=False)
    assert not table.exists()


def test_the_output_may_not_lie_beside_the_names(source, convert, tmp_path):
    source.labelme("p1_01.png")
    with pytest.raises(UserError, match="give the key a folder of its own"):
        convert(key_file=tmp_path / "key", output=tmp_path / "results" / "tree")


def test_without_pseudonyms_no_key_is_made(source, convert, tmp_path):
    source.labelme("p1_01.png")
    convert(pseudonymise=False)
    assert not (tmp_path / "key").exists()


# Splits


def test_splits_follow_the_patient_and_stay_when_patients_are_added(source, convert):
    def split_of_patients(summary):
        return {image["patient"]: image["split"] for image in summary["images"].values()}

    for number in range(20):
        source.labelme(f"p{number}_01.png")
    splits = {"train": 0.5, "test": 0.5}
    before = split_of_patients(convert(splits=splits))
    for number in range(20, 30):
        source.labelme(f"p{number}_01.png")
    after = split_of_patients(convert(splits=splits))
    assert set(before.values()) == {"train", "test"}
    assert len(after) == 30
    assert {patient: after[patient] for patient in before} == before


def test_a_pattern_may_give_the_split(source, convert, tmp_path):
    source.labelme("train/p1_1.png")
    source.labelme("test_b/p2_1.png")
    summary = convert(
        splits={"val": 1.0}, patient_pattern=r"^(?P<split>\w+)/(?P<patient>p\d)", pseudonymise=False
    )
    assert summary["splits"] == {"test_b": ["p2"], "train": ["p1"]}
    assert summary["warnings"] == []


def test_a_single_split_wins_over_the_pattern(source, convert):
    source.labelme("train/p1_1.png")
    summary = convert(
        single_split="val", patient_pattern=r"(?P<split>\w+)/(?P<patient>p\d)", pseudonymise=False
    )
    assert summary["splits"] == {"val": ["p1"]}


def test_an_empty_split_is_a_warning(source, convert, capsys):
    source.labelme("p1_01.png")
    summary = convert(splits={"train": 0.5, "test": 0.5})
    (warning,) = summary["warnings"]
    assert "No patient fell into the split" in warning
    assert f"Warning: {warning}" in capsys.readouterr().err


def test_repeated_pixels_within_a_split_are_a_warning(source, convert):
    annotation = source.labelme("p1_01.png")
    source.labelme("p1_02.png", image=False, imagePath="p1_02.png", imageData="")
    (source.root / "p1_02.png").write_bytes(annotation.with_suffix(".png").read_bytes())
    assert convert()["warnings"] == ["1 images repeat the pixels of another image of their split."]


# Bad input: one clear sentence each, nothing written


def _spoilers():
    def write(name, content):
        return lambda source: (source.root / name).write_bytes(content)

    def entry(name, *regions, **fields):
        return lambda source: source.labelme(name, regions, **fields)

    def same_id(source):
        source.image("p1_01.jpg")
        source.labelme("copy.png", [("vessel", SQUARE)], image=False, imagePath="p1_01.jpg")

    truncated = b"\x89PNG\r\n\x1a\n" + bytes(20)
    yield "zero bytes", r"p1_01\.png does not open", write("p1_01.png", b""), {}
    yield "truncated", r"p1_01\.png does not open", write("p1_01.png", truncated), {}
    yield "missing image", r"p2\.json: the image 'p2\.png' does not exist", entry("p2.png", image=False), {}
    yield (
        "two points",
        r"p2\.json: shape 1 has fewer than three",
        entry("p2.png", ("vessel", TRIANGLE[:2])),
        {},
    )
    yield "empty label", r"p2\.json: shape 1 has no text", entry("p2.png", ("", TRIANGLE)), {}
    yield "outside", r"shape 1 lies outside", entry("p2.png", ("vessel", [[90, 2], [99, 4], [95, 25]])), {}
    yield "swapped size", "swapped", entry("p2.png", ("vessel", TRIANGLE), imageWidth=30, imageHeight=40), {}
    yield (
        "unknown label",
        "the label 'bone'",
        entry("p2.png", ("bone", TRIANGLE)),
        {"phrases": {"vessel": "v"}},
    )
    yield "empty phrase", "phrase without text", entry("p2.png"), {"phrases": {"vessel": " "}}
    yield "no phrases", "phrases is empty", entry("p2.png"), {"phrases": {}}
    yield (
        "two files for one image",
        r"copy\.json and .*p1_01\.json both annotate p1_01\.png|p1_01\.json and .*copy\.json both annotate",
        entry("copy.png", ("vessel", TRIANGLE), image=False, imagePath="p1_01.png"),
        {},
    )
    yield "case", "differ by case only", entry("P1_01.png", ("vessel", SQUARE)), {}
    yield "same id", "get the same id", same_id, {"pseudonymise": False}
    yield "pattern", "finds no patient in 'q2'", entry("q2.png"), {"patient_pattern": r"(?P<patient>p\d)"}
    yield (
        "split name",
        "'sub' is not train",
        entry("sub/p1.png"),
        {"patient_pattern": PATTERN, "splits": RATIOS},
    )
    yield (
        "format",
        "'nifti' is unknown; choose one of: coco, dicom, labelme",
        entry("p2.png"),
        {"source_format": "nifti"},
    )
    yield "split", "'all' is not train", entry("p2.png"), {"single_split": "all"}
    yield "both", "both given", entry("p2.png"), {"splits": RATIOS, "single_split": "test"}


PATTERN = r"^((?P<split>\w+)/)?(?P<patient>p\d)"
RATIOS = {"train": 0.5, "test": 0.5}
SPOILERS = list(_spoilers())


@pytest.mark.parametrize(
    ("reason", "spoil", "arguments"), [s[1:] for s in SPOILERS], ids=[s[0] for s in SPOILERS]
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    source, convert, tmp_path, reason, spoil, arguments
):
    source.labelme("p1_01.png")
    spoil(source)
    with pytest.raises(UserError, match=reason) as caught:
        convert(**arguments)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "key") == ["source"]


def test_all_problems_are_told_together(source, convert, tmp_path):
    source.labelme("good_1.png")
    source.labelme("thin_1.png", [("vessel", TRIANGLE[:2])])
    source.labelme("gone_1.png", image=False)
    source.labelme("zero_1.png")
    (source.root / "zero_1.png").write_bytes(b"")
    source.labelme("label_1.png", [("bone", TRIANGLE)])
    with pytest.raises(UserError) as caught:
        convert(phrases={"vessel": "blood vessel"})
    lines = str(caught.value).splitlines()
    assert lines[0] == "4 problems were found and nothing was written:"
    for name, told in zip(["gone_1", "label_1", "thin_1", "zero_1"], lines[1:], strict=True):
        assert told.startswith("- ")
        assert name in told
    assert not (tmp_path / "tree").exists()


def test_no_more_than_twenty_problems_are_told(source, convert):
    for number in range(30):
        source.labelme(f"p{number}.png", image=False)
    with pytest.raises(UserError) as caught:
        convert()
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[0].startswith("At least 30 problems")
    assert lines[-1] == "- and 10 more."


def test_a_patient_in_two_splits_is_refused(source, convert):
    source.labelme("train/p1_1.png")
    source.labelme("test/p1_2.png")
    with pytest.raises(
        UserError, match=r"train/p1_1\.png \(train\) and test/p1_2\.png \(test\) are of one patient"
    ):
        convert(splits=RATIOS, patient_pattern=PATTERN)


def test_identical_pixels_in_two_splits_are_refused(source, convert):
    annotation = source.labelme("train/p1_1.png")
    source.labelme("test/p2_1.png")
    Image.open(annotation.with_suffix(".png")).convert("RGB").save(source.root / "test" / "p2_1.png")
    with pytest.raises(UserError, match="have identical pixels"):
        convert(splits=RATIOS, patient_pattern=PATTERN)


def test_coordinates_of_another_size_need_a_stated_size(source, convert):
    large = (np.array(SQUARE) * 1.8).ravel().tolist()
    source.sa2va([{"image": "p1_01.png", "mask": [large], "text": ["vessel"]}])
    with pytest.raises(UserError, match=r"entry 1 \(p1_01\.png\): mask 1 spans .* state the size"):
        convert("sa2va")


def test_two_entries_of_one_image_are_refused(source, convert):
    source.sa2va([{"image": "p1_01.png", "mask": [flat(part)], "text": ["v"]} for part in (TRIANGLE, SQUARE)])
    with pytest.raises(UserError, match=r"entry 1 .*entry 2 .* both annotate p1_01\.png"):
        convert("sa2va")


@pytest.mark.parametrize("source_format", ["labelme", "sa2va"])
def test_data_without_an_expression_are_refused(source, convert, tmp_path, source_format):
    if source_format == "sa2va":
        source.sa2va([])
    with pytest.raises(UserError, match="holds no image with an expression"):
        convert(source_format)
    assert not (tmp_path / "tree").exists()


def test_a_missing_root_is_named(source, convert):
    source.root.rmdir()
    with pytest.raises(UserError, match="source is not a folder"):
        convert()


@pytest.mark.parametrize("place", ["source/tree", "source", "."])
def test_output_and_data_may_not_lie_in_one_another(source, convert, tmp_path, place):
    source.labelme("p1_01.png")
    with pytest.raises(UserError, match="lie in one another"):
        convert(output=tmp_path / place)
    assert (source.root / "p1_01.png").exists()


def test_the_key_may_not_lie_in_the_output(source, convert, tmp_path):
    source.labelme("p1_01.png")
    with pytest.raises(UserError, match="keep it out"):
        convert(key_file=tmp_path / "tree" / "key")


@pytest.mark.parametrize("stranger", ["thesis.tex", "ref_seg/refcoco/refs(unc).p"])
def test_a_folder_that_is_no_tree_of_ours_is_never_replaced(source, convert, tmp_path, stranger):
    source.labelme("p1_01.png")
    path = tmp_path / "tree" / stranger
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(UserError, match="no tree of RefVessel's"):
        convert()
    assert path.read_text() == "precious"


def test_empty_folders_made_beforehand_are_no_obstacle(source, convert, tmp_path):
    (tmp_path / "tree" / INSTANCES).parent.mkdir(parents=True)
    source.labelme("p1_01.png")
    convert()
    assert (tmp_path / "tree" / INSTANCES).is_file()


def test_an_output_that_is_a_file_is_refused(source, convert, tmp_path):
    source.labelme("p1_01.png")
    (tmp_path / "tree").write_text("precious")
    with pytest.raises(UserError, match="is a file"):
        convert()


def test_a_failed_run_leaves_the_older_tree_as_it_was(source, convert, tmp_path):
    source.labelme("p1_01.png")
    convert()
    before = bytes_of(tmp_path / "tree")
    source.labelme("p2_01.png", [("vessel", TRIANGLE[:2])])
    with pytest.raises(UserError, match="fewer than three"):
        convert()
    assert bytes_of(tmp_path / "tree") == before
