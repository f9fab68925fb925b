rule convert_dataset:
    input:
        root=made_by_the_workflow,
    output:
        directory(at(artifacts.OF_DATASET)),
    log:
        "<logs>/annotate/{dataset}.log",
    benchmark:
        "<benchmarks>/annotate/{dataset}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        **needs(
            "convert_dataset",
            lambda wildcards, input: [*input] or [dataset_settings(wildcards).root],
        ),
    params:
        private_log=lambda wildcards: f"{PRIVATE_LOGS}/{artifacts.PRIVATE_LOG_OF_DATASET.format(dataset=wildcards.dataset)}",
        state=dataset_state,
        code=code_of("convert_dataset"),
    script:
        "../scripts/convert_dataset.py"
