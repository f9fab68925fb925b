"""Commands that score predictions in the official forms, as the official scripts do."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from refvessel.cli.app import app, group

official = group("score-official", "Score predictions in the official forms as the official scripts do.")
app.add_typer(official)

_Root = Annotated[Path, typer.Option(help="The folder that the official evaluator calls data root.")]
_Split = Annotated[str, typer.Option(help="A split, selected as the official loader does.")]
_Answers = Annotated[
    Path,
    typer.Option(help="JSON: a list of objects with ref_id, sent_id, answer and masks (COCO RLEs)."),
]
_Output = Annotated[Path, typer.Option(help="JSON to write.")]
_Expressions = Annotated[Path, typer.Option(help="meta_expressions.json.")]
_Masks = Annotated[Path, typer.Option(help="mask_dict.json, or a pickle of it.")]
_Foreground = Annotated[
    Path | None,
    typer.Option(
        help="mask_dict_foreground.json of ReVOS; without it there is no R, as the others have none."
    ),
]
_Results = Annotated[Path, typer.Option(help="results.json.")]
_DropFailures = Annotated[
    bool,
    typer.Option("--drop-failures", help="Leave out what cannot be scored, as the official script does."),
]
_Threads = Annotated[int, typer.Option(min=1, help="Processes that share the work.")]


@official.command()
def refcoco(root: _Root, split: _Split, predictions: _Answers, output: _Output) -> None:
    """Score predictions of RefCOCO: cIoU and gIoU."""
    _score_referring("refcoco", root, split, predictions, output)


@official.command()
def grefcoco(root: _Root, split: _Split, predictions: _Answers, output: _Output) -> None:
    """Score predictions of gRefCOCO: cIoU, gIoU, N-acc and T-acc."""
    _score_referring("grefcoco", root, split, predictions, output)


def _score_referring(benchmark: str, root: Path, split: str, predictions: Path, output: Path) -> None:
    from refvessel.evaluation.official_referring import score_referring

    score_referring(benchmark=benchmark, root=root, split=split, predictions=predictions, output=output)


def _of_videos(benchmark: str, doc: str) -> Callable[..., None]:
    """The command of a benchmark of videos: they differ in nothing that a user states."""

    def command(
        expressions: _Expressions,
        masks: _Masks,
        predictions: _Results,
        output: _Output,
        foreground: _Foreground = None,
        drop_failures: _DropFailures = False,
        threads: _Threads = 1,
    ) -> None:
        from refvessel.evaluation.official_video import score_video

        result = score_video(
            benchmark=benchmark,
            expressions=expressions,
            masks=masks,
            predictions=predictions,
            output=output,
            foreground=foreground,
            drop_failures=drop_failures,
            threads=threads,
        )
        for note in result["notes"]:
            print(note, file=sys.stderr)

    command.__doc__ = doc
    return command


for _name, _doc in {
    "davis": "Score predictions of Ref-DAVIS: J, F and J&F; annotations are numbered as its script does.",
    "mevis": "Score predictions of MeViS: J, F and J&F.",
    "revos": "Score predictions of ReVOS: J, F, A and R of referring, reason and overall.",
    "ref-sav": "Score predictions of Ref-SAV: J, F and A of long, short and overall.",
}.items():
    official.command(_name)(_of_videos(_name, _doc))
