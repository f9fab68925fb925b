"""Which patient belongs to which split.

A patient's split follows from the SHA-256 of its identifier alone: it does not change when patients are added or
removed, and the ratios are met in expectation, not exactly.
"""

import hashlib
import math
from collections.abc import Iterable

from refvessel.dataset.problems import Problems
from refvessel.errors import UserError

DEFAULT_RATIOS = {"train": 0.7, "val": 0.1, "test": 0.2}
_SALT = b"refvessel split 1\0"


def require_split_name(split: str) -> None:
    """Raise UserError unless the official loader can select the split: train, val, or a name with `test` in it."""
    if split not in ("train", "val") and "test" not in split:
        raise UserError(f"The split {split!r} is not train, val or a name that contains test; rename it.")


def require_ratios(ratios: dict[str, float]) -> None:
    """Raise UserError unless the split names are usable and their ratios are positive and add up to 1."""
    for split, ratio in ratios.items():
        require_split_name(split)
        if not ratio > 0:
            raise UserError(
                f"splits: the ratio of {split!r} is {ratio}; make it positive or leave the split out."
            )
    if not math.isclose(sum(ratios.values()), 1, abs_tol=1e-6):
        raise UserError(f"splits: the ratios add up to {sum(ratios.values()):g}; make it 1.")


def split_by_hash(patient: str, ratios: dict[str, float]) -> str:
    """The split of a patient under ratios that add up to 1, in their order."""
    digest = hashlib.sha256(_SALT + patient.encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64  # uniform in [0, 1)
    bound = 0.0
    for split, ratio in ratios.items():
        bound += ratio
        if position < bound:
            return split
    return split  # the bounds' rounding left a gap below 1


def require_one_split(kind: str, members: Iterable[tuple[str, str, str]], problems: Problems) -> None:
    """Report every key that occurs in two splits; members are (key, split, name of the image)."""
    first: dict[str, tuple[str, str]] = {}
    told = set()
    for key, split, name in members:
        other_split, other_name = first.setdefault(key, (split, name))
        if split != other_split and key not in told:
            told.add(key)
            problems.add(
                f"{name} ({split}) and {other_name} ({other_split}) {kind}; bring them into one split."
            )
