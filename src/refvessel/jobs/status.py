"""All shards below a folder at one glance, from their progress files."""

import time
from pathlib import Path

from refvessel.artifacts import PROGRESS_SUFFIX
from refvessel.errors import UserError
from refvessel.jobs.progress import UNDER_WAY, Progress, duration, read_progress

_HEADINGS = ("shard", "state", "images", "failed", "images/s", "left", "memory", "updated", "device")
_TO_THE_LEFT = {"shard", "state", "device"}
_CLEAR_SCREEN = "\x1b[H\x1b[2J"
_SECONDS_BETWEEN_LOOKS = 2.0


def status(results: Path) -> str:
    """A table with a line for every shard that was ever begun below `results`, and a line for all together.

    Raises UserError where there is no such folder.
    """
    results = Path(results)
    if not results.is_dir():
        raise UserError(f"{results} is not a folder; give the folder of a run's results.")
    shards = {
        str(path.relative_to(results)).removesuffix(PROGRESS_SUFFIX): read_progress(path)
        for path in sorted(results.rglob(f"*{PROGRESS_SUFFIX}"))
    }
    if not shards:
        return f"{results}: no shard was begun."
    rows = [_HEADINGS, *(_row(name, progress) for name, progress in shards.items())]
    return "\n".join([*_aligned(rows), _together(list(shards.values()))])


def under_way(results: Path) -> str | None:
    """One line for the shards that are being segmented below `results`; None where none is."""
    shards = [read_progress(path) for path in Path(results).rglob(f"*{PROGRESS_SUFFIX}")]
    shards = [shard for shard in shards if shard.state in UNDER_WAY]
    if not shards:
        return None
    done, total = sum(shard.images_done for shard in shards), sum(shard.images_total for shard in shards)
    parts = [f"{len(shards)} shards under way: {done} of {total} images"]
    if rate := sum(shard.images_per_second or 0 for shard in shards):
        parts += [
            f"{rate:.2f} images/s",
            f"{duration(max(shard.seconds_left or 0 for shard in shards))} left",
        ]
    if failed := sum(shard.failures for shard in shards):
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def watch(results: Path, *, screen: bool) -> None:
    """Print the status until interrupted; on a screen each over the last one, else whenever it has changed."""
    shown = None
    while True:
        table = status(results)
        if screen:
            print(_CLEAR_SCREEN + table, flush=True)
        elif table != shown:
            print(table, end="\n\n", flush=True)
        shown = table
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _row(name: str, progress: Progress) -> tuple[str, ...]:
    rate, left = progress.images_per_second, progress.seconds_left
    return (
        name,
        progress.state,
        f"{progress.images_done}/{progress.images_total}",
        str(progress.failures),
        "" if rate is None else f"{rate:.2f}",
        "" if left is None else duration(left),
        f"{progress.memory / 1e9:.2f} GB",
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(progress.updated)),
        progress.device,
    )


def _together(shards: list[Progress]) -> str:
    under_way = [shard for shard in shards if shard.state in UNDER_WAY]
    rate = sum(shard.images_per_second or 0 for shard in under_way)
    left = max((shard.seconds_left or 0 for shard in under_way), default=0)
    return (
        f"{len(shards)} shards, {len(under_way)} under way: {sum(shard.images_done for shard in shards)} of "
        f"{sum(shard.images_total for shard in shards)} images, {rate:.2f} images/s, {duration(left)} left, "
        f"{sum(shard.failures for shard in shards)} failed"
    )


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if heading in _TO_THE_LEFT else cell.rjust(width)
            for heading, cell, width in zip(_HEADINGS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
