"""Which frames of a sequence the language model sees."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from refvessel.demo.angiogram import angiogram
from refvessel.inference.shown_frames import (
    contrast_frames,
    first_frames,
    shown_without_pixels,
    uniform_frames,
    vessel_signal,
)


@pytest.mark.parametrize("count", [1, 3, 5, 6, 50, 301])
def test_uniform_frames_are_those_of_sa2va_i(count):
    assert uniform_frames(count, 5) == sorted(set(np.linspace(0, count - 1, 5, dtype=int)))
    assert first_frames(count, 5) == list(range(min(count, 5)))


def test_contrast_frames_are_in_a_row_around_the_peak():
    signals = [0.1] * 10 + [0.2, 0.3, 0.9, 0.8, 0.7, 0.4] + [0.2] * 10
    assert contrast_frames(signals, 5) == [11, 12, 13, 14, 15]
    assert contrast_frames(signals, 1) == [12]
    assert contrast_frames(signals[:3], 5) == [0, 1, 2]
    assert contrast_frames([0.5] * 9, 4) == [0, 1, 2, 3]
    assert shown_without_pixels("contrast", 9, 5) is None


@pytest.fixture(scope="module")
def run():
    """A run of 24 frames: contrast fills the vessels from frame 8 on and has washed out by frame 20."""
    drawn = angiogram(7, 3, 1).image.astype(float)
    background = ndimage.grey_closing(drawn, size=(61, 61))
    filling = np.interp(range(24), [8, 12, 14, 20], [0, 1, 1, 0])
    noise = np.random.default_rng(0)
    frames = []
    for share in filling:
        frame = background + share * (drawn - background) + noise.normal(0, 2, drawn.shape)
        frames.append(frame)
    return frames


@pytest.mark.parametrize("spoilt", ["as it is", "darker and darker", "a table that moves", "coloured"])
def test_the_peak_of_contrast_is_found_whatever_else_changes(run, spoilt):
    signals = []
    for number, frame in enumerate(run):
        changed = frame
        if spoilt == "darker and darker":
            changed = frame * (1 - 0.02 * number)
        elif spoilt == "a table that moves":
            changed = np.roll(frame, 5 * number, axis=1)
        image = Image.fromarray(np.clip(changed, 0, 255).astype(np.uint8))
        signals.append(vessel_signal(image.convert("RGB") if spoilt == "coloured" else image))
    chosen = contrast_frames(signals, 5)
    assert set(chosen) <= set(range(10, 18))
    assert {12, 13, 14} <= set(chosen)
