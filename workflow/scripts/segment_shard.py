"""Rule segment_shard: every expression of one shard through the model."""

from pathlib import Path

from refvessel.inference.run import segment_shard
from refvessel.inference.shard import run_file
from refvessel.logits import logits_file
from refvessel.workflow import logged

settings = {**snakemake.params.settings}
del settings["shards"]  # of a split, not of a shard
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
        **(settings | {"threads": snakemake.threads}),
    )
run_file(job).replace(snakemake.output.run)
if settings["save_logits"]:
    logits_file(job).replace(snakemake.output.logits)
job.replace(shard)
