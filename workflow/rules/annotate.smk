rule convert_dataset:
    input:
        root=lambda wildcards: dataset_settings(wildcards)["root"],
        lists=dataset_lists,
    output:
        directory("<results>/datasets/{dataset}"),
    log:
        "<private_logs>/annotate/{dataset}.log",
    benchmark:
        "<benchmarks>/annotate/{dataset}.tsv"
    conda:
        "../../envs/refvessel.yaml"
    threads: 2
    params:
        settings=lambda wildcards: dataset_settings(wildcards),
        state=dataset_state,
        code=code_of("convert_dataset"),
    script:
        "../scripts/convert_dataset.py"
