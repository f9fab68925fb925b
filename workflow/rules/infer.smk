# What is asked, apart from the truths: a mended truth changes the tree, but nothing that was segmented. After this
# checkpoint Snakemake looks again, and where the file says what it said before, no shard is segmented.
checkpoint list_expressions:
    input:
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.EXPRESSIONS),
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
        model=at(artifacts.OF_CHECKPOINT),
        dataset=ancient(at(artifacts.OF_DATASET)),
    output:
        **where_logits_are_stored(
            logits=at(artifacts.OF_SHARDS, f"{{part}}{artifacts.LOGITS_SUFFIX}")
        ),
        shard=at(artifacts.OF_SHARDS, f"{{part}}{artifacts.SHARD_SUFFIX}"),
        run=at(artifacts.OF_SHARDS, f"{{part}}{artifacts.RUN_SUFFIX}"),
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
        shards=each_shard(artifacts.SHARD_SUFFIX),
        runs=each_shard(artifacts.RUN_SUFFIX),
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.OF_PREDICTIONS, artifacts.PREDICTIONS),
    log:
        "<logs>/gather/{model}/{dataset}/{split}.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        code=code_of("gather_predictions"),
    script:
        "../scripts/gather_predictions.py"
