"""What this program predicted, written in the forms of others and taken in again, has the scores that it had."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from refvessel import rle
from refvessel.dataset.tree.expressions import read_tree
from refvessel.dataset.tree.ref_vos import TreeFrame, write_frame_table
from refvessel.evaluation.coco_results import coco_results
from refvessel.predictions.table import read_predictions, read_records

CODES = {"blood vessel": 1, "catheter": 2}


def as_images(native, root, suffix):
    for each in native.sentences:
        folder = root / each.phrase.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        mask = native.masks[each.sent_id].astype(np.uint8) * 255
        Image.fromarray(mask).save(folder / f"{each.image_id}.{suffix}")
    return {}


def as_probabilities(native, root):
    for each in native.sentences:
        grey = np.where(native.masks[each.sent_id], 32768, 32767).astype(np.uint16)
        (root / each.phrase).mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(root / each.phrase / f"{each.image_id}_prob.png")
    return {"pattern": "{phrase}/{image}_prob.png", "options": {"probabilities": True}}


def as_arrays(native, root):
    for number, each in enumerate(native.sentences):
        chances = np.where(native.masks[each.sent_id], 0.51, 0.49).astype(np.float32)
        folder = root / each.phrase
        folder.mkdir(parents=True, exist_ok=True)
        if number % 2:
            np.save(folder / f"{each.image_id}.npy", chances)
        else:
            np.savez_compressed(folder / f"{each.image_id}.npz", chances[None])
    return {}


def as_polygons_of_pixels(native, root):
    """LabelMe's shape `mask`, the only one that keeps every pixel."""
    import base64
    import io

    shapes = {}
    for each in native.sentences:
        stream = io.BytesIO()
        Image.fromarray(native.masks[each.sent_id]).save(stream, "png")
        shapes.setdefault(each.image_id, []).append(
            {
                "label": each.phrase,
                "shape_type": "mask",
                "points": [[0, 0], [each.width - 1, each.height - 1]],
                "mask": base64.b64encode(stream.getvalue()).decode(),
            }
        )
    root.mkdir()
    for image_id, of_one in shapes.items():
        content = {"imagePath": f"{image_id}.png", "imageWidth": 30, "imageHeight": 20, "shapes": of_one}
        (root / f"{image_id}.json").write_text(json.dumps(content))
    return {}


def as_coco_results(native, root):
    table, _ = read_predictions(native.predictions)
    results = coco_results(table, read_tree(native.tree).coco_ids())
    root.mkdir()
    (root / "results_of_unet.json").write_text(json.dumps(results))
    return {"options": {"missing": "empty"}}  # COCO has no results without pixels


def as_own_table(native, root):
    root.mkdir()
    (root / "predictions.parquet").write_bytes(native.predictions.read_bytes())
    return {}


@pytest.mark.parametrize(
    ("write", "source_format"),
    [
        (lambda native, root: as_images(native, root, "png"), "masks"),
        (lambda native, root: as_images(native, root, "tiff"), "masks"),
        (lambda native, root: as_images(native, root, "bmp"), "masks"),
        (as_probabilities, "masks"),
        (as_arrays, "masks"),
        (as_polygons_of_pixels, "labelme"),
        (as_coco_results, "coco"),
        (as_own_table, "predictions"),
    ],
    ids=["png", "tiff", "bmp", "probabilities", "arrays", "labelme", "coco", "predictions"],
)
def test_masks_of_every_form_are_those_that_were_written(
    native, native_cases, imported, tmp_path, write, source_format
):
    settings = write(native, tmp_path / "masks")
    table = imported(tmp_path / "masks", source_format, **settings)
    records, made_from = read_records(table)
    assert {each.sent_id: each.mask for each in records} == {
        sent_id: rle.encode(mask) for sent_id, mask in native.masks.items()
    }
    assert made_from["imported"]["format"] == source_format
    assert all(len(each["sha256"]) == 64 for each in made_from["imported"]["files"])
    cases = native.cases(table, tmp_path / "scores")
    pd.testing.assert_frame_equal(cases, native_cases)


def one_label_per_pixel(native):
    """image_id -> labels, uint8 (height, width), and the masks that these are by image and phrase."""
    labels, masks = {}, {}
    for each in native.sentences:
        values = labels.setdefault(each.image_id, np.zeros((each.height, each.width), np.uint8))
        values[native.masks[each.sent_id]] = CODES[each.phrase]
    for image_id, values in labels.items():
        masks |= {(image_id, phrase): values == code for phrase, code in CODES.items()}
    return labels, masks


def masks_in(table):
    records, _ = read_records(table)
    return {(each.image_id, each.phrase): rle.decode(each.mask).astype(bool) for each in records}


@pytest.fixture
def nnunet(native, tmp_path):
    """A folder as nnU-Net leaves it after segmenting IMAGE_0000 images, and what is in it."""
    nibabel = pytest.importorskip("nibabel")
    labels, masks = one_label_per_pixel(native)
    root = tmp_path / "nnunet"
    root.mkdir()
    for image_id, values in labels.items():
        nibabel.save(nibabel.Nifti1Image(values.T[..., None], np.eye(4)), root / f"{image_id}.nii.gz")
        probabilities = np.stack([values == value for value in range(3)]).astype(np.float32)
        np.savez_compressed(root / f"{image_id}.npz", probabilities=probabilities[:, None])
    named = {"background": 0, "blood vessel": 1, "catheter": 2}
    (root / "dataset.json").write_text(json.dumps({"labels": named, "file_ending": ".nii.gz"}))
    return root, masks


def test_nifti_in_nnunets_naming_is_read_along_the_rows(nnunet, imported):
    root, masks = nnunet
    found = masks_in(imported(root, "nnunet"))
    assert found.keys() == masks.keys()
    assert all((found[key] == masks[key]).all() for key in masks)


def test_simpleitk_writes_nifti_as_it_is_read_here(native, imported, nnunet):
    """nnU-Net writes with it."""
    simpleitk = pytest.importorskip("SimpleITK")
    root, masks = nnunet
    for path in root.glob("*.nii.gz"):
        mask = masks[path.name.removesuffix(".nii.gz"), "blood vessel"]
        simpleitk.WriteImage(simpleitk.GetImageFromArray(mask.astype(np.uint8)), str(path))
    found = masks_in(imported(root, "nnunet"))
    assert all((found[key] == masks[key]).all() for key in masks if key[1] == "blood vessel")


def test_two_masks_in_nnunets_naming_score_as_natively(native, native_cases, imported, tmp_path):
    """One folder per phrase, as of two binary networks."""
    nibabel = pytest.importorskip("nibabel")
    for each in native.sentences:
        folder = tmp_path / "nnunet" / each.phrase
        folder.mkdir(parents=True, exist_ok=True)
        values = native.masks[each.sent_id].astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(values.T, np.eye(4)), folder / f"{each.image_id}.nii.gz")
    cases = native.cases(imported(tmp_path / "nnunet", "nnunet"), tmp_path / "scores")
    pd.testing.assert_frame_equal(cases, native_cases)


def test_exchanged_axes_are_told_by_the_size_and_can_be_stated(nnunet, imported, refusal):
    nibabel = pytest.importorskip("nibabel")
    root, masks = nnunet
    for path in root.glob("*.nii.gz"):
        values = np.asanyarray(nibabel.load(path).dataobj)[..., 0].T.copy()
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    assert "sides exchanged" in refusal(root, "nnunet")
    found = masks_in(imported(root, "nnunet", options={"transposed": True}))
    assert all((found[key] == masks[key]).all() for key in masks)


def test_label_images_answer_every_phrase_that_their_values_mean(native, imported, tmp_path):
    labels, masks = one_label_per_pixel(native)
    root = tmp_path / "labels"
    root.mkdir()
    for image_id, values in labels.items():
        image = Image.fromarray(values, "P") if image_id == "p1_a" else Image.fromarray(values)
        if image.mode == "P":
            image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image.save(root / f"{image_id}_0000.png")
    found = masks_in(
        imported(root, "masks", pattern="{image}_0000.png", phrases={1: "blood vessel", 2: "catheter"})
    )
    assert all((found[key] == masks[key]).all() for key in masks)


@pytest.mark.parametrize("stated", [True, False], ids=["frames named", "as the official script"])
def test_results_of_videos_score_as_natively(native, native_cases, imported, tmp_path, stated):
    """Also under the name that a run had before pseudonyms, and with a frame that nobody annotated."""
    tree = shutil.copytree(native.tree, tmp_path / "tree")
    folder, names = tree / "ref_vos" / "test", tmp_path / "names.csv"
    folder.mkdir(parents=True)
    runs = {"v1": ["p1_a", None, "p1_b"], "v2": ["p2_a"]}
    videos, table, results = {}, {}, {}
    for video, images in runs.items():
        frames = [f"{number:05}" for number in range(len(images))]
        asked = {str(number): {"exp": phrase} for number, phrase in enumerate(CODES)}
        videos[video] = {"frames": frames, "expressions": asked}
        for identifier, expression in asked.items():
            of_frames = {each.image_id: each for each in native.sentences if each.phrase == expression["exp"]}
            places, masks = {}, []
            for frame, image_id in zip(frames, images, strict=True):
                if image_id is None:
                    masks.append(rle.empty(20, 30))
                    continue
                each = of_frames[image_id]
                places[frame] = TreeFrame(image_id, each.ref_id, each.sent_id)
                masks.append(rle.encode(native.masks[each.sent_id]))
            table.setdefault(video, {})[identifier] = places
            result = {"prediction_masks": masks} | ({"frames": frames} if stated else {})
            results.setdefault({"v1": "MUSTER_run"}.get(video, video), {})[identifier] = result
    (folder / "meta_expressions.json").write_text(json.dumps({"videos": videos}))
    write_frame_table(folder / "frames.json", table)
    (tmp_path / "results.json").write_text(json.dumps(results))
    names.write_text("kind,published,original\nimage,v1,MUSTER_run\n")
    written = imported(tmp_path / "results.json", "results", tree=tree, names=names)
    records, _ = read_records(written)
    assert [each.mask for each in records] == [rle.encode(native.masks[each.sent_id]) for each in records]
    if stated:
        cases = native.cases(written, tmp_path / "scores")
        pd.testing.assert_frame_equal(cases, native_cases)


def test_coco_results_may_have_the_ids_of_another_file(native, imported, tmp_path):
    """As a detection toolbox leaves them: several results of one image, their sum is its mask."""
    images = {
        name: number for number, name in enumerate(dict.fromkeys(s.image_id for s in native.sentences), 70)
    }
    truth = {
        "images": [{"id": number, "file_name": f"test/{name}.png"} for name, number in images.items()],
        "categories": [
            {"id": 9, "name": "blood vessel"},
            {"id": 8, "name": "stent"},
            {"id": 7, "name": "catheter"},
        ],
    }
    results = []
    for each in native.sentences:
        mask = native.masks[each.sent_id]
        upper, noise = mask.copy(), np.ones_like(mask)
        upper[10:] = False
        for part, score in ((upper, 0.9), (mask & ~upper, 0.6), (noise, 0.1)):
            result = {
                "image_id": images[each.image_id],
                "category_id": {"blood vessel": 9, "catheter": 7}[each.phrase],
            }
            results.append(result | {"segmentation": rle.encode(part), "score": score})
    results.append(results[0] | {"category_id": 8})
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "unet.json").write_text(json.dumps(results))
    phrases = {"blood vessel": "blood vessel", "catheter": "catheter", "stent": None}
    options = {"annotations": str(tmp_path / "truth.json"), "least_score": 0.5}
    found = masks_in(imported(tmp_path / "unet.json", "coco", phrases=phrases, options=options))
    assert all((found[s.image_id, s.phrase] == native.masks[s.sent_id]).all() for s in native.sentences)
