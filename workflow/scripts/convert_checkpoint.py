"""Rule convert_checkpoint: the layers of a fine-tuning run, or a finished model, to an official folder."""

from pathlib import Path

from refvessel.checkpoint.conversion_record import summary
from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.checkpoint.link import link_checkpoint
from refvessel.workflow import logged

layers = {name: Path(path) for name, path in snakemake.input.items()}
settings = snakemake.params.settings
output = Path(snakemake.output[0])
with logged(snakemake.log[0]):
    if "folder" in layers:
        report = link_checkpoint(folder=layers["folder"], output=output)
    else:
        report = convert_checkpoint(
            base_mllm=layers["base_mllm"],
            sam2=layers.get("sam2"),
            pretrained=layers.get("pretrained"),
            checkpoint=layers["checkpoint"],
            output=output,
            dtype=settings["dtype"],
            overrides=settings["overrides"],
            leave_out=settings["leave_out"],
        )
    print(summary(report))
