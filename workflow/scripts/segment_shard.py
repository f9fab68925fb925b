"""Rule segment_shard: every expression of one shard through the model, or from what earlier jobs answered."""

from pathlib import Path

from refvessel import artifacts
from refvessel.inference.run import segment_shard
from refvessel.settings.inference_section import Inference
from refvessel.workflow import logged

# Of the whole configuration: what changes no answer is not among the rule's parameters, which would rerun it.
settings = Inference.model_validate(snakemake.config["inference"] | {"threads": snakemake.threads})
shard = Path(snakemake.output.shard)
results = shard.parents[len(Path(artifacts.OF_SHARDS).parts)]
with logged(snakemake.log[0]):
    segment_shard(
        model=Path(snakemake.input.model),
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=shard,
        shard=snakemake.wildcards.part.replace("-of-", "/"),
        # Snakemake removes the outputs of a failed job; what any job finished is kept here, by what it depends on:
        # a model or a data set under another name is not segmented again.
        answers=results / artifacts.ANSWERS,
        settings=settings,
    )
