"""Rule convert_checkpoint: the layers of a fine-tuning run, or a finished model, to an official folder."""

from pathlib import Path

from refvessel.checkpoint.conversion_record import summary
from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.checkpoint.link import link_checkpoint
from refvessel.model.library import load_by_parts
from refvessel.settings.model_section import Model
from refvessel.workflow import logged

settings = Model.model_validate(snakemake.params.settings)
output = Path(snakemake.output[0])
load_by_parts()
with logged(snakemake.log[0]):
    if settings.folder is not None and settings.checkpoint is None:
        report = link_checkpoint(folder=settings.folder, output=output)
    else:
        report = convert_checkpoint(output=output, settings=settings)
    print(summary(report))
