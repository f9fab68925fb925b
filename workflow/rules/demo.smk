rule generate_demo_angiograms:
    output:
        directory(at(artifacts.DEMO_ANGIOGRAMS)),
    log:
        "<logs>/demo/angiograms.log",
    benchmark:
        "<benchmarks>/demo/angiograms.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("generate_demo_angiograms"),
    params:
        code=code_of("generate_demo_angiograms"),
    script:
        "../scripts/generate_demo_angiograms.py"


rule generate_demo_films:
    output:
        directory(at(artifacts.DEMO_FILMS)),
    log:
        "<logs>/demo/films.log",
    benchmark:
        "<benchmarks>/demo/films.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("generate_demo_films"),
    params:
        code=code_of("generate_demo_films"),
    script:
        "../scripts/generate_demo_films.py"
