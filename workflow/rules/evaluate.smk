rule score_cases:
    input:
        predictions="<results>/predictions/{model}/{dataset}/{split}/predictions.parquet",
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
