"""The command that segments a folder of images, of which nobody knows the truth."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from refvessel.artifacts import OF_FOLDER
from refvessel.cli.app import app
from refvessel.cli.section_options import Options, with_sections
from refvessel.settings.inference_section import Inference
from refvessel.settings.video_section import Video

_OF_VIDEOS = tuple(name for name in Video.model_fields if not name.endswith("question"))
_TAKEN = tuple(name for name in Inference.model_fields if name != "shards")


@app.command()
@with_sections(
    settings=Options(Inference, "inference", only=_TAKEN),
    video=Options(Video, "video", only=_OF_VIDEOS),
)
def predict(
    settings: Inference,
    video: Video,
    model: Annotated[Path, typer.Option(help="Official Sa2VA Hugging Face folder.")],
    images: Annotated[
        Path, typer.Option(help="Folder of images; folders in it are sequences, their frames in order.")
    ],
    phrase: Annotated[list[str], typer.Option(help="What to segment; repeated, several phrases.")],
    output: Annotated[Path, typer.Option(help="Folder to write; an unfinished one is completed.")],
    frame_by_frame: Annotated[
        bool,
        typer.Option(
            "--frame-by-frame", help="Segment each frame of a sequence alone, without SAM2's memory."
        ),
    ] = False,
    sam2: Annotated[
        Path | None, typer.Option(help="SAM2's own checkpoint (.pt), for the propagation sa2va-i.")
    ] = None,
) -> None:
    """Segment a folder of images without truth: masks, overlays, a table and, of sequences, animations."""
    from refvessel.dataset.conversion.phrases import require_phrases
    from refvessel.dataset.readers.image_folder import sentences_of_folder
    from refvessel.inference.run import segment_sentences
    from refvessel.inference.sequence_run import segment_sequences
    from refvessel.inference.sequence_tasks import tasks_of_frames
    from refvessel.inference.sheets import Wanted
    from refvessel.predictions.folder_predictions import require_replaceable, write_folder_predictions
    from refvessel.predictions.prediction import failures

    phrases = [text for text in require_phrases({each: each for each in phrase}).values() if text]
    require_replaceable(output)
    sentences = sentences_of_folder(images, phrases, sequences=True)
    alone = [each for each in sentences if frame_by_frame or "/" not in each.image_id]
    of_sequences = tasks_of_frames(
        [each for each in sentences if not frame_by_frame and "/" in each.image_id]
    )
    shards = []
    if of_sequences:  # first: not every model has a memory
        shards.append(output / OF_FOLDER.format(part="sequences"))
        segment_sequences(
            model=model,
            tasks=of_sequences,
            name=images.name,
            split=images.name,
            output=shards[-1],
            sam2=sam2,
            settings=settings,
            video=video.asking(settings.question) if "question" in settings.model_fields_set else video,
        )
    if alone:
        shards.append(output / OF_FOLDER.format(part="images"))
        segment_sentences(
            model=model,
            sentences=alone,
            name=images.name,
            split=images.name,
            wanted=[Wanted(settings.question, shards[-1])],
            settings=settings,
        )
    predictions = write_folder_predictions(sentences, shards, output)
    print(
        f"{len(predictions)} masks, {sum(not each.masks for each in predictions)} of them without [SEG], "
        f"{len(failures(predictions))} failed. They are called as the images are, which nothing pseudonymises.",
        file=sys.stderr,
    )
