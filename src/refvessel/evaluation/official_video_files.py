"""The files of referring video segmentation as its official scorers take them, expression by expression."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refvessel import rle
from refvessel.dataset.fields import of_kind, shown
from refvessel.dataset.problems import Problems
from refvessel.dataset.tree.ref_vos import Video, VideoExpression, read_videos
from refvessel.dataset.tree.refs import read_pickle
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.metrics.official_frames import FRAME_SCORES, Frame

_PICKLES = (".p", ".pkl")


@dataclass(frozen=True)
class Benchmark:
    """What tells a benchmark's official script from the others.

    types: the names of the expressions' types by `type_id`; where there are none, all expressions are one
        group.
    scores: what it reports beside the mean of J and F.
    own_numbering: whether annotations are numbered by the script, whatever `anno_id` says.
    """

    types: Mapping[int, str]
    scores: tuple[str, ...]
    own_numbering: bool = False

    @property
    def needs_size(self) -> bool:
        """Whether frames are of the size that the file of expressions states, not of the first prediction's."""
        return bool(self.types)


BENCHMARKS = {
    "davis": Benchmark({}, ("J", "F"), own_numbering=True),
    "mevis": Benchmark({}, ("J", "F")),
    "revos": Benchmark({0: "referring", 1: "reason"}, FRAME_SCORES),
    "ref-sav": Benchmark({0: "long", 1: "short"}, ("J", "F", "A")),
}
OVERALL = "overall"  # of a benchmark with types


@dataclass(frozen=True)
class AskedExpression:
    """One expression of a video, with the keys of the annotations whose union is its truth."""

    video: Video
    expression: VideoExpression
    annotations: tuple[str, ...]

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.video.name} {self.expression.id}"

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the frames in pixels, where the file of expressions states them."""
        height, width = self.video.height, self.video.width
        return None if height is None or width is None else (height, width)


def official_key(expression: AskedExpression) -> str:
    """What the official scripts call an expression."""
    return f"{expression.video.name}_{expression.expression.id}"


def read_masks(path: Path) -> Mapping[str, Any]:
    """What a JSON file or a pickle of plain data holds, which must be an object; its entries are unchecked."""
    content: Mapping[str, Any] = of_kind(_content(path), dict, str(path))
    return content


def _content(path: Path) -> Any:
    return read_pickle(path) if path.suffix in _PICKLES else read_json(path)


def read_asked(path: Path, benchmark: Benchmark) -> list[AskedExpression]:
    """The expressions of a `meta_expressions.json`, with the annotations that the benchmark's script takes.

    Raises UserError that names all that the benchmark needs and is absent.
    """
    asked = [
        AskedExpression(video, expression, expression.annotations)
        for video in read_videos(path)
        for expression in video.expressions
    ]
    if not asked:
        raise UserError(f"{path} has no expression; check the file.")
    problems = Problems()
    for each in asked:
        where = f"{path}: video {shown(each.video.name)}, expression {shown(each.expression.id)}"
        if benchmark.types and each.expression.type_id is None:
            problems.add(f"{where} has no type_id; state it.")
        if benchmark.types and each.size is None:
            problems.add(f"{path}: video {shown(each.video.name)} has no height and width; state them.")
        if not each.annotations and not benchmark.own_numbering:
            problems.add(f"{where} has no anno_id; list the keys of its masks.")
    problems.raise_any()
    return _numbered(asked) if benchmark.own_numbering else asked


def _numbered(asked: Sequence[AskedExpression]) -> list[AskedExpression]:
    """The expressions, each with one annotation, numbered as DAVIS' script does.

    It ignores `anno_id` and counts, sorted as text by video and then by name ("10" before "2").
    """
    in_order = sorted(asked, key=lambda each: (each.video.name, each.expression.id))
    numbers = {(each.video.name, each.expression.id): str(number) for number, each in enumerate(in_order)}
    return [replace(each, annotations=(numbers[each.video.name, each.expression.id],)) for each in asked]


@dataclass(frozen=True)
class MaskSources:
    """The parsed files of masks, unchecked, and what makes an expression one that cannot be scored."""

    truths: Mapping[str, Any]
    predictions: Mapping[str, Any]
    foreground: Mapping[str, Any] | None
    needs_size: bool
    strict: bool  # False: only what stops the official script


@dataclass(frozen=True)
class PreparedExpression:
    """An expression with the masks of its frames, checked.

    frames: in the listed order.
    as_stored: in the order of the predictions' file, where that is another.
    superfluous: whether there are masks beyond the last frame.
    """

    expression: AskedExpression
    frames: list[Frame]
    as_stored: list[Frame] | None
    superfluous: bool


class _Unscorable(Exception):
    """Why an expression cannot be scored, in a few words."""


def prepare(
    asked: Sequence[AskedExpression], sources: MaskSources
) -> tuple[list[PreparedExpression], dict[str, str]]:
    """The expressions that can be scored and, by their titles, why the others cannot."""
    prepared: list[PreparedExpression] = []
    failures: dict[str, str] = {}
    for each in asked:
        try:
            prepared.append(_prepared(each, sources))
        except _Unscorable as reason:
            failures[each.title] = str(reason)
    return prepared, failures


def notes_on(prepared: Sequence[PreparedExpression]) -> list[str]:
    """What a reader of the scores has to know: sentences."""
    notes = []
    if reordered := [each.expression.title for each in prepared if each.as_stored is not None]:
        notes.append(
            f"The masks of {', '.join(reordered)} are stored in another order than the frames are listed in. "
            "The scores are of the listed order; `printed` is what the official script makes of the stored one."
        )
    if superfluous := [each.expression.title for each in prepared if each.superfluous]:
        notes.append(f"{', '.join(superfluous)}: masks beyond the last frame are ignored, as by the script.")
    keys = Counter(official_key(each.expression) for each in prepared)
    if shared := [key for key, count in keys.items() if count > 1]:
        notes.append(
            f"The official script calls several expressions {', '.join(shared)} and keeps the last of each; "
            "`printed` does, too, all else has them all."
        )
    return notes


def _prepared(expression: AskedExpression, sources: MaskSources) -> PreparedExpression:
    masks, names = _predicted(expression, sources)
    size = expression.size if sources.needs_size else None
    if size is None:
        size = _size_of(masks[0], "the prediction of frame 1")
        if sources.strict and expression.size not in (None, size):
            raise _Unscorable(f"its masks are {_times(size)}, its video {_times(expression.size)}")
    n = len(expression.video.frames)
    order = _order(expression, names, strict=sources.strict)
    truths = [
        _per_frame(sources.truths.get(number), f"annotation {number}", n) for number in expression.annotations
    ]
    foreground = _foreground(expression, sources, n)

    def frames_of(predicted: Sequence[Any]) -> list[Frame]:
        return [
            Frame(
                _checked(predicted[k], size, f"the prediction of frame {k + 1}"),
                [
                    _checked(truth[k], size, f"the truth of frame {k + 1}")
                    for truth in truths
                    if truth[k]  # an empty object is nothing, too, as in the script
                ],
                None
                if foreground is None
                else [_checked(mask, size, f"the foreground of frame {k + 1}") for mask in foreground[k]],
            )
            for k in range(n)
        ]

    stored, superfluous = frames_of(masks), len(masks) > n
    if order is None:
        return PreparedExpression(expression, stored, None, superfluous)
    return PreparedExpression(expression, frames_of([masks[k] for k in order]), stored, superfluous)


def _predicted(expression: AskedExpression, sources: MaskSources) -> tuple[list[Any], list[str] | None]:
    """The stored masks of an expression and, where they are named, the frames that they belong to."""
    video = sources.predictions.get(expression.video.name)
    if not isinstance(video, dict):
        raise _Unscorable("its video is missing")
    if not isinstance(entry := video.get(expression.expression.id), dict):
        raise _Unscorable("missing")
    masks, names = entry.get("prediction_masks"), entry.get("frames")
    if not isinstance(masks, list):
        raise _Unscorable("its masks are null" if masks is None else "its masks are no list")
    if len(masks) < len(expression.video.frames):
        raise _Unscorable(f"it has {len(masks)} masks for {len(expression.video.frames)} frames")
    return masks, [str(name) for name in names] if isinstance(names, list) else None


def _order(expression: AskedExpression, names: list[str] | None, *, strict: bool) -> list[int] | None:
    """Where the mask of each listed frame is stored; None where that is its place in the list, too."""
    listed = list(expression.video.frames)
    if names == listed:
        return None
    if names is None:
        if strict and not expression.video.in_text_order:
            raise _Unscorable(
                "it does not name its frames, and these are not listed in the order of their names, in which the "
                "official inference stores masks"
            )
        return None
    if len(set(names)) < len(names) or set(names) != set(listed):
        if strict:
            raise _Unscorable("it names other frames than are listed")
        return None
    return [names.index(name) for name in listed]


def _per_frame(masks: Any, what: str, n: int) -> list[Any]:
    if not isinstance(masks, list):
        raise _Unscorable(f"{what} has no masks in the file of truths")
    if len(masks) < n:
        raise _Unscorable(f"{what} has {len(masks)} masks for {n} frames")
    return masks


def _foreground(expression: AskedExpression, sources: MaskSources, n: int) -> list[list[Any]] | None:
    """The masks of each frame's foreground, of which there may be several."""
    if sources.foreground is None:
        return None
    video = sources.foreground.get(expression.video.name)
    masks = _per_frame(video.get("masks_rle") if isinstance(video, dict) else None, "the foreground", n)
    several = [mask if isinstance(mask, list) else [mask] for mask in masks]
    return [[mask for mask in of_frame if mask is not None] for of_frame in several]


def _size_of(mask: Any, what: str) -> tuple[int, int]:
    if not rle.is_rle(mask):
        raise _Unscorable(f"{what} is no COCO RLE")
    height, width = mask["size"]
    return height, width


def _checked(mask: Any, size: tuple[int, int], what: str) -> rle.RLE:
    if (found := _size_of(mask, what)) != size:
        raise _Unscorable(f"{what} is {_times(found)}, not {_times(size)}")
    checked: rle.RLE = {"size": mask["size"], "counts": mask["counts"]}
    return checked


def _times(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size or ()))
