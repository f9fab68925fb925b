"""Made-up artifacts of small evaluations, in the forms that the earlier steps write."""

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from stages import compare_models, render_report, score

from refvessel import rle
from refvessel.evaluation.external_comparing import compare_datasets
from refvessel.files import write_json
from refvessel.metrics.external_validation import Place
from refvessel.predictions.table import read_predictions
from refvessel.provenance import file_record
from refvessel.report import render
from refvessel.report.sections import Evaluation
from refvessel.settings.scores_section import Scores

WEIGHTS, CHECKPOINT = "ab" * 32, "c0" * 32  # SHA-256 of the made-up model


@dataclass
class Workspace:
    """A results folder that fills as evaluations are added; `inputs` are the arguments of `render_report`."""

    root: Path
    evaluations: list[Evaluation] = field(default_factory=list)
    checkpoints: dict[str, Path] = field(default_factory=dict)
    datasets: dict[str, Path] = field(default_factory=dict)

    comparisons: list[Path] = field(default_factory=list)
    external: Path | None = None
    benchmarks: Path | None = None

    @property
    def inputs(self) -> dict:
        names = ("evaluations", "checkpoints", "datasets", "comparisons", "external", "benchmarks")
        return {name: getattr(self, name) for name in names}

    def copied(self, root: Path) -> "Workspace":
        """A copy, free to be changed."""
        shutil.copytree(self.root, root)

        def there(path: Path | None) -> Path | None:
            return path and root / path.relative_to(self.root)

        return Workspace(
            root,
            [
                replace(
                    one, **{key: there(getattr(one, key)) for key in ("scores_dir", "predictions", "choice")}
                )
                for one in self.evaluations
            ],
            {name: there(path) for name, path in self.checkpoints.items()},
            {name: there(path) for name, path in self.datasets.items()},
            [there(path) for path in self.comparisons],
            there(self.external),
            there(self.benchmarks),
        )

    def compare(self, dataset="demo", split="test", **options) -> Path:
        """Compare the models of a split; `options` are further arguments of `compare_models`."""
        cases = {
            one.model: one.scores_dir / "cases.parquet"
            for one in self.evaluations
            if (one.dataset, one.split) == (dataset, split)
        }
        output = self.root / "comparisons" / dataset / split
        compare_models(cases=cases, output=output, bootstrap_draws=100, **options)
        self.comparisons.append(output / "comparison.json")
        return output

    def add(
        self,
        cases: list[dict],
        *,
        model="demo",
        dataset="demo",
        split="test",
        converted=True,
        described=True,
        **scoring,
    ):
        """An evaluation of cases: truth, prediction (arrays), image_id, phrase, patient, status, answer.

        `scoring` are further arguments of `score`: logits, redrawn, max_failures.
        """
        tree = self._dataset(dataset, cases, described)
        checkpoint = self.root / "checkpoints" / model
        checkpoint.mkdir(parents=True, exist_ok=True)
        if converted:
            trained = {"layer": "trained", "name": "iter_9.pth", "bytes": 9, "sha256": CHECKPOINT}
            write_json(checkpoint / "conversion.json", {"identity": WEIGHTS, "inputs": [trained]})
        predictions, truth = self._tables(cases)
        path = self.root / "predictions" / model / dataset / split / "predictions.parquet"
        self._write_predictions(predictions, path)
        read, origin = read_predictions(path)
        scores = self.root / "scores" / model / dataset / split
        identity = tree / ("dataset.json" if described else "ref_seg/refcoco/instances.json")
        provenance = {"predictions": origin, "dataset": file_record(identity)}
        score(
            predictions=read,
            truth=truth,
            output=scores,
            bootstrap_draws=100,
            provenance=provenance,
            **scoring,
        )
        self.evaluations.append(Evaluation(model, dataset, split, scores_dir=scores, predictions=path))
        self.checkpoints[model] = checkpoint
        self.datasets[dataset] = tree
        return scores

    def add_unscored(self, cases: list[dict], *, model="demo", dataset="unseen", split="test") -> None:
        """An evaluation of cases as of `add`, of which nobody knows the truth."""
        tree = self._dataset(dataset, cases, described=True)
        described = tree / "dataset.json"
        write_json(described, json.loads(described.read_text("utf-8")) | {"truth": False})
        path = self.root / "predictions" / model / dataset / split / "predictions.parquet"
        self._write_predictions(self._tables(cases)[0], path)
        self.evaluations.append(Evaluation(model, dataset, split, scores_dir=None, predictions=path))
        self.datasets[dataset] = tree

    def _dataset(self, dataset: str, cases: list[dict], described: bool) -> Path:
        tree = self.root / "datasets" / dataset
        folder = tree / "glamm_data/images/coco2014/train2014"
        folder.mkdir(parents=True, exist_ok=True)
        listed = {}
        for case in cases:
            height, width = case["truth"].shape
            shade = (90 + 60 * case["truth"]).astype(np.uint8)
            Image.fromarray(shade).save(folder / f"{case['image_id']}.png")
            listed[case["image_id"]] = {
                "id": len(listed),
                "file_name": f"{case['image_id']}.png",
                "width": width,
                "height": height,
            }
        write_json(tree / "ref_seg/refcoco/instances.json", {"images": list(listed.values())})
        if described:
            write_json(tree / "dataset.json", {"pseudonymised": True, "counts": {"images": len(listed)}})
        return tree

    def _tables(self, cases: list[dict]) -> tuple[pd.DataFrame, pd.DataFrame]:
        predictions, truth = [], []
        for number, case in enumerate(cases, start=1):
            height, width = case["truth"].shape
            ids = {
                "image_id": case["image_id"],
                "ref_id": number,
                "sent_id": number,
                "phrase": case["phrase"],
            }
            status = case.get("status", "ok")
            mask = rle.encode(case["prediction"]) if status == "ok" else rle.empty(height, width)
            truth.append(
                {
                    **ids,
                    "patient": case["patient"],
                    "height": height,
                    "width": width,
                    "mask": rle.encode(case["truth"]),
                    "ignore_mask": None,
                    "spacing": None,
                }
            )
            predictions.append(
                {
                    **ids,
                    "prompt": "<image>\n Please segment it.",
                    "answer": case.get("answer", "Sure, [SEG]."),
                    "num_seg": int(status == "ok"),
                    "status": status,
                    "error": case.get("error"),
                    "mask": json.dumps(mask),
                    "masks": json.dumps([mask] if status == "ok" else []),
                    "score": 0.5,
                    "seconds": 0.1,
                    **({"lead": case["lead"]} if "lead" in case else {}),
                }
            )
        return pd.DataFrame(predictions), pd.DataFrame(truth)

    def _write_predictions(self, predictions: pd.DataFrame, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pandas(predictions, preserve_index=False)
        metadata = {"refvessel": json.dumps({"run": {"model": WEIGHTS, "split": "test"}})}
        pq.write_table(table.replace_schema_metadata(metadata), path)


def _vessel(shift: int, size: int = 48, width: int = 5) -> np.ndarray:
    """A bent tube, moved down by `shift` pixels."""
    row, column = np.mgrid[:size, :size]
    centre = size / 2 + 8 * np.sin(column / 9) + shift
    return np.abs(row - centre) < width


def _cases(phrases=("blood vessel", "catheter")) -> list[dict]:
    """Two phrases on five images of three patients, with one failure, one no_seg and one empty truth."""
    cases = []
    for image, patient in enumerate(["PA", "PA", "PB", "PB", "PC"]):
        for number, phrase in enumerate(phrases):
            truth = _vessel(shift=6 * number)
            cases.append(
                {
                    "truth": truth,
                    "prediction": _vessel(shift=6 * number + image),
                    "image_id": f"image{image}",
                    "phrase": phrase,
                    "patient": patient,
                }
            )
    cases[2] |= {"status": "failed", "error": "out of memory <b>"}
    cases[5] |= {"status": "no_seg"}
    cases[8] |= {"truth": np.zeros_like(cases[8]["truth"])}
    return cases


@pytest.fixture(scope="session")
def new_workspace():
    """A function: folder -> an empty workspace."""
    return Workspace


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path / "results")


@pytest.fixture
def without_figures(monkeypatch):
    """Reports of which only the text is looked at: drawing takes half of their time."""
    monkeypatch.setattr(render, "draw_all", lambda *_: {})


@pytest.fixture(scope="session")
def usual(tmp_path_factory) -> Workspace:
    """The rendered report of `make_cases()`, for tests that only read it."""
    workspace = Workspace(tmp_path_factory.mktemp("usual") / "results")
    workspace.add(_cases())
    render_report(**workspace.inputs, output=workspace.root / "report")
    return workspace


@pytest.fixture(scope="session")
def compared_once(tmp_path_factory):
    """Two models on the same ten expressions; the second one's masks are cut."""
    workspace, cases = Workspace(tmp_path_factory.mktemp("compared") / "results"), _cases()
    workspace.add(cases)
    cut = np.arange(48) % 2 > 0
    workspace.add([case | {"prediction": case["prediction"] & cut} for case in cases], model="other")
    models = ("demo", "other")
    workspace.compare(non_inferiority={"dice": 0.9}, groups=dict.fromkeys(models, "method"))
    workspace.external = workspace.root / "comparisons/external.json"
    compare_datasets(
        cases={
            Place(each.model, each.dataset, each.split): each.scores_dir / "cases.parquet"
            for each in workspace.evaluations
        },
        homes={"demo": "demo"},
        output=workspace.external,
        settings=Scores(bootstrap_draws=100),
    )
    return workspace


@pytest.fixture(scope="session")
def make_cases():
    """A function: two phrases -> the cases of a small evaluation."""
    return _cases


@pytest.fixture(scope="session")
def vessel():
    """A function: shift in pixels -> the mask of a bent tube in an image of 48x48."""
    return _vessel
