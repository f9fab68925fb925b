"""Rule gather_predictions: all shards of a split into one table."""

from pathlib import Path

from refvessel.predictions.gather import gather_predictions
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    gather_predictions(
        shards=[Path(shard) for shard in snakemake.input.shards],
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=Path(snakemake.output[0]),
    )
