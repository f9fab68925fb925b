"""The official scorers' numbers on small predictions, to their last digit: `tests/data/official_scores`."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from refvessel.cli.app import app
from refvessel.dataset.tree.official_expressions import official_expressions
from refvessel.errors import UserError
from refvessel.evaluation.official_referring import score_referring
from refvessel.evaluation.official_video import score_video

REFCOCO = [
    *(("a_polygons", split) for split in ("val", "testA", "testB", "test")),
    ("b_overlapping_polygons", "val"),
    ("c_rle", "val"),
    ("d_empty", "val"),
    *(("e_grefcoco", split) for split in ("val", "testA", "testB")),
]
EXACTLY = 1e-12


@pytest.fixture(scope="module")
def scores():
    return Path(__file__).resolve().parents[1] / "data" / "official_scores"


@pytest.fixture(scope="module")
def of_videos(scores):
    return json.loads((scores / "ref_vos/expected.json").read_text())


@pytest.fixture
def score(scores, tmp_path):
    """A function: a benchmark -> its numbers, of other files than the usual ones where these are given."""

    def score(benchmark, **others):
        folder = scores / "ref_vos"
        files = {
            "expressions": folder / "meta_expressions.json",
            "masks": folder / ("davis/mask_dict.json" if benchmark == "davis" else "mask_dict.json"),
            "predictions": folder / "results.json",
            "foreground": folder / "mask_dict_foreground.json" if benchmark == "revos" else None,
        }
        return score_video(benchmark=benchmark, output=tmp_path / "scores.json", **{**files, **others})

    return score


@pytest.fixture(scope="module", params=REFCOCO, ids="-".join)
def referring(request, scores, tmp_path_factory):
    """A case: its expected numbers, what we say, and its expressions."""
    case, split = request.param
    benchmark = "grefcoco" if case == "e_grefcoco" else "refcoco"
    root = scores / "refcoco" / case
    expected = json.loads((scores / "refcoco/expected.json").read_text())["cases"][case][split]
    result = score_referring(
        benchmark=benchmark,
        root=root,
        split=split,
        predictions=root / "predictions.json",
        output=tmp_path_factory.mktemp("referring") / "scores.json",
    )
    return expected, result, official_expressions(root, benchmark, split)


def test_referring_numbers_are_those_that_the_official_evaluator_prints(referring):
    expected, result, _ = referring
    for name, printed in expected["official_printed"].items():
        assert result[name] == float(printed)
        assert result["float64"][name] == pytest.approx(expected["float64"][name], abs=EXACTLY)
    assert result["n_expressions"] == expected["expressions_counted"]


def test_referring_counts_and_truths_are_the_official_ones_in_their_order(referring):
    expected, result, expressions = referring
    known = ("sent_id", "ref_id", "intersection", "union", "counted_as_no_mask")
    for one, other, expression in zip(
        expected["expressions"], result["per_expression"], expressions, strict=True
    ):
        assert [one[name] for name in known] == [other[name] for name in known]
        assert one["sent"] == other["phrase"]
        assert one["official_truth"] == expression.truth
        if one["truth_pixels_that_differ"]:
            assert one["union_truth"] == expression.union
        else:
            assert expression.union == expression.truth


def test_the_numbers_against_the_union_stand_beside_where_a_truth_differs(referring):
    expected, result, _ = referring
    plain = expected["with_the_union_of_all_parts_as_truth"]
    if not plain["expressions_whose_truth_differs"]:
        assert "union" not in result
        return
    assert result["union"]["n_truths_that_differ"] == plain["expressions_whose_truth_differs"]
    for name in ("cIoU", "gIoU"):
        assert result["union"][name] == pytest.approx(plain[name], abs=EXACTLY)


@pytest.mark.parametrize("benchmark", ["mevis", "davis"])
def test_davis_and_mevis_round_once_at_the_end(score, of_videos, benchmark):
    expected, result = of_videos[benchmark], score(benchmark)
    assert result["printed"] == expected["rounded_percent"]
    for name, value in expected["unrounded"].items():
        assert result[name] == pytest.approx(100 * value, abs=100 * EXACTLY)
    require_equal(result["per_expression"], expected["per_expression"])


@pytest.mark.parametrize("benchmark", ["revos", "ref-sav"])
def test_revos_and_ref_sav_round_every_expression_first(score, of_videos, benchmark):
    expected, result = of_videos[benchmark.replace("-", "_")], score(benchmark)
    require_equal(result["printed"], expected["results"])
    require_equal(result["per_expression"], expected["per_expression"])
    assert result["rows"] == expected["rows_rounded_percent"]
    assert result["J"] == pytest.approx(result["printed"]["overall"]["J"], abs=0.005)
    assert result["J"] != result["printed"]["overall"]["J"]


def test_every_frame_has_the_official_numbers(score, of_videos):
    require_equal(score("revos")["per_frame"], of_videos["per_frame"])


def test_the_plain_definitions_stand_beside(score, of_videos):
    plain = score("revos")["plain_definition"]["per_expression"]
    names = {"F": "F_inner", "A": "A_union", "R": "R_union"}
    for video, expressions in of_videos["plain_definition"].items():
        for name, expected in expressions.items():
            for ours, theirs in names.items():
                assert plain[video][name][ours] == pytest.approx(expected[theirs], abs=EXACTLY), (video, name)


def test_davis_ignores_the_numbers_of_the_annotations(score, scores, of_videos):
    expected = of_videos["defective_inputs"]["anno_id of the file ignored by DAVIS"]["result_file"]
    assert score("davis", masks=scores / "ref_vos/mask_dict.json")["printed"] == expected


def test_masks_may_be_pickled_as_pycocotools_keeps_them(score, scores, of_videos, tmp_path):
    masks = json.loads((scores / "ref_vos/davis/mask_dict.json").read_text())
    for mask in (mask for frames in masks.values() for mask in frames if mask):
        mask["counts"] = mask["counts"].encode()
    path = tmp_path / "mask_dict.pkl"
    path.write_bytes(pickle.dumps(masks))
    assert score("davis", masks=path)["printed"] == of_videos["davis"]["rounded_percent"]


def test_an_empty_object_is_nothing_as_null_is(score, scores, of_videos, tmp_path):
    masks = json.loads((scores / "ref_vos/mask_dict.json").read_text())
    path = tmp_path / "mask_dict.json"
    path.write_text(json.dumps({name: [each or {} for each in frames] for name, frames in masks.items()}))
    assert any(each is None for frames in masks.values() for each in frames)
    assert score("mevis", masks=path)["printed"] == of_videos["mevis"]["rounded_percent"]


def without_an_expression(results):
    del results["angio_b"]["0"]


def without_a_video(results):
    del results["angio_b"]


def with_a_mask_of_another_size(results):
    results["angio_b"]["0"]["prediction_masks"][1] = {"size": [10, 10], "counts": "T3"}


def with_a_frame_too_few(results):
    results["angio_b"]["0"]["prediction_masks"].pop()


def with_a_frame_too_many(results):
    masks = results["angio_b"]["0"]["prediction_masks"]
    masks.append(masks[-1])


def without_masks(results):
    results["angio_b"]["0"]["prediction_masks"] = None


DEFECTS = {
    "expression missing": without_an_expression,
    "video missing": without_a_video,
    "one mask of another size": with_a_mask_of_another_size,
    "one frame too few": with_a_frame_too_few,
    "masks null": without_masks,
}


@pytest.fixture
def spoilt(scores, tmp_path):
    """A function: a change of results.json -> the changed file."""

    def spoilt(change):
        results = json.loads((scores / "ref_vos/results.json").read_text())
        change(results)
        path = tmp_path / "results.json"
        path.write_text(json.dumps(results))
        return path

    return spoilt


@pytest.mark.parametrize("defect", DEFECTS)
def test_what_cannot_be_scored_is_named_or_left_out_as_the_official_script_does(
    score, spoilt, of_videos, defect, tmp_path
):
    predictions = spoilt(DEFECTS[defect])
    with pytest.raises(UserError, match=r"angio_b 0 \(") as refused:
        score("mevis", predictions=predictions)
    assert ("angio_b 10" in str(refused.value)) == (defect == "video missing")
    assert not (tmp_path / "scores.json").exists()
    dropped = score("mevis", predictions=predictions, drop_failures=True)
    assert dropped["printed"] == of_videos["defective_inputs"][defect]["result_file"]
    assert "angio_b 0" in dropped["dropped"]


def test_a_frame_too_many_is_ignored_and_told(score, spoilt, of_videos):
    result = score("mevis", predictions=spoilt(with_a_frame_too_many))
    assert result["printed"] == of_videos["defective_inputs"]["one frame too many"]["result_file"]
    assert "angio_b 0" in result["notes"][0]


def test_a_type_without_expressions_has_no_number(score, scores, of_videos, tmp_path):
    meta = json.loads((scores / "ref_vos/meta_expressions.json").read_text())
    for video in meta["videos"].values():
        for expression in video["expressions"].values():
            expression["type_id"] = 0
    path = tmp_path / "meta.json"
    path.write_text(json.dumps(meta))
    result = score("revos", expressions=path)
    expected = of_videos["defective_inputs"]["one type only"]["result_file"]
    require_equal(result["printed"]["referring"], expected["referring"])
    for group in ("reason", "overall"):
        assert set(result["printed"][group].values()) == {None}
        assert set(expected[group].values()) == {"NaN"}
    assert result["J"] is None


@pytest.fixture(scope="module")
def frame_order(scores):
    return scores / "ref_vos/frame_order"


def of_frame_order(folder, results):
    return {
        "expressions": folder / "meta_expressions.json",
        "masks": folder / "mask_dict.json",
        "predictions": results if isinstance(results, type(folder)) else folder / results,
    }


def test_masks_are_put_in_the_order_of_the_listed_frames(score, frame_order, of_videos):
    expected = json.loads((frame_order / "expected.json").read_text())
    right = of_videos["frame_order"]["right_masks_reordered_to_the_listed_order"]
    reordered = score("mevis", **of_frame_order(frame_order, "results_official_order.json"))
    listed = score("mevis", **of_frame_order(frame_order, "results_listed_order.json"))
    for result in (reordered, listed):
        for name, value in right["unrounded"].items():
            assert result[name] == pytest.approx(100 * value, abs=100 * EXACTLY)
        require_equal(result["per_frame"]["unpadded"]["0"], right["per_frame"])
    assert listed["printed"] == expected["right"]
    assert listed["notes"] == []
    assert reordered["printed"] == expected["wrong"]  # the official script looks at no frame's name
    assert "unpadded 0" in reordered["notes"][0]


def test_where_the_order_cannot_be_known_nothing_is_scored(score, frame_order, tmp_path):
    results = json.loads((frame_order / "results_official_order.json").read_text())
    del results["unpadded"]["0"]["frames"]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(UserError, match="does not name its frames"):
        score("mevis", **of_frame_order(frame_order, path))
    dropped = score("mevis", **of_frame_order(frame_order, path), drop_failures=True)
    assert dropped["printed"] == json.loads((frame_order / "expected.json").read_text())["wrong"]


def test_the_commands_write_one_json_each(scores, tmp_path):
    videos, referring = scores / "ref_vos", scores / "refcoco/e_grefcoco"
    of_videos = ["--expressions", videos / "meta_expressions.json", "--masks", videos / "mask_dict.json"]
    calls = {
        "ref-sav": [*of_videos, "--predictions", videos / "results.json", "--foreground", videos / "absent"],
        "grefcoco": ["--root", referring, "--split", "val", "--predictions", referring / "predictions.json"],
    }
    for name, arguments in calls.items():
        output = tmp_path / f"{name}.json"
        ran = CliRunner().invoke(app, ["score-official", name, *map(str, arguments), "--output", str(output)])
        assert ran.exit_code == 0, ran.output
        written = json.loads(output.read_text())
        assert written["benchmark"] == name
        for note in written.get("notes", ()):
            assert note in ran.stderr
            assert "absent takes no part: the official script of ref-sav has no R" in note
    assert 0 <= written["N-acc"] <= 1
    assert 0 <= written["T-acc"] <= 1


def require_equal(found, expected):
    """Equal nested numbers, within rounding of doubles."""
    if isinstance(expected, dict):
        assert found.keys() >= expected.keys()
        for key, value in expected.items():
            require_equal(found[key], value)
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=100 * EXACTLY)
