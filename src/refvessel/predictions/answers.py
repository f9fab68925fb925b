"""Finished answers in the shards of earlier jobs, found again by their identity."""

import json
from collections.abc import Collection
from pathlib import Path

from refvessel.answer_status import Status
from refvessel.artifacts import SHARD_SUFFIX
from refvessel.predictions.prediction import Prediction, parse_record


def find_answers(folder: Path, wanted: Collection[str], *, but: Path) -> dict[str, tuple[Prediction, Path]]:
    """Identity -> an answer that was given, and the shard that holds it.

    Args:
        folder: of shards, JSON lines; other jobs may be writing them.
        wanted: identities of answers.
        but: a shard that is not looked into.

    Lines that are no records, as those of another version, are passed over: what they answer is asked again.
    """
    found: dict[str, tuple[Prediction, Path]] = {}
    missing = set(wanted)
    for path in sorted(Path(folder).glob(f"*{SHARD_SUFFIX}")):
        if path == but or not missing:
            continue
        for line in path.read_bytes().split(b"\n")[:-1]:
            answer = _wanted(line, missing)
            if answer is not None:
                found[answer.identity] = answer, path
                missing.discard(answer.identity)
    return found


def _wanted(line: bytes, wanted: Collection[str]) -> Prediction | None:
    try:
        if json.loads(line)["identity"] not in wanted:
            return None
        answer = parse_record(line)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return None if answer.status == Status.FAILED else answer
