"""Tables of expressions made from small arrays."""

import numpy as np
import pandas as pd
import pytest

from refvessel import masks


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
            {**ids, "patient": patient, "height": height, "width": width, "mask": masks.encode(case["truth"])}
        )
        status = case.get("status", "ok")
        found = [masks.encode(case["prediction"])] if status == "ok" else []
        predictions.append(
            {
                **ids,
                "prompt": "<image>\n Please segment it in this image.",
                "answer": "Sure, [SEG]." if status == "ok" else "",
                "num_seg": len(found),
                "status": status,
                "error": "out of memory" if status == "failed" else None,
                "mask": found[0] if found else masks.empty(height, width),
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


@pytest.fixture
def vessel_cases() -> list[dict]:
    """Six expressions of three patients, unequal in frames, size and overlap; one failed, one no_seg."""
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
