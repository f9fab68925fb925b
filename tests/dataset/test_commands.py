"""The commands that convert data and search what is published."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from refvessel.cli import app
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.errors import UserError


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> str:
        return CliRunner().invoke(app, arguments, catch_exceptions=False).output

    return invoke


def mask(path) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.eye(30, 40, dtype=np.uint8) * 3).save(path)


def test_options_of_a_format_are_yaml(run, source, tmp_path):
    source.image("images/Zhang_1.png")
    mask(source.root / "masks" / "Zhang_1.png")
    arguments = [
        "--format",
        "masks",
        "--root",
        str(source.root),
        "--output",
        "out/tree",
        "--single-split",
        "test",
    ]
    run("convert-dataset", *arguments, "--option", "labels={3: artery}", "--phrase", "artery=an artery")
    (expression,) = read_expressions(tmp_path / "out/tree", "test")
    assert expression.phrase == "an artery"


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_template_needs_no_quotes_of_yaml_but_may_have_them(run, source, tmp_path, quote):
    for name in ("07L", "07R", "08L"):
        source.image(f"{name}.png")
        Image.fromarray(np.eye(30, 40, dtype=np.uint8) * 3).save(source.root / f"{name}_1st.png")
    options = {
        "images": "{child}{eye:[LR]}.png",
        "masks": "{child}{eye:[LR]}_1st.png",
        "patient": "{child}",
        "labels": "{3: artery}",
    }
    typed = [
        word
        for name, text in options.items()
        for word in ("--option", f"{name}={text if name == 'labels' else quote + text + quote}")
    ]
    arguments = ["--format", "masks", "--root", str(source.root), "--output", "out", "--single-split", "test"]
    run("convert-dataset", *arguments, *typed)
    expressions = read_expressions(tmp_path / "out", "test")
    assert (len(expressions), len({each.patient for each in expressions})) == (3, 2)


@pytest.mark.parametrize("value", ["{3: a", "{3: *a}", "{<<: 1}", "[" * 200, "9" * 5000])
def test_an_option_that_is_not_yaml_is_one_sentence(run, source, value):
    arguments = ["--format", "masks", "--root", str(source.root), "--output", "out", "--single-split", "test"]
    with pytest.raises(UserError, match=r"^options\.labels=") as caught:
        run("convert-dataset", *arguments, "--option", f"labels={value}")
    assert "\n" not in str(caught.value)


def test_outlines_that_cross_themselves_are_refused_or_drawn(run, source, tmp_path):
    source.labelme("p_1.png", [("vessel", [[5, 5], [30, 20], [30, 5], [5, 20]])])
    arguments = [
        "--format",
        "labelme",
        "--root",
        str(source.root),
        "--output",
        "out",
        "--single-split",
        "test",
    ]
    with pytest.raises(UserError, match=r"p_1\.json: shape 1 has an outline that crosses itself"):
        run("convert-dataset", *arguments)
    run("convert-dataset", *arguments, "--crossing-outlines", "draw")
    assert len(read_expressions(tmp_path / "out", "test")) == 1


def test_names_are_searched_for_with_the_tables_beside_the_key(run, source, tmp_path):
    source.labelme("Zhang_1.png")
    arguments = ["--format", "labelme", "--root", str(source.root), "--output", "out/tree"]
    run("convert-dataset", *arguments, "--single-split", "test")
    assert "2 names are not in the 5 files of out" in run("check-privacy", "out")
    (tmp_path / "out" / "notes.txt").write_text("as in zhang's run")
    with pytest.raises(UserError, match=r"notes\.txt names the \w+ p"):
        run("check-privacy", "out")


def test_a_report_whose_name_table_is_elsewhere_is_not_searched_with_another(run, source, tmp_path):
    source.labelme("Zhang_1.png")
    arguments = ["--format", "labelme", "--root", str(source.root), "--output", "out/tree"]
    run("convert-dataset", *arguments, "--single-split", "test")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "manifest.json").write_text('{"name_tables": ["0123456789"]}')
    with pytest.raises(UserError, match=r"no table of the names behind report.manifest\.json"):
        run("check-privacy", "report")


def test_without_a_name_table_nothing_is_claimed(run, tmp_path):
    with pytest.raises(UserError, match="has no name table"):
        run("check-privacy", str(tmp_path))
