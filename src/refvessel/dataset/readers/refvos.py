"""The official Ref-VOS layout as data: one record per frame, the phrases of its video as labels.

`meta_expressions.json`, `mask_dict.json` and `JPEGImages/VIDEO/FRAME.jpg|png` (see `tree.ref_vos`) lie in the
root or, of several splits, in folders that are called like these. A mask that is null says that nothing is shown,
as the official scorers take it; where a `frames.json` of ours lies beside, the frames that it does not name are
not annotated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from refvessel.dataset.fields import require
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record
from refvessel.dataset.readers.source_files import locate
from refvessel.dataset.regions.shapes import Region, Runs
from refvessel.dataset.tree.ref_vos import (
    FRAME_TABLE,
    MASK_DICT,
    META_EXPRESSIONS,
    FrameTable,
    Video,
    VideoExpression,
    VideoFiles,
    locate_frames,
    read_frame_table,
    read_mask_dict,
    read_videos,
)
from refvessel.errors import UserError
from refvessel.rle import RLE, area


def read(root: Path, problems: Problems, *, splits: Mapping[str, str] | None = None) -> Iterator[Record]:
    """Yield a record for every frame, video by video; `splits` says what the names of splits' folders mean."""
    for folder, split in _folders(root, splits):
        for file in (META_EXPRESSIONS, MASK_DICT, FRAME_TABLE):
            locate(root, folder, str(file), f"{folder}: the file")
        videos = locate_frames(folder, read_videos(folder / META_EXPRESSIONS))
        if not (folder / MASK_DICT).is_file():
            raise UserError(f"{folder} has no {MASK_DICT}, which holds the truths; put it there.")
        truths = _Truths(folder, split)
        for files in videos:
            with problems.collect():
                yield from truths.records(root, files)
            if problems.enough:
                return


def _folders(root: Path, splits: Mapping[str, str] | None) -> list[tuple[Path, str | None]]:
    """The folders of the layout, each with its split; one without where the root is the only one."""
    if (root / META_EXPRESSIONS).is_file():
        return [(root, None)]
    found = sorted(path.parent for path in root.glob(f"*/{META_EXPRESSIONS}"))
    if not found:
        raise UserError(f"{root} has no {META_EXPRESSIONS}, nor has a folder in it; name the one that has.")
    names = {folder: folder.name for folder in found}
    if splits is not None:
        names = {folder: require(splits, name, str, "The option splits") for folder, name in names.items()}
    return [(folder, names[folder]) for folder in found]


@dataclass(frozen=True)
class _Truths:
    """The truths of one folder of the layout."""

    folder: Path
    split: str | None

    @cached_property
    def _masks(self) -> dict[str, list[RLE | None]]:
        return read_mask_dict(self.folder / MASK_DICT)

    @cached_property
    def _table(self) -> FrameTable | None:
        table = self.folder / FRAME_TABLE
        return read_frame_table(table) if table.is_file() else None

    def records(self, root: Path, files: VideoFiles) -> Iterator[Record]:
        video = files.video
        masks = {each.id: self._masks_of(files, each) for each in video.expressions}
        for index, (frame, path) in enumerate(zip(video.frames, files.paths, strict=True)):
            where = f"{self.folder / MASK_DICT}: video {video.name}, frame {frame}"
            asked = [each for each in video.expressions if self._is_annotated(video, each, frame)]
            regions = tuple(
                _region(each, [of_frame[index] for of_frame in masks[each.id]], where) for each in asked
            )
            name = path.relative_to(root).as_posix()
            yield Record(
                name=name,
                path=locate(root, root, name, f"{root}: the frame"),
                annotation=self.folder / MASK_DICT if asked else None,
                also_read=(self.folder / META_EXPRESSIONS,),
                where=where,
                regions=regions,
                stated_size=(files.width, files.height),
                frame=index,
                sequence=path.parent.relative_to(root).as_posix(),
                split=self.split,
            )

    def _is_annotated(self, video: Video, expression: VideoExpression, frame: str) -> bool:
        if self._table is None:
            return bool(expression.annotations)
        return frame in self._table.get(video.name, {}).get(expression.id, {})

    def _masks_of(self, files: VideoFiles, expression: VideoExpression) -> list[Sequence[RLE | None]]:
        """The masks of each of an expression's annotations, one per frame and of its size."""
        video, size = files.video, [files.height, files.width]
        found: list[Sequence[RLE | None]] = []
        for annotation in expression.annotations:
            masks = self._masks.get(annotation)
            if masks is None or len(masks) != len(video.frames):
                has = "no annotation" if masks is None else f"{len(masks)} masks in the annotation"
                raise UserError(
                    f"{self.folder / MASK_DICT} has {has} {annotation!r:.80} of video {video.name}, which has "
                    f"{len(video.frames)} frames; correct it."
                )
            for frame, mask in zip(video.frames, masks, strict=True):
                if mask is not None and list(mask["size"]) != size:  # an empty one is drawn nowhere
                    raise UserError(
                        f"{self.folder / MASK_DICT}: annotation {annotation!r:.80}: the mask of frame {frame} is "
                        f"of size {list(mask['size'])}, the frames of video {video.name} of {size}; correct it."
                    )
            found.append(masks)
        return found


def _region(expression: VideoExpression, masks: Sequence[RLE | None], where: str) -> Region:
    """What an expression means on a frame; without shapes where nothing of it is shown."""
    shown = tuple(Runs(mask) for mask in masks if mask is not None and area(mask))
    return Region(expression.text.strip(), shown, f"{where}, expression {expression.id}")
