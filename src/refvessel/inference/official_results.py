"""What the official inference script writes of videos, from the records of their frames: `results.json`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from refvessel.files import atomic_file
from refvessel.inference.sequence_plan import SequenceTask
from refvessel.inference.sequence_tasks import tasks_of_split
from refvessel.predictions.prediction import Prediction, places_of_records


def write_results(*, shards: Sequence[Path], dataset: Path, split: str, output: Path) -> None:
    """Write `results.json` of the runs of a split, all frames of them, from their shards."""
    predictions = records_of_results(shards)
    tasks = [task for task in tasks_of_split(dataset, split) if task.expressions]
    with atomic_file(output) as temporary, temporary.open("w", encoding="utf-8") as stream:
        json.dump(results_of(tasks, predictions), stream, ensure_ascii=False, allow_nan=False)


def records_of_results(shards: Iterable[Path]) -> dict[int, Prediction]:
    """The records of shards by sent_id, without the masks of each [SEG], of which nothing here is made."""
    records = (record for shard in shards for _, record in places_of_records(shard))
    return {each.sent_id: replace(each, masks=[]) for each in records}


def results_of(tasks: Sequence[SequenceTask], predictions: Mapping[int, Prediction]) -> dict[str, Any]:
    """The content of `results.json`; `predictions` are all frames' by their sent_id."""
    results: dict[str, dict[str, Any]] = {}
    index = 0
    for task in tasks:
        results[task.name] = {}
        for identifier in sorted(task.asked):  # as text: so the official script numbers them
            frames = [predictions[each.sent_id] for each in task.asked[identifier].values()]
            results[task.name][identifier] = {
                "index": index,
                "video_id": task.name,
                "exp_id": identifier,
                "text_prediction": frames[0].answer,
                "frames": list(task.files.video.frames),
                "exp": frames[0].prompt,
                "prediction_masks": [each.mask for each in frames],
            }
            if frames[0].error is not None:
                results[task.name][identifier]["error"] = frames[0].error
            index += 1
    return results
