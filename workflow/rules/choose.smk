from refvessel.settings.refinement_section import TUNING_SPLIT


rule choose_question:
    input:
        predictions=lambda wildcards: [
            at(
                artifacts.OF_PREDICTIONS,
                artifacts.PREDICTIONS,
                model=name,
                dataset=wildcards.dataset,
                split=TUNING_SPLIT,
            )
            for name in candidates_of(wildcards)
        ],
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.CHOSEN),
    log:
        "<logs>/choose/{model}/{dataset}.log",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("choose_question"),
    params:
        names=candidates_of,
        settings=scoring_settings("empty_cases", "bootstrap_draws"),
        code=code_of("choose_question"),
    script:
        "../scripts/choose_question.py"
