"""Commands on checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.section_options import Options, with_sections
from refvessel.errors import UserError
from refvessel.settings.model_section import Model


@app.command("convert-checkpoint")
@with_sections(
    settings=Options(
        Model,
        "models",
        named=True,
        only=Model.keys_of_layers(),
        flags={"overrides": "--override", "leave_out": "--leave-out"},
    )
)
def convert_checkpoint(
    settings: Model, output: Annotated[Path, typer.Option(help="Hugging Face folder to write.")]
) -> None:
    """Stack the layers of a fine-tuning run into an official Hugging Face folder, or link a finished one."""
    from refvessel.checkpoint.conversion_record import summary
    from refvessel.checkpoint.convert import convert_checkpoint
    from refvessel.checkpoint.link import link_checkpoint

    if settings.is_imported:
        raise UserError("the model is imported from its predictions; there is no checkpoint to convert.")
    if settings.folder is not None and settings.checkpoint is None:
        report = link_checkpoint(folder=settings.folder, output=output)
    else:
        report = convert_checkpoint(output=output, settings=settings)
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
    a: Annotated[Path, typer.Argument(help="Hugging Face, peft or ZeRO folder, .pth, .pt or .safetensors.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
) -> None:
    """Tell which tensors differ between two checkpoints, and by how much."""
    from refvessel.checkpoint.compare import compare_checkpoints

    print(compare_checkpoints(a, b).text())


@app.command()
def inspect(
    file: Annotated[
        Path, typer.Argument(help="Hugging Face, peft or ZeRO folder, .pth, .pt or .safetensors.")
    ],
) -> None:
    """Tell what a checkpoint holds without loading its tensors."""
    from refvessel.checkpoint.contents import describe

    print(describe(file))
