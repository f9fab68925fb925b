import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stages import compare_models as compare_with_many_draws
from stages import score
from typer.testing import CliRunner

from refvessel.cli import app
from refvessel.errors import UserError
from refvessel.evaluation.external_comparing import compare_datasets
from refvessel.evaluation.sample_size import power_of_cases, power_of_differences, told
from refvessel.files import sha256_of_file
from refvessel.metrics.external_validation import Place
from refvessel.metrics.power import patients_needed
from refvessel.settings.scores_section import Scores

compare_models = partial(compare_with_many_draws, bootstrap_draws=100)


@pytest.fixture(scope="module")
def scored(tables, tmp_path_factory):
    """A function: a model's name and cases -> its cases.parquet."""

    def scored(name: str, cases: list[dict], **settings):
        predictions, truth = tables(cases)
        folder = tmp_path_factory.mktemp("scored") / name
        score(predictions=predictions, truth=truth, output=folder, bootstrap_draws=100, **settings)
        return folder / "cases.parquet"

    return scored


@pytest.fixture(scope="module")
def scored_once(scored, make_vessel_cases):
    """The files of a good and of a bad model, which no test changes."""
    cases = make_vessel_cases()
    return {"good": scored("good", cases), "bad": scored("bad", worse(cases))}


@pytest.fixture
def paths(scored_once, tmp_path):
    """Copies of them, free to be changed."""
    return {
        name: shutil.copytree(path.parent, tmp_path / name) / path.name for name, path in scored_once.items()
    }


def worse(cases: list[dict]) -> list[dict]:
    return [case | {"prediction": case["prediction"] & (np.arange(32) % 3 > 0)} for case in cases]


def test_a_comparison_and_a_ranking_are_written(paths, tmp_path):
    returned = compare_models(cases=paths, output=tmp_path / "comparison")
    comparison = json.loads((tmp_path / "comparison/comparison.json").read_text("utf-8"))
    assert comparison == returned
    assert (comparison["models"], comparison["n_expressions"], comparison["n_patients"]) == (
        ["good", "bad"],
        6,
        3,
    )
    assert [row["score"] for row in comparison["tests"]] == list(Scores().compared)
    assert comparison["tests"][0]["difference"] > 0
    assert comparison["provenance"]["cases"]["bad"]["sha256"] == sha256_of_file(paths["bad"])
    ranking = pd.read_csv(tmp_path / "comparison/ranking.csv")
    assert len(ranking) == 2 * len(Scores().compared)
    assert ranking.loc[ranking["score"] == "dice", "model"].tolist() == ["good", "bad"]
    assert comparison["provenance"]["ranking"]["sha256"] == sha256_of_file(
        tmp_path / "comparison/ranking.csv"
    )


def test_the_same_cases_give_the_same_bytes(paths, tmp_path):
    for name in ("first", "second"):
        compare_models(cases=paths, output=tmp_path / name)
    for file in ("comparison.json", "ranking.csv"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def rewrite(path, change) -> None:
    """Replace the rows of a cases.parquet."""
    table = pq.read_table(path)
    changed = pa.Table.from_pandas(change(table.to_pandas()), schema=table.schema, preserve_index=False)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)


def test_expressions_are_paired_by_their_number_whatever_the_order_of_the_rows(paths, tmp_path):
    in_order = compare_models(cases=paths, output=tmp_path / "in order")
    rewrite(paths["bad"], lambda cases: cases.sample(frac=1, random_state=3))
    shuffled = compare_models(cases=paths, output=tmp_path / "shuffled")
    assert shuffled["tests"] == in_order["tests"]
    assert shuffled["sentinels"] == in_order["sentinels"]


def test_an_expression_that_is_there_twice_is_refused(paths, tmp_path):
    rewrite(paths["bad"], lambda cases: pd.concat([cases, cases[:1]]))
    with pytest.raises(UserError, match="has an expression twice"):
        compare_models(cases=paths, output=tmp_path / "comparison")


def test_two_models_with_equal_predictions_are_found(scored, scored_once, vessel_cases, tmp_path):
    paths = {"one": scored_once["good"], "two": scored("two", vessel_cases)}
    (sentinel,) = compare_models(cases=paths, output=tmp_path / "comparison")["sentinels"].values()
    assert sentinel == {
        "raised": True,
        "count": 4,
        "text": "4 of 6 predictions of the two models are equal.",
        "message": "%(equal)s of %(n)s predictions of the two models are equal.",
        "values": {"equal": 4, "n": 6},
    }


def other_truth(cases):
    return [{**cases[0], "truth": ~cases[0]["truth"]}, *cases[1:]]


def other_patient(cases):
    return [*cases[:4], {**cases[4], "patient": "P9"}, *cases[5:]]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda cases: cases[:3], r"4-6 only in .*good.*cases.parquet; compare"),
        (lambda cases: [*cases, cases[0]], r"7 only in .*bad.*cases.parquet; compare"),
        (other_truth, "1 with another image, phrase, patient or truth"),
        (other_patient, "5 with another image, phrase, patient or truth"),
        (lambda cases: [{**case, "ignore": case["truth"]} for case in cases], "1-6 with another"),
    ],
)
def test_other_cases_are_refused_and_the_difference_is_listed(
    scored, scored_once, vessel_cases, tmp_path, change, named
):
    paths = scored_once | {"bad": scored("bad", change(vessel_cases))}
    with pytest.raises(UserError, match=named):
        compare_models(cases=paths, output=tmp_path / "comparison")
    assert not (tmp_path / "comparison").exists()


def test_other_settings_are_refused(scored, scored_once, vessel_cases, tmp_path):
    paths = {"one": scored_once["good"], "two": scored("two", vessel_cases, nsd_tolerance=3)}
    with pytest.raises(UserError, match=r"different settings.*'nsd_tolerance': 3"):
        compare_models(cases=paths, output=tmp_path / "comparison")


def test_tables_of_an_earlier_version_compare_in_the_scores_that_they_have(paths, tmp_path):
    table = pq.read_table(paths["bad"])
    made_from = json.loads(table.schema.metadata[b"refvessel"])
    del made_from["settings"]["boundary_distance"], made_from["settings"]["empty_policy"]["mcc"]
    earlier = table.drop_columns(["mcc", "truth_specks", "predicted_iou", "recall_width_4_to_6"])
    pq.write_table(earlier.replace_schema_metadata({"refvessel": json.dumps(made_from)}), paths["bad"])
    compared = compare_models(cases=paths, output=tmp_path / "comparison", compared=["dice"])
    assert compared["tests"][0]["difference"] > 0
    assert power_of_cases([*paths.values()], score="dice")["patients"] == 3
    with pytest.raises(UserError, match=r"bad/cases.parquet was written by a version that did not know mcc"):
        compare_models(cases=paths, output=tmp_path / "comparison", compared=["dice", "mcc"])
    pq.write_table(table.drop_columns(["tp"]), paths["bad"])
    with pytest.raises(UserError, match="has other columns than this version"):
        compare_models(cases=paths, output=tmp_path / "comparison", compared=["dice"])


def test_one_model_an_unknown_score_and_a_missing_file_are_named(scored_once, tmp_path):
    one = scored_once["good"]
    with pytest.raises(UserError, match="at least two"):
        compare_models(cases={"one": one}, output=tmp_path)
    with pytest.raises(UserError, match="'dise' cannot be compared"):
        compare_models(cases={"one": one, "two": one}, output=tmp_path, compared=["dise"])
    with pytest.raises(UserError, match="nowhere does not exist"):
        compare_models(cases={"one": one, "two": tmp_path / "nowhere"}, output=tmp_path)


def test_as_many_other_cases_are_refused(paths, tmp_path):
    rewrite(paths["bad"], lambda cases: cases.replace({"sent_id": {6: 7}}))
    with pytest.raises(UserError, match=r"6 only in .*good.*; 7 only in .*bad"):
        compare_models(cases=paths, output=tmp_path / "comparison")


def test_margins_groups_and_verdicts_stand_in_the_comparison(paths, tmp_path):
    groups = dict.fromkeys(paths, "method")
    written = compare_models(
        cases=paths, output=tmp_path / "comparison", non_inferiority={"dice": 0.9}, groups=groups
    )
    assert {row["verdict"] for row in written["tests"]} == {"too_few_patients"}
    assert written["tests"][0]["sd"] > 0
    assert written["tests"][0]["detectable_difference"] is None  # of three patients
    assert [row["score"] for row in written["non_inferiority"]] == ["dice"]
    assert written["non_inferiority"][0]["equivalent"]
    assert written["groups"][0]["trainings"] == ["good", "bad"]
    assert len(written["agreement"]) == 3 * len(Scores().compared)
    with pytest.raises(UserError, match="group of 'ugly'"):
        compare_models(cases=paths, output=tmp_path, groups={"ugly": "method"})
    with pytest.raises(UserError, match="'dise' cannot be compared"):
        compare_models(cases=paths, output=tmp_path, non_inferiority={"dise": 0.1})


def test_power_pairs_two_tables_and_plans_from_one(paths):
    tables = {name: pd.read_parquet(path).sort_values("sent_id") for name, path in paths.items()}
    of_patients = {name: table.groupby("patient")["dice"].mean() for name, table in tables.items()}
    gaps = of_patients["good"] - of_patients["bad"]
    paired = power_of_cases([*paths.values()], score="dice")
    assert (paired["patients"], paired["n_expressions"]) == (3, 6)
    assert paired["detectable_difference"] is None
    assert told(paired).startswith("With fewer than 6 patients, here 3, no test")
    assert paired["sd"] == pytest.approx(gaps.std(ddof=1))
    assert paired["difference"] == pytest.approx(gaps.mean())
    alone = power_of_cases([paths["bad"]], score="dice", difference=0.01)
    assert alone["sd"] == pytest.approx(of_patients["bad"].std(ddof=1))
    assert alone["patients_needed"] == patients_needed(0.01, alone["sd"])
    assert power_of_cases([paths["bad"]], score="dice")["patients_needed"] is None
    with pytest.raises(UserError, match="3 tables"):
        power_of_cases([paths["bad"]] * 3, score="dice")
    with pytest.raises(UserError, match="two patients at least"):
        power_of_differences([0.1])


def test_two_tables_may_follow_one_option_and_numbers_must_be_numbers(paths, tmp_path):
    run = CliRunner().invoke
    written = tmp_path / "power.json"
    typed = ["power", "--cases", *map(str, paths.values()), "--output", str(written)]
    assert run(app, typed).exit_code == 0
    assert json.loads(written.read_text("utf-8")) == power_of_cases([*paths.values()], score="dice")
    assert "something else than numbers" in str(run(app, ["power", "--differences", "0.1,x"]).exception)
    assert "Give either" in str(run(app, ["power"]).exception)


def test_other_data_sets_are_compared_with_home(paths, tmp_path):
    cases = {Place("m", "home", "test"): paths["good"], Place("m", "away", "test"): paths["bad"]}
    written = compare_datasets(
        cases=cases,
        homes={"m": "home"},
        output=tmp_path / "external.json",
        settings=Scores(bootstrap_draws=100, compared=("dice",)),
    )
    at_home, away = written["matrix"]
    assert away["drop"] == pytest.approx(at_home["patient_mean"] - away["patient_mean"])
    assert away["drop"] > 0
    assert json.loads((tmp_path / "external.json").read_text("utf-8")) == written
    with pytest.raises(UserError, match="at home on elsewhere"):
        compare_datasets(cases=cases, homes={"m": "elsewhere"}, output=tmp_path / "x.json", settings=Scores())
