"""All figures of a report: of each evaluation, and of several together."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from refvessel.artifacts import CASES
from refvessel.parallel import call_each
from refvessel.report.case_gallery import draw_task
from refvessel.report.compared_models import Comparison
from refvessel.report.difference_figures import MOST_PAIRS, draw_differences, draw_external, shown_tests
from refvessel.report.evaluation_figures import DRAWN, intervals
from refvessel.report.external_table import External
from refvessel.report.first_screen import Split, evaluated_on, splits
from refvessel.report.overlays import image_path, typical_cases
from refvessel.report.printing import printable, shortened
from refvessel.report.score_titles import worded_title
from refvessel.report.sections import Artifacts
from refvessel.report.shown_figure import MOST_OF_A_PHRASE, ShownFigure, hashes_of_images
from refvessel.report.unscored import Unscored, draw_examples
from refvessel.report.wording import worded

EXTERNAL_FIGURE = "external"
Figures = dict[str, list[ShownFigure]]

_MOST_MODELS = 4  # whose predictions stand in the row that shows the task


def draw_all(
    evaluations: Sequence[Artifacts],
    unscored: Sequence[Unscored],
    comparisons: Sequence[Comparison],
    external: External | None,
    folder: Path,
    threads: int = 1,
) -> Figures:
    """Draw every figure of the report into the folder.

    Args:
        evaluations, unscored, comparisons, external: what the report shows.
        folder: exists.
        threads: processes that share the work.

    Returns:
        The figures in the order shown, of an evaluation by its name, of a comparison and of the row that shows the
        task by the name of their split, `compared NAME` and `task NAME`; of other data sets by EXTERNAL_FIGURE.

    Raises UserError where an image is missing, does not open or has another size than its masks.
    """
    tasks: list[tuple[str, Callable[[], list[ShownFigure]]]] = [
        *((one.evaluation.name, partial(draw, one, folder)) for one in evaluations for draw in DRAWN),
        *((one.evaluation.name, partial(_of_unscored, one, folder)) for one in unscored),
        *((f"task {one.name}", partial(_of_task, one, folder)) for one in splits(evaluations, comparisons)),
        *((f"compared {one.name}", partial(_of_comparison, one, evaluations, folder)) for one in comparisons),
    ]
    if external is not None:
        tasks.append((EXTERNAL_FIGURE, partial(_of_external, external, folder)))
    figures: Figures = {}
    parts = call_each(_called, [draw for _, draw in tasks], threads=threads)
    for (name, _), drawn in zip(tasks, parts, strict=True):
        figures.setdefault(name, []).extend(drawn)
    return figures


def _called(draw: Callable[[], list[ShownFigure]]) -> list[ShownFigure]:
    return draw()


def _of_task(split: Split, folder: Path) -> list[ShownFigure]:
    """The median case of the first model's most frequent phrase, with the predictions of all models."""
    shown = split.evaluations[:_MOST_MODELS]
    first = shown[0]
    phrase = str(first.cases["phrase"].value_counts().sort_index().idxmax())
    typical = typical_cases(first.cases[first.cases["phrase"] == phrase])
    if typical.empty:
        return []
    sent_id = typical.iloc[min(1, len(typical) - 1)]["sent_id"]
    cases = {
        one.evaluation.model: row
        for one in shown
        for row in one.with_masks(one.cases[one.cases["sent_id"] == sent_id]).to_dict("records")
    }
    case = cases[first.evaluation.model]
    sources = {f"{one.evaluation.name}/{CASES}": one.sources["cases"]["sha256"] for one in shown}
    figure = ShownFigure(
        folder / f"{split.file_stem}.task.svg",
        worded(
            "The task: given this image and the words “%(phrase)s”, mark its pixels. Image %(image)s, patient "
            "%(patient)s: the case of the median Dice of %(model)s.",
            phrase=shortened(phrase, MOST_OF_A_PHRASE),
            image=printable(case["image_id"]),
            patient=printable(case["patient"]),
            model=first.evaluation.model,
        ),
        sources | hashes_of_images(split.dataset, [image_path(first.images, case["image_id"])]),
    )
    draw_task(cases, first.images, figure.path)
    return [figure]


def _of_comparison(one: Comparison, evaluations: Sequence[Artifacts], folder: Path) -> list[ShownFigure]:
    rows = shown_tests(one)
    if not rows:
        return []
    compared = evaluated_on(evaluations, one.dataset, one.split)
    figure = ShownFigure(
        folder / f"compared.{one.name}.differences.svg",
        worded(
            "%(score)s of every patient, the first model's mean minus the second's, in ascending order; line "
            "and band: the mean over %(patients)s patients (%(n)s expressions) with its interval. %(intervals)s "
            "At most %(most)s pairs are drawn.",
            score=worded_title(rows[0]["score"]),
            patients=rows[0]["n_patients"],
            n=rows[0]["n_expressions"],
            intervals=intervals(one.content["settings"]),
            most=MOST_PAIRS,
        ),
        one.hashes
        | {f"{each.evaluation.name}/{CASES}": each.sources["cases"]["sha256"] for each in compared},
    )
    draw_differences(one, evaluations, figure.path)
    return [figure]


def _of_external(external: External, folder: Path) -> list[ShownFigure]:
    score = next(iter(external.cells))[0]
    figure = ShownFigure(
        folder / "external.svg",
        worded(
            "%(score)s of every model on every data set: the mean over its patients, in brackets its 95%% "
            "interval (BCa bootstrap over patients).",
            score=worded_title(score),
        ),
        external.hashes,
    )
    draw_external(external, figure.path)
    return [figure]


def _of_unscored(one: Unscored, folder: Path) -> list[ShownFigure]:
    """Some images of each phrase; nothing says which are the best."""
    name, record = one.evaluation.name, one.sources["predictions"]
    drawn = []
    for number, phrase in enumerate(one.by_phrase, start=1):
        path = folder / f"{one.evaluation.file_stem}.examples_{number}.svg"
        shown = draw_examples(one, phrase, path)
        files = [image_path(one.images, image_id) for image_id in shown]
        caption = worded(
            "“%(phrase)s”: outlines of the prediction, on images spread evenly over all %(n)s: %(images)s. No "
            "truth: not scored.",
            phrase=shortened(phrase, MOST_OF_A_PHRASE),
            n=one.by_phrase[phrase]["n_expressions"],
            images=printable(", ".join(shown)),
        )
        sources = {f"{name}/{record['name']}": record["sha256"]}
        drawn.append(ShownFigure(path, caption, sources | hashes_of_images(one.evaluation.dataset, files)))
    return drawn
