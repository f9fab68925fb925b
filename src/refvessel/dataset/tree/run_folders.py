"""The folders of a tree's runs, one per split, each in the Ref-VOS layout."""

from pathlib import Path

from refvessel.dataset.tree.expressions import selected_splits
from refvessel.dataset.tree.layout import REF_VOS
from refvessel.dataset.tree.ref_vos import META_EXPRESSIONS
from refvessel.errors import UserError


def folder_of_split(root: Path, split: str) -> Path:
    """The folder of one split of the tree at `root`."""
    return root / REF_VOS / split


def folders_of_runs(root: Path, split: str) -> list[Path]:
    """The folders that an evaluation of `split` takes, selected as the splits of expressions are.

    Raises UserError where the tree has no runs in it.
    """
    names = {path.parent.name for path in (Path(root) / REF_VOS).glob(f"*/{META_EXPRESSIONS}")}
    found = [folder_of_split(Path(root), name) for name in sorted(selected_splits(split, names))]
    if not found:
        raise UserError(
            f"{root} has no runs in the split {split!r}; say in the data set's setting sequences how they are "
            "recognised."
        )
    return found
