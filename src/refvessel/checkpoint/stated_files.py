"""The files of weights that a training configuration says were loaded."""

import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from refvessel.errors import UserError

_FILE = re.compile(r"\.(pth|pt|ckpt|bin|safetensors)$", re.IGNORECASE)
_SAM2 = re.compile(r"^sam[._-]?2|hiera", re.IGNORECASE)
_SAM2_SETTINGS = re.compile(r"\.ya?ml$", re.IGNORECASE)
_BASE_KEYS = frozenset({"model_path", "model_name_or_path", "pretrained_model_name_or_path"})
_PRETRAINED_KEYS = frozenset(
    {
        "pretrained_pth",
        "pretrained",
        "pretrained_path",
        "pretrained_ckpt",
        "pretrained_checkpoint",
        "checkpoint",
    }
    | {"checkpoint_path", "ckpt", "ckpt_path", "init_ckpt", "load_from", "resume_from"}
)
_DEEPEST = 64  # nested containers; real ones have five
_SAYS_NOTHING = frozenset({"", "none", "null"})


@dataclass(frozen=True)
class Unknown:
    """An expression of the configuration that is no literal, as its text."""

    text: str

    def __str__(self) -> str:
        return reprlib.repr(self.text)[1:-1]


class Role(StrEnum):
    """Which layer a file is."""

    BASE = "base_mllm"
    SAM2 = "sam2"
    PRETRAINED = "pretrained"


@dataclass(frozen=True)
class StatedFile:
    """A file or folder of weights that training says it loaded.

    `key` is the setting's place, e.g. model.pretrained_pth; `path` its value, or an expression's text; `resumed`
    says that training went on from it, and so saved anew all that it had trained.
    """

    role: Role
    key: str
    path: str
    resumed: bool = False

    @property
    def name(self) -> str:
        """The last part of the path, which alone is comparable: folders are moved."""
        return last_part(self.path)


def last_part(path: str) -> str:
    """The last part of a path, be it of POSIX or of Windows."""
    return PurePosixPath(path.replace("\\", "/")).name


def stated_files(settings: Mapping[str, Any], where: str) -> Iterator[StatedFile]:
    """The files that a configuration's assignments state: at any depth of `model`, and mmengine's `load_from`.

    Raises UserError, naming the file `where`, for a configuration that is nested too deeply to be one.
    """
    resumed = settings.get("resume") is True
    for key in ("load_from", "resume_from"):
        if (path := _path(settings.get(key))) is not None:
            yield StatedFile(Role.PRETRAINED, key, path, resumed or key == "resume_from")
    for places, value in _leaves(settings.get("model"), where):
        role = _role(places, value)
        if role is not None and (path := _path(value)) is not None:
            yield StatedFile(role, ".".join(("model", *places)), path)


def _leaves(tree: Any, where: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys and value of every leaf; a container that several names share is entered once, however deep it lies."""
    entered: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while waiting:
        places, value = waiting.pop()
        if not isinstance(value, dict | list | tuple):
            yield places, value
        elif len(places) > _DEEPEST:
            raise UserError(
                f"{where} has a training config nested more than {_DEEPEST} deep; check the file."
            )
        elif id(value) not in entered:
            entered.add(id(value))
            items = list(value.items() if isinstance(value, dict) else enumerate(value))
            waiting += [((*places, str(key)), each) for key, each in reversed(items)]


def _role(places: tuple[str, ...], value: Any) -> Role | None:
    key = places[-1] if places else ""
    if not isinstance(value, str):
        return Role.PRETRAINED if isinstance(value, Unknown) and key in _PRETRAINED_KEYS else None
    is_file = bool(_FILE.search(value))
    if _SAM2.search(last_part(value)) and (is_file or _SAM2_SETTINGS.search(value)):
        return Role.SAM2
    if "grounding_encoder" in places and is_file and key != "pretrained_pth":
        return Role.SAM2
    if key in _BASE_KEYS and not is_file:
        return Role.BASE
    return Role.PRETRAINED if is_file or key in _PRETRAINED_KEYS else None


def _path(value: Any) -> str | None:
    if isinstance(value, Unknown):
        return value.text
    return value if isinstance(value, str) and value.strip().lower() not in _SAYS_NOTHING else None
