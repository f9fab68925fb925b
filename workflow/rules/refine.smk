from refvessel.settings.refinement_section import TUNING_SPLIT


rule tune_threshold:
    input:
        predictions=at(
            artifacts.OF_PREDICTIONS, artifacts.PREDICTIONS, split=TUNING_SPLIT
        ),
        logits=each_shard(artifacts.LOGITS_SUFFIX, split=TUNING_SPLIT),
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.TUNED),
    log:
        "<logs>/tune/{model}/{dataset}.log",
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("tune_threshold", lambda wildcards, input: input.logits),
    params:
        score=settings.refinement.threshold,
        settings=scoring_settings("empty_cases"),
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
        "../../envs/cpu.yaml"
    resources:
        **needs(
            "refine_predictions",
            lambda wildcards, input: [input.predictions, *input.get("logits", [])],
        ),
    params:
        settings=lambda wildcards: refinement_of(wildcards).canonical(),
        code=code_of("refine_predictions"),
    script:
        "../scripts/refine_predictions.py"
