"""The command that describes images with grounded captions."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from refvessel.artifacts import OF_FOLDER
from refvessel.cli.app import app
from refvessel.cli.section_options import Options, with_sections
from refvessel.settings.inference_section import Inference

_TAKEN = [
    name
    for name in Inference.model_fields
    if name not in ("shards", "question", "draft", "flips", "save_logits")
]


@app.command()
@with_sections(settings=Options(Inference, "inference", only=tuple(_TAKEN)))
def caption(
    settings: Inference,
    model: Annotated[Path, typer.Option(help="Official Sa2VA Hugging Face folder.")],
    images: Annotated[Path, typer.Option(help="Folder of images; those directly in it are described.")],
    output: Annotated[
        Path, typer.Option(help="Folder to write one JSON per image into; completed if it exists.")
    ],
    shard: Annotated[str, typer.Option(help="K/N: the K-th shard of N.")] = "1/1",
) -> None:
    """Describe every image of a folder, with a mask of each phrase (grounded captions, GCG)."""
    from refvessel.dataset.readers.image_folder import sentences_of_folder
    from refvessel.inference.run import segment_sentences
    from refvessel.inference.sheets import Wanted
    from refvessel.predictions.captions import CAPTION_QUESTION, write_captions
    from refvessel.predictions.prediction import failures, read_shard

    lines = output / OF_FOLDER.format(part=shard.replace("/", "-of-"))
    segment_sentences(
        model=model,
        sentences=sentences_of_folder(images, [""]),
        name=images.name,
        split=images.name,
        wanted=[Wanted(CAPTION_QUESTION, lines)],
        shard=shard,
        # No answer is expected twice: a draft of another image's would only be read in vain.
        settings=settings.model_copy(update={"draft": None}),
    )
    predictions = read_shard(lines)
    captions = write_captions(predictions, output)
    without = sum(not each.masks for each in captions)
    unlike = sum(len(each.phrases) != len(each.masks) for each in captions)
    print(
        f"{len(captions)} images: {without} without a mask, {unlike} with another number of phrases than masks, "
        f"{len(failures(predictions))} failed.",
        file=sys.stderr,
    )
