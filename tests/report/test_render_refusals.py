"""What cannot be reported is named, and nothing is written."""

import io
import json
import shutil

import pandas as pd
import pytest
from PIL import Image
from stages import render_report

from refvessel.errors import UserError
from refvessel.files import sha256_of_file, write_json
from refvessel.report.sections import Evaluation


def missing(path):
    return lambda workspace: (workspace.root / path).unlink()


def change_json(path, change):
    def apply(workspace):
        document = json.loads((workspace.root / path).read_text("utf-8"))
        change(document)
        write_json(workspace.root / path, document)

    return apply


def shrink_image(workspace):
    for path in (workspace.root / IMAGES).iterdir():
        Image.new("L", (9, 9)).save(path)


def overwrite(path, content: bytes):
    return lambda workspace: (workspace.root / path).write_bytes(content)


SCORES_FOLDER = "scores/demo/demo/test"
IMAGES = "datasets/demo/glamm_data/images/coco2014/train2014"


@pytest.fixture(scope="module")
def of_two_cases(new_workspace, make_cases, tmp_path_factory):
    """An evaluation of two cases, not rendered, to be copied."""
    workspace = new_workspace(tmp_path_factory.mktemp("refused") / "results")
    workspace.add(make_cases()[:2])
    return workspace


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (missing(f"{SCORES_FOLDER}/cases.parquet"), r"cases\.parquet does not exist"),
        (missing(f"{SCORES_FOLDER}/summary.json"), r"summary\.json does not exist"),
        (missing("predictions/demo/demo/test/predictions.parquet"), r"predictions\.parquet does not exist"),
        (missing("datasets/demo/ref_seg/refcoco/instances.json"), r"instances\.json does not exist"),
        (lambda workspace: shutil.rmtree(workspace.root / "checkpoints"), "checkpoints/demo does not exist"),
        (lambda workspace: shutil.rmtree(workspace.root / IMAGES), r"image\d\.png does not exist"),
        (overwrite(f"{SCORES_FOLDER}/cases.parquet", b"PAR1"), "another cases file"),
        (overwrite("predictions/demo/demo/test/predictions.parquet", b""), "another predictions file"),
        (overwrite("datasets/demo/dataset.json", b"{}"), "another dataset file"),
        (overwrite(f"{IMAGES}/image0.png", b"no image"), r"image0\.png does not open"),
        (shrink_image, r"has 9x9 pixels \(width x height\) but was scored with 48x48"),
        (change_json(f"{SCORES_FOLDER}/summary.json", lambda it: it.pop("provenance")), r"provenance\.cases"),
        (change_json("checkpoints/demo/conversion.json", lambda it: it.pop("inputs")), "has no inputs"),
        (
            change_json("checkpoints/demo/conversion.json", lambda it: it.update(identity="0")),
            "another model",
        ),
        (
            change_json("datasets/demo/ref_seg/refcoco/instances.json", lambda it: it.update(images=[])),
            "not in the dataset",
        ),
        (
            change_json("datasets/demo/ref_seg/refcoco/instances.json", lambda it: it.pop("images")),
            "instances.json has no images with a file_name",
        ),
    ],
)
def test_a_missing_or_contradicting_artifact_is_named_and_nothing_is_written(
    of_two_cases, tmp_path, damage, named
):
    workspace = of_two_cases.copied(tmp_path / "results")
    damage(workspace)
    with pytest.raises(UserError, match=named):
        render_report(**workspace.inputs, output=workspace.root / "report")
    assert not (workspace.root / "report").exists()
    assert not list(workspace.root.glob(".report*"))


def test_cases_with_other_columns_are_refused(workspace, make_cases):
    scores = workspace.add(make_cases())
    stream = io.BytesIO()
    pd.read_parquet(scores / "cases.parquet").drop(columns="fn").to_parquet(stream)
    (scores / "cases.parquet").write_bytes(stream.getvalue())
    summary = json.loads((scores / "summary.json").read_text("utf-8"))
    summary["provenance"]["cases"]["sha256"] = sha256_of_file(scores / "cases.parquet")
    write_json(scores / "summary.json", summary)
    with pytest.raises(UserError, match="other columns"):
        render_report(**workspace.inputs, output=workspace.root / "report")


@pytest.mark.usefixtures("without_figures")
def test_an_older_report_is_replaced_and_another_folder_is_not(workspace, make_cases):
    workspace.add(make_cases()[:1])
    (workspace.root / "report/figures").mkdir(parents=True)
    (workspace.root / "report/figures/old.svg").touch()
    render_report(**workspace.inputs, output=workspace.root / "report")
    assert not (workspace.root / "report/figures/old.svg").exists()
    with pytest.raises(UserError, match="holds checkpoints, which is no part of a report"):
        render_report(**workspace.inputs, output=workspace.root)
    assert (workspace.root / "scores").is_dir()
    with pytest.raises(UserError, match="is a file"):
        render_report(**workspace.inputs, output=workspace.root / "report/index.html")


def test_an_evaluation_named_twice_is_refused(usual, tmp_path):
    inputs = usual.inputs | {"evaluations": usual.evaluations * 2}
    with pytest.raises(UserError, match=r"demo\.demo\.test is named twice"):
        render_report(**inputs, output=tmp_path / "report")


@pytest.mark.parametrize("key", ["a/b", "", "a.b"])
def test_a_key_that_cannot_name_a_file_is_refused(key, tmp_path):
    with pytest.raises(UserError, match="cannot name a file"):
        Evaluation(key, "demo", "test", scores_dir=tmp_path, predictions=tmp_path)


def test_a_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="no evaluation"):
        render_report(evaluations=[], output=tmp_path / "report", checkpoints={}, datasets={})
