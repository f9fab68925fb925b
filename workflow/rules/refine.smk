rule tune_threshold:
    input:
        predictions="<results>/predictions/{model}/{dataset}/"
        f"{TUNING_SPLIT}/predictions.parquet",
        logits=each_shard(".logits.npz", split=TUNING_SPLIT),
        dataset="<results>/datasets/{dataset}",
    output:
        "<results>/thresholds/{model}/{dataset}.json",
    log:
        "<logs>/tune/{model}/{dataset}.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        score=settings.refinement.threshold,
        settings=scoring_settings("empty_cases"),
        code=code_of("tune_threshold"),
    script:
        "../scripts/tune_threshold.py"


rule refine_predictions:
    input:
        unpack(tuned_threshold),
        **where_logits_are_stored(logits=each_shard(".logits.npz")),
        predictions="<results>/predictions/{model}/{dataset}/{split}/predictions.parquet",
    output:
        "<results>/predictions/{model}/{dataset}/{split}/refined.parquet",
    log:
        "<logs>/refine/{model}/{dataset}/{split}.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        settings=settings.refinement.canonical(),
        code=code_of("refine_predictions"),
    script:
        "../scripts/refine_predictions.py"
