"""Rule segment_shard: every expression of one shard through the model."""

from pathlib import Path

import torch

from refvessel.inference.run import segment_shard
from refvessel.inference.shard import run_file
from refvessel.workflow import logged

settings = snakemake.params.settings
unfinished = Path(snakemake.params.unfinished)
torch.set_num_threads(snakemake.threads)
with logged(snakemake.log[0]):
    segment_shard(
        model=Path(snakemake.input.model),
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=unfinished,
        shard=snakemake.wildcards.scatteritem.replace("-of-", "/"),
        dtype=settings["dtype"],
        device=settings["device"],
        batch_size=settings["batch_size"],
        max_new_tokens=settings["max_new_tokens"],
        question=settings["question"],
        max_failures=settings["max_failures"],
    )
run_file(unfinished).replace(snakemake.output.run)
unfinished.replace(snakemake.output.shard)
