rule convert_checkpoint:
    input:
        unpack(model_layers),
    output:
        directory(at(artifacts.OF_CHECKPOINT)),
    log:
        "<logs>/convert/{model}.log",
    benchmark:
        "<benchmarks>/convert/{model}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("convert_checkpoint", lambda wildcards, input: input),
    params:
        settings=lambda wildcards: model_settings(wildcards).result_settings(),
        state=layers_state,
        code=code_of("convert_checkpoint"),
    script:
        "../scripts/convert_checkpoint.py"
