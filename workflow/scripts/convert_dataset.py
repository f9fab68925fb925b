"""Rule convert_dataset: vessel images and annotations to the official RefCOCO tree."""

import sys
from pathlib import Path

from refvessel.dataset.convert import convert_dataset, told
from refvessel.workflow import logged

settings = snakemake.params.settings
paths = {name: settings[name] and Path(settings[name]) for name in ("patients", "trained_on")}
with logged(snakemake.log[0], private=True):
    summary = convert_dataset(
        source_format=settings["format"],
        root=Path(snakemake.input.root),
        output=Path(snakemake.output[0]),
        options=settings["options"],
        phrases=settings["phrases"],
        target=settings["target"],
        include_empty=settings["include_empty"],
        crossing_outlines=settings["crossing_outlines"],
        patient_pattern=settings["patient_pattern"],
        splits=settings["splits"],
        single_split=settings["single_split"],
        split_seed=settings["split_seed"],
        split_by_frames=settings["split_by_frames"],
        near_duplicates=settings["near_duplicates"],
        pseudonymise=settings["pseudonymise"],
        key_file=Path(settings["key_file"]),
        jobs=snakemake.threads,
        **paths,
    )
# On the console, too: it names nobody.
print(f"{snakemake.wildcards.dataset}: {told(summary)}", file=sys.stderr)
