"""Rule refine_predictions: gathered masks at another threshold and after post-processing."""

from pathlib import Path

from refvessel.predictions.refinement import refine_predictions
from refvessel.workflow import logged

given, settings = snakemake.input, snakemake.params.settings
tuned = given.get("threshold")
with logged(snakemake.log[0]):
    refine_predictions(
        predictions=Path(given.predictions),
        output=Path(snakemake.output[0]),
        logits=[Path(path) for path in given.get("logits", [])],
        threshold=Path(tuned) if tuned else settings["threshold"],
        smallest_component=settings["smallest_component"],
        smallest_hole=settings["smallest_hole"],
    )
