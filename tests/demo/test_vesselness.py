"""The classical baseline: chosen on one split, and blind to the truths of the other."""

import itertools

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.filters import frangi, meijering, sato

from refvessel import rle
from refvessel.dataset.tree.layout import IMAGES
from refvessel.dataset.tree.writing import tree_writer
from refvessel.demo.vesselness import tuned, write_vesselness_masks

SIZE = 48
FILTERS = {"frangi": frangi, "meijering": meijering, "sato": sato}


def angiogram(seed: int, with_vessel: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A dark tube on noise, float32 from 0 to 1, and where it is."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    centre = SIZE / 2 + 8 * np.sin(columns / 9 + seed)
    vessel = (np.abs(rows - centre) < 2.5) & with_vessel
    noise = ndimage.gaussian_filter(random.normal(0, 0.15, vessel.shape), 1)
    return (0.6 - 0.25 * vessel + noise).clip(0, 1).astype(np.float32), vessel


def response(name: str, scales: tuple[int, ...], image: np.ndarray) -> np.ndarray:
    """Of a filter on the image at half its size."""
    half = image.reshape(SIZE // 2, 2, SIZE // 2, 2).mean(axis=(1, 3))
    found = FILTERS[name](half, sigmas=scales, black_ridges=True).astype(np.float32)
    return np.asarray(Image.fromarray(found).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    total = mask.sum() + truth.sum()
    return 2 * (mask & truth).sum() / total if total else 1.0


def test_the_choice_has_the_highest_mean_dice_of_all_filters_scales_and_thresholds():
    images, truths = zip(*(angiogram(seed, with_vessel=seed < 3) for seed in range(4)), strict=True)
    chosen = tuned(images, truths)
    reached = np.mean([dice(chosen.mask(*one), two) for *one, two in zip(images, truths, strict=True)])
    best = 0.0
    for name, scales in itertools.product(FILTERS, ((1, 2), (1, 2, 3))):
        responses = [response(name, scales, image) for image in images]
        for threshold in np.quantile(np.stack(responses), np.linspace(0.80, 0.995, 40)):
            pairs = zip(responses, truths, strict=True)
            best = max(best, np.mean([dice(response > threshold, truth) for response, truth in pairs]))
    assert reached == pytest.approx(best, abs=2e-3)  # the means of 2 x 2 pixels differ by rounding
    assert reached > 0.5


def write_tree(root, *, val_truth, test_truth):
    """Two patients in val and two in test; the truths of a split are the vessels, or what stands for them."""
    with tree_writer(root, ["blood vessel", "catheter"]) as writer:
        for seed, split in enumerate(("val", "val", "test", "test")):
            _, vessel = angiogram(seed)
            truth = {"val": val_truth, "test": test_truth}[split](vessel)
            writer.add(
                file_name=f"p{seed}.png",
                size=(SIZE, SIZE),
                patient=f"p{seed}",
                split=split,
                truths={"blood vessel": [rle.encode(truth)], "catheter": [rle.encode(~vessel)]},
            )
    (root / IMAGES).mkdir(parents=True)
    for seed in range(4):
        Image.fromarray((angiogram(seed)[0] * 255).astype(np.uint8)).save(root / IMAGES / f"p{seed}.png")
    return root


def test_masks_of_test_depend_on_the_truths_of_val_and_not_on_those_of_test(tmp_path):
    def masks(name, **truths):
        tree = write_tree(tmp_path / name, **truths)
        output = tmp_path / f"{name} masks"
        write_vesselness_masks(dataset=tree, tuned_on="val", split="test", output=output)
        return {path.name: path.read_bytes() for path in output.iterdir()}

    known = masks("known", val_truth=np.asarray, test_truth=np.asarray)
    assert sorted(known) == ["p2.png", "p3.png"]
    assert masks("turned", val_truth=np.asarray, test_truth=np.flipud) == known
    assert (
        masks("other", val_truth=lambda vessel: ndimage.binary_erosion(vessel), test_truth=np.asarray)
        != known
    )
    mask = np.asarray(Image.open(tmp_path / "known masks" / "p2.png"))
    assert set(np.unique(mask)) == {0, 255}
    assert dice(mask > 0, angiogram(2)[1]) > 0.5
