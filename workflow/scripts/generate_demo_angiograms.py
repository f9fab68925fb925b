"""Rule generate_demo_angiograms: synthetic patients that the demo model never saw, annotated twice."""

from pathlib import Path

from refvessel.demo.annotations import write_labelme_folder
from refvessel.demo.second_opinion import write_second_annotation
from refvessel.workflow import logged

angiograms = Path(snakemake.output.angiograms)
with logged(snakemake.log[0]):
    write_labelme_folder(output=angiograms)
    write_second_annotation(first=angiograms, output=Path(snakemake.output.second))
