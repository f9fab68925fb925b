rule generate_demo_angiograms:
    output:
        angiograms=directory(at(artifacts.DEMO_ANGIOGRAMS)),
        second=directory(at(artifacts.DEMO_SECOND_ANNOTATION)),
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


# Tuned on one split of the tree and shown another's images: what it writes is imported as any model's masks.
rule segment_by_vesselness:
    input:
        dataset=at(artifacts.OF_DATASET, dataset="demo"),
    output:
        directory(at(artifacts.DEMO_VESSELNESS)),
    log:
        "<logs>/demo/vesselness.log",
    benchmark:
        "<benchmarks>/demo/vesselness.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        **needs("segment_by_vesselness"),
    params:
        code=code_of("segment_by_vesselness"),
    script:
        "../scripts/segment_by_vesselness.py"
