"""Two models on one split, with stored logits: scored alike, compared and reported."""

import json
import shutil

import pandas as pd
import pytest

SPLIT = "val"  # two of the patients


@pytest.fixture(scope="module")
def compared(demo, demo_model, start, tmp_path_factory):
    """The finished demo, with its model in another precision beside it, both evaluated on another split."""

    def change(config):
        models = config["models"]
        models["exact"] = {"folder": str(demo_model)}  # converted in float32, and linked
        config["evaluations"] = [{"model": name, "dataset": "demo", "split": SPLIT} for name in models]
        config["inference"].update(save_logits=True, shards=1)
        config["scores"].update(compared=["dice", "average_precision"], bootstrap_draws=500)

    folder = tmp_path_factory.mktemp("two") / "run"
    shutil.copytree(demo.directory, folder)
    workflow = start(folder, change)
    finished = workflow.run()
    assert finished.returncode == 0, finished.stderr
    return workflow


def cases_of(compared, model) -> pd.DataFrame:
    return pd.read_parquet(compared.results / f"scores/{model}/demo/{SPLIT}/cases.parquet")


def test_the_models_are_compared_on_patients(compared):
    folder = compared.results / f"comparisons/demo/{SPLIT}"
    comparison = json.loads((folder / "comparison.json").read_text("utf-8"))
    assert comparison["models"] == ["demo", "exact"]
    demo, exact = (cases_of(compared, model) for model in comparison["models"])
    assert comparison["n_expressions"] == len(demo) == len(exact)
    for row in comparison["tests"]:
        means = [cases.groupby("patient")[row["score"]].mean().mean() for cases in (demo, exact)]
        assert row["difference"] == pytest.approx(means[0] - means[1], abs=1e-12)
        assert row["n_patients"] == demo["patient"].nunique() > 1
    ranking = pd.read_csv(folder / "ranking.csv")
    assert ranking.groupby("score")["model"].apply(set).to_dict() == {
        "dice": {"demo", "exact"},
        "average_precision": {"demo", "exact"},
    }


def test_stored_logits_are_scored(compared):
    for model in ("demo", "exact"):
        scores = compared.results / f"scores/{model}/demo/{SPLIT}"
        cases, curve = cases_of(compared, model), pd.read_csv(scores / "thresholds.csv")
        with_vessel = cases[(cases["truth_pixels"] > 0) & (cases["predicted_pixels"] > 0)]
        assert with_vessel["auc"].between(0.9, 1).all()
        at_half = curve[curve["threshold"] == 0.5].iloc[0]
        assert at_half["dice_mean"] == pytest.approx(cases["dice"].mean(), abs=2e-3)  # logits are rounded


def test_other_rasterisers_are_compared(compared):
    summary = json.loads((compared.results / f"scores/demo/demo/{SPLIT}/summary.json").read_text("utf-8"))
    rows = summary["by_rasteriser"]
    assert list(rows) == ["coco", "opencv truncated", "opencv rounded", "pillow", "scikit-image"]
    assert {row["n_expressions"] for row in rows.values()} == {summary["n_expressions"]}
    assert rows["coco"]["dice_mean"] == summary["dice_mean"]


def test_the_report_has_the_comparison_and_names_what_the_models_share(compared):
    html = (compared.results / "report/index.html").read_text("utf-8")
    findings, _, rest = html.partition('id="comparison"')
    assert "(equal_between demo and exact)" in findings
    assert f'id="compared-demo.{SPLIT}"' in rest
    tables = {path.name for path in (compared.results / "report/tables").iterdir()}
    assert {"comparisons.csv", "ranking.csv", "by_rasteriser.csv"} <= tables
    figures = {path.name for path in (compared.results / "report/figures").iterdir()}
    assert {f"{model}.demo.{SPLIT}.thresholds.svg" for model in ("demo", "exact")} <= figures
