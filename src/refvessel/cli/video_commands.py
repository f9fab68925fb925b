"""The command from a model to masks of videos."""

from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app
from refvessel.cli.section_options import Options, with_sections
from refvessel.settings.inference_section import Inference
from refvessel.settings.video_section import Video

_OF_IMAGES = ("shards", "batch_size", "question", "flips", "save_logits")
_OF_VIDEOS = tuple(name for name in Inference.model_fields if name not in _OF_IMAGES)


@app.command("segment-videos")
@with_sections(
    settings=Options(Inference, "inference", only=_OF_VIDEOS),
    video=Options(Video, "video"),
)
def segment_videos(
    settings: Inference,
    video: Video,
    model: Annotated[Path, typer.Option(help="Official Sa2VA Hugging Face folder.")],
    root: Annotated[
        Path, typer.Option(help="Folder with meta_expressions.json and JPEGImages, as of Ref-VOS.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="results.json to write, as the official script does; what is finished is kept beside it."
        ),
    ],
    annotations: Annotated[
        Path | None, typer.Option(help="Folder to write masks to: VIDEO/EXPRESSION/FRAME.png.")
    ] = None,
    sam2: Annotated[
        Path | None, typer.Option(help="SAM2's own checkpoint (.pt), for the propagation sa2va-i.")
    ] = None,
) -> None:
    """Segment every expression of videos, with SAM2's memory."""
    from refvessel.inference.video_results import segment_videos

    segment_videos(
        model=model,
        root=root,
        output=output,
        annotations=annotations,
        sam2=sam2,
        settings=settings,
        video=video,
    )
