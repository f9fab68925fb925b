"""Gates: what would make an evaluation's numbers too good, looked for before anything is written.

No patient and no image may be in two splits, no two splits may hold images that are nearly the same, and
nothing that a model was trained on may be in a split that it is evaluated on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from refvessel.dataset.conversion.converted import Converted
from refvessel.dataset.images.perceptual_hash import BITS, near_duplicate_pairs, vessel_correlation
from refvessel.dataset.patients.identities import Identified
from refvessel.dataset.patients.splits import require_one_split
from refvessel.dataset.patients.stated import Origins, without_suffix
from refvessel.dataset.problems import Problems
from refvessel.errors import UserError
from refvessel.files import read_bytes
from refvessel.image_files import decode_file

# The correlation of vessels from which on two images that are compared closely are one: see benchmarks/RESULTS.md
# for what copies and different images reach.
SAME_VESSELS = 0.5
_PIXEL_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Gates:
    """What is compared: images that differ in `near_duplicates` bits (None: none), a list of training images."""

    near_duplicates: int | None
    trained_on: Path | None = None

    def check(
        self, kept: Sequence[Converted], origins: Origins, images: Path, problems: Problems
    ) -> dict[str, Any]:
        """Report what must not be, and return what was compared and how near it came, as JSON-like data.

        `images` is the folder that holds the converted ones.

        That patients are in one split was checked when the splits were made; it is recorded here.
        """
        members = (
            (item.image.pixels_sha256, item.identity.split, item.identity.record.name) for item in kept
        )
        require_one_split("have identical pixels", members, problems)
        return {
            "patients": {"compared": len({item.identity.patient for item in kept}), "in_two_splits": 0},
            "identical_pixels": {
                "compared": len(kept),
                "across_splits": 0,
                "within_a_split": len(kept) - len({item.image.pixels_sha256 for item in kept}),
            },
            "near_duplicates": self._near_duplicates(kept, images, problems),
            "trained_on": self._trained_on(kept, origins, problems),
        }

    def _near_duplicates(
        self, kept: Sequence[Converted], images: Path, problems: Problems
    ) -> dict[str, Any] | None:
        if self.near_duplicates is None:
            return None
        splits = [item.identity.split for item in kept]
        pairs, nearest = near_duplicate_pairs(
            [item.image.perceptual_hashes for item in kept], splits, self.near_duplicates
        )
        told_apart = 0
        for first, second, distance in pairs:
            one, other = kept[first], kept[second]
            if problems.enough:
                break
            if one.image.pixels_sha256 == other.image.pixels_sha256:  # told already
                continue
            if vessel_correlation(_image(images, one), _image(images, other)) < SAME_VESSELS:
                told_apart += 1
            else:
                problems.add(
                    f"{one.identity.record.name} ({splits[first]}) and {other.identity.record.name} "
                    f"({splits[second]}) look the same (their hashes differ in {distance} of {BITS} bits); "
                    "bring them into one split or lower near_duplicates."
                )
        return {
            "bits": BITS,
            "threshold": self.near_duplicates,
            "across_splits": 0,
            "nearest": nearest,
            "told_apart_by_vessels": told_apart,
        }

    def _trained_on(
        self, kept: Sequence[Converted], origins: Origins, problems: Problems
    ) -> dict[str, Any] | None:
        if self.trained_on is None:
            return None
        listed = _read_list(self.trained_on)
        paths = [line.replace("\\", "/") for line in listed if not _PIXEL_HASH.fullmatch(line)]
        names = {without_suffix(path) for path in paths}
        patients = set().union(*(origins.patients_of(name) for name in names))
        evaluated = [item for item in kept if item.identity.split != "train"]
        for item in evaluated:
            identity = item.identity
            if item.image.pixels_sha256 in listed or without_suffix(identity.record.name) in names:
                reason = "is listed"
            elif found := patients & ({identity.origin.patient} | _likely(identity, origins)):
                reason = f"shows the patient {min(found)!r}, of whom an image is listed"
            else:
                continue
            problems.add(
                f"{identity.record.name} ({identity.split}) {reason} in {self.trained_on}; leave it out or put it "
                "into train."
            )
        return {"listed": len(listed), "compared": len(evaluated), "found": 0}


def _image(images: Path, item: Converted) -> Image.Image:
    return decode_file(images / item.file_name)


def _likely(identity: Identified, origins: Origins) -> set[str]:
    """Who else may be on an image of which nobody says who is on it."""
    return set() if identity.origin.stated else origins.patients_of(identity.record.name)


def _read_list(path: Path) -> set[str]:
    """The lines of a text file: relative paths of images, or SHA-256s of their RGB pixels; `#` opens a comment."""
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text file; list one image per line.") from None
    listed = {line.strip().removeprefix("./") for line in lines if line.strip() and not line.startswith("#")}
    if not listed:
        raise UserError(f"{path} lists no image; fill it or leave trained_on out.")
    return listed
