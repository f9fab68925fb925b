"""The overlays of a sequence as one animated WebP."""

from collections.abc import Sequence
from pathlib import Path

from refvessel.image_files import decode_file

SUFFIX = ".webp"
_MILLISECONDS = 67  # of a frame: 15 frames per second, as most angiograms are filmed
_QUALITY = 80  # of a lossy WebP, of 100


def write_animation_of(frames: Sequence[Path], target: Path) -> None:
    """Write frames as an animation that repeats, in the size of the first; one frame at a time is in memory."""
    target.parent.mkdir(parents=True, exist_ok=True)
    first = decode_file(frames[0])
    first.save(
        target,
        save_all=True,
        append_images=[_Frame(path, first.size) for path in frames[1:]],
        duration=_MILLISECONDS,
        loop=0,
        quality=_QUALITY,
    )


class _Frame:
    """A frame as Pillow takes it, whose pixels are in memory only while they are encoded."""

    n_frames, mode = 1, "RGB"

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self._path = path
        self._size = size

    def seek(self, frame: int) -> None:
        """To the only one."""

    def getim(self) -> object:
        """The pixels, in the size of the first frame."""
        shown = decode_file(self._path).convert(self.mode)
        return (shown if shown.size == self._size else shown.resize(self._size)).getim()
