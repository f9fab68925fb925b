"""Which tensors differ between two checkpoints, and by how much."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path

import torch

from refvessel.checkpoint.contents import read_contents
from refvessel.checkpoint.tensors import LazyTensor, row_blocks
from refvessel.checkpoint.text_table import module_pattern, text_table
from refvessel.errors import UserError

_ROWS_SHOWN = 18  # so that a comparison fits into a terminal of 24 lines


@dataclass(frozen=True)
class Difference:
    """How one tensor of A differs from that of the same official name in B.

    greatest: of all elements, |A - B|; relative: |A - B| / |A| (Frobenius norms, inf where only A is zero);
    note: what else differs (only in A, only in B, shapes or dtypes), empty where the values alone do.
    """

    name: str
    greatest: float
    relative: float
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """All differences of two checkpoints, and how many tensors there are in either."""

    differences: tuple[Difference, ...]
    names: tuple[str, ...]

    def text(self) -> str:
        """One screen: the differing modules, the most different first."""
        differing = len(self.differences)
        head = f"{differing} of {len(self.names)} tensors differ"
        if not differing:
            return f"{head}: the checkpoints hold the same."
        totals: dict[str, int] = defaultdict(int)
        for name in self.names:
            totals[module_pattern(name)] += 1
        groups: dict[str, list[Difference]] = defaultdict(list)
        for difference in self.differences:
            groups[module_pattern(difference.name)].append(difference)
        ordered = sorted(groups.items(), key=lambda item: -max(each.relative for each in item[1]))
        rows = [_row(group, totals[pattern]) for pattern, group in ordered[:_ROWS_SHOWN]]
        lines = [head, *text_table(("differ", "max |A-B|", "|A-B|/|A|", "most different tensor"), rows)]
        if rest := ordered[_ROWS_SHOWN:]:
            tensors = sum(len(group) for _, group in rest)
            lines.append(f"and {len(rest)} more modules with {tensors} differing tensors")
        return "\n".join(lines)


def compare_checkpoints(a: Path, b: Path) -> Comparison:
    """Compare two folders or files by official tensor names, a few rows at a time.

    Raises UserError where one of them cannot be read, or where they have no tensor in common.
    """
    one, other = _tensors(a), _tensors(b)
    if not one.keys() & other.keys():
        raise UserError(f"{a} and {b} have no tensor in common; give two checkpoints of one kind of model.")
    names = sorted(one.keys() | other.keys())
    found = (_difference(name, one.get(name), other.get(name)) for name in names)
    return Comparison(tuple(each for each in found if each), tuple(names))


def _tensors(path: Path) -> dict[str, LazyTensor]:
    contents = read_contents(path)
    return {contents.official[name]: tensor for name, tensor in contents.tensors.items()}


def _difference(name: str, a: LazyTensor | None, b: LazyTensor | None) -> Difference | None:
    if a is None or b is None:
        return Difference(name, inf, inf, "only in A" if b is None else "only in B")
    if a.shape != b.shape:
        return Difference(name, inf, inf, f"{list(a.shape)} in A, {list(b.shape)} in B")
    note = "" if a.dtype == b.dtype else f"{a.dtype} in A, {b.dtype} in B".replace("torch.", "")
    greatest = squared = norm = 0.0
    for start, stop in row_blocks(a.shape):
        left, right = a.rows(start, stop).double(), b.rows(start, stop).double()
        norm += left.square().sum().item()
        if not torch.equal(left, right):
            same = (left == right) | (left.isnan() & right.isnan())
            # A NaN or an infinity on one side only is a difference without measure.
            gap = (left - right).abs().nan_to_num(nan=inf).masked_fill(same, 0.0)
            greatest = max(greatest, gap.max().item())
            squared += gap.square().sum().item()
    if not squared and not note:
        return None
    relative = sqrt(squared / norm) if norm else (inf if squared else 0.0)
    return Difference(name, greatest, relative, note)


def _row(group: Sequence[Difference], total: int) -> tuple[str, str, str, str]:
    worst = max(group, key=lambda each: each.relative)
    name = f"{worst.name} ({worst.note})" if worst.note else worst.name
    return f"{len(group)} of {total}", f"{worst.greatest:.3g}", f"{worst.relative:.3g}", name
