"""Rule draw_masks: predictions without truth as masks and overlays."""

from pathlib import Path

from refvessel.predictions.drawn_masks import draw_split
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    draw_split(
        predictions=Path(snakemake.input.predictions),
        dataset=Path(snakemake.input.dataset),
        split=snakemake.wildcards.split,
        output=Path(snakemake.output[0]),
    )
