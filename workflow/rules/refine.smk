rule tune_threshold:
    input:
        predictions=at(artifacts.OF_PREDICTIONS, artifacts.PREDICTIONS, split="val"),
        logits=each_shard(artifacts.LOGITS_SUFFIX, split="val"),
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.TUNED),
    log:
        "<logs>/tune/{model}/{dataset}.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        score=config["refinement"]["threshold"],
        empty_cases=config["scores"]["empty_cases"],
        code=code_of("tune_threshold"),
    script:
        "../scripts/tune_threshold.py"


rule refine_predictions:
    input:
        unpack(tuned_threshold),
        **where_logits_are_stored(logits=each_shard(artifacts.LOGITS_SUFFIX)),
        predictions=at(artifacts.OF_PREDICTIONS, artifacts.PREDICTIONS),
    output:
        at(artifacts.OF_PREDICTIONS, artifacts.REFINED),
    log:
        "<logs>/refine/{model}/{dataset}/{split}.log",
    conda:
        "../../envs/refvessel.yaml"
    params:
        settings=config["refinement"],
        code=code_of("refine_predictions"),
    script:
        "../scripts/refine_predictions.py"
