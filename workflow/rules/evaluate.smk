rule score_cases:
    input:
        unpack(words_of_a_split),
        **where_logits_are_stored(logits=each_shard(artifacts.LOGITS_SUFFIX)),
        predictions=scored_predictions(),
        dataset=at(artifacts.OF_DATASET),
    output:
        **where_logits_are_stored(
            thresholds=report(
                at(artifacts.OF_SCORES, artifacts.THRESHOLDS),
                caption="../report/thresholds.rst",
                category="Scores",
                labels={
                    "model": "{model}",
                    "dataset": "{dataset}",
                    "split": "{split}",
                    "file": "thresholds",
                },
            )
        ),
        cases=report(
            at(artifacts.OF_SCORES, artifacts.CASES),
            caption="../report/cases.rst",
            category="Scores",
            labels={
                "model": "{model}",
                "dataset": "{dataset}",
                "split": "{split}",
                "file": "cases",
            },
        ),
        summary=report(
            at(artifacts.OF_SCORES, artifacts.SUMMARY),
            caption="../report/summary.rst",
            category="Scores",
            labels={
                "model": "{model}",
                "dataset": "{dataset}",
                "split": "{split}",
                "file": "summary",
            },
        ),
        breaks=report(
            at(artifacts.OF_SCORES, artifacts.BREAKS),
            caption="../report/breaks.rst",
            category="Scores",
            labels={
                "model": "{model}",
                "dataset": "{dataset}",
                "split": "{split}",
                "file": "breaks",
            },
        ),
        words=report(
            at(artifacts.OF_SCORES, artifacts.WORDS),
            caption="../report/words.rst",
            category="Scores",
            labels={
                "model": "{model}",
                "dataset": "{dataset}",
                "split": "{split}",
                "file": "words",
            },
        ),
        coco_results=at(artifacts.OF_SCORES, artifacts.COCO_RESULTS),
        coco_truth=at(artifacts.OF_SCORES, artifacts.COCO_TRUTH),
    log:
        "<logs>/evaluate/{model}/{dataset}/{split}.log",
    wildcard_constraints:
        model=any_of([*entrants_by("image"), *entrants_by("video")]),
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        **needs("score_cases", lambda wildcards, input: [input.predictions]),
    params:
        settings=scoring_settings(
            "empty_cases",
            "nsd_tolerance",
            "boundary_distance",
            "border_distance",
            "centre_line_tolerance",
            "ceiling_sample",
            "annotator_pixel",
            "bootstrap_draws",
        ),
        words=words_settings,
        code=code_of("score_cases"),
    script:
        "../scripts/score_cases.py"


# What is imported has no probabilities, and so no curve over thresholds.
use rule score_cases as score_imported with:
    output:
        cases=scores_file(artifacts.CASES),
        summary=scores_file(artifacts.SUMMARY),
        breaks=scores_file(artifacts.BREAKS),
        words=scores_file(artifacts.WORDS),
        coco_results=at(artifacts.OF_SCORES, artifacts.COCO_RESULTS),
        coco_truth=at(artifacts.OF_SCORES, artifacts.COCO_TRUTH),
    wildcard_constraints:
        model=any_of(entrants_by("imported")),


rule compare_models:
    input:
        cases=lambda wildcards: [
            at(
                artifacts.OF_SCORES,
                artifacts.CASES,
                model=model,
                dataset=wildcards.dataset,
                split=wildcards.split,
            )
            for model in settings.entrants_on(wildcards.dataset, wildcards.split)
        ],
    output:
        comparison=report(
            at(artifacts.OF_COMPARISON, artifacts.COMPARISON),
            caption="../report/comparison.rst",
            category="Comparisons",
            labels={"dataset": "{dataset}", "split": "{split}", "file": "comparison"},
        ),
        ranking=report(
            at(artifacts.OF_COMPARISON, artifacts.RANKING),
            caption="../report/comparison.rst",
            category="Comparisons",
            labels={"dataset": "{dataset}", "split": "{split}", "file": "ranking"},
        ),
    log:
        "<logs>/compare/{dataset}/{split}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("compare_models"),
    params:
        models=lambda wildcards: settings.entrants_on(
            wildcards.dataset, wildcards.split
        ),
        groups=lambda wildcards: settings.groups_on(wildcards.dataset, wildcards.split),
        settings=scoring_settings("compared", "bootstrap_draws", "non_inferiority"),
        code=code_of("compare_models"),
    script:
        "../scripts/compare_models.py"


rule compare_datasets:
    input:
        cases=of_evaluations(
            at(artifacts.OF_SCORES, artifacts.CASES), settings.scored_entries()
        ),
    output:
        external=report(
            at(artifacts.EXTERNAL),
            caption="../report/external.rst",
            category="Comparisons",
            labels={"dataset": "all", "split": "all", "file": "external"},
        ),
    log:
        "<logs>/compare/external.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("compare_datasets"),
    params:
        places=[entry.places for entry in settings.scored_entries()],
        homes=settings.homes(),
        settings=scoring_settings("compared", "bootstrap_draws"),
        code=code_of("compare_datasets"),
    script:
        "../scripts/compare_datasets.py"


rule score_sequences:
    input:
        cases=at(artifacts.OF_SCORES, artifacts.CASES),
        dataset=at(artifacts.OF_DATASET),
    output:
        video=report(
            at(artifacts.OF_SCORES, artifacts.VIDEO),
            caption="../report/video.rst",
            category="Scores",
            labels={
                "model": "{model}",
                "dataset": "{dataset}",
                "split": "{split}",
                "file": "video",
            },
        ),
        cases=at(artifacts.OF_SCORES, artifacts.VIDEO_CASES),
    log:
        "<logs>/evaluate/{model}/{dataset}/{split}.video.log",
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        **needs("score_sequences", lambda wildcards, input: [input.cases]),
    params:
        settings=scoring_settings("bootstrap_draws"),
        code=code_of("score_sequences"),
    script:
        "../scripts/score_sequences.py"


# After compare_models, which removes what was made of earlier cases.
rule compare_sequences:
    input:
        comparison=at(artifacts.OF_COMPARISON, artifacts.COMPARISON),
        cases=lambda wildcards: [
            at(
                artifacts.OF_SCORES,
                artifacts.VIDEO_CASES,
                model=model,
                dataset=wildcards.dataset,
                split=wildcards.split,
            )
            for model in settings.entrants_on(wildcards.dataset, wildcards.split)
        ],
    output:
        comparison=report(
            at(artifacts.OF_COMPARISON, artifacts.VIDEO_COMPARISON),
            caption="../report/video.rst",
            category="Comparisons",
            labels={"dataset": "{dataset}", "split": "{split}", "file": "video"},
        ),
    log:
        "<logs>/compare/{dataset}/{split}.video.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("compare_sequences"),
    params:
        models=lambda wildcards: settings.entrants_on(
            wildcards.dataset, wildcards.split
        ),
        settings=scoring_settings("bootstrap_draws"),
        code=code_of("compare_sequences"),
    script:
        "../scripts/compare_sequences.py"
