"""Rule convert_checkpoint: the layers of a fine-tuning run to an official Hugging Face folder."""

from pathlib import Path

from refvessel.checkpoint.convert import convert_checkpoint
from refvessel.workflow import logged

layers = {name: Path(path) for name, path in snakemake.input.items()}
with logged(snakemake.log[0]):
    convert_checkpoint(
        base_mllm=layers["base_mllm"],
        sam2=layers["sam2"],
        pretrained=layers.get("pretrained"),
        checkpoint=layers["checkpoint"],
        output=Path(snakemake.output[0]),
        dtype=snakemake.params.dtype,
    )
