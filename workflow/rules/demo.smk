rule generate_demo_angiograms:
    output:
        directory(at(artifacts.DEMO_ANGIOGRAMS)),
    log:
        "<logs>/demo/angiograms.log",
    benchmark:
        "<benchmarks>/demo/angiograms.tsv"
    conda:
        "../../envs/refvessel.yaml"
    params:
        code=code_of("generate_demo_angiograms"),
    script:
        "../scripts/generate_demo_angiograms.py"
