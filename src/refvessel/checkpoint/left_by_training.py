"""The checkpoints that training has left so far in its work folder, as mmengine and DeepSpeed lay them there.

    iter_500.pth, epoch_2.pth        a file each
    iter_500, iter_500.pth           or a folder of DeepSpeed's
    last_checkpoint                  mmengine's, written behind each: the path of the newest that is whole

What is still being written is not taken: it is neither named there nor does its state stay the same.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from refvessel.checkpoint.contents import read_contents
from refvessel.errors import UserError

_NAME = re.compile(r"(iter|epoch)_(\d+)(?:\.pth)?")
_LAST = "last_checkpoint"
_SECONDS_OF_REST = 60  # after which nobody is still writing


@dataclass(frozen=True, order=True)
class Left:
    """A checkpoint in a work folder.

    step: after which it was written.
    kind: of the step, iter or epoch.
    path: file or folder.
    state: names, sizes and times of all its files, which differ while it is being written.
    """

    step: int
    kind: str
    path: Path
    state: str

    @property
    def name(self) -> str:
        """Such as iter_500."""
        return f"{self.kind}_{self.step}"


def left_by_training(folder: Path) -> list[Left]:
    """The checkpoints in a work folder by their steps, also those that are still being written.

    Raises UserError where it is no folder, and where steps are of two kinds or one has two checkpoints.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the work folder of a training run.")
    found = []
    for path in folder.iterdir():
        if match := _NAME.fullmatch(path.name):
            found.append(Left(int(match[2]), match[1], path, _state(path)))
    kinds = {each.kind for each in found}
    if len(kinds) > 1:
        raise UserError(
            f"{folder} holds checkpoints by iterations and by epochs, which share no axis; move those of one kind "
            "to another folder."
        )
    if twice := [
        step for step in {each.step for each in found} if sum(each.step == step for each in found) > 1
    ]:
        raise UserError(f"{folder} holds two checkpoints of {kinds.pop()} {min(twice)}; move one away.")
    return sorted(found)


def is_settled(left: Left, earlier: str | None) -> bool:
    """Whether nobody writes to a checkpoint any more.

    Args:
        left: the checkpoint.
        earlier: its state at an earlier look, some seconds ago; None: there was none.
    """
    if left.state == earlier:
        return True
    newest = max((each.stat().st_mtime for each in _files(left.path)), default=time.time())
    return _is_named(left) or time.time() - newest > _SECONDS_OF_REST


def require_whole(left: Left) -> None:
    """Raise UserError where a checkpoint cannot be read as one: nothing of its tensors is loaded."""
    read_contents(left.path)


def _is_named(left: Left) -> bool:
    """Whether mmengine says that this checkpoint, or a later one, is whole."""
    last = left.path.parent / _LAST
    named = _NAME.fullmatch(Path(last.read_text("utf-8").strip()).name) if last.is_file() else None
    return named is not None and named[1] == left.kind and left.step <= int(named[2])


def _files(path: Path) -> list[Path]:
    return sorted(each for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())


def _state(path: Path) -> str:
    states = [(str(each.relative_to(path.parent)), each.stat()) for each in _files(path)]
    return "; ".join(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)
