"""Rule render_report: tables, figures and the page, from artifacts only."""

import os
from pathlib import Path

from refvessel.jobs.shown_command import VARIABLE
from refvessel.privacy.name_tables import table_of_tree
from refvessel.report.render import render_report
from refvessel.report.run_told import RunTold
from refvessel.report.sections import evaluations_of
from refvessel.settings.privacy_section import Privacy
from refvessel.settings.published import published
from refvessel.settings.whole import Settings
from refvessel.workflow import logged

given, params = snakemake.input, snakemake.params
cases = dict(zip(map(tuple, params.scored), map(Path, given.cases), strict=True))
choices, predictions = map(Path, given.get("questions", [])), map(Path, given.predictions)
evaluations = evaluations_of(params.evaluations, predictions, cases, params.chosen, choices)
run = [each.model for each, is_run in zip(evaluations, params.run, strict=True) if is_run]
datasets = dict(zip(params.dataset_names, map(Path, given.datasets), strict=True))
with logged(snakemake.log[0]):
    render_report(
        evaluations=evaluations,
        output=Path(snakemake.output.index).parent,
        checkpoints=dict(zip(run, map(Path, given.get("checkpoints", [])), strict=True)),
        comparisons=[Path(path) for path in given.comparisons],
        external=next(map(Path, given.get("external", [])), None),
        name_tables=[table_of_tree(datasets[name], Path(key)) for name, key in params.key_files.items()],
        settings=Privacy.model_validate(params.settings),
        private_log=Path(params.private_log),
        datasets=datasets,
        language=params.language,
        benchmarks=Path(params.benchmarks),
        run=RunTold(os.environ.get(VARIABLE), published(Settings.model_validate(snakemake.config))),
        threads=snakemake.threads,
    )
