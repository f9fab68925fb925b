"""Referring video segmentation as the official scripts score it: DAVIS, MeViS, ReVOS and Ref-SAV."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from refvessel import rle
from refvessel.dataset.fields import of_kind, require, require_size, shown
from refvessel.dataset.tree.refs import read_pickle
from refvessel.errors import UserError
from refvessel.files import read_json, write_json
from refvessel.metrics.official_frames import FRAME_SCORES, PLAIN, Frame, frame_scores
from refvessel.metrics.parallel import call_each
from refvessel.provenance import file_record, versions

_PICKLES = (".p", ".pkl")
_DIGITS = 2  # of a percentage, as the official scripts round


@dataclass(frozen=True)
class Benchmark:
    """What tells a benchmark's official script from the others.

    types: the names of the expressions' types by `type_id`; where there are none, all expressions are one group.
    scores: what it reports beside J and F.
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
class _Expression:
    """One expression of a video, as the file of expressions has it."""

    video: str
    name: str
    phrase: str
    frames: list[str]
    annotations: list[str]
    type_id: int | None
    size: tuple[int, int] | None  # height, width, where stated

    @property
    def title(self) -> str:
        return f"{self.video} {self.name}"


@dataclass(frozen=True)
class _Scored:
    """An expression's frames, scored.

    as_stored: with the masks in the order of the file, where that is another than that of the listed frames.
    """

    expression: _Expression
    frames: pd.DataFrame
    as_stored: pd.DataFrame | None

    @property
    def official_frames(self) -> pd.DataFrame:
        """What the official script scores: it looks at no frame's name."""
        return self.frames if self.as_stored is None else self.as_stored


def score_video(
    *,
    benchmark: str,
    expressions: Path,
    masks: Path,
    predictions: Path,
    output: Path,
    foreground: Path | None = None,
    drop_failures: bool = False,
    threads: int = 1,
) -> dict[str, Any]:
    """Score predictions as the official script of a benchmark does; write one JSON to `output` and return it.

    `J`, `F`, `J&F` (and `A`, `R`) are in percent and not rounded, `printed` has what the official script prints, with
    its rounding, `per_expression` and `per_frame` are fractions. Of a benchmark with types, `unrounded` has each
    type's numbers, the overall ones are the mean of the two types', and `rows` are the script's table, rounded.
    `plain_definition` stands beside where a score's plain definition gives something else (see `official_frames`).

    The official inference sorts frames as text, the official scripts take masks in the listed order. Where the
    predictions name their `frames`, the masks are put in the listed order here; `printed` then is of the masks as
    they are stored, and `notes` say so.

    Args:
        benchmark: one of BENCHMARKS.
        expressions: `meta_expressions.json`.
        masks: `mask_dict.json`, or such a pickle: by annotation, a COCO RLE or null per frame.
        predictions: `results.json`.
        output: the JSON to write.
        foreground: `mask_dict_foreground.json` of ReVOS; without it there is no R.
        drop_failures: leave out what cannot be scored, as the official scripts do.
        threads: processes that share the work.

    Raises UserError, before anything is written, for damaged files and, unless failures are dropped, where an
    expression cannot be scored: the sentence names all of these.
    """
    known = BENCHMARKS[benchmark]
    asked = _number_annotations(_read_expressions(Path(expressions), known), known)
    sources = _Sources(
        truths=of_kind(_read(Path(masks)), dict, str(masks)),
        predictions=of_kind(_read(Path(predictions)), dict, str(predictions)),
        foreground=None if foreground is None else of_kind(_read(Path(foreground)), dict, str(foreground)),
        needs_size=known.needs_size,
        strict=not drop_failures,
    )
    prepared, failures, notes = _prepare(asked, sources)
    if failures and not drop_failures:
        told = ", ".join(f"{title} ({reason})" for title, reason in failures.items())
        raise UserError(
            f"{predictions} has expressions that cannot be scored, by video and expression: {told}. Complete the "
            "predictions; with --drop-failures they are left out, as the official script leaves them out."
        )
    if not prepared:
        raise UserError(f"{predictions} has no expression of {expressions} that can be scored; check both.")
    tables = call_each(
        frame_scores, [frames for each in prepared for frames in each.to_be_scored], threads=threads
    )
    remaining = iter(tables)
    scored = [
        _Scored(each.expression, next(remaining), next(remaining) if each.as_stored is not None else None)
        for each in prepared
    ]
    result = {
        "benchmark": benchmark,
        "n_expressions": len(asked),
        "n_scored": len(scored),
        **_results(scored, known, with_foreground=foreground is not None),
        "dropped": failures,
        "notes": notes,
        "provenance": {
            "versions": versions(),
            "files": [
                file_record(Path(path))
                for path in (expressions, masks, predictions, foreground)
                if path is not None
            ],
        },
    }
    write_json(Path(output), result)
    return result


# --- reading ---------------------------------------------------------------------------------------------------------


def _read(path: Path) -> Any:
    return read_pickle(path) if path.suffix in _PICKLES else read_json(path)


def _read_expressions(path: Path, benchmark: Benchmark) -> list[_Expression]:
    videos = require(read_json(path), "videos", dict, str(path))
    found = []
    for video, entry in videos.items():
        where = f"{path}: video {video!r}"
        frames = [str(name) for name in require(entry, "frames", list, where)]
        if not frames:
            raise UserError(f"{where} has no frames; list them in its field 'frames'.")
        size = _stated_size(entry, where, needed=benchmark.needs_size)
        for name, expression in require(entry, "expressions", dict, where).items():
            at_expression = f"{where}, expression {name!r}"
            found.append(
                _Expression(
                    video=video,
                    name=name,
                    phrase=require(expression, "exp", str, at_expression),
                    frames=frames,
                    annotations=[] if benchmark.own_numbering else _annotations(expression, at_expression),
                    type_id=require(expression, "type_id", int, at_expression) if benchmark.types else None,
                    size=size,
                )
            )
    if not found:
        raise UserError(f"{path} has no expression; check the file.")
    return found


def _stated_size(entry: Any, where: str, *, needed: bool) -> tuple[int, int] | None:
    if not needed and ("height" not in entry or "width" not in entry):
        return None
    width, height = require_size(entry, "width", "height", where)
    return height, width


def _annotations(expression: Any, where: str) -> list[str]:
    stated = require(expression, "anno_id", list, where)
    if not all(isinstance(number, int | str) for number in stated):
        raise UserError(f"{where}: anno_id is {shown(stated)}; list the keys of the masks.")
    return [str(number) for number in stated]


def _number_annotations(asked: Sequence[_Expression], benchmark: Benchmark) -> list[_Expression]:
    """The expressions with the annotations that the script takes.

    DAVIS' own ignores `anno_id`: it counts expressions, sorted as text by video and then by name ("10" before "2").
    """
    if not benchmark.own_numbering:
        return list(asked)
    in_order = sorted(asked, key=lambda each: (each.video, each.name))
    numbers = {(each.video, each.name): number for number, each in enumerate(in_order)}
    return [_Expression(**{**vars(each), "annotations": [str(numbers[each.video, each.name])]}) for each in asked]


# --- from files to frames --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sources:
    """The parsed files of masks, unchecked, and what makes an expression one that cannot be scored."""

    truths: Mapping[str, Any]
    predictions: Mapping[str, Any]
    foreground: Mapping[str, Any] | None
    needs_size: bool
    strict: bool  # False: only what stops the official script


@dataclass(frozen=True)
class _Prepared:
    """An expression with the masks of its frames, checked; `as_stored` as in `_Scored`."""

    expression: _Expression
    frames: list[Frame]
    as_stored: list[Frame] | None

    @property
    def to_be_scored(self) -> Iterator[list[Frame]]:
        yield self.frames
        if self.as_stored is not None:
            yield self.as_stored


class _Unscorable(Exception):
    """Why an expression cannot be scored, in a few words."""


def _prepare(
    asked: Sequence[_Expression], sources: _Sources
) -> tuple[list[_Prepared], dict[str, str], list[str]]:
    """The expressions that can be scored, by their titles why the others cannot, and what is to be known."""
    prepared, failures, superfluous = [], {}, []
    for each in asked:
        try:
            prepared.append(_prepared(each, sources, superfluous))
        except _Unscorable as reason:
            failures[each.title] = str(reason)
    notes = []
    if reordered := [each.expression.title for each in prepared if each.as_stored is not None]:
        notes.append(
            f"The masks of {', '.join(reordered)} are stored in another order than the frames are listed in. J, F and "
            "all else are of the listed order; `printed` is what the official script makes of the stored one."
        )
    if superfluous:
        notes.append(f"{', '.join(superfluous)}: masks beyond the last frame were ignored, as the script does.")
    keys = [_key(each.expression) for each in prepared]
    if collided := sorted({key for key in keys if keys.count(key) > 1} if len(set(keys)) < len(keys) else ()):
        notes.append(
            f"The official script calls several expressions {', '.join(collided)} and keeps the last of each; "
            "`printed` does, all else has them all."
        )
    return prepared, failures, notes


def _prepared(expression: _Expression, sources: _Sources, superfluous: list[str]) -> _Prepared:
    masks, names = _predicted(expression, sources)
    size = expression.size if sources.needs_size else None
    if size is None:
        size = _size_of(masks[0], "the prediction of frame 1")
        if sources.strict and expression.size not in (None, size):
            raise _Unscorable(f"its masks are {_times(size)}, its video {_times(expression.size)}")
    n = len(expression.frames)
    if len(masks) > n:
        superfluous.append(expression.title)
    order = _order(expression, names, strict=sources.strict)
    truths = [
        _per_frame(sources.truths.get(number), f"annotation {number}", n) for number in expression.annotations
    ]
    foreground = _foreground(expression, sources, n)

    def frames_of(predicted: Sequence[Any]) -> list[Frame]:
        return [
            Frame(
                _checked(predicted[k], size, f"the prediction of frame {k + 1}"),
                [_checked(truth[k], size, f"the truth of frame {k + 1}") for truth in truths if truth[k] is not None],
                None
                if foreground is None
                else [_checked(mask, size, f"the foreground of frame {k + 1}") for mask in foreground[k]],
            )
            for k in range(n)
        ]

    stored = frames_of(masks[:n])
    if order is None:
        return _Prepared(expression, stored, None)
    return _Prepared(expression, frames_of([masks[k] for k in order]), stored)


def _predicted(expression: _Expression, sources: _Sources) -> tuple[list[Any], list[str] | None]:
    """The stored masks of an expression and, where they are named, the frames that they belong to."""
    video = sources.predictions.get(expression.video)
    if not isinstance(video, dict):
        raise _Unscorable("its video is missing")
    if not isinstance(entry := video.get(expression.name), dict):
        raise _Unscorable("missing")
    masks, names = entry.get("prediction_masks"), entry.get("frames")
    if not isinstance(masks, list):
        raise _Unscorable("its masks are null" if masks is None else "its masks are no list")
    if len(masks) < len(expression.frames):
        raise _Unscorable(f"it has {len(masks)} masks for {len(expression.frames)} frames")
    return masks, [str(name) for name in names] if isinstance(names, list) else None


def _order(expression: _Expression, names: list[str] | None, *, strict: bool) -> list[int] | None:
    """Where the mask of each listed frame is stored; None where that is its place in the list, too."""
    listed = expression.frames
    if names == listed:
        return None
    if names is None:
        if strict and sorted(listed) != listed:
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


def _foreground(expression: _Expression, sources: _Sources, n: int) -> list[list[Any]] | None:
    """The masks of each frame's foreground, of which there may be several."""
    if sources.foreground is None:
        return None
    video = sources.foreground.get(expression.video)
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


# --- from frames to numbers ------------------------------------------------------------------------------------------

Means = dict[str, float | None]


def _key(expression: _Expression) -> str:
    """What the official scripts call an expression."""
    return f"{expression.video}_{expression.name}"


def _results(scored: Sequence[_Scored], benchmark: Benchmark, *, with_foreground: bool) -> dict[str, Any]:
    scores = [name for name in benchmark.scores if name != "R" or with_foreground]
    of_expression = [each.frames[scores].mean() for each in scored]
    plain = [each.frames[[PLAIN[name] for name in scores]].mean().set_axis(scores) for each in scored]
    types = [each.expression.type_id for each in scored]
    unrounded = _totals(of_expression, types, benchmark, scores)
    result: dict[str, Any] = {
        **{name.replace("JF", "J&F"): value for name, value in _overall(unrounded, benchmark).items()},
        "printed": _printed(scored, benchmark, scores),
    }
    if benchmark.types:
        result["unrounded"] = unrounded
        result["rows"] = [_row(each, scores) for each in scored]
    result["per_expression"] = _nested(scored, [_with_both(means) for means in of_expression])
    result["per_frame"] = _nested(scored, [each.frames[scores].to_dict("list") for each in scored])
    if any(not np.array_equal(one, other) for one, other in zip(of_expression, plain, strict=True)):
        totals = _totals(plain, types, benchmark, scores)
        result["plain_definition"] = {
            **{name.replace("JF", "J&F"): value for name, value in _overall(totals, benchmark).items()},
            "per_expression": _nested(scored, [_with_both(means) for means in plain]),
        }
    return result


def _overall(totals: dict[str, Any], benchmark: Benchmark) -> Means:
    overall: Means = totals[OVERALL] if benchmark.types else totals
    return overall


def _with_both(means: "pd.Series[float]") -> dict[str, float]:
    """An expression's scores, fractions, with the mean of J and F."""
    return {**means.to_dict(), "J&F": (means["J"] + means["F"]) / 2}


def _nested(scored: Sequence[_Scored], values: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """The values by video and expression."""
    nested: dict[str, dict[str, Any]] = {}
    for each, value in zip(scored, values, strict=True):
        nested.setdefault(each.expression.video, {})[each.expression.name] = value
    return nested


def _totals(
    rows: Sequence[Any], types: Sequence[int | None], benchmark: Benchmark, scores: Sequence[str]
) -> dict[str, Any]:
    """Means in percent over the expressions, of fractions; of a benchmark with types, of each and overall."""
    percent = [{name: 100 * row[name] for name in scores} for row in rows]
    return _grouped(percent, types, benchmark, scores)


def _grouped(
    rows: Sequence[Mapping[str, float]],
    types: Sequence[int | None],
    benchmark: Benchmark,
    scores: Sequence[str],
) -> dict[str, Any]:
    """Means of rows, in their unit: of all, or of each type and, as the mean of the types' means, overall.

    An expression of another type is in no mean. The mean of J and F is that of the two means. None: of no row.
    """
    if not benchmark.types:
        return _with_mean_of_both(_means(rows, scores))
    means = {
        name: _means([row for row, type_id in zip(rows, types, strict=True) if type_id == number], scores)
        for number, name in benchmark.types.items()
    }
    overall = _means(list(means.values()), scores)
    return {name: _with_mean_of_both(each) for name, each in {**means, OVERALL: overall}.items()}


def _means(rows: Sequence[Mapping[str, float | None]], scores: Sequence[str]) -> Means:
    values = {name: [math.nan if row[name] is None else row[name] for row in rows] for name in scores}
    means = {name: float(np.mean(each)) if each else math.nan for name, each in values.items()}
    return {name: None if math.isnan(mean) else mean for name, mean in means.items()}


def _with_mean_of_both(means: Means) -> Means:
    j, f = means["J"], means["F"]
    return {**means, "JF": None if j is None or f is None else (j + f) / 2}


def _printed(scored: Sequence[_Scored], benchmark: Benchmark, scores: Sequence[str]) -> dict[str, Any]:
    """What the official script writes for the expressions that it can score, in percent, in its own form.

    DAVIS and MeViS round once, at the end, by Python; ReVOS and Ref-SAV each expression, by NumPy, and the means of
    these no more. NaN, which they write for a type without expressions, is null here.
    """
    kept = list({_key(each.expression): each for each in scored}.values())
    if not benchmark.types:
        means = _totals([each.official_frames[scores].mean() for each in kept], [], benchmark, scores)
        return {
            {"JF": "J&F"}.get(name, name): round(value, _DIGITS) for name, value in means.items()
        }
    rows = [_row(each, scores) for each in kept]
    return _grouped(rows, [row["type_id"] for row in rows], benchmark, scores)


def _row(scored: _Scored, scores: Sequence[str]) -> dict[str, Any]:
    """A line of the official table: percentages with two decimals."""
    means, expression = scored.official_frames[scores].mean(), scored.expression
    rounded = {name: _percent(value) for name, value in means.items()}
    return {
        "video_name": expression.video,
        "exp_id": expression.name,
        "exp": expression.phrase,
        "videxp": _key(expression),
        **rounded,
        "JF": _percent((means["J"] + means["F"]) / 2),
        "type_id": expression.type_id,
    }


def _percent(fraction: float) -> float:
    return float(np.round(100 * np.float64(fraction), _DIGITS))
