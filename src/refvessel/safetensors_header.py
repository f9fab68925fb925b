"""What a safetensors file says before its data.

The length of its header (8 bytes, little-endian), and the header (JSON: tensor name -> dtype, shape, and its
offsets into the data, which follow).
"""

import json
import struct
from pathlib import Path
from typing import NamedTuple

LENGTH = struct.Struct("<Q")
METADATA = "__metadata__"  # an entry of the header that is no tensor


class StatedTensor(NamedTuple):
    """What a header says of a tensor.

    dtype: as the format names it, such as BF16.
    shape: of the tensor.
    begin: its first byte in the file.
    end: the byte behind it.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(path: Path) -> dict[str, StatedTensor]:
    """What the header says of each tensor, by name, in its order; nothing is checked against the data.

    Raises ValueError where it is none.
    """
    with Path(path).open("rb") as stream:
        length = int.from_bytes(stream.read(LENGTH.size), "little")
        if length > Path(path).stat().st_size:
            raise ValueError("its header is longer than the file")
        text = stream.read(length)
    data = LENGTH.size + length
    try:
        return {
            name: StatedTensor(
                entry["dtype"],
                tuple(entry["shape"]),
                *(data + offset for offset in entry["data_offsets"][:2]),
            )
            for name, entry in json.loads(text).items()
            if name != METADATA
        }
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its header is malformed: {error}") from None
