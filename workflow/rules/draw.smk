# Of data without truth, on which nothing is scored.
rule draw_masks:
    input:
        predictions=scored_predictions(),
        dataset=at(artifacts.OF_DATASET),
    output:
        directory(at(artifacts.OF_MASKS)),
    log:
        "<logs>/draw/{model}/{dataset}/{split}.log",
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("draw_masks", lambda wildcards, input: [input.predictions]),
    params:
        code=code_of("draw_masks"),
    script:
        "../scripts/draw_masks.py"
