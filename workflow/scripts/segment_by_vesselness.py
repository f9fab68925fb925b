"""Rule segment_by_vesselness: the masks of a ridge filter that is tuned on val, for the demo's split test."""

from pathlib import Path

from refvessel.demo.vesselness import write_vesselness_masks
from refvessel.settings.refinement_section import TUNING_SPLIT
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    chosen = write_vesselness_masks(
        dataset=Path(snakemake.input.dataset),
        tuned_on=TUNING_SPLIT,
        split="test",
        output=Path(snakemake.output[0]),
    )
    print(chosen)
