"""Rendering the report: pages, tables, figures, methods and a manifest, from artifacts alone."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from refvessel.artifacts import CASES_PAGE, FIGURES, MANIFEST, METHODS, PAGE, PICTURES, SUMMARY, TABLES
from refvessel.errors import UserError
from refvessel.files import atomic_directory, sha256_of_file, write_json
from refvessel.privacy.check import check_privacy
from refvessel.provenance import versions
from refvessel.report.all_figures import draw_all
from refvessel.report.cases_page import write_cases_page
from refvessel.report.compared_models import Comparison, read_comparison
from refvessel.report.costs import read_costs
from refvessel.report.external_table import External, read_external
from refvessel.report.methods import methods_text
from refvessel.report.page import render_page
from refvessel.report.run_told import RunTold
from refvessel.report.sections import Artifacts, Evaluation, read_artifacts
from refvessel.report.shown_figure import ShownFigure, hashes_of_images
from refvessel.report.tables import EXTERNAL_TABLE, OF_COMPARISONS, UNSCORED, write_tables
from refvessel.report.unscored import Unscored, read_unscored
from refvessel.report.wording import worded, written_in
from refvessel.sentences import marked
from refvessel.settings.privacy_section import Privacy
from refvessel.settings.report_section import ENGLISH

_CONTENTS = (CASES_PAGE, FIGURES, PAGE, MANIFEST, METHODS, PICTURES, TABLES)


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
    language: str = ENGLISH,
    benchmarks: Path | None = None,
    run: RunTold | None = None,
    threads: int = 1,
) -> None:
    """Write the pages, tables, figures, methods.md and manifest.json; `output` appears whole or not at all.

    `checkpoints` has the HF folder of the model of each entrant that is run, `datasets` the tree of each dataset;
    `comparisons` are the comparison.json of splits with several entrants, `external` is the external.json of
    models on other data sets than their own. `name_tables` are those of the datasets with pseudonyms: the report
    is searched for the original names before it appears, but for those under the pseudonyms that `settings`
    accept, which the page tells. `private_log` gets which name was found where. `language` is that of the
    pages. `benchmarks` is the folder of what Snakemake measured of the jobs, `run` the command and the
    configuration that the page tells. `threads` processes share the work.
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
    costs = read_costs(benchmarks, [*artifacts, *unscored])
    with written_in(language), atomic_directory(Path(output)) as folder:
        for name in (TABLES, FIGURES):
            (folder / name).mkdir()
        captions = write_tables(artifacts, compared, folder / TABLES, unscored, away)
        figures = draw_all(artifacts, unscored, compared, away, folder / FIGURES, threads)
        used = versions() | {name: metadata.version(name) for name in ("jinja2", "matplotlib")}
        (folder / PAGE).write_text(
            render_page(artifacts, compared, figures, used, accepted, unscored, away, costs, run), "utf-8"
        )
        (folder / METHODS).write_text(methods_text(artifacts, compared, unscored), "utf-8")
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
                published=[*_names_of_the_user([*artifacts, *unscored]), *_names_configured(run)],
                private_log=private_log,
                shown_as=output,
                threads=threads,
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


def _names_configured(run: RunTold | None) -> list[str]:
    """The names of all models and data sets, evaluated or not, and the splits, as the page tells them."""
    told = {} if run is None else run.configuration
    names = [*told.get("models", {}), *told.get("datasets", {})]
    return [*names, *(str(each["split"]) for each in told.get("evaluations", []))]


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
            sources |= hashes_of_images(dataset, [file])
        caption = (
            marked("Cases with their masks, scores and answers: those of some images, and the worst")
            if path == CASES_PAGE and any(isinstance(one, Artifacts) and one.sampled for one in artifacts)
            else marked("Every case with its masks, scores and answer")
            if path == CASES_PAGE
            else marked("A case's image")
        )
        described[path] = (worded(caption), sources)
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
        for path in figure.files:
            described[f"{FIGURES}/{path.name}"] = (figure.caption, figure.sources)
        files |= figure.sources
    described |= shown_cases
    described[PAGE] = (worded("The report's page"), files | compared_files | external_files)
    described[METHODS] = (worded("Methods for a paper, and what to cite"), files | compared_files)
    return {
        "versions": used,
        "outputs": {
            path: {"sha256": sha256_of_file(folder / path), "caption": caption, "sources": sources}
            for path, (caption, sources) in sorted(described.items())
        },
    }
