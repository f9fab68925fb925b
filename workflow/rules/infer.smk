# What is asked, apart from the truths: a mended truth changes the tree, but nothing that was segmented. After this
# checkpoint Snakemake looks again, and where the file says what it said before, no shard is segmented.
checkpoint list_expressions:
    input:
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.EXPRESSIONS),
    log:
        "<logs>/infer/{dataset}/{split}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("list_expressions"),
    params:
        code=code_of("list_expressions"),
    script:
        "../scripts/list_expressions.py"


# Whatever is asked alone; and a rule for each split about which a model is asked several questions, or in other words
# besides: one job looks at each image once, and answers them all.
for number, together in enumerate([None, *settings.asked_together()]):
    places = [entry.places for entry in together] if together else [{}]

    rule:
        name:
            f"segment_questions_{number}" if together else "segment_shard"
        input:
            unpack(knowing(chosen_question, places[0])),
            expressions=knowing(listed_expressions, places[0]),
            model=knowing(checkpoint_of_entrant, places[0]),
            dataset=ancient(at(artifacts.OF_DATASET, **places[0])),
        output:
            **words_of_a_job(together),
            **where_logits_are_stored(
                logits=shards_of_a_job(artifacts.LOGITS_SUFFIX, places)
            ),
            shards=shards_of_a_job(artifacts.SHARD_SUFFIX, places),
            runs=shards_of_a_job(artifacts.RUN_SUFFIX, places),
        log:
            filled("<logs>/infer/{model}/{dataset}/{split}/{part}.log", **places[0]),
        benchmark:
            filled(
                "<benchmarks>/infer/{model}/{dataset}/{split}/{part}.tsv", **places[0]
            )
        wildcard_constraints:
            model=any_of(entrants_by("image")),
        retries: TRIES_ON_ANOTHER_GPU
        conda:
            ENVIRONMENT_OF_MODELS
        threads: THREADS_OF_MODELS
        resources:
            **needs_of_model("expressions", len(places)),
        params:
            questions=questions_of_entrants(places),
            words=[entry.words and entry.words.canonical() for entry in together or ()],
            settings=answer_settings(),
            code=code_of("segment_shard"),
        script:
            "../scripts/segment_shard.py"

    if together:
        workflow.ruleorder(f"segment_questions_{number}", "segment_shard")


rule gather_predictions:
    input:
        shards=each_shard(artifacts.SHARD_SUFFIX),
        runs=each_shard(artifacts.RUN_SUFFIX),
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.OF_PREDICTIONS, artifacts.PREDICTIONS),
    log:
        "<logs>/gather/{model}/{dataset}/{split}.log",
    wildcard_constraints:
        model=any_of([*entrants_by("image"), *entrants_by("video")]),
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("gather_predictions", lambda wildcards, input: input.shards),
    params:
        code=code_of("gather_predictions"),
    script:
        "../scripts/gather_predictions.py"
