"""The file of logits is read whole or in part, and what is wrong with one is told."""

import numpy as np
import pytest

from refvessel.errors import UserError
from refvessel.predictions.logits_file import read_logits, stored_sent_ids


@pytest.fixture
def stored(tmp_path):
    arrays = {"7": np.ones((2, 4, 4), np.float16), "3": np.zeros((1, 4, 4), np.float16)}
    np.savez_compressed(tmp_path / "shard.logits.npz", **arrays)
    return tmp_path / "shard.logits.npz"


def test_the_expressions_asked_for_are_read_in_their_order(stored):
    assert sorted(stored_sent_ids(stored)) == [3, 7]
    assert [(sent_id, logits.shape) for sent_id, logits in read_logits(stored, [3, 7])] == [
        (3, (1, 4, 4)),
        (7, (2, 4, 4)),
    ]
    assert [sent_id for sent_id, _ in read_logits(stored)] == stored_sent_ids(stored)


def test_a_missing_or_damaged_file_is_named(stored):
    with pytest.raises(UserError, match=r"nowhere\.npz does not exist; set save_logits"):
        stored_sent_ids(stored.with_name("nowhere.npz"))
    stored.write_bytes(stored.read_bytes()[:100])
    with pytest.raises(UserError, match=r"shard\.logits\.npz is not a file of logits"):
        stored_sent_ids(stored)


@pytest.mark.parametrize("array", [np.full((1, 4, 4), np.nan), np.ones((4, 4)), np.ones((1, 4, 5))])
def test_logits_that_are_no_squares_of_finite_numbers_are_refused(tmp_path, array):
    np.savez(tmp_path / "a.npz", **{"5": array.astype(np.float16)})
    with pytest.raises(UserError, match="its array 5 is no stack of squares of finite numbers"):
        list(read_logits(tmp_path / "a.npz", [5]))
