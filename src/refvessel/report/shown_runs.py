"""The sequences that the page shows, each with what it is and what it was made from."""

from pathlib import Path

from refvessel.artifacts import VIDEO_CASES
from refvessel.report.overlays import image_path
from refvessel.report.printing import printable, shortened
from refvessel.report.scored_runs import Runs
from refvessel.report.sections import Artifacts
from refvessel.report.sequence_figures import (
    ANIMATION_SUFFIX,
    draw_over_time,
    draw_strip,
    typical_sequences,
    write_animation,
)
from refvessel.report.shown_figure import MOST_OF_A_PHRASE, ShownFigure, hashes_of_images
from refvessel.report.wording import worded


def draw_sequences(one: Artifacts, runs: Runs, folder: Path) -> list[ShownFigure]:
    """The best, the median and the worst sequence: as a strip, moving, and over time."""
    name, drawn = one.evaluation.name, []
    table = {f"{name}/{VIDEO_CASES}": runs.sources["video_cases"]["sha256"]}
    for number, sequence in enumerate(typical_sequences(runs.sequences).to_dict("records"), start=1):
        frames = one.with_masks(runs.frames_of(sequence, one.cases))
        files = [image_path(one.images, image_id) for image_id in frames["image_id"]]
        images = hashes_of_images(one.evaluation.dataset, files)
        told = worded(
            "%(rank)s sequence: run %(run)s, “%(phrase)s”, patient %(patient)s, J&F %(score).3f over %(frames)s "
            "frames",
            rank=worded(str(sequence["rank"])).capitalize(),
            run=printable(sequence["video"]),
            phrase=shortened(sequence["phrase"], MOST_OF_A_PHRASE),
            patient=printable(sequence["patient"]),
            score=sequence["J&F"],
            frames=len(frames),
        )
        stem = folder / f"{one.evaluation.file_stem}.sequence_{number}"
        strip, film, curve = (
            stem.with_name(stem.name + end) for end in (".svg", ANIMATION_SUFFIX, ".time.svg")
        )
        draw_strip(frames, one.images, strip)
        write_animation(frames, one.images, film)
        draw_over_time(frames, curve)
        drawn += [
            ShownFigure(
                strip,
                worded("%(sequence)s: outlines of the truth and of the prediction.", sequence=told),
                table | images,
            ),
            ShownFigure(film, worded("%(sequence)s: the same, moving.", sequence=told), table | images),
            ShownFigure(
                curve,
                worded(
                    "%(sequence)s: scores of its frames, IoU of each mask with the one before after their "
                    "motion (consistency), and areas.",
                    sequence=told,
                ),
                table,
            ),
        ]
    return drawn
