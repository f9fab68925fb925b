rule render_report:
    input:
        **where_logits_are_stored(
            thresholds=of_evaluations(
                "<results>/scores/{model}/{dataset}/{split}/thresholds.csv"
            )
        ),
        cases=of_evaluations("<results>/scores/{model}/{dataset}/{split}/cases.parquet"),
        summaries=of_evaluations(
            "<results>/scores/{model}/{dataset}/{split}/summary.json"
        ),
        predictions=of_evaluations(scored_predictions()),
        datasets=[
            f"<results>/datasets/{name}" for name in settings.evaluated("dataset")
        ],
        comparisons=comparisons(
            "<results>/comparisons/{dataset}/{split}/comparison.json"
        ),
        checkpoints=[
            f"<results>/checkpoints/{name}" for name in settings.evaluated("model")
        ],
    output:
        index=report(
            "<results>/report/index.html",
            caption="../report/report.rst",
            category="Report",
        ),
        tables=report(
            directory("<results>/report/tables"),
            patterns=["{table}.csv"],
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        figures=report(
            directory("<results>/report/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        manifest="<results>/report/manifest.json",
    log:
        "<logs>/report/report.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        evaluations=[one.canonical() for one in settings.evaluations],
        dataset_names=settings.evaluated("dataset"),
        model_names=settings.evaluated("model"),
        key_files=key_files(),
        settings=settings.privacy.result_settings(),
        private_log=f"{PRIVATE_LOGS}/report.log",
        code=code_of("render_report"),
    script:
        "../scripts/render_report.py"
