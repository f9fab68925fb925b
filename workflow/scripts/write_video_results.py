"""Rule write_video_results: the masks of all frames of a split's runs, as the official inference writes them."""

from pathlib import Path

from refvessel.inference.official_results import write_results
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    write_results(
        shards=[Path(shard) for shard in snakemake.input.shards],
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=Path(snakemake.output[0]),
    )
