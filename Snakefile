# RefVessel: from the layers of a fine-tuned Sa2VA and vessel images to a report.
from snakemake.utils import min_version

min_version("9.19")


configfile: "config.yaml"


pathvars:
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",
    private_logs=".refvessel/logs",


include: "workflow/rules/common.smk"


report: "workflow/report/workflow.rst"


scattergather:
    shards=config["inference"]["shards"],


wildcard_constraints:
    model="[A-Za-z0-9_-]+",
    dataset="[A-Za-z0-9_-]+",
    split="[A-Za-z0-9_-]+",


include: "workflow/rules/demo.smk"
include: "workflow/rules/convert.smk"
include: "workflow/rules/annotate.smk"
include: "workflow/rules/infer.smk"
include: "workflow/rules/refine.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        "<results>/report/index.html",
        # Named although the report needs them: what is missing in the middle is made again, too.
        of_evaluations(
            "<results>/predictions/{model}/{dataset}/{split}/predictions.parquet"
        ),
        gather.shards(
            of_evaluations(
                "<results>/predictions/{model}/{dataset}/{split}/shards/{{scatteritem}}.jsonl"
            )
        ),
