"""Names that identify nobody: keyed hashes (HMAC-SHA256) of patients and images.

The same key gives the same pseudonyms again; without the key they cannot be traced back by hashing guessed names.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path, PurePosixPath

from refvessel.errors import UserError

_KEY_BYTES = 32
_DIGITS = 10  # hexadecimal digits of a pseudonym: 40 bits


def read_or_create_key(path: Path) -> bytes:
    """The secret key of `path`: 64 hexadecimal digits in a file that its owner alone can read; made where absent.

    Raises UserError where others may read the file or it holds no key.
    """
    path = Path(path)
    if not path.exists():
        _create_key(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise UserError(f"{path} can be read by others; run `chmod 600` on it, or remove it for a new key.")
    text = path.read_text("ascii", errors="replace").strip()
    if not re.fullmatch(rf"[0-9a-f]{{{2 * _KEY_BYTES}}}", text):
        raise UserError(
            f"{path} does not hold a key of {2 * _KEY_BYTES} hexadecimal digits; restore or remove it."
        )
    return bytes.fromhex(text)


def _create_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        # A link, unlike a rename, never replaces the key that another job made meanwhile.
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()


class Pseudonyms:
    """Pseudonyms under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def patient(self, patient: str) -> str:
        """`p` and ten hexadecimal digits."""
        return "p" + self._digits("patient", patient)

    def image(self, name: str, patient: str) -> str:
        """The patient's pseudonym, `_` and ten hexadecimal digits of the image's name."""
        return f"{self.patient(patient)}_{self._digits('image', name)}"

    def sequence(self, name: str, patient: str) -> str:
        """As of an image that is called as the run is."""
        return self.image(f"{name}/", patient)

    def name_table(self, content: str) -> str:
        """Ten hexadecimal digits that tell a table of names from others, and nothing of the names."""
        return self._digits("name table", content)

    def _digits(self, kind: str, identifier: str) -> str:
        message = f"{kind}\0{identifier}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_DIGITS]


class OriginalNames:
    """The names as they are, made safe for files: the stand-in for pseudonyms where none are wanted."""

    def patient(self, patient: str) -> str:
        """The patient as the file name tells it."""
        return patient

    def image(self, name: str, patient: str) -> str:  # noqa: ARG002 (the signature of Pseudonyms)
        """The relative path without suffix, `__` for `/`, `_` for what is neither letter, digit, `.` nor `-`."""
        return _safe(PurePosixPath(name).with_suffix("").as_posix())

    def sequence(self, name: str, patient: str) -> str:
        """Patient and run, since several patients may have a run of one name; made safe as an image's name is."""
        return _safe(f"{patient}/{name}")


def _safe(path: str) -> str:
    return re.sub(r"[^\w.-]", "_", path.replace("/", "__"))
