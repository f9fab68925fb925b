"""Runs on the page: their scores, and a sequence as a strip, moving and over time."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from made_up_runs import run_of, write_layout
from PIL import Image
from stages import compare_sequences, render_report, score_sequences

from refvessel.errors import UserError
from refvessel.report.sequence_figures import spread, typical_sequences

FRAMES = 7  # of each run; of the strip are fewer


@pytest.fixture(scope="module")
def with_runs(new_workspace, vessel, tmp_path_factory):
    """The report of two models on two runs."""
    workspace = new_workspace(tmp_path_factory.mktemp("runs") / "results")
    for model, shake in (("each", 3), ("memory", 1)):
        cases = [*run_of(vessel, "PA", shake, FRAMES), *run_of(vessel, "PB", shake - 1, FRAMES)]
        workspace.add(cases, model=model)
    tree = workspace.datasets["demo"]
    write_layout(tree, cases)
    for one in workspace.evaluations:
        score_sequences(
            cases=one.scores_dir / "cases.parquet",
            dataset=tree,
            split="test",
            output=one.scores_dir,
            bootstrap_draws=100,
        )
    compared = workspace.compare()
    compare_sequences(
        cases={one.model: one.scores_dir / "video_cases.parquet" for one in workspace.evaluations},
        output=compared,
        bootstrap_draws=100,
    )
    render_report(**workspace.inputs, output=workspace.root / "report")
    return workspace


def page_of(workspace):
    return " ".join((workspace.root / "report/index.html").read_text("utf-8").split())


def test_the_scores_of_runs_stand_on_the_page_and_in_a_table(with_runs):
    page = page_of(with_runs)
    assert page.count("<h3>Runs</h3>") == 2
    summary = json.loads((with_runs.evaluations[0].scores_dir / "video.json").read_text())
    findings = page[page.index('<section id="findings">') : page.index("</section>")]
    assert f"2 sequences: J&amp;F {summary['J&F_mean']:.3f}; consistency after motion" in findings
    row = page.split("Flicker of the area</th>")[1].split("</tr>")[0]
    for name in ("flicker_mean", "flicker_patient_mean", "truth_flicker_mean"):
        assert f"{summary[name]:.3f}" in row
    table = pd.read_csv(with_runs.root / "report/tables/sequences.csv")
    assert len(table) == 4
    assert set(table["J"]) == {
        each["J"]
        for one in with_runs.evaluations
        for each in json.loads((one.scores_dir / "video.json").read_text())["by_sequence"]
    }


def test_two_ways_are_compared_by_sequence(with_runs):
    compared = page_of(with_runs).split("Score of sequences</th>")[1].split("</table>")[0]
    assert compared.count('<th scope="row"') == 6
    assert "Consistency after motion" in compared


def test_best_and_worst_sequence_are_shown_as_a_strip_moving_and_over_time(with_runs):
    figures = with_runs.root / "report/figures"
    manifest = json.loads((with_runs.root / "report/manifest.json").read_text())["outputs"]
    page = page_of(with_runs)
    for rank, number in (("Best", 1), ("Worst", 2)):
        for end in (".svg", ".webp", ".time.svg"):
            name = f"each.demo.test.sequence_{number}{end}"
            assert (figures / name).is_file()
            assert manifest[f"figures/{name}"]["caption"].startswith(f"{rank} sequence: run P")
            assert f'<img src="figures/{name}"' in page
            assert f'<a href="figures/{name}">figures/{name}</a>, ' in page
    strip = (figures / "each.demo.test.sequence_1.svg").read_text()
    assert strip.count("<image") == 6
    with Image.open(figures / "each.demo.test.sequence_1.webp") as film:
        assert (film.n_frames, film.size) == (FRAMES, (48, 48))
        assert film.info["loop"] == 0


def test_what_moves_shows_both_outlines(with_runs):
    path = with_runs.root / "report/figures/each.demo.test.sequence_1.webp"
    with Image.open(io.BytesIO(path.read_bytes())) as film:
        film.seek(1)
        colours = np.asarray(film.convert("RGB"), int)
    blue, orange = (np.abs(colours - shade).sum(axis=2).min() for shade in ([86, 180, 233], [230, 159, 0]))
    assert blue < 150
    assert orange < 150


def test_a_long_sequence_is_shown_by_frames_evenly_spread():
    frames = pd.DataFrame({"index": range(101)})
    assert spread(frames, 6)["index"].tolist() == [0, 20, 40, 60, 80, 100]
    assert spread(frames.head(3), 6)["index"].tolist() == [0, 1, 2]


def test_the_median_is_one_of_the_sequences():
    table = pd.DataFrame({"video": list("abcd"), "expression": "0", "J&F": [0.1, 0.4, 0.3, 0.2]})
    assert typical_sequences(table)[["video", "rank"]].values.tolist() == [
        ["b", "best"],
        ["c", "median"],
        ["a", "worst"],
    ]


def test_sequences_of_other_cases_are_refused(with_runs, tmp_path):
    workspace = with_runs.copied(tmp_path / "results")
    path = workspace.evaluations[0].scores_dir / "video.json"
    content = json.loads(path.read_text())
    content["provenance"]["cases"]["sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="made from other cases"):
        render_report(**workspace.inputs, output=tmp_path / "report")
