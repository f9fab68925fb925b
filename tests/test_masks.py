import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from refvessel import rle
from refvessel.rle import is_rle


@given(arrays.arrays(bool, st.tuples(st.integers(1, 70), st.integers(1, 70))))
def test_every_encoded_mask_is_an_rle(mask):
    encoded = rle.encode(mask)
    assert is_rle(encoded)
    assert rle.as_json(encoded) == json.dumps(encoded)


def test_long_runs_are_an_rle():
    mask = np.zeros((1500, 1700), bool)
    mask[:, 800:] = True
    assert is_rle(rle.encode(mask))


@given(arrays.arrays(bool, (6, 9)), st.data())
def test_what_passes_after_damage_still_decodes(mask, data):
    damaged = rle.encode(mask)
    position = data.draw(st.integers(0, len(damaged["counts"]) - 1))
    damage = data.draw(st.characters(min_codepoint=40, max_codepoint=120))
    damaged["counts"] = damaged["counts"][:position] + damage + damaged["counts"][position + 1 :]
    if is_rle(damaged):
        assert rle.decode(damaged).sum() == rle.area(damaged)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "<1",
        {"size": [3, 4]},
        {"size": [3], "counts": "<"},
        {"size": ["3", "4"], "counts": "<"},
        {"size": [0, 4], "counts": "0"},
        {"size": [3, 4], "counts": [12]},
        {"size": [3, 4], "counts": ""},
        {"size": [3, 4], "counts": "é"},
        {"size": [3, 4], "counts": "\n"},
        {"size": [3, 5], "counts": "<"},  # 12 pixels, not 15
        {"size": [3, 4], "counts": "n"},  # ends within a run
        {"size": [3, 4], "counts": "l0" + "n" * 9 + "0"},  # a run of more than 35 bits
        {"size": [3, 4], "counts": "=O"},  # 13, then -1
    ],
)
def test_what_pycocotools_would_misread_is_refused(value):
    assert is_rle({"size": [3, 4], "counts": "<"})
    assert not is_rle(value)
