"""Rule refine_predictions: gathered masks at another threshold and after post-processing."""

from pathlib import Path

from refvessel.predictions.refinement import refine_predictions
from refvessel.settings.refinement_section import Refinement
from refvessel.workflow import logged

given = snakemake.input
tuned = given.get("threshold")
with logged(snakemake.log[0]):
    refine_predictions(
        predictions=Path(given.predictions),
        output=Path(snakemake.output[0]),
        logits=[Path(path) for path in given.get("logits", [])],
        tuned_threshold=Path(tuned) if tuned else None,
        settings=Refinement.model_validate(snakemake.params.settings),
    )
