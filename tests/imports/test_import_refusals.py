"""What cannot be matched is told by name, all of it at once, and nothing is written."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from refvessel import rle
from refvessel.cli import app
from refvessel.errors import UserError
from refvessel.predictions.table import read_records
from refvessel.preflight import require_sound_run
from refvessel.settings.checked import checked_config
from refvessel.settings.refinement_section import Refinement


@pytest.fixture
def masks(native, tmp_path):
    """A complete folder of masks, PHRASE/IMAGE.png."""
    root = tmp_path / "masks"
    for each in native.sentences:
        (root / each.phrase).mkdir(parents=True, exist_ok=True)
        Image.fromarray(native.masks[each.sent_id]).save(root / each.phrase / f"{each.image_id}.png")
    return root


def test_missing_doubled_unknown_and_wrongly_sized_masks_are_told_together(masks, refusal):
    vessels = masks / "blood vessel"
    (vessels / "p1_a.png").unlink()
    Image.new("L", (20, 30)).save(vessels / "p1_b.png")
    Image.new("L", (30, 20)).save(vessels / "p2_a.tif")
    Image.new("L", (30, 20)).save(masks / "catheter" / "p9_z.png")
    told = refusal(masks, "masks")
    assert told.startswith("4 problems were found and nothing was written:")
    assert "the image p1_a has no mask of 'blood vessel'" in told
    assert (
        "p1_b.png is of 20 x 30 pixels, the image p1_b of 30 x 20, which is the size with its sides" in told
    )
    assert "p2_a.png and " in told
    assert "both are of 'blood vessel' in the image p2_a" in told
    assert "p9_z.png: tree has no image that is called 'p9_z'" in told


def test_a_missing_mask_is_empty_only_where_that_is_stated(masks, imported):
    (masks / "blood vessel" / "p1_a.png").unlink()
    records, made_from = read_records(imported(masks, "masks", options={"missing": "empty"}))
    assert [each.num_seg for each in records if not each.masks] == [0]
    assert made_from["imported"]["missing_taken_as_empty"] == 1


def test_a_grey_map_below_the_threshold_is_an_empty_mask_unless_all_are(masks, imported, refusal):
    for number, path in enumerate(sorted(masks.rglob("*.png"))):
        grey = np.where(np.asarray(Image.open(path)), 20 if number else 200, 5).astype(np.uint8)
        Image.fromarray(grey).save(path)
    records, _ = read_records(imported(masks, "masks", options={"threshold": 128}))
    assert [each.mask == rle.empty(20, 30) for each in records].count(True) == 5
    told = refusal(masks, "masks", options={"threshold": 220})
    assert told.endswith("the brightest mask reaches only 200, the threshold is 220; correct one.")


def test_a_link_out_of_the_folder_is_told_once_and_what_folders_are_can_be_said(
    masks, imported, refusal, tmp_path
):
    (masks / "catheter" / "p1_a.png").rename(tmp_path / "p1_a.png")
    (masks / "catheter" / "p1_a.png").symlink_to(tmp_path / "p1_a.png")
    assert refusal(masks, "masks").endswith(
        "leads out of " + str(masks) + "; put the file inside and name it from there."
    )
    (masks / "catheter" / "p1_a.png").unlink()
    (masks / "catheter" / "run 1").mkdir()
    (tmp_path / "p1_a.png").rename(masks / "catheter" / "run 1" / "p1_a.png")
    assert "say in pattern what the folders in its path are" in refusal(masks, "masks")
    for path in (masks / "catheter").glob("*.png"):
        path.rename(masks / "catheter" / "run 1" / path.name)
    (masks / "blood vessel").rename(masks / "vessels")
    (masks / "blood vessel").mkdir()
    (masks / "vessels").rename(masks / "blood vessel" / "run 1")
    assert len(read_records(imported(masks, "masks", pattern="{phrase}/{folder}/{image}.png"))[0]) == 6


def test_masks_of_other_splits_and_phrases_not_asked_are_passed_over(masks, imported):
    Image.new("L", (7, 7)).save(masks / "catheter" / "p3_a.png")  # of train
    assert len(read_records(imported(masks, "masks"))[0]) == 6


def test_files_may_be_called_as_the_images_were_before_pseudonyms(masks, imported, refusal, tmp_path):
    for folder in masks.iterdir():
        (folder / "p1_a.png").rename(folder / "MUSTER_ANNA_f00.png")
        (folder / "p1_b.png").rename(folder / "MUSTER_ANNA_f01.png")
    assert "'MUSTER_ANNA_f00'" in refusal(masks, "masks")
    names = tmp_path / "names.csv"
    rows = ["image,p1_a,run 1/MUSTER_ANNA_f00.png", "image,p1_b,run 1/MUSTER_ANNA_f01.png"]
    names.write_text("\n".join(["kind,published,original", *rows, "patient,p1,MUSTER"]))
    records, made_from = read_records(imported(masks, "masks", names=names))
    assert len(records) == 6
    assert "MUSTER" not in str(made_from)  # which is published
    (masks / "catheter" / "MUSTER_ANNA_f00.png").unlink()
    told = refusal(masks, "masks", names=names)
    assert told.startswith("the image p1_a (run 1/MUSTER_ANNA_f00.png) has no mask of 'catheter'")


def test_a_name_of_two_images_is_of_neither(masks, refusal, tmp_path):
    names = tmp_path / "names.csv"
    names.write_text("kind,published,original\nimage,p1_a,x/f.png\nimage,p1_b,y/f.png\n")
    (masks / "catheter" / "p1_a.png").rename(masks / "catheter" / "f.png")
    assert "'f' may be the image p1_a (x/f.png) or the image p1_b (y/f.png)" in refusal(
        masks, "masks", names=names
    )


@pytest.mark.parametrize(
    ("change", "settings", "told"),
    [
        (lambda root: (root / "catheter").rename(root / "cath"), {}, "'cath' is none of the phrases"),
        (lambda root: None, {"phrases": {"catheter": "stent"}}, "phrases names 'stent'"),
        (lambda root: None, {"pattern": "{name}.png"}, "has no field {image}"),
        (lambda root: None, {"pattern": "{image}_x.png"}, "no file that matches the pattern"),
        (
            lambda root: Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(
                root / "catheter" / "p1_a.png"
            ),
            {},
            "grey levels beside black",
        ),
        (
            lambda root: np.save(root / "catheter" / "p1_a.npy", np.full((20, 30), 1.5)),
            {},
            "no probabilities, from 0 to 1",
        ),
        (
            lambda root: np.save(root / "catheter" / "p1_a.npy", np.array([{}], dtype=object)),
            {},
            "p1_a.npy is no file of an array",
        ),
    ],
    ids=["folder", "phrase", "field", "pattern", "levels", "fractions", "pickle"],
)
def test_what_is_not_clear_is_asked(masks, refusal, change, settings, told):
    change(masks)
    assert told in refusal(masks, "masks", **settings)


def test_a_phrase_can_be_stated_for_a_folder_or_left_out(masks, imported):
    (masks / "catheter").rename(masks / "cath")
    phrases = {"cath": "catheter", "blood vessel": "blood vessel"}
    assert len(read_records(imported(masks, "masks", phrases=phrases))[0]) == 6


def test_by_hand(native, masks, tmp_path):
    output = tmp_path / "by_hand.parquet"
    words = [
        "--dataset",
        native.tree,
        "--split",
        "test",
        "--format",
        "masks",
        "--root",
        masks,
        "--output",
        output,
    ]
    more = [
        "--pattern",
        "{phrase}/{image}.png",
        "--phrase",
        "catheter=catheter",
        "--phrase",
        "blood vessel=null",
    ]
    ran = CliRunner().invoke(
        app,
        ["import-predictions", *map(str, [*words, *more, "--option", "missing=empty"])],
        catch_exceptions=False,
    )
    assert ran.output == "6 expressions from 6 files, 3 of them missing and taken as empty.\n"
    assert len(read_records(output)[0]) == 6


def configured(model, evaluation=(), **sections):
    return checked_config(
        {
            "models": {"unet": model},
            "datasets": {"d": {"format": "labelme", "root": "d"}},
            "evaluations": [{"model": "unet", "dataset": "d", "split": "test", **dict(evaluation)}],
            **sections,
        }
    )


MASKS = {"predictions": "masks", "format": "masks"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (({"predictions": "m"},), "models.unet has predictions of no format"),
        (({**MASKS, "checkpoint": "iter.pth"},), "has predictions; remove its checkpoint"),
        (
            ({"folder": "m", "pattern": "{image}"},),
            "has no predictions, of which that speaks; remove its pattern",
        ),
        (({**MASKS, "options": {"line_width": 2}},), "the format 'masks' has no line_width"),
        ((MASKS, {"as": "video"}), "evaluations.0.as asks a model, but models.unet is imported"),
        ((MASKS, {"questions": {"a": "<image> {phrase}"}}), "evaluations.0.questions asks a model"),
        ((MASKS, {"words": True}), "evaluations.0.words asks a model"),
    ],
    ids=["format", "checkpoint", "no predictions", "option", "video", "questions", "words"],
)
def test_settings_that_an_imported_model_cannot_have(arguments, told):
    with pytest.raises(UserError, match=told.replace("<", ".")):
        configured(*arguments)


def test_a_folder_that_is_not_there_is_told_before_anything_starts(tmp_path):
    with pytest.raises(UserError, match=r"models\.unet\.predictions names nothing that exists"):
        require_sound_run(configured(MASKS), results=tmp_path / "results", gpus=0)
    made = configured(MASKS | {"predictions": str(tmp_path / "results" / "masks")})
    with pytest.raises(UserError) as refused:
        require_sound_run(made, results=tmp_path / "results", gpus=0)
    assert "models.unet" not in str(refused.value)  # the workflow will make it


def test_an_imported_model_is_an_entrant_of_its_own_name_and_asks_nothing():
    settings = configured(MASKS)
    (entry,) = settings.entries()
    assert (entry.entrant.name, entry.entrant.kind, entry.entrant.question) == ("unet", "imported", None)
    assert settings.asked_together() == []
    tuned = configured(
        MASKS, refinement={"threshold": "dice", "smallest_hole": 3}, inference={"save_logits": True}
    )
    assert tuned.refinement.of_imports() == Refinement(smallest_hole=3)  # its masks were cut off elsewhere
