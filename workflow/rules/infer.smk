# What is asked, apart from the truths: a mended truth changes the tree, but nothing that was segmented. After this
# checkpoint Snakemake looks again, and where the file says what it said before, no shard is segmented.
checkpoint list_expressions:
    input:
        dataset="<results>/datasets/{dataset}",
    output:
        "<results>/expressions/{dataset}/{split}.json",
    log:
        "<logs>/infer/{dataset}/{split}.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        code=code_of("list_expressions"),
    script:
        "../scripts/list_expressions.py"


rule segment_shard:
    input:
        expressions=listed_expressions,
        model="<results>/checkpoints/{model}",
        dataset=ancient("<results>/datasets/{dataset}"),
    output:
        **where_logits_are_stored(
            logits="<results>/predictions/{model}/{dataset}/{split}/shards/{part}.logits.npz"
        ),
        shard="<results>/predictions/{model}/{dataset}/{split}/shards/{part}.jsonl",
        run="<results>/predictions/{model}/{dataset}/{split}/shards/{part}.run.json",
    log:
        "<logs>/infer/{model}/{dataset}/{split}/{part}.log",
    benchmark:
        "<benchmarks>/infer/{model}/{dataset}/{split}/{part}.tsv"
    conda:
        "../../envs/refvessel.yaml"
    threads: settings.inference.threads
    resources:
        gpu=settings.inference.gpus_per_job,
    params:
        settings=settings.inference.result_settings(),
        code=code_of("segment_shard"),
    script:
        "../scripts/segment_shard.py"


rule gather_predictions:
    input:
        shards=each_shard(".jsonl"),
        runs=each_shard(".run.json"),
        dataset="<results>/datasets/{dataset}",
    output:
        "<results>/predictions/{model}/{dataset}/{split}/predictions.parquet",
    log:
        "<logs>/gather/{model}/{dataset}/{split}.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        code=code_of("gather_predictions"),
    script:
        "../scripts/gather_predictions.py"
