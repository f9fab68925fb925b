# As list_expressions, of runs: a mended truth changes nothing that was segmented.
checkpoint list_sequences:
    input:
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.SEQUENCES),
    log:
        "<logs>/infer/{dataset}/{split}.sequences.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("list_sequences"),
    params:
        code=code_of("list_sequences"),
    script:
        "../scripts/list_sequences.py"


rule segment_sequences:
    input:
        unpack(chosen_question),
        unpack(sam2_of_entrant),
        sequences=listed_sequences,
        model=checkpoint_of_entrant,
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
    wildcard_constraints:
        model=any_of(entrants_by("video")),
    retries: TRIES_ON_ANOTHER_GPU
    conda:
        ENVIRONMENT_OF_MODELS
    threads: THREADS_OF_MODELS
    resources:
        **needs_of_model("sequences"),
    params:
        question=lambda wildcards: ENTRANTS[wildcards.model].question,
        settings=answer_settings(),
        video=settings.video.result_settings(),
        code=code_of("segment_sequences"),
    script:
        "../scripts/segment_sequences.py"


rule write_video_results:
    input:
        shards=each_shard(artifacts.SHARD_SUFFIX),
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.OF_PREDICTIONS, artifacts.VIDEO_RESULTS),
    log:
        "<logs>/infer/{model}/{dataset}/{split}/results.log",
    wildcard_constraints:
        model=any_of(entrants_by("video")),
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("write_video_results", lambda wildcards, input: input.shards),
    params:
        code=code_of("write_video_results"),
    script:
        "../scripts/write_video_results.py"
