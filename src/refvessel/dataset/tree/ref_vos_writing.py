"""The Ref-VOS layout of a tree's runs, as it is written; `ref_vos` reads it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any

from refvessel.dataset.tree.ref_vos import (
    FRAME_TABLE,
    FRAMES,
    MASK_DICT,
    META_EXPRESSIONS,
    FrameTable,
    TreeFrame,
    write_frame_table,
)
from refvessel.dataset.tree.run_folders import folder_of_split
from refvessel.files import write_json
from refvessel.rle import RLE

_DIGITS = 5  # of a frame's name: zeros in front make text order the order of the frames


def frame_name(index: int) -> str:
    """The name of a run's frame number `index`, from 0."""
    return f"{index:0{_DIGITS}d}"


def frame_file(root: Path, split: str, video: str, index: int, suffix: str) -> Path:
    """Where the image of a frame lies in the tree at `root`."""
    return folder_of_split(root, split) / FRAMES / video / f"{frame_name(index)}{suffix}"


class RefVosWriter:
    """Adds runs to the files of a split; their frames' images are there already."""

    def __init__(self, masks: IO[str]) -> None:
        self.videos: dict[str, Any] = {}
        self.table: FrameTable = {}
        self._masks, self._numbers = masks, count(1)

    def add(
        self,
        video: str,
        *,
        frames: int,
        size: tuple[int, int],
        truths: Mapping[str, Sequence[RLE | None]],
        places: Mapping[str, Mapping[int, TreeFrame]],
    ) -> None:
        """Add a run and an expression for each phrase.

        Args:
            video: its name.
            frames: how many there are.
            size: (width, height) of each, in pixels.
            truths: by phrase, one mask per frame, None where it is not annotated.
            places: by phrase and the annotated frames' numbers, what they are in the RefCOCO tree.
        """
        width, height = size
        expressions = {}
        for number, (phrase, masks) in enumerate(truths.items()):
            annotation = next(self._numbers)
            self._masks.write(f"{',' if annotation > 1 else ''}\n{json.dumps(str(annotation))}: ")
            json.dump(list(masks), self._masks)
            expressions[str(number)] = {"exp": phrase, "anno_id": [annotation]}
        self.videos[video] = {
            "frames": [frame_name(index) for index in range(frames)],
            "height": height,
            "width": width,
            "expressions": expressions,
        }
        self.table[video] = {
            str(number): {frame_name(index): place for index, place in places[phrase].items()}
            for number, phrase in enumerate(truths)
        }


@contextmanager
def ref_vos_writer(folder: Path) -> Iterator[RefVosWriter]:
    """A writer of the files of one split, which lie in `folder`; the masks of one run at a time are in memory."""
    with (folder / MASK_DICT).open("w", encoding="utf-8") as masks:
        masks.write("{")
        writer = RefVosWriter(masks)
        yield writer
        masks.write("}\n")
    write_json(folder / META_EXPRESSIONS, {"videos": writer.videos})
    write_frame_table(folder / FRAME_TABLE, writer.table)
