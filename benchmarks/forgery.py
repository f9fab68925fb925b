"""How often genuine predictions are called forged, and forged ones are not.

    python benchmarks/forgery.py [--number 1000] [--threads 2] [--work DIR]

The demo's model segments invented angiograms (patients that nothing else uses) with its logits, which are kept in
DIR, so that a second call begins with them. Predictions and truths are drawn at several sizes: logits by the
model's own upsampling, truths from their outlines. Genuine are

    native       the model's masks
    refined      at a probability of 0.4, without components and holes of fewer than 30 pixels
    very good    the signed distance from the truth's boundary in place of logits, with a smooth error whose
                 standard deviation is 0.1 of the distance between two logits
    perfect      the same without error

and forged, from the truth: pixels flipped anywhere, dropped from the vessel or flipped along its boundary so that
the Dice is .967, or .99 anywhere; shifted by one pixel along one axis or both; dilated or eroded by one pixel. The
table says how many of each are found as altered truths, as undrawable, and by either. Bar: none of the genuine; of
noise (.967), shifts and dilations at 512x512, all.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from refvessel import rle
from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.dataset.conversion.annotate import convert_dataset
from refvessel.dataset.regions.polygons import Outlines, rasterise
from refvessel.dataset.tree.expressions import read_expressions
from refvessel.dataset.tree.layout import OUTLINES
from refvessel.dataset.tree.outlines import read_outlines
from refvessel.demo.annotations import write_labelme_folder
from refvessel.inference.run import segment_shard
from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.metrics.altered_truth import alteration_of
from refvessel.parallel import call_each
from refvessel.predictions.drawable import LOGITS_SIDE, could_be_drawn
from refvessel.predictions.logits_file import logits_file, read_logits
from refvessel.predictions.postprocessing import drop_small_components, fill_small_holes
from refvessel.predictions.upsampling import masks_of_logits
from refvessel.settings.checked import checked_section
from refvessel.settings.dataset_section import Dataset
from refvessel.settings.inference_section import Inference
from refvessel.settings.model_section import Model

DEMO = Path(__file__).parents[1] / "data" / "demo"
SIDE = 512  # of the angiograms
SIZES = ((512, 512), (800, 800), (301, 417))
FRAMES, EXPRESSIONS = 4, 7  # of a patient; the first frame may come before the contrast agent
FIRST_PATIENT = 1000
SHARDS = 10
LEAST = 30  # pixels


class Case(NamedTuple):
    """An expression of one size.

    logits: (masks, 256, 256).
    truth: bool (height, width).
    distance: float32 of the same shape; pixels from the truth's boundary, positive inside.
    random: what a forger throws.
    """

    logits: np.ndarray
    truth: np.ndarray
    distance: np.ndarray
    random: np.random.Generator


Draw = Callable[[Case], np.ndarray]


def native(case: Case) -> np.ndarray:
    """The model's mask."""
    return upsampled(case.logits, case.truth, MODEL_THRESHOLD)


def refined(case: Case) -> np.ndarray:
    """At another threshold and post-processed."""
    mask = drop_small_components(upsampled(case.logits, case.truth, 0.4), LEAST)
    return fill_small_holes(mask, LEAST)


def near_the_truth(error: float, case: Case) -> np.ndarray:
    """What a model draws that knows the truth but for a smooth error, whose size is a share of a logit's cell."""
    scale = LOGITS_SIDE / np.array(case.truth.shape)
    rows, columns = ((np.arange(LOGITS_SIDE) + 0.5) / each - 0.5 for each in scale)
    places = np.meshgrid(rows, columns, indexing="ij")
    logits = ndimage.map_coordinates(case.distance, places, order=1, mode="nearest")
    noise = ndimage.gaussian_filter(case.random.normal(0, 1, logits.shape), 2)
    logits += error * noise / noise.std() / np.sqrt(scale.prod())
    return upsampled(logits[None].astype(np.float16), case.truth, MODEL_THRESHOLD)


def upsampled(logits: np.ndarray, truth: np.ndarray, threshold: float) -> np.ndarray:
    """The union of an expression's masks at its truth's size."""
    height, width = truth.shape
    return masks_of_logits(logits, height=height, width=width, threshold=threshold).any(axis=0)


def flipped(dice: float, case: Case) -> np.ndarray:
    """Pixels flipped anywhere, as many as leave this Dice on average."""
    share = case.truth.mean()
    number = 2 * share * (1 - dice) / (2 * share * (1 - dice) + dice * (1 - 2 * share) + 2 * share * dice)
    return case.truth ^ (case.random.random(case.truth.shape) < number)


def dropped(dice: float, case: Case) -> np.ndarray:
    """Pixels of the vessel dropped."""
    return case.truth & (case.random.random(case.truth.shape) < dice / (2 - dice))


def ragged(dice: float, case: Case) -> np.ndarray:
    """Pixels on both sides of the boundary flipped."""
    edge = abs(case.distance) < 1.2
    number = 2 * (1 - dice) * case.truth.sum() / edge.sum()
    return case.truth ^ (edge & (case.random.random(case.truth.shape) < number))


def shifted(rows: int, columns: int, case: Case) -> np.ndarray:
    """Beyond the edge the other side follows."""
    return np.roll(case.truth, (rows, columns), axis=(0, 1))


def grown(change: Callable[..., np.ndarray], neighbours: int, case: Case) -> np.ndarray:
    """By SciPy's dilation or erosion, to which all beyond the edge is background."""
    element = ndimage.generate_binary_structure(2, 1 if neighbours == 4 else 2)
    return change(case.truth, element)


GENUINE: dict[str, Draw] = {
    "native": native,
    "refined": refined,
    "very good": partial(near_the_truth, 0.1),
    "perfect but for its 256x256 logits": partial(near_the_truth, 0.0),
}
FORGED: dict[str, Draw] = {
    "noise anywhere, .967": partial(flipped, 0.967),
    "noise anywhere, .99": partial(flipped, 0.99),
    "noise in the vessel, .967": partial(dropped, 0.967),
    "noise along the boundary, .967": partial(ragged, 0.967),
    "shifted by 1 column": partial(shifted, 0, 1),
    "shifted by 1 row and 1 column": partial(shifted, 1, 1),
    "dilated by 1 px (4 neighbours)": partial(grown, ndimage.binary_dilation, 4),
    "dilated by 1 px (8 neighbours)": partial(grown, ndimage.binary_dilation, 8),
    "eroded by 1 px (4 neighbours)": partial(grown, ndimage.binary_erosion, 4),
}


def segmented(work: Path, number: int) -> list[tuple[np.ndarray, Outlines]]:
    """Logits and outlines of the first expressions that have a truth and an answer."""
    tree, model, shards = work / "tree", work / "model", [work / f"{k}.jsonl" for k in range(1, SHARDS + 1)]
    if not tree.exists():
        write_patients(work / "frames", -(-number // EXPRESSIONS))
        values = {"format": "labelme", "root": str(work / "frames"), "single_split": "test"}
        values |= {"phrases": {"vessel": "blood vessel", "catheter": "catheter"}, "pseudonymise": False}
        convert_dataset(settings=checked_section(Dataset, values, where=("dataset",)), output=tree)
    if not model.exists():
        layers = {"base_mllm": "base_mllm", "sam2": "sam2_hiera_demo.pt", "checkpoint": "iter_200.pth"}
        named = {name: str(DEMO / path) for name, path in layers.items()}
        convert_checkpoint(settings=checked_section(Model, named, where=("model",)), output=model)
    run = checked_section(Inference, {"save_logits": True, "threads": 2}, where=("inference",))
    for k, shard in enumerate(shards, start=1):
        if not logits_file(shard).exists():
            part = f"{k}/{SHARDS}"
            segment_shard(model=model, dataset=tree, split="test", output=shard, shard=part, settings=run)
    outlines = read_outlines(tree / OUTLINES)
    refs = {each.sent_id: each.ref_id for each in read_expressions(tree, "test") if rle.area(each.truth)}
    stored = (each for shard in shards for each in read_logits(logits_file(shard)))
    return [(logits, outlines[refs[sent_id]]) for sent_id, logits in stored if sent_id in refs][:number]


def write_patients(output: Path, number: int) -> None:
    """Frames of as many patients, each in a folder of their own."""
    for patient in range(FIRST_PATIENT, FIRST_PATIENT + number):
        write_labelme_folder(output=output / str(patient), patients=[patient], frames=FRAMES)


def judged(
    index: int, logits: np.ndarray, outlines: Outlines, size: tuple[int, int]
) -> dict[str, tuple[float, bool, bool, float]]:
    """Of each kind of prediction: its Dice, whether it is found in the two ways, and the CPU time of looking."""
    scale = np.array(size[::-1]) / SIDE
    truth = rle.decode(rle.union([rasterise(each * scale, *size) for each in outlines])).astype(bool)
    inside, outside = (
        cv2.distanceTransform(each.astype(np.uint8), cv2.DIST_L2, 5) for each in (truth, ~truth)
    )
    distance = np.where(truth, inside - 0.5, 0.5 - outside)
    found = {}
    for number, (name, draw) in enumerate({**GENUINE, **FORGED}.items()):
        mask = draw(Case(logits, truth, distance, np.random.default_rng((index, number))))
        begun = time.process_time()
        altered = alteration_of(mask, truth) is not None
        impossible = name != "refined" and not could_be_drawn(mask)
        seconds = time.process_time() - begun
        dice = 2 * (mask & truth).sum() / max(mask.sum() + truth.sum(), 1)
        found[name] = (dice, altered, impossible, seconds)
    return found


def main() -> None:
    """Measure and print a table per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cases = segmented(options.work or Path(scratch), options.number)
    for height, width in SIZES:
        rows = call_each(
            judged,
            range(len(cases)),
            *zip(*cases, strict=True),
            [(height, width)] * len(cases),
            threads=options.threads,
            calls_per_task=8,
        )
        print(f"\n| {height}x{width}, {len(cases)} each | Dice | altered truth | undrawable | either |")
        print("|---|---:|---:|---:|---:|")
        for name in (*GENUINE, *FORGED):
            dice, altered, impossible, _ = np.array([row[name] for row in rows]).T
            counts = (altered.sum(), impossible.sum(), np.maximum(altered, impossible).sum())
            print(f"| {name} | {dice.mean():.3f} | {' | '.join(f'{count:.0f}' for count in counts)} |")
        seconds = np.mean([row["native"][3] for row in rows])
        print(f"\nCPU time of both checks on a native mask: {1000 * seconds:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
