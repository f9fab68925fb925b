"""Reading what `torch.save` writes, without trusting it.

A `.pt` or `.pth` file is a zip archive of uncompressed records: `NAME/data.pkl`, a pickle of the object tree, and
`NAME/data/KEY`, the bytes of each tensor storage. The pickle runs on a machine that calls nothing (see `pickles`),
tensors become `StoredTensor`s, and nothing is ever extracted.
"""

import struct
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from refvessel.checkpoint.pickles import Inert, UnreadablePickle, load, require_walkable
from refvessel.checkpoint.tensors import StoredTensor, span
from refvessel.errors import UserError
from refvessel.files import require_content

_STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then the lengths of the name and of the extra field
_ENCRYPTED = 0x1
_DIMENSIONS = 64  # torch's own limit
_PROGRAM = 1 << 30  # bytes of a pickle; those of training with long histories have some ten million


@dataclass(frozen=True)
class _Storage:
    start: int  # byte offset in the file
    dtype: torch.dtype
    count: int  # elements


def read_torch_file(path: Path) -> Any:
    """The object tree of a torch zip file: plain containers, numbers, text, `StoredTensor` and `Inert`.

    Raises UserError where the file is missing, is no such archive (legacy, truncated, compressed, encrypted, with
    names that leave it), where its pickle is malformed, or where a tensor needs more bytes than its record has.
    """
    path = Path(path)
    records = _records(path)
    root = next(
        (
            name.removesuffix("/data.pkl")
            for name in records
            if name.count("/") == 1 and name.endswith("/data.pkl")
        ),
        None,
    )
    if root is None:
        raise UserError(f"{path} is a zip archive without data.pkl; give a file that torch.save wrote.")
    start, size = records[f"{root}/data.pkl"]
    if size > _PROGRAM:
        raise UserError(f"{path} has a pickle of {size} bytes, more than {_PROGRAM}; save the weights alone.")
    with path.open("rb") as file:
        if f"{root}/byteorder" in records:
            file.seek(records[f"{root}/byteorder"][0])
            if file.read(6) != b"little":
                raise UserError(f"{path} is not little-endian; save it again on a little-endian machine.")
        file.seek(start)
        program = file.read(size)

    def storage(identifier: Any) -> _Storage:
        """A persistent id: ("storage", storage class, key, device, number of elements)."""
        match identifier:
            case ("storage", Inert(origin), str(key), _, int(count)) if count >= 0:
                pass
            case _:
                raise UserError(
                    f"{path} refers to a storage in an unknown form; save it again with a current PyTorch."
                )
        if origin not in _STORAGES:
            raise UserError(
                f"{path} holds a tensor of the unsupported kind {origin}; save it as float32 or bfloat16."
            )
        dtype = _STORAGES[origin]
        if f"{root}/data/{key}" not in records:
            raise UserError(f"{path} lacks the record {root}/data/{key} of a tensor; copy or save it again.")
        start, size = records[f"{root}/data/{key}"]
        if size < count * dtype.itemsize:
            raise UserError(
                f"{path} has {size} bytes in the record {root}/data/{key} where its tensor needs "
                f"{count * dtype.itemsize}; copy or save it again."
            )
        return _Storage(start, dtype, count)

    def tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
        """`torch._utils._rebuild_tensor_v2`; offset and stride count elements."""
        sizes = _is_short(shape) and _is_short(stride) and len(shape) == len(stride)
        if not (isinstance(storage, _Storage) and sizes and all(map(_is_size, (offset, *shape, *stride)))):
            raise UserError(
                f"{path} describes a tensor in an unknown form; save it again with a current PyTorch."
            )
        # A stride of 0 repeats elements: a few bytes could then pose as terabytes.
        stored = max(span(shape, stride), prod(shape))
        if offset + stored > storage.count:
            raise UserError(
                f"{path} describes a tensor of shape {list(shape)} that needs {offset + stored} elements of a "
                f"storage that has {storage.count}; copy or save it again."
            )
        return StoredTensor(
            path, storage.start + offset * storage.dtype.itemsize, storage.dtype, shape, stride
        )

    calls: dict[str, Callable[..., Any]] = {
        "collections.OrderedDict": _ordered_dict,
        "torch.Size": _size,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_parameter": lambda data, *_: data,
    }
    try:
        tree = load(program, calls=calls, persistent=storage)
        require_walkable(tree)
        return tree
    except UnreadablePickle as error:
        raise UserError(
            f"{path} holds a pickle that cannot be read ({error}); copy or save it again."
        ) from None


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _is_short(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= _DIMENSIONS


def _size(numbers: Any = ()) -> tuple[Any, ...]:
    """`torch.Size`; the length is bounded, since a program can ask for the same long one a million times."""
    if not isinstance(numbers, list | tuple) or len(numbers) > _DIMENSIONS:
        raise ValueError(f"it has a size of more than {_DIMENSIONS} dimensions")
    return tuple(numbers)


def _ordered_dict() -> dict[Any, Any]:
    return {}


def _records(path: Path) -> dict[str, tuple[int, int]]:
    """Name -> (byte offset, size) of every record; raises UserError unless each is stored inside the file."""
    wrong = f"{path} is not a checkpoint in torch's zip format"
    remedy = "copy it again, or load it with torch and save it with a current PyTorch"
    if not path.is_file():
        raise UserError(f"{path} is not a file; check the path.")
    try:
        require_content(path)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
        raise UserError(f"{wrong} ({error}); {remedy}.") from None
    doubles = [name for name, count in Counter(entry.filename for entry in entries).items() if count > 1]
    if doubles:
        raise UserError(f"{wrong}: it has two records named {doubles[0]!r}; {remedy}.")
    end = path.stat().st_size
    records = {}
    with path.open("rb") as file:
        for entry in entries:
            name = entry.filename
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
                raise UserError(f"{wrong}: the record name {name!r} leaves the archive; {remedy}.")
            if (
                entry.compress_type != zipfile.ZIP_STORED
                or entry.flag_bits & _ENCRYPTED
                or entry.compress_size != entry.file_size
            ):
                raise UserError(f"{wrong}: the record {name!r} is compressed or encrypted; {remedy}.")
            file.seek(max(0, entry.header_offset))
            header = file.read(_LOCAL_HEADER.size)
            if (
                entry.header_offset < 0
                or len(header) < _LOCAL_HEADER.size
                or not header.startswith(b"PK\3\4")
            ):
                raise UserError(f"{wrong}: the record {name!r} has no header; {remedy}.")
            _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
            start = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
            if start + entry.file_size > end:
                raise UserError(f"{wrong}: the record {name!r} reaches beyond its end; {remedy}.")
            records[name] = (start, entry.file_size)
    return records
