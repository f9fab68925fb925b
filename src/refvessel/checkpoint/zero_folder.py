"""What DeepSpeed's ZeRO leaves in place of one file: a folder with each process's part of the weights.

    mp_rank_00_model_states.pt                              ZeRO 1, 2: the module in the precision of training
    zero_pp_rank_R_mp_rank_00_model_states.pt               ZeRO 3: nothing but names and shapes
    [bf16_]zero_pp_rank_R_mp_rank_00_optim_states.pt        process R's part of the float32 weights

The trained weights are those of the optimizer, in float32. ZeRO 1 and 2 lay the parameters of a group end to end
and cut the whole into one part per process; ZeRO 3 cuts every parameter into one part per process. Tensors are
joined from these parts row by row as they are read: nothing is consolidated in memory or on disk.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import ceil, prod
from pathlib import Path
from typing import Any

from refvessel.checkpoint.tensors import JoinedTensor, LazyTensor, StoredTensor, contiguous_stride
from refvessel.checkpoint.torch_file import read_torch_file
from refvessel.errors import UserError

_MODEL_STATES = re.compile(r"(?:zero_pp_rank_(\d+)_)?mp_rank_(\d+)_model_states\.pt")
_OPTIMIZER_STATES = re.compile(r"(?:bf16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_optim_states\.pt")
_GROUPS = {
    "single_partition_of_fp32_groups": 2,
    "fp32_flat_groups": 3,
}  # key of the float32 parts -> ZeRO stage


def is_zero_folder(folder: Path) -> bool:
    """True where a folder holds DeepSpeed's model states."""
    return any(_MODEL_STATES.fullmatch(path.name) for path in Path(folder).iterdir())


def read_zero_folder(folder: Path) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """The files of a ZeRO folder, and what one checkpoint file would hold: `state_dict`, and `meta` if it has one.

    Raises UserError where a process's file is missing, where parts do not make whole tensors, or where the model
    itself was split (`mp_rank_01`).
    """
    folder = Path(folder)
    model_files, optimizer_files = _by_rank(folder, _MODEL_STATES), _by_rank(folder, _OPTIMIZER_STATES)
    if not model_files:
        raise UserError(f"{folder} holds no mp_rank_*_model_states.pt; give the folder that DeepSpeed wrote.")
    model_states = [_dict(read_torch_file(path), path) for path in model_files]
    first, path = model_states[0], model_files[0]
    tensors: dict[str, LazyTensor] = {}
    if optimizer_files:
        tensors = _trained(folder, first, optimizer_files)
        tensors |= _frozen(model_states, path)
        buffers = first.get("buffer_names")
        module = _dict(first.get("module"), path)
        names = buffers if isinstance(buffers, list) else []
        tensors |= {name: module[name] for name in names if isinstance(name, str) and name in module}
    elif len(model_files) == 1:
        tensors = _dict(first.get("module"), path)
    else:
        raise UserError(
            f"{folder} lacks the *_optim_states.pt, which hold the weights in ZeRO 3; copy it again."
        )
    for name, same in _dict(first.get("shared_params") or {}, path).items():
        if isinstance(same, str) and same in tensors:
            tensors[name] = tensors[same]
    content = {"state_dict": tensors} | {key: first[key] for key in ("meta",) if key in first}
    return (*model_files, *optimizer_files), content


def _by_rank(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """The files whose names match, in order of process; raises UserError unless they are those of 0 to n - 1."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if not (match := pattern.fullmatch(path.name)):
            continue
        rank = int(match[1] or 0)
        if int(match[2]) or rank in found:
            raise UserError(
                f"{folder} holds {path.name}: a model split over devices is not supported; join it first."
            )
        found[rank] = path
    if missing := sorted(set(range(len(found))) - set(found)):
        raise UserError(
            f"{folder} lacks the file of process {missing[0]} beside {found[max(found)].name}; copy it again."
        )
    return [found[rank] for rank in sorted(found)]


def _trained(folder: Path, states: dict[str, Any], files: Sequence[Path]) -> dict[str, LazyTensor]:
    """The parameters that were trained, in float32."""
    parts = [_dict(_dict(read_torch_file(path), path).get("optimizer_state_dict"), path) for path in files]
    key = next((key for key in _GROUPS if key in parts[0]), None)
    if key is None or any(key not in part for part in parts):
        raise UserError(
            f"{files[0]} holds no float32 weights; save the checkpoint with its optimizer states."
        )
    count = parts[0].get("partition_count")
    if len(files) not in (count if isinstance(count, list) else [count]):
        raise UserError(
            f"{folder} holds {len(files)} *_optim_states.pt, not those of {count} processes; copy it again."
        )
    groups = [_flat(part[key], path) for part, path in zip(parts, files, strict=True)]
    shapes = states.get("param_shapes")
    shapes = [shapes] if isinstance(shapes, dict) else shapes
    if not isinstance(shapes, list) or not all(isinstance(group, dict) for group in shapes):
        raise UserError(
            f"{folder} states no param_shapes in its model states; save it with a current DeepSpeed."
        )
    for group in shapes:
        for name, shape in group.items():
            if not isinstance(shape, tuple) or not all(type(side) is int and side > 0 for side in shape):
                raise UserError(f"{folder} states no shape for {name!r} in param_shapes; save it again.")
    try:
        if _GROUPS[key] == 2:
            return _cut_by_group(shapes, groups)
        return _cut_by_parameter({name: shape for group in shapes for name, shape in group.items()}, groups)
    except _TooShort as error:
        raise UserError(f"{folder} has fewer float32 weights than {error} needs; copy it again.") from None


class _TooShort(Exception):
    """The parts end before this parameter does."""


def _cut_by_group(
    shapes: Sequence[Mapping[str, tuple[int, ...]]], groups: Sequence[Sequence[StoredTensor]]
) -> dict[str, LazyTensor]:
    """ZeRO 1 and 2: `groups[process][group]` end to end hold the group's parameters end to end, then padding."""
    tensors: dict[str, LazyTensor] = {}
    for index, group in enumerate(shapes):
        pieces = [process[index] for process in groups if index < len(process)]
        ends = accumulate((prod(shape) for shape in group.values()), initial=0)
        for (name, shape), start in zip(group.items(), ends, strict=False):
            tensors[name] = JoinedTensor(shape, _range(pieces, start, prod(shape), name))
    return tensors


def _cut_by_parameter(
    shapes: Mapping[str, tuple[int, ...]], groups: Sequence[Sequence[StoredTensor]]
) -> dict[str, LazyTensor]:
    """ZeRO 3: every process holds, end to end, its part of every parameter; the last part is padded."""
    tensors: dict[str, LazyTensor] = {}
    start = 0
    for name, shape in shapes.items():
        part = ceil(prod(shape) / len(groups))
        pieces = [piece for process in groups for piece in _range(process, start, part, name)]
        tensors[name] = JoinedTensor(shape, tuple(pieces))
        start += part
    return tensors


def _range(pieces: Sequence[StoredTensor], start: int, count: int, name: str) -> tuple[StoredTensor, ...]:
    """`count` elements from `start` of flat tensors laid end to end."""
    found, stop, end = [], start + count, 0
    for piece in pieces:
        begin, end = end, end + piece.shape[0]
        first, last = max(start, begin), min(stop, end)
        if first < last:
            found.append(_slice(piece, first - begin, last - first))
    if end < stop:
        raise _TooShort(name)
    return tuple(found)


def _slice(piece: StoredTensor, first: int, count: int) -> StoredTensor:
    return StoredTensor(piece.path, piece.start + first * piece.dtype.itemsize, piece.dtype, (count,), (1,))


def _frozen(states: Sequence[dict[str, Any]], path: Path) -> dict[str, LazyTensor]:
    """Parameters that were not trained: whole in ZeRO 1 and 2, one part per process in ZeRO 3."""
    shapes = states[0].get("frozen_param_shapes") or {}
    fragments = [state.get("frozen_param_fragments") or {} for state in states]
    tensors: dict[str, LazyTensor] = {}
    for name, shape in _dict(shapes, path).items():
        pieces = [each.get(name) for each in fragments]
        flat = [
            _flattened(piece) for piece in pieces if isinstance(piece, StoredTensor) and _is_row_major(piece)
        ]
        whole = len(flat) == len(pieces) and isinstance(shape, tuple)
        if not whole or sum(piece.shape[0] for piece in flat) < prod(shape):
            raise UserError(f"{path} does not hold the whole of the frozen {name}; copy the folder again.")
        tensors[name] = JoinedTensor(shape, tuple(flat))
    return tensors


def _is_row_major(tensor: StoredTensor) -> bool:
    return tensor.stride == contiguous_stride(tensor.shape)


def _flattened(tensor: StoredTensor) -> StoredTensor:
    """A row-major tensor as one row of elements."""
    return _slice(tensor, 0, prod(tensor.shape))


def _flat(groups: Any, path: Path) -> list[StoredTensor]:
    groups = [groups] if isinstance(groups, StoredTensor) else groups
    flat = isinstance(groups, list) and all(
        isinstance(group, StoredTensor) and len(group.shape) == 1 and group.stride == (1,) for group in groups
    )
    if not flat:
        raise UserError(
            f"{path} holds its float32 weights in an unknown form; save it with a current DeepSpeed."
        )
    return groups


def _dict(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{path} is not laid out as DeepSpeed's states are; copy it again.")
    return value
