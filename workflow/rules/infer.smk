rule segment_shard:
    input:
        model="<results>/checkpoints/{model}",
        dataset="<results>/datasets/{dataset}",
    output:
        **where_logits_are_stored(
            logits="<results>/predictions/{model}/{dataset}/{split}/shards/{scatteritem}.logits.npz"
        ),
        shard="<results>/predictions/{model}/{dataset}/{split}/shards/{scatteritem}.jsonl",
        run="<results>/predictions/{model}/{dataset}/{split}/shards/{scatteritem}.run.json",
    log:
        "<logs>/infer/{model}/{dataset}/{split}/{scatteritem}.log",
    benchmark:
        "<benchmarks>/infer/{model}/{dataset}/{split}/{scatteritem}.tsv"
    conda:
        "../../envs/refvessel.yaml"
    threads: config["inference"]["threads"]
    resources:
        gpu=config["inference"]["gpus_per_job"],
    params:
        settings=config["inference"],
        code=code_hash("inference", "jobs", "model", "dataset"),
    script:
        "../scripts/segment_shard.py"


rule gather_predictions:
    input:
        shards=gather.shards(
            "<results>/predictions/{{model}}/{{dataset}}/{{split}}/shards/{scatteritem}.jsonl"
        ),
        runs=gather.shards(
            "<results>/predictions/{{model}}/{{dataset}}/{{split}}/shards/{scatteritem}.run.json"
        ),
        dataset="<results>/datasets/{dataset}",
    output:
        "<results>/predictions/{model}/{dataset}/{split}/predictions.parquet",
    log:
        "<logs>/gather/{model}/{dataset}/{split}.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        code=code_hash("inference", "dataset"),
    script:
        "../scripts/gather_predictions.py"
