"""What 8-bit weights of the language model change, on the demo: Dice, pixels, logits and bytes.

    python benchmarks/language_weights.py [--patients 8]

Segments a frame of each of some patients whom the demo's model never saw, with the weights in each precision,
asking both phrases. Dice is against the truth, of frames that show what was asked; pixels, logits and answers are
compared with those of the float32 weights. The bytes are those of the language model's decoder layers.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.dataset.conversion.annotate import convert_dataset
from refvessel.dataset.tree.expressions import Expression, read_expressions
from refvessel.dataset.tree.loader import open_image
from refvessel.demo.annotations import write_labelme_folder
from refvessel.inference.segmenter import Batch, Segmentation, Segmenter
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.processing import Sa2VAProcessor
from refvessel.model.quantisation import LANGUAGE_WEIGHTS
from refvessel.prompts import prompt_of
from refvessel.rle import decode
from refvessel.settings.dataset_section import Dataset
from refvessel.settings.inference_section import Inference
from refvessel.settings.model_section import Model

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
FIRST_PATIENT = 3000  # training began at 10,000, the demo evaluates 0 to 9
PHRASES = {"vessel": "blood vessel", "catheter": "catheter"}
KINDS = [(dtype, kind) for dtype in ("float32", "bfloat16") for kind in (None, *LANGUAGE_WEIGHTS)]


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        model, tree = Path(name) / "model", Path(name) / "tree"
        prepare(Path(name), model, tree, arguments.patients)
        expressions = read_expressions(tree, "test")
        results = {kind: segment(model, expressions, *kind) for kind in KINDS}
    exact, _ = results[KINDS[0]]
    print(
        f"{len(expressions)} expressions, {arguments.patients} patients, torch {torch.__version__} on the CPU\n"
    )
    columns = [f"Dice, {phrase}" for phrase in PHRASES.values()]
    columns += [
        "pixels that differ",
        "largest change of a logit",
        "answers that differ",
        "bytes of the layers",
    ]
    print(f"| computed in | layers in | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}")
    for (dtype, kind), (found, size) in results.items():
        dices = [f"{dice(expressions, found, phrase):.4f}" for phrase in PHRASES.values()]
        pixels = np.mean([mask(one) != mask(other) for one, other in zip(exact, found, strict=True)])
        answers = sum(one.answer != other.answer for one, other in zip(exact, found, strict=True))
        cells = [*dices, f"{pixels:.6%}", f"{logit_change(exact, found):.3f}", str(answers), f"{size:,}"]
        print(f"| {dtype} | {kind or dtype} | {' | '.join(cells)} |")


def prepare(folder: Path, model: Path, tree: Path, patients: int) -> None:
    """The demo's model, and one frame of each patient as a tree."""
    convert_checkpoint(
        output=model,
        settings=Model(
            base_mllm=DEMO / "base_mllm",
            sam2=DEMO / "sam2_hiera_demo.pt",
            checkpoint=DEMO / "iter_200.pth",
        ),
    )
    write_labelme_folder(
        output=folder / "frames", patients=range(FIRST_PATIENT, FIRST_PATIENT + patients), frames=1
    )
    convert_dataset(
        output=tree,
        settings=Dataset(
            format="labelme",
            root=folder / "frames",
            phrases=PHRASES,
            single_split="test",
            key_file=folder / "secret" / "key",
        ),
    )


def segment(
    folder: Path, expressions: list[Expression], dtype: str, kind: str | None
) -> tuple[list[Segmentation], int]:
    """The answer to each expression, and the bytes of the language model's layers."""
    model = Sa2VAModel.load(folder, dtype=getattr(torch, dtype), language_weights=kind)
    processor = Sa2VAProcessor.from_pretrained(folder)
    segmenter = Segmenter(model, processor, Inference().max_new_tokens)
    answers = []
    for expression in expressions:
        image = processor.process_image(open_image(expression))
        prompt = prompt_of(Inference().question, expression.phrase)
        ((answer,),) = segmenter.segment(Batch([image], [[prompt]]))
        answers.append(answer)
    return answers, sum(parameter.nbytes for parameter in model.language_model.model.layers.parameters())


def mask(answer: Segmentation) -> np.ndarray:
    """The union of an answer's masks, bool (height, width)."""
    return answer.masks.any(0)


def dice(expressions: list[Expression], answers: list[Segmentation], phrase: str) -> float:
    """The mean Dice of a phrase."""
    dices = []
    for expression, answer in zip(expressions, answers, strict=True):
        if expression.phrase == phrase:
            truth, predicted = decode(expression.truth), mask(answer)
            dices.append(2 * (truth & predicted).sum() / (truth.sum() + predicted.sum()))
    return float(np.mean(dices))


def logit_change(exact: list[Segmentation], found: list[Segmentation]) -> float:
    """The largest change of a logit, over answers with as many masks."""
    return max(
        float(np.abs(one.logits.astype(np.float32) - other.logits).max(initial=0))
        for one, other in zip(exact, found, strict=True)
        if one.logits.shape == other.logits.shape
    )


if __name__ == "__main__":
    main()
