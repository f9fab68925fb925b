"""Rule convert_dataset: vessel images and annotations to the official RefCOCO tree."""

import sys
from pathlib import Path

from refvessel.dataset.conversion.annotate import convert_dataset, told
from refvessel.settings.dataset_section import Dataset
from refvessel.workflow import logged_in_private

# Neither inputs nor parameters: Snakemake keeps those, and prints them, and a path may name somebody.
settings = Dataset.model_validate(snakemake.config["datasets"][snakemake.wildcards.dataset])
# Where a storage holds what another rule made, the input is a copy of it.
if made := snakemake.input.get("root"):
    settings = settings.model_copy(update={"root": Path(made[0])})
on_screen = snakemake.config["privacy"]["names_on_screen"] or not settings.pseudonymise
with logged_in_private(snakemake.log[0], snakemake.params.private_log, names_on_screen=on_screen):
    summary = convert_dataset(output=Path(snakemake.output[0]), settings=settings, threads=snakemake.threads)
# On the console, too: it names nobody.
print(f"{snakemake.wildcards.dataset}: {told(summary)}", file=sys.stderr)
