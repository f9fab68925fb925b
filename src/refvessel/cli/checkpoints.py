"""Commands on checkpoints."""

from pathlib import Path
from typing import Annotated, Any

import typer

from refvessel.cli.app import app
from refvessel.cli.options import pairs
from refvessel.cli.precision import Dtype
from refvessel.errors import UserError


@app.command("convert-checkpoint")
def convert_checkpoint(
    base_mllm: Annotated[Path, typer.Option(help="Folder of the base InternVL model.")],
    checkpoint: Annotated[
        Path, typer.Option(help="What training left: iter_N.pth, a file or a DeepSpeed folder.")
    ],
    output: Annotated[Path, typer.Option(help="Hugging Face folder to write.")],
    sam2: Annotated[
        Path | None, typer.Option(help="SAM2 checkpoint, a .pt file; not for a complete Sa2VA.")
    ] = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Whole Sa2VA .pth that training began from.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the written weights.")] = Dtype.bfloat16,
    override: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=VALUE (YAML) in place of the training config, e.g. llm_lora.r=64; pretrained_pth=null "
            "leaves out what training began from."
        ),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Pattern of tensors that do not take part; may be repeated.")
    ] = None,
) -> None:
    """Stack the layers of a fine-tuning run into an official Hugging Face folder."""
    from refvessel.checkpoint.conversion_record import summary
    from refvessel.checkpoint.convert import convert_checkpoint

    report = convert_checkpoint(
        base_mllm=base_mllm,
        sam2=sam2,
        pretrained=pretrained,
        checkpoint=checkpoint,
        output=output,
        dtype=dtype.value,
        overrides=_nested(override, "--override"),
        leave_out=leave_out or (),
    )
    print(summary(report))


@app.command("link-checkpoint")
def link_checkpoint(
    folder: Annotated[Path, typer.Option(help="Official Sa2VA Hugging Face folder.")],
    output: Annotated[Path, typer.Option(help="Folder to write the links and conversion.json into.")],
) -> None:
    """Check, hash and link an official Hugging Face folder, in place of converting."""
    from refvessel.checkpoint.conversion_record import summary
    from refvessel.checkpoint.link import link_checkpoint

    print(summary(link_checkpoint(folder=folder, output=output)))


@app.command("compare-checkpoints")
def compare_checkpoints(
    a: Annotated[Path, typer.Argument(help="Hugging Face folder, ZeRO folder, .pth, .pt or .safetensors.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
) -> None:
    """Tell which tensors differ between two checkpoints, and by how much."""
    from refvessel.checkpoint.compare import compare_checkpoints

    print(compare_checkpoints(a, b).text())


@app.command()
def inspect(
    file: Annotated[
        Path, typer.Argument(help="Hugging Face folder, ZeRO folder, .pth, .pt or .safetensors.")
    ],
) -> None:
    """Tell what a checkpoint holds without loading its tensors."""
    from refvessel.checkpoint.contents import describe

    print(describe(file))


def _nested(texts: list[str] | None, option: str) -> dict[str, Any]:
    """KEY=VALUE with dotted keys as an object; values are YAML."""
    from refvessel.yaml_text import parse_yaml

    nested: dict[str, Any] = {}
    for key, text in (pairs(texts, option) or {}).items():
        *parents, name = key.split(".")
        place = nested
        try:
            for parent in parents:
                place = place.setdefault(parent, {})
            place[name] = parse_yaml(text, f"{option} {key}={text:.100}")
        except (UserError, AttributeError, TypeError):
            raise UserError(
                f"{option} {key}={text} cannot be read; write one value, e.g. llm_lora.r=64."
            ) from None
    return nested
