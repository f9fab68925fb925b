"""Rule generate_demo_angiograms: synthetic patients that the demo model never saw."""

from pathlib import Path

from refvessel.demo.annotations import write_labelme_folder
from refvessel.workflow import logged

with logged(snakemake.log[0]):
    write_labelme_folder(output=Path(snakemake.output[0]))
