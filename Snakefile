# RefVessel: from the layers of a fine-tuned Sa2VA and vessel images to a report.
import os

from snakemake.utils import min_version

from refvessel.settings.section import KEY
from refvessel.settings.whole import PathVariables

min_version("9.19")


# Beside this file, of whichever workflow it is a module; a module in a repository has no demo.
DEMO_CONFIG = workflow.current_basedir.join("config.yaml").get_path_or_uri(
    secret_free=True
)


# A configuration is complete in itself: the working directory's own is read only where none is given, and the
# demo's only where there is none either.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml" if os.path.exists("config.yaml") else DEMO_CONFIG


pathvars:
    logs=PathVariables().logs,
    benchmarks=PathVariables().benchmarks,
    private_logs=PathVariables().private_logs,
    image=PathVariables().image,


include: "workflow/rules/configuration.smk"
include: "workflow/common/paths.smk"
include: "workflow/common/needs.smk"
include: "workflow/common/models.smk"
include: "workflow/common/data.smk"
include: "workflow/common/shards.smk"
include: "workflow/common/scores.smk"
include: "workflow/rules/console.smk"


report: "workflow/report/workflow.rst"


# What the project's Dockerfile and refvessel.def make; only --software-deployment-method apptainer looks at it.
container: workflow.pathvars.apply("<image>")


wildcard_constraints:
    model=KEY,
    dataset=KEY,
    split=KEY,
    part="[0-9]+-of-[0-9]+",  # of the shards of a split


include: "workflow/rules/demo.smk"
include: "workflow/rules/convert.smk"
include: "workflow/rules/annotate.smk"
include: "workflow/rules/choose.smk"
include: "workflow/rules/infer.smk"
include: "workflow/rules/video.smk"
include: "workflow/rules/import.smk"
include: "workflow/rules/refine.smk"
include: "workflow/rules/draw.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        at(artifacts.REPORT),
        # Named although the report needs them: what is missing in the middle is made again, too.
        of_evaluations(at(artifacts.OF_PREDICTIONS, artifacts.PREDICTIONS)),
        of_videos(at(artifacts.OF_PREDICTIONS, artifacts.VIDEO_RESULTS)),
        lambda wildcards: [
            shard
            for entry in filter(is_run, settings.entries())
            for shard in shard_files(artifacts.SHARD_SUFFIX, **entry.places)
        ],
    localrule: True
