import sys

from refvessel.jobs.shown_command import VARIABLE, shown_command

# For the report: its job, wherever it runs, inherits the environment.
if workflow.is_main_process:
    os.environ[VARIABLE] = shown_command(sys.argv)


rule render_report:
    input:
        **where_logits_are_stored(
            thresholds=of_evaluations(
                at(artifacts.OF_SCORES, artifacts.THRESHOLDS),
                list(filter(is_run, settings.scored_entries())),
            )
        ),
        questions=[
            at(artifacts.CHOSEN, **entry.places)
            for entry in settings.entries()
            if entry.entrant.candidates
        ],
        words=of_evaluations(
            at(artifacts.OF_SCORES, artifacts.WORDS), settings.scored_entries()
        ),
        cases=of_evaluations(
            at(artifacts.OF_SCORES, artifacts.CASES), settings.scored_entries()
        ),
        summaries=of_evaluations(
            at(artifacts.OF_SCORES, artifacts.SUMMARY), settings.scored_entries()
        ),
        breaks=of_evaluations(
            at(artifacts.OF_SCORES, artifacts.BREAKS), settings.scored_entries()
        ),
        masks=of_evaluations(at(artifacts.OF_MASKS), settings.unscored_entries()),
        predictions=of_evaluations(scored_predictions()),
        datasets=[
            at(artifacts.OF_DATASET, dataset=name)
            for name in settings.evaluated("dataset")
        ],
        comparisons=comparisons(at(artifacts.OF_COMPARISON, artifacts.COMPARISON)),
        videos=of_sequences(at(artifacts.OF_SCORES, artifacts.VIDEO)),
        video_comparisons=sequence_comparisons(
            at(artifacts.OF_COMPARISON, artifacts.VIDEO_COMPARISON)
        ),
        external=external_comparison(),
        checkpoints=[
            at(artifacts.OF_CHECKPOINT, model=entry.entrant.model)
            for entry in filter(is_run, settings.entries())
        ],
    output:
        index=at(artifacts.REPORT),  # its figures stand beside it, which Snakemake's one file cannot hold
        tables=report(
            directory(at(artifacts.OF_REPORT, artifacts.TABLES)),
            patterns=["{table}.csv"],
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        figures=report(
            directory(at(artifacts.OF_REPORT, artifacts.FIGURES)),
            patterns=["{figure}.svg", "{figure}.webp"],
            caption="../report/figures.rst",
            category="Figures",
            labels=labels_of_figure,
        ),
        cases_page=report(
            at(artifacts.OF_REPORT, artifacts.CASES_PAGE),
            caption="../report/cases_page.rst",
            category="Cases",
            labels={"page": "every case"},
        ),
        pictures=directory(at(artifacts.OF_REPORT, artifacts.PICTURES)),
        methods=at(artifacts.OF_REPORT, artifacts.METHODS),
        manifest=at(artifacts.OF_REPORT, artifacts.MANIFEST),
    log:
        "<logs>/report/report.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        **needs(
            "render_report",
            lambda wildcards, input: [*input.cases, *input.predictions],
        ),
    params:
        evaluations=[entry.places for entry in settings.entries()],
        scored=[tuple(entry.places.values()) for entry in settings.scored_entries()],
        run=[is_run(entry) for entry in settings.entries()],
        chosen=[bool(entry.entrant.candidates) for entry in settings.entries()],
        dataset_names=settings.evaluated("dataset"),
        key_files=key_files(),
        settings=settings.privacy.result_settings(),
        language=settings.report.language,
        benchmarks=str(STORED(workflow.pathvars.apply("<benchmarks>"))),
        private_log=f"{PRIVATE_LOGS}/{artifacts.PRIVATE_LOG_OF_REPORT}",
        code=code_of("render_report"),
    script:
        "../scripts/render_report.py"
