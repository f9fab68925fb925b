"""Referring video segmentation as the official scripts score it: DAVIS, MeViS, ReVOS and Ref-SAV."""

from pathlib import Path
from typing import Any

from refvessel.errors import UserError
from refvessel.evaluation.official_video_files import (
    BENCHMARKS,
    MaskSources,
    notes_on,
    prepare,
    read_asked,
    read_masks,
)
from refvessel.evaluation.official_video_numbers import ScoredExpression, video_numbers
from refvessel.files import write_json
from refvessel.metrics.official_frames import frame_scores
from refvessel.parallel import call_each
from refvessel.provenance import file_record, versions


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

    `J`, `F`, `J&F` (and `A`, `R`) are in percent and not rounded, `printed` has what the official script
    prints, with its rounding, `per_expression` and `per_frame` are fractions. Of a benchmark with types,
    `unrounded` has each type's numbers, the overall ones are the mean of the two types', and `rows` are the
    script's table, rounded. `plain_definition` stands beside where a score's plain definition gives something
    else (see `official_frames`).

    The official inference sorts frames as text, the official scripts take masks in the listed order. Where
    the predictions name their `frames`, the masks are put in the listed order here; `printed` then is of the
    masks as they are stored, and `notes` say so.

    Args:
        benchmark: one of BENCHMARKS.
        expressions: `meta_expressions.json`.
        masks: `mask_dict.json`, or such a pickle: by annotation, a COCO RLE or null per frame.
        predictions: `results.json`.
        output: the JSON to write.
        foreground: `mask_dict_foreground.json` of ReVOS; without it there is no R. The other scripts have no R
            and read no such file: `notes` say that it takes no part.
        drop_failures: leave out what cannot be scored, as the official scripts do.
        threads: processes that share the work.

    Raises UserError, before anything is written, for damaged files and, unless failures are dropped, where an
    expression cannot be scored: the sentence names all of these.
    """
    known = BENCHMARKS[benchmark]
    looked_at = foreground if "R" in known.scores else None
    asked = read_asked(Path(expressions), known)
    sources = MaskSources(
        truths=read_masks(Path(masks)),
        predictions=read_masks(Path(predictions)),
        foreground=None if looked_at is None else read_masks(Path(looked_at)),
        needs_size=known.needs_size,
        strict=not drop_failures,
    )
    prepared, failures = prepare(asked, sources)
    if failures and not drop_failures:
        told = ", ".join(f"{title} ({reason})" for title, reason in failures.items())
        raise UserError(
            f"{predictions} has expressions that cannot be scored against {masks}, by video and expression: {told}"
            ". Complete the file at fault; with --drop-failures they are left out, as the official script leaves "
            "them out."
        )
    if not prepared:
        raise UserError(f"{predictions} has no expression of {expressions} that can be scored; check both.")
    orders = [each.frames for each in prepared]
    orders += [each.as_stored for each in prepared if each.as_stored is not None]
    tables = iter(call_each(frame_scores, orders, threads=threads))
    listed = [next(tables) for _ in prepared]
    scored = [
        ScoredExpression(each.expression, table, table if each.as_stored is None else next(tables))
        for each, table in zip(prepared, listed, strict=True)
    ]
    result = {
        "benchmark": benchmark,
        "n_expressions": len(asked),
        "n_scored": len(scored),
        **video_numbers(scored, known, with_foreground=looked_at is not None),
        "dropped": failures,
        "notes": notes_on(prepared) + _unread(foreground, looked_at, benchmark),
        "provenance": {
            "versions": versions(),
            "files": [
                file_record(Path(path))
                for path in (expressions, masks, predictions, looked_at)
                if path is not None
            ],
        },
    }
    write_json(Path(output), result)
    return result


def _unread(foreground: Path | None, looked_at: Path | None, benchmark: str) -> list[str]:
    """A sentence about a file that was given and is not looked at."""
    if foreground == looked_at:
        return []
    return [
        f"{foreground} takes no part: the official script of {benchmark} has no R and reads no foreground."
    ]
