"""A small tree of three images of two patients, and what a model of this program drew on it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from stages import score_split

from refvessel import rle
from refvessel.answer_status import Status
from refvessel.dataset.tree.expressions import Sentence, read_sentences
from refvessel.dataset.tree.layout import IMAGES
from refvessel.dataset.tree.writing import tree_writer
from refvessel.errors import UserError
from refvessel.imports.importing import import_predictions
from refvessel.predictions.prediction import Prediction
from refvessel.predictions.table import write_predictions
from refvessel.settings.checked import checked_section
from refvessel.settings.model_section import Model

WIDTH, HEIGHT = 30, 20
PHRASES = ("blood vessel", "catheter")
NOT_IN_MASKS = ["status", "predicted_iou"]  # what a model says besides its masks, columns of cases
IMAGES_OF = {"p1_a": "test", "p1_b": "test", "p2_a": "test", "p3_a": "train"}


@dataclass(frozen=True)
class Native:
    """A tree, and the masks of its split `test` by expression; one is empty."""

    tree: Path
    predictions: Path
    sentences: list[Sentence]
    masks: dict[int, np.ndarray]  # bool (height, width) by sent_id

    def cases(self, predictions: Path, folder: Path) -> pd.DataFrame:
        score_split(
            predictions=predictions, dataset=self.tree, split="test", output=folder, bootstrap_draws=100
        )
        return pd.read_parquet(folder / "cases.parquet").drop(columns=NOT_IN_MASKS)


@pytest.fixture(scope="session")
def native(tmp_path_factory) -> Native:
    root = tmp_path_factory.mktemp("imports")
    random = np.random.default_rng(5)
    with tree_writer(root / "tree", list(PHRASES)) as writer:
        for name, split in IMAGES_OF.items():
            truths = {phrase: [rle.encode(random.random((HEIGHT, WIDTH)) < 0.4)] for phrase in PHRASES}
            writer.add(
                file_name=f"{name}.png",
                size=(WIDTH, HEIGHT),
                patient=name.split("_")[0],
                split=split,
                truths=truths,
            )
    (root / "tree" / IMAGES).mkdir(parents=True)
    for name in IMAGES_OF:
        Image.new("L", (WIDTH, HEIGHT)).save(root / "tree" / IMAGES / f"{name}.png")
    sentences = read_sentences(root / "tree", "test")
    masks = {each.sent_id: random.random((HEIGHT, WIDTH)) < 0.4 for each in sentences}
    masks[sentences[-1].sent_id][:] = False
    records = [
        Prediction(
            image_id=each.image_id,
            ref_id=each.ref_id,
            sent_id=each.sent_id,
            phrase=each.phrase,
            prompt="<image>",
            answer="[SEG]",
            num_seg=1,
            status=Status.OK,
            error=None,
            mask=rle.encode(masks[each.sent_id]),
            masks=[rle.encode(masks[each.sent_id])],
            score=0.25,
            seconds=0.5,
        )
        for each in sentences
    ]
    write_predictions(root / "native.parquet", records, {"run": None})
    return Native(root / "tree", root / "native.parquet", sentences, masks)


@pytest.fixture(scope="session")
def native_cases(native, tmp_path_factory) -> pd.DataFrame:
    return native.cases(native.predictions, tmp_path_factory.mktemp("native"))


@pytest.fixture
def imported(native, tmp_path):
    """A function: predictions and how they are read -> the table that is written."""

    def run(
        root: Path, source_format: str, *, names=None, split="test", tree=native.tree, **settings
    ) -> Path:
        model = checked_section(Model, {"predictions": str(root), "format": source_format, **settings})
        output = tmp_path / "predictions.parquet"
        import_predictions(dataset=tree, split=split, settings=model, output=output, names=names)
        return output

    return run


@pytest.fixture
def refusal(imported):
    """A function: the same -> the sentence that refuses it; nothing is written."""

    def run(*arguments, **settings) -> str:
        with pytest.raises(UserError) as refused:
            imported(*arguments, **settings)
        return str(refused.value)

    return run
