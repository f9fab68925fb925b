"""Diameters between the pixels, from stored logits to the table of cases."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_dilation
from stages import score as score_with_intervals

from refvessel.predictions.upsampling import image_logits

score = partial(score_with_intervals, bootstrap_draws=100)
SIDE, SCALE = 32, 4  # of the logits; pixels of an image for each
HEIGHT = SIDE * SCALE
PREDICTED, TRUE = 6.1, 6.5  # radii of a vessel in row 64, in pixels


@pytest.fixture
def answered(tables, tmp_path):
    """Three expressions with the same vessel: a mask of its logits, one that was refined, and one that failed."""
    rows = (np.arange(SIDE) + 0.5) * SCALE - 0.5  # where the logits' centres lie in the image
    logits = np.repeat((PREDICTED - np.abs(rows - 64))[None, :, None], SIDE, axis=2).astype(np.float16)
    mask = image_logits(logits, height=HEIGHT, width=HEIGHT)[0] > 0
    truth = np.repeat((np.abs(np.arange(HEIGHT) - 64) < TRUE)[:, None], HEIGHT, axis=1)
    cases = [
        {"truth": truth, "prediction": mask, "patient": "a"},
        {"truth": truth, "prediction": binary_dilation(mask), "patient": "b"},
        {"truth": truth, "prediction": np.zeros_like(mask), "patient": "c", "status": "failed"},
    ]
    predictions, expected = tables(cases)
    np.savez(tmp_path / "1.logits.npz", **{"1": logits, "2": logits})
    return predictions, expected, tmp_path / "1.logits.npz"


def test_a_mask_of_logits_is_measured_between_the_pixels_and_a_refined_one_in_whole_pixels(
    answered, tmp_path
):
    predictions, truth, logits = answered
    summary = score(predictions=predictions, truth=truth, output=tmp_path / "with", logits=[logits])
    table = pd.read_parquet(tmp_path / "with/cases.parquet")
    true_width = 13  # rows 58 to 70
    # The logits' kink in the middle of the vessel lies between two of them; its walls do not.
    assert table["diameter_bias"][0] == pytest.approx(2 * PREDICTED - true_width, abs=0.05)
    assert table["diameter_bias"][1] == pytest.approx(15 - true_width, abs=0.01)
    assert table["diameter_n"].tolist() == [table["diameter_n"][0]] * 2 + [0]
    assert table["diameter_n"][0] > 80
    assert summary["diameters"]["bias"] == pytest.approx(table["diameter_bias"][:2].mean())
    assert summary["diameters"]["n_patients"] == 2
    score(predictions=predictions, truth=truth, output=tmp_path / "without")
    of_masks = pd.read_parquet(tmp_path / "without/cases.parquet")["diameter_bias"]
    assert of_masks[:2].tolist() == pytest.approx([13 - true_width, 15 - true_width], abs=0.01)
