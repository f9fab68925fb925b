"""Scores of runs: of frames by the definition, of sequences as means of them, compared in pairs."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw
from stages import compare_sequences, convert_dataset, score, score_sequences

from refvessel import rle
from refvessel.dataset.tree.expressions import read_tree
from refvessel.errors import UserError
from refvessel.metrics.boundary import boundary_accuracy
from refvessel.metrics.cases import read_cases, write_cases
from refvessel.metrics.temporal import flicker
from refvessel.provenance import file_record

SIZE = (64, 48)
RUNS = {"li": 5, "wang": 4, "zhou": 3}  # patient -> frames


def vessel(frame):
    """A vessel that moves down by two pixels per frame, as an outline."""
    return [[8, 10 + 2 * frame], [55, 14 + 2 * frame], [55, 19 + 2 * frame], [8, 15 + 2 * frame]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three patients of one run each; the second frame of the first is not annotated."""
    folder = tmp_path_factory.mktemp("runs")
    source = folder / "source"
    source.mkdir()
    random = np.random.default_rng(0)
    for patient, frames in RUNS.items():
        for frame in range(frames):
            image = Image.fromarray(random.integers(90, 110, SIZE[::-1], np.uint8))
            ImageDraw.Draw(image).polygon([tuple(point) for point in vessel(frame)], fill=30)
            path = source / f"{patient}_r1_f{frame}.png"
            image.save(path)
            if (patient, frame) != ("li", 1):
                shape = {"label": "vessel", "points": vessel(frame), "shape_type": "polygon"}
                page = {
                    "imagePath": path.name,
                    "imageData": None,
                    "imageWidth": SIZE[0],
                    "imageHeight": SIZE[1],
                }
                path.with_suffix(".json").write_text(json.dumps({**page, "shapes": [shape]}))
    convert_dataset(
        format="labelme",
        root=source,
        output=folder / "tree",
        key_file=folder / "key/pseudonym.key",
        single_split="test",
        patient_pattern=r"^(?P<patient>[^_]+)_",
        sequences=r"_(?P<sequence>r\d+)_f(?P<frame>\d+)$",
        near_duplicates=None,
    )
    return folder / "tree"


@pytest.fixture(scope="module")
def make_cases(tree, tmp_path_factory):
    """A function: expression -> mask; the cases.parquet of an entrant that predicts these."""

    def make(predict, ignore=None):
        output = tmp_path_factory.mktemp("scores")
        rows, predictions = [], []
        for each in read_tree(tree).expressions("test"):
            ids = {
                "image_id": each.image_id,
                "ref_id": each.ref_id,
                "sent_id": each.sent_id,
                "phrase": each.phrase,
            }
            sizes = {"height": each.height, "width": each.width}
            unscored = {"ignore_mask": None if ignore is None else rle.encode(ignore), "spacing": None}
            rows.append({**ids, "patient": each.patient, **sizes, "mask": each.truth, **unscored})
            mask = rle.encode(predict(each))
            answered = {"status": "ok", "error": None, "num_seg": 1, "mask": mask, "masks": [mask]}
            predictions.append({**ids, **answered})
        score(
            predictions=pd.DataFrame(predictions),
            truth=pd.DataFrame(rows),
            output=output,
            bootstrap_draws=100,
            provenance={"dataset": file_record(tree / "dataset.json")},
        )
        return output / "cases.parquet"

    return make


def truth_of(expression):
    return rle.decode(expression.truth).astype(bool)


def jumping(expression):
    """The truth, thinner on every other image."""
    truth = truth_of(expression)
    return truth & np.roll(truth, 2, axis=0) if expression.sent_id % 2 else truth


@pytest.fixture(scope="module")
def steady_cases(make_cases):
    return make_cases(lambda each: np.roll(truth_of(each), 1, axis=1))


@pytest.fixture(scope="module")
def jumping_cases(make_cases):
    return make_cases(jumping)


@pytest.fixture(scope="module")
def scored(tree, jumping_cases, tmp_path_factory):
    output = tmp_path_factory.mktemp("video")
    return output, score_sequences(
        cases=jumping_cases, dataset=tree, split="test", output=output, bootstrap_draws=100
    )


def frames_of(scored):
    return pd.read_parquet(scored[0] / "video_cases.parquet")


def test_every_annotated_frame_has_its_row_in_the_order_of_its_run(scored):
    frames = frames_of(scored)
    assert len(frames) == sum(RUNS.values()) - 1
    by_length = {
        len(run): list(run["index"]) for _, run in frames.groupby("video", sort=False) if len(run) != 4
    }
    assert by_length[3] == [0, 1, 2]
    gaps = [list(run["index"]) for _, run in frames.groupby("video") if len(run) == 4]
    assert sorted(gaps) == [[0, 1, 2, 3], [0, 2, 3, 4]]
    steps = frames.groupby("video")["step"].apply(lambda each: each.dropna().tolist())
    assert sorted(steps) == [[1, 1], [1, 1, 1], [2, 1, 1]]


def test_the_scores_of_a_frame_are_those_of_its_masks(scored, jumping_cases):
    frames = frames_of(scored).set_index("sent_id")
    for case in pd.read_parquet(jumping_cases).to_dict("records"):
        truth, prediction = (
            rle.decode(json.loads(case[name])).astype(bool) for name in ("truth_mask", "predicted_mask")
        )
        row = frames.loc[case["sent_id"]]
        assert row["J"] == (truth & prediction).sum() / (truth | prediction).sum()
        assert row["F"] == boundary_accuracy(prediction, truth)
        assert row["dice"] == case["dice"]
        assert (row["truth_pixels"], row["predicted_pixels"]) == (truth.sum(), prediction.sum())


def test_a_sequences_scores_are_means_over_its_frames_and_a_summary_means_over_these(scored):
    output, summary = scored
    frames = frames_of(scored)
    assert json.loads((output / "video.json").read_text()) == summary
    by_sequence = {each["video"]: each for each in summary["by_sequence"]}
    for video, run in frames.groupby("video"):
        found = by_sequence[video]
        assert found["n_frames"] == len(run)
        for name in ("J", "F", "dice", "consistency", "truth_consistency"):
            assert found[name] == pytest.approx(run[name].mean())
        assert found["J&F"] == pytest.approx((run["J"].mean() + run["F"].mean()) / 2)
        assert found["flicker"] == flicker(run["predicted_pixels"].to_numpy(), run["truth_pixels"].to_numpy())
    assert summary["n_sequences"] == summary["n_videos"] == summary["n_patients"] == 3
    for name in ("J", "F", "J&F", "consistency", "flicker"):
        mean = np.mean([each[name] for each in by_sequence.values()])
        assert summary[f"{name}_mean"] == summary[f"{name}_patient_mean"] == pytest.approx(mean)
        assert summary[f"{name}_mean_low"] <= mean <= summary[f"{name}_mean_high"]
    assert summary["by_phrase"]["vessel"]["J_mean"] == summary["J_mean"]


def test_what_jumps_is_less_steady_than_the_truth(scored):
    _, summary = scored
    assert summary["consistency_mean"] < summary["truth_consistency_mean"] - 0.1
    assert summary["flicker_mean"] > summary["truth_flicker_mean"] + 0.1


def test_ignored_pixels_are_background_in_both_masks(tree, make_cases, tmp_path):
    ignore = np.zeros(SIZE[::-1], bool)
    ignore[:, :32] = True
    cases = make_cases(lambda each: truth_of(each) ^ ignore, ignore)
    summary = score_sequences(cases=cases, dataset=tree, split="test", output=tmp_path, bootstrap_draws=100)
    assert summary["J_mean"] == summary["F_mean"] == 1


def test_several_processes_say_the_same(tree, jumping_cases, scored, tmp_path):
    summary = score_sequences(
        cases=jumping_cases, dataset=tree, split="test", output=tmp_path, bootstrap_draws=100, threads=2
    )
    assert summary["by_sequence"] == scored[1]["by_sequence"]


def test_cases_of_other_data_are_refused(tree, jumping_cases, tmp_path):
    table = pd.read_parquet(jumping_cases)
    short = tmp_path / "cases.parquet"
    _, made_from = read_cases(jumping_cases)
    write_cases(table.iloc[1:], short, made_from)
    with pytest.raises(UserError, match=f"sent_id {table['sent_id'].iloc[0]}, frame"):
        score_sequences(cases=short, dataset=tree, split="test", output=tmp_path, bootstrap_draws=100)
    with pytest.raises(UserError, match="no runs in the split 'val'"):
        score_sequences(cases=jumping_cases, dataset=tree, split="val", output=tmp_path, bootstrap_draws=100)
    assert not (tmp_path / "video.json").exists()


def test_two_ways_of_segmenting_the_same_frames_are_compared_in_pairs(tree, steady_cases, scored, tmp_path):
    steady = score_sequences(
        cases=steady_cases, dataset=tree, split="test", output=tmp_path / "steady", bootstrap_draws=100
    )
    cases = {"each": scored[0] / "video_cases.parquet", "video": tmp_path / "steady/video_cases.parquet"}
    comparison = compare_sequences(cases=cases, output=tmp_path, bootstrap_draws=100)
    assert json.loads((tmp_path / "video_comparison.json").read_text()) == comparison
    tests = {row["score"]: row for row in comparison["tests"]}
    assert tests.keys() == {"J", "F", "J&F", "dice", "consistency", "flicker"}
    for name, row in tests.items():
        pairs = list(zip(scored[1]["by_sequence"], steady["by_sequence"], strict=True))
        assert row["difference"] == pytest.approx(np.mean([one[name] - other[name] for one, other in pairs]))
        assert (row["n_sequences"], row["n_patients"]) == (3, 3)
    assert tests["flicker"]["difference"] > 0 > tests["consistency"]["difference"]


def test_other_frames_are_not_compared(scored, tmp_path):
    frames = scored[0] / "video_cases.parquet"
    with pytest.raises(UserError, match="at least two"):
        compare_sequences(cases={"each": frames}, output=tmp_path, bootstrap_draws=100)
    pq.write_table(pq.read_table(frames).slice(1), tmp_path / "fewer.parquet")
    with pytest.raises(UserError, match="of different frames"):
        compare_sequences(
            cases={"each": frames, "video": tmp_path / "fewer.parquet"}, output=tmp_path, bootstrap_draws=100
        )
