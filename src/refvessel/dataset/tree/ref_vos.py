"""The official Ref-VOS layout: videos, their frames, and what is asked about them.

meta_expressions.json         {"videos": {VIDEO: {"frames": [FRAME, ...], "height": ..., "width": ...,
                               "expressions": {ID: {"exp": ..., "anno_id": [...]}}}}}
mask_dict.json                the truths: {anno_id: [RLE or null, one per frame]}
JPEGImages/VIDEO/FRAME.jpg    or .png, .jpeg, in any case; a video's name may hold folders, a frame's may not
frames.json                   ours: which expression of the RefCOCO tree a frame is

Height, width and anno_id may be absent, and keys that are not named here are passed over. Frames are taken in the
order of the file, in which the official scorers take masks. The official inference sorts their names as text: in
another order where they are not zero-padded (`in_text_order`), and its masks are scored against other frames.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import Any

from refvessel.dataset.fields import of_kind, optional_size, require, shown
from refvessel.dataset.problems import Problems
from refvessel.dataset.spellings import spellings
from refvessel.errors import UserError
from refvessel.files import read_json, unreadable_is_a_user_error, write_json
from refvessel.image_files import size_of_file
from refvessel.rle import RLE, is_rle

META_EXPRESSIONS = Path("meta_expressions.json")
MASK_DICT = Path("mask_dict.json")
FRAMES = Path("JPEGImages")
FRAME_TABLE = Path("frames.json")
SUFFIXES = (
    ".jpg",
    ".png",
    ".jpeg",
)  # of frames, in any case; of several files the first kind's, the official code's only one, and lower case

_LARGEST_META = 1 << 28  # bytes; the largest public one has a tenth of that
_LONGEST_NAME = 255  # characters of one part of a path
_MOST_FRAMES = 100_000  # of a video: an hour
_VIDEOS = "videos"


@dataclass(frozen=True)
class VideoExpression:
    """One phrase about one video.

    id: its key in the file, text.
    text: the phrase, `exp`.
    annotations: keys of `mask_dict.json` whose union is the truth; empty where none is stated.
    type_id: which kind of expression it is, where a data set tells them apart.
    """

    id: str
    text: str
    annotations: tuple[str, ...] = ()
    type_id: int | None = None


@dataclass(frozen=True)
class Video:
    """A video as `meta_expressions.json` has it: frames by name, in the order of the file."""

    name: str
    frames: tuple[str, ...]
    expressions: tuple[VideoExpression, ...]
    height: int | None = None
    width: int | None = None

    @property
    def in_text_order(self) -> bool:
        """Whether the frames are in the order that the official inference sorts them into."""
        return list(self.frames) == sorted(self.frames)


@dataclass(frozen=True)
class VideoFiles:
    """A video and the files of its frames, all of one size.

    paths: one per frame, in the order of `video.frames`.
    height, width: of each frame, in pixels.
    """

    video: Video
    paths: tuple[Path, ...]
    height: int
    width: int


@dataclass(frozen=True)
class TreeFrame:
    """What a frame and an expression of a video are in the RefCOCO tree of the annotated frames."""

    image_id: str
    ref_id: int
    sent_id: int


# video -> expression's id -> frame -> what they are in the tree
FrameTable = dict[str, dict[str, dict[str, TreeFrame]]]


def read_ref_vos(root: Path) -> list[VideoFiles]:
    """The videos below `root` and their frames' files; raises UserError that names all that is wrong at once."""
    root = Path(root)
    return locate_frames(root, read_videos(root / META_EXPRESSIONS))


def read_videos(path: Path) -> list[Video]:
    """The videos of a `meta_expressions.json`, in its order; frames need not be there.

    Raises UserError that names all that is wrong at once.
    """
    path = Path(path)
    with unreadable_is_a_user_error(path):
        if path.stat().st_size > _LARGEST_META:
            raise UserError(f"{path} has more than {_LARGEST_META >> 20} MiB; give the expressions alone.")
    entries = require(read_json(path), _VIDEOS, dict, str(path))
    problems, videos = Problems(), []
    for name, entry in entries.items():
        with problems.collect():
            videos.append(_video(name, entry, f"{path}: video {shown(name)}", problems))
    problems.raise_any()
    return videos


def locate_frames(root: Path, videos: Iterable[Video]) -> list[VideoFiles]:
    """The files of the videos' frames, whose headers are read.

    Args:
        root: the folder that holds JPEGImages.
        videos: of its `meta_expressions.json`.

    Raises:
        UserError: that names every video of which frames are missing or no images, or differ in size.
    """
    problems, located = Problems(), []
    for video in videos:
        with problems.collect():
            located.append(_located(Path(root), video))
    problems.raise_any()
    return located


def read_mask_dict(path: Path) -> dict[str, list[RLE | None]]:
    """The truths of a `mask_dict.json` by annotation: one RLE per frame, None where it shows nothing.

    Raises UserError that names all that is wrong at once.
    """
    annotations = of_kind(read_json(path), dict, f"{path}: its content")
    problems: Problems = Problems()
    for name, masks in annotations.items():
        where = f"{path}: annotation {shown(name)}"
        with problems.collect():
            for number, mask in enumerate(of_kind(masks, list, where)):
                if mask is not None and not is_rle(mask):
                    raise UserError(f"{where}: the mask of frame {number} is no RLE; correct the file.")
    problems.raise_any()
    return annotations


def write_frame_table(path: Path, table: FrameTable) -> None:
    """Write a `frames.json`: {video: {expression: {frame: [image_id, ref_id, sent_id]}}}."""
    content = {
        video: {
            expression: {
                frame: [each.image_id, each.ref_id, each.sent_id] for frame, each in of_expression.items()
            }
            for expression, of_expression in of_video.items()
        }
        for video, of_video in table.items()
    }
    write_json(path, content)


def read_frame_table(path: Path) -> FrameTable:
    """The content of a `frames.json`; raises UserError where it is another."""
    content = of_kind(read_json(path), dict, f"{path}: its content")
    return {
        video: {
            expression: {
                frame: _tree_frame(each, f"{path}: video {shown(video)}, frame {shown(frame)}")
                for frame, each in of_kind(of_expression, dict, f"{path}: an expression").items()
            }
            for expression, of_expression in of_kind(of_video, dict, f"{path}: a video").items()
        }
        for video, of_video in content.items()
    }


def _tree_frame(value: Any, where: str) -> TreeFrame:
    if not isinstance(value, list) or len(value) != 3:
        raise UserError(f"{where} must be [image_id, ref_id, sent_id], not {shown(value)}; convert again.")
    image_id, ref_id, sent_id = value
    return TreeFrame(of_kind(image_id, str, where), of_kind(ref_id, int, where), of_kind(sent_id, int, where))


def _video(name: str, entry: Any, where: str, problems: Problems) -> Video:
    """A video's entry; what is wrong with single expressions is added to `problems`."""
    _require_path(name, where)
    frames = _frame_names(require(entry, "frames", list, where), where)
    size = optional_size(entry, "width", "height", where)
    expressions = []
    for identifier, expression in require(entry, "expressions", dict, where).items():
        with problems.collect():
            at_expression = f"{where}, expression {shown(identifier)}"
            expressions.append(_expression(identifier, expression, at_expression))
    return Video(
        name,
        frames,
        tuple(expressions),
        height=size and size[1],
        width=size and size[0],
    )


def _frame_names(frames: Sequence[Any], where: str) -> tuple[str, ...]:
    if not 0 < len(frames) <= _MOST_FRAMES:
        raise UserError(f"{where} has {len(frames)} frames; state 1 to {_MOST_FRAMES}.")
    seen: set[str] = set()
    for frame in frames:
        _require_name(of_kind(frame, str, f"{where}: a frame's name"), where)
        if frame in seen:
            raise UserError(f"{where} names the frame {shown(frame)} twice; name each once.")
        seen.add(frame)
    return tuple(frames)


def _expression(identifier: str, entry: Any, where: str) -> VideoExpression:
    _require_name(identifier, where)
    text = require(entry, "exp", str, where)
    if not text.strip():
        raise UserError(f"{where} has no text; add the phrase to its field 'exp'.")
    return VideoExpression(identifier, text, _annotations(entry, where), _type_id(entry, where))


def _annotations(entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The numbers in `anno_id`, or its single one, as `mask_dict.json` writes them."""
    stated = entry.get("anno_id")
    if stated is None:
        return ()
    keys = stated if isinstance(stated, list) else [stated]
    for key in keys:
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise UserError(f"{where}: anno_id holds {shown(key)}; state keys of {MASK_DICT}.")
    return tuple(dict.fromkeys(map(str, keys)))


def _type_id(entry: Mapping[str, Any], where: str) -> int | None:
    return None if entry.get("type_id") is None else int(require(entry, "type_id", int, where))


def _require_path(name: str, where: str) -> None:
    for part in name.split("/"):
        _require_name(part, where)


def _require_name(name: str, where: str) -> None:
    """A name becomes a part of a path: below the folder, and one that can be written."""
    if not name or name in (".", "..") or len(name) > _LONGEST_NAME or {"/", "\\", "\0"} & set(name):
        raise UserError(f"{where}: {shown(name)} cannot be the name of a file; rename it.")


def _located(root: Path, video: Video) -> VideoFiles:
    folder = reduce(_spelt, PurePosixPath(video.name).parts, root / FRAMES)
    # In the order of their names ".JPG" comes before ".jpg", which so is the one that stays.
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    by_frame = {(path.stem, path.suffix.lower()): path.name for path in there}
    names = [_file_of(frame, by_frame) for frame in video.frames]
    missing = [frame for frame, name in zip(video.frames, names, strict=True) if name is None]
    if missing:
        raise UserError(
            f"{folder} lacks {len(missing)} of the {len(video.frames)} frames that {META_EXPRESSIONS} names, the "
            f"first is {shown(missing[0])}; put {' or '.join(SUFFIXES[:2])} files there."
        )
    paths = tuple(folder / name for name in names if name is not None)
    width, height = _common_size(paths)
    stated = video.width, video.height
    if stated not in ((None, None), (width, height)):
        raise UserError(
            f"{folder}: the frames have {width} x {height} pixels, but {META_EXPRESSIONS} says {stated[0]} x "
            f"{stated[1]}; correct it."
        )
    return VideoFiles(video, paths, height, width)


def _spelt(folder: Path, name: str) -> Path:
    """What a folder calls `name`; what is not there keeps its own spelling."""
    there = (folder / each for each in spellings(name))
    return next((path for path in there if path.exists()), folder / name)


def _file_of(frame: str, by_frame: Mapping[tuple[str, str], str]) -> str | None:
    names = ((name, suffix) for name in spellings(frame) for suffix in SUFFIXES)
    return next((by_frame[name] for name in names if name in by_frame), None)


def _common_size(paths: Sequence[Path]) -> tuple[int, int]:
    """(width, height) of all frames."""
    first = size_of_file(paths[0])
    for path in paths[1:]:
        if (size := size_of_file(path)) != first:
            raise UserError(
                f"{path} has {size[0]} x {size[1]} pixels, but {paths[0].name} has {first[0]} x {first[1]}; all "
                "frames of a video must be of one size."
            )
    return first
