"""Rule generate_demo_films: synthetic cine runs of patients that the demo model never saw."""

from pathlib import Path

from refvessel.demo.cine_files import write_demo_films
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    write_demo_films(output=Path(snakemake.output[0]))
