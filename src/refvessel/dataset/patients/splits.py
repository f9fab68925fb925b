"""Which patient belongs to which split.

By hash, a patient's split follows from the SHA-256 of its identifier, the seed and the ratios alone, in whatever
order these are written: it does not change when patients are added or removed, and the ratios are met in
expectation, not exactly. By frames, patients are put in the order of that hash and cut where the ratios of the
frames are reached: the ratios are met as closely as whole patients allow, and a patient more can move those near
a cut.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from refvessel.dataset.patients.stated import Origin
from refvessel.dataset.problems import Problems
from refvessel.errors import UserError
from refvessel.sentences import marked
from refvessel.settings.dataset_section import DEFAULT_RATIOS

_WITHOUT_TEST = ("train", "val")  # the splits that the official loader knows by their whole name
# The remedy where nobody says who is on the images.
STATE_PATIENTS = marked(
    "set patient_pattern or patients (where every image shows another patient: "
    "patient_pattern '(?P<patient>.+)')"
)


def require_split_name(split: str) -> None:
    """Raise UserError unless the official loader can select the split: train, val, or a name with `test` in it."""
    if split not in _WITHOUT_TEST and "test" not in split:
        raise UserError(f"The split {split!r} is not train, val or a name that contains test; rename it.")


def require_ratios(ratios: Mapping[str, float]) -> None:
    """Raise UserError unless the split names are usable and their ratios are positive and add up to 1."""
    for split, ratio in ratios.items():
        require_split_name(split)
        if not ratio > 0:
            raise UserError(
                f"splits: the ratio of {split!r} is {ratio}; make it positive or leave the split out."
            )
    if not math.isclose(sum(ratios.values()), 1, abs_tol=1e-6):
        raise UserError(f"splits: the ratios add up to {sum(ratios.values()):g}; make it 1.")


@dataclass(frozen=True)
class SplitRule:
    """How splits are chosen: all in `single`; else as the origin says; else by `ratios` (None: DEFAULT_RATIOS).

    Raises UserError where the values contradict each other or the ratios are unusable.
    """

    single: str | None
    ratios: Mapping[str, float] | None
    seed: int
    by_frames: bool

    def __post_init__(self) -> None:
        if self.ratios is not None and self.single is not None:
            raise UserError("splits and single_split are both given; leave one out.")
        require_ratios(self.effective_ratios)

    @property
    def effective_ratios(self) -> dict[str, float]:
        """Split -> ratio, adding up to 1."""
        if self.single is not None:
            return {self.single: 1.0}
        ratios = DEFAULT_RATIOS if self.ratios is None else self.ratios
        return {split: ratios[split] for split in sorted(ratios, key=_place)}

    def possible_splits(self, origins: Iterable[Origin]) -> set[str]:
        """The splits that images of these origins may be in."""
        if self.single is not None:
            return {self.single}
        known = {origin.split for origin in origins}
        return {split for split in known if split is not None} | (
            set(self.effective_ratios) if None in known else set()
        )

    def splits(self, origins: Iterable[Origin]) -> Callable[[Origin], str]:
        """The function from an origin to its split, given all origins."""
        frames = Counter(origin.patient for origin in origins)
        divide = split_by_frames if self.by_frames else split_by_hash
        chosen = divide(frames, self.effective_ratios, self.seed)

        def split_of(origin: Origin) -> str:
            known = None if self.single is not None else origin.split
            return chosen[origin.patient] if known is None else known

        return split_of


def split_by_hash(patients: Iterable[str], ratios: Mapping[str, float], seed: int) -> dict[str, str]:
    """Patient -> split, under ratios that add up to 1, in their order."""
    return {patient: _at(_position(patient, seed), ratios) for patient in patients}


def split_by_frames(frames: Mapping[str, int], ratios: Mapping[str, float], seed: int) -> dict[str, str]:
    """Patient -> split, such that the splits' frames come near the ratios; `frames` has each patient's number."""
    total, before, splits = sum(frames.values()), 0, {}
    for patient in sorted(frames, key=lambda patient: _position(patient, seed)):
        splits[patient] = _at((before + frames[patient] / 2) / total, ratios)
        before += frames[patient]
    return splits


def _place(split: str) -> tuple[int, str]:
    """Where a split stands among others, in whatever order they are given: train, val, then by name."""
    known = split in _WITHOUT_TEST
    return (_WITHOUT_TEST.index(split) if known else len(_WITHOUT_TEST), split)


def _position(patient: str, seed: int) -> float:
    """Uniform in [0, 1)."""
    digest = hashlib.sha256(f"refvessel split {seed}\0{patient}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _at(position: float, ratios: Mapping[str, float]) -> str:
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
