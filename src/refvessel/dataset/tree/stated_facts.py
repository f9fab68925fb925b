"""What a tree's dataset.json says of all its numbers: whether there is a truth, and of whom."""

from pathlib import Path
from typing import Any, NamedTuple

from refvessel.dataset.tree.expressions import selected_splits
from refvessel.dataset.tree.layout import DATASET
from refvessel.files import read_json
from refvessel.settings.dataset_section import Target

TRUTH = "truth"  # false where nobody knows what is right
TARGET = "target"  # what an expression asks for
FIRST_LOOK = "first_look"  # split -> patients, and of how many, where not all were converted


class FirstLook(NamedTuple):
    """How many patients of a split are in the tree, and how many the data have."""

    patients: int
    of: int


def has_truth(root: Path) -> bool:
    """False for a tree of images without annotations, whose masks are all empty and mean nothing."""
    return _described(root).get(TRUTH) is not False


def asks_for_regions(root: Path) -> bool:
    """True where each expression asks for one region of several of its phrase."""
    target: Target = "region"
    return _described(root).get(TARGET) == target


def first_look(root: Path, split: str) -> FirstLook | None:
    """How much of a split is in the tree; None where it is all, and for a tree of others."""
    described = _described(root)
    splits, limited = described.get("splits") or {}, described.get(FIRST_LOOK) or {}
    selected = selected_splits(split, set(splits))
    if not selected & limited.keys():
        return None
    whole = [{"patients": len(splits[name]), "of": len(splits[name])} for name in selected - limited.keys()]
    counts = [*whole, *(limited[name] for name in selected & limited.keys())]
    return FirstLook(sum(each["patients"] for each in counts), sum(each["of"] for each in counts))


def _described(root: Path) -> dict[str, Any]:
    path = Path(root) / DATASET
    described = read_json(path) if path.is_file() else {}
    return described if isinstance(described, dict) else {}
