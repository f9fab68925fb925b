rule score_cases:
    input:
        **where_logits_are_stored(logits=each_shard(".logits.npz")),
        predictions=scored_predictions(),
        dataset="<results>/datasets/{dataset}",
    output:
        **where_logits_are_stored(
            thresholds=report(
                "<results>/scores/{model}/{dataset}/{split}/thresholds.csv",
                caption="../report/thresholds.rst",
                category="Scores",
                labels={
                    "model": "{model}",
                    "dataset": "{dataset}",
                    "split": "{split}",
                    "file": "thresholds",
                },
            )
        ),
        cases=report(
            "<results>/scores/{model}/{dataset}/{split}/cases.parquet",
            caption="../report/cases.rst",
            category="Scores",
            labels={
                "model": "{model}",
                "dataset": "{dataset}",
                "split": "{split}",
                "file": "cases",
            },
        ),
        summary=report(
            "<results>/scores/{model}/{dataset}/{split}/summary.json",
            caption="../report/summary.rst",
            category="Scores",
            labels={
                "model": "{model}",
                "dataset": "{dataset}",
                "split": "{split}",
                "file": "summary",
            },
        ),
        coco_results="<results>/scores/{model}/{dataset}/{split}/coco_results.json",
        coco_truth="<results>/scores/{model}/{dataset}/{split}/coco_truth.json",
    log:
        "<logs>/evaluate/{model}/{dataset}/{split}.log",
    conda:
        "../../envs/refvessel.yaml"
    threads: 2
    params:
        settings=scoring_settings("empty_cases", "nsd_tolerance", "bootstrap_draws"),
        code=code_of("score_cases"),
    script:
        "../scripts/score_cases.py"


rule compare_models:
    input:
        cases=lambda wildcards: [
            f"<results>/scores/{model}/{wildcards.dataset}/{wildcards.split}/cases.parquet"
            for model in settings.models_on(wildcards.dataset, wildcards.split)
        ],
    output:
        comparison=report(
            "<results>/comparisons/{dataset}/{split}/comparison.json",
            caption="../report/comparison.rst",
            category="Comparisons",
            labels={"dataset": "{dataset}", "split": "{split}", "file": "comparison"},
        ),
        ranking=report(
            "<results>/comparisons/{dataset}/{split}/ranking.csv",
            caption="../report/comparison.rst",
            category="Comparisons",
            labels={"dataset": "{dataset}", "split": "{split}", "file": "ranking"},
        ),
    log:
        "<logs>/compare/{dataset}/{split}.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        models=lambda wildcards: settings.models_on(wildcards.dataset, wildcards.split),
        settings=scoring_settings("compared", "bootstrap_draws"),
        code=code_of("compare_models"),
    script:
        "../scripts/compare_models.py"
