"""`refs(unc).p`: a pickled list of dicts, written the same to the byte, read without running anything."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any, NoReturn

from refvessel.errors import UserError

PROTOCOL = 2  # the official file's


class _PlainUnpickler(pickle.Unpickler):
    """Containers, numbers and text: these need no class, and a pickle that names one is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read_refs(path: Path) -> list[Any]:
    """The list in a `refs(unc).p`; raises UserError where it is absent, damaged or holds more than plain data."""
    try:
        with Path(path).open("rb") as stream:
            refs = _PlainUnpickler(stream).load()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the path.") from None
    # The bytes are untrusted, and the unpickler answers damaged ones with nearly any exception.
    except Exception as error:
        raise UserError(f"{path} is not a pickle of plain data ({error}); replace the file.") from None
    if not isinstance(refs, list):
        raise UserError(f"{path} holds {type(refs).__name__}, not a list of refs; replace the file.")
    return refs


def write_refs(path: Path, refs: list[dict[str, Any]]) -> None:
    """Pickle JSON-like refs."""
    # A pickle stores an object once and refers back to it: equal texts that are or are not one object give other
    # bytes. Through JSON every key is one object and every value its own, whatever made the refs.
    plain = [json.loads(json.dumps(ref), object_pairs_hook=_with_known_keys) for ref in refs]
    with Path(path).open("wb") as stream:
        pickle.dump(plain, stream, protocol=PROTOCOL)


def _with_known_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(key): value for key, value in pairs}
