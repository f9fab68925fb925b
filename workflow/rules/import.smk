# Masks of other models and annotators, in the place of all that asks a model.
rule import_predictions:
    input:
        made=imports_made_by_the_workflow,
        dataset=at(artifacts.OF_DATASET),
    output:
        at(artifacts.OF_PREDICTIONS, artifacts.PREDICTIONS),
    log:
        "<logs>/import/{model}/{dataset}/{split}.log",
    wildcard_constraints:
        model=any_of(entrants_by("imported")),
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs(
            "import_predictions",
            lambda wildcards, input: (
                [*input.made] or [imported_settings(wildcards).predictions]
            ),
        ),
    params:
        private_log=lambda wildcards: f"{PRIVATE_LOGS}/{artifacts.PRIVATE_LOG_OF_IMPORT.format(**wildcards)}",
        state=imports_state,
        code=code_of("import_predictions"),
    script:
        "../scripts/import_predictions.py"
