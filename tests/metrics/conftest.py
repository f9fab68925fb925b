"""Tables of expressions made from small arrays."""

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from refvessel import rle

# A test's time depends on what else the machine does: no example fails for being slow.
hypothesis.settings.register_profile(
    "without deadline",
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("without deadline")


def _tables(cases: list[dict]) -> tuple[pd.DataFrame, pd.DataFrame]:
    predictions, truth = [], []
    for number, case in enumerate(cases, start=1):
        height, width = case["truth"].shape
        ids = {
            "image_id": case.get("image_id", f"image{number}"),
            "ref_id": number,
            "sent_id": number,
            "phrase": case.get("phrase", "blood vessel"),
        }
        patient = case.get("patient", "P1")
        truth.append(
            {
                **ids,
                "patient": patient,
                "height": height,
                "width": width,
                "mask": rle.encode(case["truth"]),
                "ignore_mask": rle.encode(case["ignore"]) if "ignore" in case else None,
                "spacing": case.get("spacing"),
            }
        )
        status = case.get("status", "ok")
        found = [rle.encode(case["prediction"])] if status == "ok" else []
        predictions.append(
            {
                **ids,
                "prompt": "<image>\n Please segment it in this image.",
                "answer": "Sure, [SEG]." if status == "ok" else "",
                "num_seg": len(found),
                "status": status,
                "error": "out of memory" if status == "failed" else None,
                "mask": found[0] if found else rle.empty(height, width),
                "masks": found,
                "score": 0.5 if found else None,
                "seconds": 0.25,
            }
        )
    return pd.DataFrame(predictions), pd.DataFrame(truth)


@pytest.fixture(scope="session")
def tables():
    """A function: cases (truth, prediction, and what differs from the usual) -> predictions, truth."""
    return _tables


def _vessel_cases() -> list[dict]:
    random = np.random.default_rng(7)

    def case(truth_share: float, flipped: float, **rest) -> dict:
        truth = random.random((24, 32)) < truth_share
        return {"truth": truth, "prediction": truth ^ (random.random(truth.shape) < flipped), **rest}

    return [
        case(0.4, 0.05, patient="P1"),
        case(0.3, 0.20, patient="P1", phrase="catheter"),
        case(0.2, 0.30, patient="P1"),
        case(0.1, 0.0, patient="P2", status="failed"),
        case(0.6, 0.0, patient="P3", status="no_seg", phrase="catheter"),
        case(0.0, 0.1, patient="P3"),
    ]


@pytest.fixture(scope="session")
def make_vessel_cases():
    """A function: the cases of `vessel_cases`, for what is made once of them."""
    return _vessel_cases


@pytest.fixture
def vessel_cases() -> list[dict]:
    """Six expressions of three patients, unequal in frames, size and overlap; one failed, one no_seg."""
    return _vessel_cases()


@st.composite
def _mask(draw, shape: tuple[int, int]) -> np.ndarray:
    """Rectangles, rings (loops), lines, single pixels; or noise, nothing, everything."""
    kind = draw(st.sampled_from(["shapes", "shapes", "noise", "empty", "full"]))
    if kind == "noise":
        return draw(arrays.arrays(bool, shape))
    mask = np.full(shape, kind == "full")
    for _ in range(draw(st.integers(1, 3)) if kind == "shapes" else 0):
        (top, bottom), (left, right) = (sorted(draw(st.integers(0, n - 1)) for _ in "ab") for n in shape)
        what = draw(st.sampled_from(["rectangle", "ring", "line", "pixel"]))
        if what == "pixel":
            mask[top, left] = True
        elif what == "line":
            mask[top, left : right + 1] = True
        else:
            mask[top : bottom + 1, left : right + 1] = True
        if what == "ring":
            mask[top + 1 : bottom, left + 1 : right] = False
    return mask


@st.composite
def _mask_pair(draw, foreground: bool) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    first, second = draw(_mask(shape)), draw(_mask(shape))
    if draw(st.booleans()):
        second &= ~first  # disjoint, as a wrong vessel is
    if foreground:
        first[draw(st.integers(0, shape[0] - 1)), 0] = second[-1, draw(st.integers(0, shape[1] - 1))] = True
    return first, second


@pytest.fixture(scope="session")
def mask_pairs():
    """Two bool masks of one size, as a strategy; each has foreground with `foreground=True`."""
    return lambda foreground=False: _mask_pair(foreground)


@pytest.fixture(scope="session")
def bent_vessel():
    """A function: seed -> a branching vessel with a loop in an image of 96x128, and a prediction with mistakes."""

    def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        row, column = np.mgrid[:96, :128]
        centre = 48 + 20 * np.sin(column / 20 + seed)
        truth = np.abs(row - centre) < 2 + column / 40
        truth |= (np.abs(np.hypot(row - 50, column - 64) - 25) < 2) | (np.abs(row - column) < 2)
        prediction = np.roll(truth, random.integers(-2, 3, 2), axis=(0, 1))
        prediction[:, 70:76] &= random.random() < 0.5
        return prediction ^ (random.random(truth.shape) < 0.01), truth

    return draw
