"""Rule convert_dataset: vessel images and annotations to the official RefCOCO tree."""

from pathlib import Path

from refvessel.dataset.convert import convert_dataset
from refvessel.workflow import logged

settings = snakemake.params.settings
with logged(snakemake.log[0]):
    convert_dataset(
        source_format=settings["format"],
        root=Path(snakemake.input.root),
        output=Path(snakemake.output[0]),
        phrases=settings["phrases"],
        patient_pattern=settings["patient_pattern"],
        splits=settings["splits"],
        single_split=settings["single_split"],
        include_empty=settings["include_empty"],
        pseudonymise=settings["pseudonymise"],
        key_file=Path(settings["key_file"]),
    )
