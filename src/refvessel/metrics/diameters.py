"""How far the diameters of a prediction and of the truth agree along their matched centre lines."""

import numpy as np

from refvessel.metrics.centre_lines import CentreLines
from refvessel.metrics.cross_sections import CrossSections
from refvessel.metrics.stenosis import stenoses

DIAMETERS = ("diameter_n", "diameter_bias", "diameter_sd", "minimal_diameter_error", "stenosis_error")

_FEWEST = 24  # cross-sections of a vessel on which a narrowing is looked for


def diameter_agreement(
    prediction: np.ndarray, truth: np.ndarray, lines: CentreLines, tolerance: float
) -> dict[str, float]:
    """DIAMETERS of a prediction, in pixels and percent; NaN where nothing is matched.

    diameter_n              cross-sections of the truth's vessels on which the prediction is found, too
    diameter_bias           mean of predicted minus true diameter over these (Bland and Altman, Lancet 1986)
    diameter_sd             their standard deviation
    minimal_diameter_error  mean over vessels of the absolute error of the minimal lumen diameter
    stenosis_error          mean over vessels of the absolute error of the diameter stenosis, in points of percent

    Args:
        prediction: a bool mask, or logits, positive in the foreground, of shape (height, width); logits give
            walls between the pixels.
        truth: bool mask of that shape.
        lines: the centre lines of `truth`.
        tolerance: how far from the centre line a vessel is still matched, in pixels.
    """
    sections = CrossSections.of(lines)
    true = sections.diameters(truth, tolerance)
    predicted = sections.diameters(prediction, tolerance)
    matched = ~np.isnan(true) & ~np.isnan(predicted)
    if not matched.any():
        return {"diameter_n": 0, **dict.fromkeys(DIAMETERS[1:], np.nan)}
    difference = predicted[matched] - true[matched]
    errors = [
        (abs(found.minimal - real.minimal), abs(found.percent - real.percent))
        for some, real_widths, found_widths in zip(
            *map(sections.split, (matched, true, predicted)), strict=True
        )
        if some.sum() >= _FEWEST
        for real, found in [stenoses(np.stack([real_widths[some], found_widths[some]]))]
    ]
    minimal, percent = np.mean(errors, axis=0) if errors else (np.nan, np.nan)
    values = len(difference), difference.mean(), difference.std(), minimal, percent
    return {name: float(value) for name, value in zip(DIAMETERS, values, strict=True)}
