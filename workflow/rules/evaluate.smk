def models_on(dataset, split):
    """The models that are evaluated on a split, in the order of the configuration."""
    return [
        evaluation["model"]
        for evaluation in config["evaluations"]
        if (evaluation["dataset"], evaluation["split"]) == (dataset, split)
    ]


def comparisons(pattern):
    """One path a split on which several models are evaluated; the pattern has {dataset} and {split}."""
    splits = {(one["dataset"], one["split"]) for one in config["evaluations"]}
    return [
        pattern.format(dataset=dataset, split=split)
        for dataset, split in sorted(splits)
        if len(models_on(dataset, split)) > 1
    ]


rule score_cases:
    input:
        predictions=scored_predictions(),
        dataset="<results>/datasets/{dataset}",
    output:
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
        coco="<results>/scores/{model}/{dataset}/{split}/coco_results.json",
    log:
        "<logs>/evaluate/{model}/{dataset}/{split}.log",
    conda:
        "../../envs/refvessel.yaml"
    threads: 2
    params:
        settings=config["scores"],
        max_failures=config["inference"]["max_failures"],
        code=code_hash("metrics", "dataset"),
    script:
        "../scripts/score_cases.py"


rule compare_models:
    input:
        cases=lambda wildcards: [
            f"<results>/scores/{model}/{wildcards.dataset}/{wildcards.split}/cases.parquet"
            for model in models_on(wildcards.dataset, wildcards.split)
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
        models=lambda wildcards: models_on(wildcards.dataset, wildcards.split),
        settings=config["scores"],
        code=code_hash("metrics"),
    script:
        "../scripts/compare_models.py"
