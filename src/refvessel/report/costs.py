"""What the jobs of a run took, from the files that Snakemake writes of each: when, time, processor, memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from refvessel.report.sections import Artifacts
from refvessel.report.unscored import Unscored

INFERENCE = "infer"  # the folder of jobs that ask a model, by model, data set and split
_SECONDS, _PROCESSOR, _MEMORY = "s", "cpu_time", "max_rss"  # columns; s, s, MB
_ENDED = "ended"  # a column of ours: s since 1970
_CPU = "cpu"  # a device of shards


@dataclass(frozen=True)
class Cost:
    """Of the jobs of a stage, and of inference of an evaluation: hours, and the largest memory of one in MB.

    What Snakemake could not measure, as of jobs that end at once, is NaN. `began` and `ended` are of the first
    and the last job, as `2026-11-30 16:24` in UTC.
    """

    what: str
    jobs: int
    hours: float
    processor_hours: float
    memory: float
    on_gpu: bool
    began: str
    ended: str


def read_costs(folder: Path | None, evaluations: Sequence[Artifacts | Unscored]) -> list[Cost]:
    """The costs that the `.tsv` files below a folder state, in the order of their names; none without a folder.

    A job counts as one of a GPU where the predictions say that they were not made on a CPU. It ended when its
    file was written.
    """
    if folder is None or not Path(folder).is_dir():
        return []
    on_gpu = {one.evaluation.name for one in evaluations if _device(one) not in (None, _CPU)}
    measured: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        stage, *places = path.relative_to(folder).parts
        what = ".".join(places[:3]) if stage == INFERENCE else stage
        jobs = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        measured.setdefault(what, []).append(jobs.assign(**{_ENDED: path.stat().st_mtime}))
    return [_cost(what, pd.concat(some), what in on_gpu) for what, some in measured.items()]


def _device(one: Artifacts | Unscored) -> str | None:
    return (one.made_from.get("run") or {}).get("device")


def _cost(what: str, jobs: pd.DataFrame, on_gpu: bool) -> Cost:
    seconds, processor, memory = (
        pd.to_numeric(jobs[name], errors="coerce") if name in jobs else pd.Series(dtype=float)
        for name in (_SECONDS, _PROCESSOR, _MEMORY)
    )
    return Cost(
        what,
        len(jobs),
        seconds.sum() / 3600,
        processor.sum() / 3600,
        memory.max(),
        on_gpu,
        began=_moment((jobs[_ENDED] - seconds.fillna(0)).min()),
        ended=_moment(jobs[_ENDED].max()),
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
