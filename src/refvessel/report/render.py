"""Rendering the report: tables, figures, one page and a manifest, from artifacts alone."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from refvessel.answer_status import Status
from refvessel.artifacts import (
    BREAKS,
    CASES,
    CASES_PAGE,
    FIGURES,
    MANIFEST,
    PAGE,
    PICTURES,
    SUMMARY,
    TABLES,
    THRESHOLDS,
    VIDEO_CASES,
)
from refvessel.dataset.tree.layout import IMAGES
from refvessel.errors import UserError
from refvessel.files import atomic_directory, sha256_of_file, write_json
from refvessel.mask_logits import MODEL_THRESHOLD
from refvessel.privacy.check import check_privacy
from refvessel.provenance import versions
from refvessel.report.cases_page import write_cases_page
from refvessel.report.compared_models import Comparison, read_comparison
from refvessel.report.curves import draw_confidence, draw_threshold_curves
from refvessel.report.external_table import External, read_external
from refvessel.report.figures import draw_dice_by_patient, draw_dice_by_phrase
from refvessel.report.overlays import draw_overlays, image_path, ranked_cases, typical_cases
from refvessel.report.page import ShownFigure, render_page
from refvessel.report.printing import printable, shortened
from refvessel.report.scored_runs import Runs
from refvessel.report.sections import Artifacts, Evaluation, read_artifacts
from refvessel.report.sequence_figures import (
    ANIMATION_SUFFIX,
    draw_over_time,
    draw_strip,
    typical_sequences,
    write_animation,
)
from refvessel.report.shown_breaks import told_breaks
from refvessel.report.tables import EXTERNAL_TABLE, OF_COMPARISONS, UNSCORED, write_tables
from refvessel.report.unscored import Unscored, draw_examples, read_unscored
from refvessel.settings.privacy_section import Privacy

_MARKS = " Rings: gaps in the predicted vessel; squares: where a vessel is lost."
_MOST_OF_A_PHRASE = 200  # characters in a caption
_CONTENTS = (CASES_PAGE, FIGURES, PAGE, MANIFEST, PICTURES, TABLES)


def render_report(
    *,
    evaluations: Sequence[Evaluation],
    output: Path,
    checkpoints: Mapping[str, Path],
    datasets: Mapping[str, Path],
    comparisons: Sequence[Path] = (),
    external: Path | None = None,
    name_tables: Sequence[Path] = (),
    settings: Privacy,
    private_log: Path | None = None,
) -> None:
    """Write the pages, tables/*.csv|tex, figures/*.svg and manifest.json; `output` appears whole or not at all.

    `checkpoints` has the HF folder of the model of each entrant that is run, `datasets` the tree of each dataset;
    `comparisons` are the comparison.json of splits with several entrants, `external` is the external.json of
    models on other data sets than their own. `name_tables` are those of the datasets with pseudonyms: the report
    is searched for the original names before it appears, but for those under the pseudonyms that `settings`
    accept, which the page tells. `private_log` gets which name was found where.
    The same artifacts give the same bytes. Raises UserError where an artifact is missing or contradicts
    another, where an original name is found, and where `output` holds something else than a report.
    """
    accepted = settings.accepted
    if not evaluations:
        raise UserError("The report has no evaluation to show; name at least one model, dataset and split.")
    names = [one.name for one in evaluations]
    if repeated := sorted(name for name in set(names) if names.count(name) > 1):
        raise UserError(f"The evaluation {repeated[0]} is named twice; name each once.")
    _check_replaceable(Path(output))
    artifacts = [
        read_artifacts(one, checkpoint=checkpoints.get(one.model), dataset=datasets[one.dataset])
        for one in evaluations
        if one.scores_dir is not None
    ]
    unscored = [read_unscored(one, datasets[one.dataset]) for one in evaluations if one.scores_dir is None]
    compared = [read_comparison(path, artifacts) for path in comparisons]
    away = None if external is None else read_external(external, artifacts)
    with atomic_directory(Path(output)) as folder:
        for name in (TABLES, FIGURES):
            (folder / name).mkdir()
        captions = write_tables(artifacts, compared, folder / TABLES, unscored, away)
        figures = {one.evaluation.name: _draw_figures(one, folder / FIGURES) for one in artifacts}
        figures |= {one.evaluation.name: _draw_unscored(one, folder / FIGURES) for one in unscored}
        used = versions() | {name: metadata.version(name) for name in ("jinja2", "matplotlib")}
        (folder / PAGE).write_text(
            render_page(artifacts, compared, figures, used, accepted, unscored, away), "utf-8"
        )
        of_all: list[Artifacts | Unscored] = [*artifacts, *unscored]
        shown_cases = _describe_cases(of_all, write_cases_page(of_all, folder))
        manifest = _manifest(
            folder, [*artifacts, *unscored], compared, captions, figures, used, away, shown_cases
        )
        write_json(folder / MANIFEST, manifest | _searched_for([*artifacts, *unscored], accepted))
        if name_tables:
            check_privacy(
                folder,
                name_tables,
                accepted=accepted,
                published=_names_of_the_user([*artifacts, *unscored]),
                private_log=private_log,
                shown_as=output,
            )


def _searched_for(artifacts: Sequence[Artifacts | Unscored], accepted: Sequence[str]) -> dict[str, list[str]]:
    """What tells a later search which names belong to the report."""
    tables = {str((one.dataset or {}).get("name_table", "")) for one in artifacts} - {""}
    return {"name_tables": sorted(tables), "accepted": sorted(accepted)}


def _names_of_the_user(artifacts: Sequence[Artifacts | Unscored]) -> list[str]:
    """What the configuration calls its models, data sets and splits, and what is asked: published on purpose."""
    evaluations = [one.evaluation for one in artifacts]
    questions = [str((one.made_from.get("run") or {}).get("question", "")) for one in artifacts]
    scored = [one for one in artifacts if isinstance(one, Artifacts)]
    questions += [each["question"] for one in scored for each in (one.choice or {}).get("candidates", [])]
    questions += [each["name"] for one in scored for each in (one.choice or {}).get("candidates", [])]
    names = [name for one in evaluations for name in (one.model, one.dataset, one.split)]
    return [*names, *questions, *(words for one in scored for words in _words_asked(one))]


def _words_asked(one: Artifacts) -> list[str]:
    """The phrases that were asked besides those of the data set."""
    kinds = [(one.words or {}).get(kind, {}) for kind in ("paraphrases", "translations")]
    return [str(row["words"]) for kind in kinds for row in kind.get("by_words", [])]


def _check_replaceable(output: Path) -> None:
    """Raise UserError where replacing `output` would delete something that no report put there."""
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; choose a folder for the report.")
    foreign = sorted(entry.name for entry in output.glob("*") if entry.name not in _CONTENTS)
    if foreign:
        raise UserError(f"{output} holds {foreign[0]}, which is no part of a report; choose another folder.")


def _draw_figures(one: Artifacts, folder: Path) -> list[ShownFigure]:
    name, stem = one.evaluation.name, one.evaluation.file_stem
    cases_source = {f"{name}/{CASES}": one.sources["cases"]["sha256"]}
    breaks_source = {f"{name}/{BREAKS}": one.sources["breaks"]["sha256"]}
    drawn = [
        ShownFigure(
            folder / f"{stem}.dice_by_phrase.svg",
            "Dice of every expression by phrase. The box spans the quartiles, its line is the median, its "
            "whiskers reach the last expression within 1.5 times the box, the diamond is the mean.",
            cases_source,
        ),
        ShownFigure(
            folder / f"{stem}.dice_by_patient.svg",
            "Dice of every expression by patient, patients ordered by their mean (the bar). "
            "Frames of one patient are not independent samples.",
            cases_source,
        ),
    ]
    draw_dice_by_phrase(one.cases, drawn[0].path)
    draw_dice_by_patient(one.cases, drawn[1].path)
    if one.thresholds is not None:
        drawn.append(
            ShownFigure(
                folder / f"{stem}.thresholds.svg",
                "Scores of the stored probabilities cut at every threshold; the line is the model's own, "
                f"{MODEL_THRESHOLD}. "
                "These expressions are the evaluated ones: no threshold may be chosen for them from this curve."
                f"{_fewer(one.thresholds)}",
                {f"{name}/{THRESHOLDS}": one.sources["thresholds"]["sha256"]},
            )
        )
        draw_threshold_curves(one.thresholds, drawn[-1].path)
    if confidence := one.summary.get("confidence"):
        drawn.append(
            ShownFigure(
                folder / f"{stem}.confidence.svg",
                "Left: the mean 1 \N{MINUS SIGN} Dice of the cases with the highest predicted IoU, by their "
                "share; dotted, of all cases. Right: the mean IoU of each tenth of the predicted IoU; "
                f"on the dotted line the model knows how good it is. {confidence['n']} cases, "
                f"{confidence['n_without']} without a predicted IoU.",
                {f"{name}/{SUMMARY}": one.sources["summary"]["sha256"]},
            )
        )
        draw_confidence(confidence, drawn[-1].path)
    for number, (phrase, group) in enumerate(one.cases.groupby("phrase", sort=True), start=1):
        shown = typical_cases(group)
        if shown.empty:
            continue
        described = " ".join(_describe(case, one.breaks) for case in shown.to_dict("records"))
        files = [image_path(one.images, image_id) for image_id in shown["image_id"]]
        figure = ShownFigure(
            folder / f"{stem}.overlays_{number}.svg",
            f"“{shortened(str(phrase), _MOST_OF_A_PHRASE)}”: outlines of the truth and of the prediction over "
            f"the image{_among(group)}. {described}{_MARKS}",
            cases_source | breaks_source | _hashes_of_images(one.evaluation.dataset, files),
        )
        draw_overlays(shown, one.images, figure.path, one.breaks)
        drawn.append(figure)
    return drawn + (_draw_sequences(one, one.runs, folder) if one.runs else [])


def _draw_sequences(one: Artifacts, runs: Runs, folder: Path) -> list[ShownFigure]:
    """The best, the median and the worst sequence: as a strip, moving, and over time."""
    name, drawn = one.evaluation.name, []
    table = {f"{name}/{VIDEO_CASES}": runs.sources["video_cases"]["sha256"]}
    for number, sequence in enumerate(typical_sequences(runs.sequences).to_dict("records"), start=1):
        frames = runs.frames_of(sequence, one.cases)
        files = [image_path(one.images, image_id) for image_id in frames["image_id"]]
        images = _hashes_of_images(one.evaluation.dataset, files)
        told = (
            f"{str(sequence['rank']).capitalize()} sequence: run {printable(sequence['video'])}, "
            f"“{shortened(sequence['phrase'], _MOST_OF_A_PHRASE)}”, patient {printable(sequence['patient'])}, "
            f"J&F {sequence['J&F']:.3f} over {len(frames)} frames"
        )
        stem = folder / f"{one.evaluation.file_stem}.sequence_{number}"
        strip, film, curve = (
            stem.with_name(stem.name + end) for end in (".svg", ANIMATION_SUFFIX, ".time.svg")
        )
        draw_strip(frames, one.images, strip)
        write_animation(frames, one.images, film)
        draw_over_time(frames, curve)
        drawn += [
            ShownFigure(strip, f"{told}: outlines of the truth and of the prediction.", table | images),
            ShownFigure(film, f"{told}: the same, moving.", table | images),
            ShownFigure(
                curve,
                f"{told}: scores of its frames, IoU of each mask with the one before after their motion "
                "(consistency), and areas.",
                table,
            ),
        ]
    return drawn


def _draw_unscored(one: Unscored, folder: Path) -> list[ShownFigure]:
    """Some images of each phrase; nothing says which are the best."""
    name, record = one.evaluation.name, one.sources["predictions"]
    drawn = []
    for number, phrase in enumerate(one.by_phrase, start=1):
        path = folder / f"{one.evaluation.file_stem}.examples_{number}.svg"
        shown = draw_examples(one, phrase, path)
        files = [image_path(one.images, image_id) for image_id in shown]
        caption = (
            f"“{shortened(phrase, _MOST_OF_A_PHRASE)}”: outlines of the prediction, on images spread evenly over "
            f"all {one.by_phrase[phrase]['n_expressions']}: {printable(', '.join(shown))}. No truth: not scored."
        )
        sources = {f"{name}/{record['name']}": record["sha256"]}
        drawn.append(ShownFigure(path, caption, sources | _hashes_of_images(one.evaluation.dataset, files)))
    return drawn


def _among(cases: pd.DataFrame) -> str:
    """Of which cases the overlays are the best, the median and the worst, where not of all."""
    ranked = len(ranked_cases(cases))
    return "" if ranked == len(cases) else f", of the {ranked} of {len(cases)} expressions with a vessel"


def _fewer(thresholds: pd.DataFrame) -> str:
    """Which of the curves are means over fewer than all expressions, for the caption."""
    drawn = {"Dice": "dice_n", "IoU": "iou_n", "precision": "precision_n", "recall": "recall_n"}
    fewest = {label: thresholds[column].min() for label, column in drawn.items()}
    n = thresholds["n_expressions"].iloc[0]
    told = ", ".join(f"{label} {count}" for label, count in fewest.items() if count < n)
    over = f" Means are over {n} expressions"
    return f"{over}; where a score is undefined for some, over at least: {told}." if told else f"{over}."


def _hashes_of_images(dataset: str, files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each by the data set's key and its path below the tree's image folder."""
    return {
        f"{dataset}/{file.as_posix().rpartition(f'{IMAGES}/')[2]}": sha256_of_file(file) for file in files
    }


def _describe(case: Mapping[Any, Any], breaks: pd.DataFrame) -> str:
    unanswered = "" if case["status"] == Status.OK else f" ({case['status']})"
    return (
        f"{case['rank'].capitalize()}: image {printable(case['image_id'])}, patient {printable(case['patient'])}, "
        f"Dice {case['dice']:.3f}{unanswered}.{told_breaks(breaks[breaks['sent_id'] == case['sent_id']])}"
    )


def _describe_cases(
    artifacts: Sequence[Artifacts | Unscored], written: Mapping[str, Sequence[tuple[str, Path]]]
) -> dict[str, tuple[str, dict[str, str]]]:
    """Caption and sources of the cases page and of the pictures beside it, by their paths."""
    tables = {
        f"{one.evaluation.name}/{one.sources[role]['name']}": one.sources[role]["sha256"]
        for one in artifacts
        for role in ("cases", "breaks", "predictions")
        if role in one.sources
    }
    described = {}
    for path, images in written.items():
        sources = dict(tables) if path == CASES_PAGE else {}
        for dataset, file in images:
            sources |= _hashes_of_images(dataset, [file])
        caption = "Every case with its masks, scores and answer" if path == CASES_PAGE else "A case's image"
        described[path] = (caption, sources)
    return described


def _manifest(
    folder: Path,
    artifacts: Sequence[Artifacts | Unscored],
    compared: Sequence[Comparison],
    captions: dict[str, str],
    figures: dict[str, list[ShownFigure]],
    used: dict[str, str],
    external: External | None,
    shown_cases: Mapping[str, tuple[str, dict[str, str]]],
) -> dict[str, Any]:
    """Each file of the report with its SHA-256, its caption, and the SHA-256 of what it was made from."""
    files = {
        f"{one.evaluation.name}/{record['name']}": record["sha256"]
        for one in artifacts
        for record in one.sources.values()
    }
    compared_files = {name: sha256 for one in compared for name, sha256 in one.hashes.items()}
    summaries = {name: sha256 for name, sha256 in files.items() if name.endswith(f"/{SUMMARY}")}
    unscored_files = {
        f"{one.evaluation.name}/{record['name']}": record["sha256"]
        for one in artifacts
        if isinstance(one, Unscored)
        for record in one.sources.values()
    }
    external_files = external.hashes if external else {}
    sources_of_tables = {
        **dict.fromkeys(OF_COMPARISONS, compared_files),
        UNSCORED: unscored_files,
        EXTERNAL_TABLE: external_files,
    }
    described = {
        f"{TABLES}/{name}": (caption, sources_of_tables.get(Path(name).stem, summaries))
        for name, caption in captions.items()
    }
    for figure in (figure for drawn in figures.values() for figure in drawn):
        described[f"{FIGURES}/{figure.path.name}"] = (figure.caption, figure.sources)
        files |= figure.sources
    described |= shown_cases
    described[PAGE] = ("The report's page", files | compared_files | external_files)
    return {
        "versions": used,
        "outputs": {
            path: {"sha256": sha256_of_file(folder / path), "caption": caption, "sources": sources}
            for path, (caption, sources) in sorted(described.items())
        },
    }
