"""Rule segment_shard: every expression of one shard through the model."""

from pathlib import Path

from refvessel.inference.logits import logits_file
from refvessel.inference.run import segment_shard
from refvessel.inference.shard import run_file
from refvessel.workflow import logged

settings = snakemake.params.settings
shard = Path(snakemake.output.shard)
# Snakemake removes the outputs of a failed job; what a killed one finished is kept here.
job = shard.parent.with_name("jobs") / shard.name
with logged(snakemake.log[0]):
    segment_shard(
        model=Path(snakemake.input.model),
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=job,
        shard=snakemake.wildcards.scatteritem.replace("-of-", "/"),
        dtype=settings["dtype"],
        device=settings["device"],
        gpus_per_job=settings["gpus_per_job"],
        device_map=settings["device_map"],
        max_memory=settings["max_memory"],
        language_weights=settings["language_weights"],
        batch_size=settings["batch_size"],
        threads=snakemake.threads,
        draft=settings["draft"],
        max_new_tokens=settings["max_new_tokens"],
        question=settings["question"],
        flips=settings["flips"],
        compiled=settings["compiled"],
        save_logits=settings["save_logits"],
        max_failures=settings["max_failures"],
    )
run_file(job).replace(snakemake.output.run)
if settings["save_logits"]:
    logits_file(job).replace(snakemake.output.logits)
job.replace(shard)
