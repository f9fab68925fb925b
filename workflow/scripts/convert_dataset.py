"""Rule convert_dataset: vessel images and annotations to the official RefCOCO tree."""

import sys
from pathlib import Path

from refvessel.dataset.conversion.annotate import convert_dataset, told
from refvessel.workflow import logged_in_private

# Neither inputs nor parameters: Snakemake keeps those, and prints them, and a path may name somebody.
settings = snakemake.config["datasets"][snakemake.wildcards.dataset]
on_screen = snakemake.config["privacy"]["names_on_screen"] or not settings["pseudonymise"]
paths = {name: settings[name] and Path(settings[name]) for name in ("patients", "trained_on")}
with logged_in_private(snakemake.log[0], snakemake.params.private_log, names_on_screen=on_screen):
    summary = convert_dataset(
        source_format=settings["format"],
        root=Path(settings["root"]),
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
