"""The files for COCO's own tools, written of expressions that are added some at a time."""

import json
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from refvessel.artifacts import COCO_RESULTS, COCO_TRUTH
from refvessel.dataset.tree.stored_entries import StoredItems
from refvessel.evaluation.coco_results import coco_results, coco_truth
from refvessel.long_json import write_long_json


class CocoFiles:
    """What `coco_results` and `coco_truth` give of expressions; on the disk until it is written."""

    def __init__(self, categories: Mapping[int, str]) -> None:
        """Begin without any expression; `categories` are as of `coco_truth`."""
        self._categories = categories
        self._results, self._images, self._annotations = _Sorted(), _Sorted(), _Sorted()

    def add(
        self, predictions: pd.DataFrame, truth: pd.DataFrame, coco_ids: Mapping[int, tuple[int, int]]
    ) -> None:
        """Add some expressions, among them all of an image.

        Args:
            predictions: as of `coco_results`; later ones have greater sent_ids.
            truth: as of `coco_truth`.
            coco_ids: of their refs, as of both.
        """
        for result in coco_results(predictions, coco_ids):
            self._results.add(len(self._results), result)
        found = coco_truth(truth, coco_ids, self._categories)
        first: dict[int, int] = {}  # ref of each image
        for ref_id in sorted(truth["ref_id"].tolist()):
            first.setdefault(coco_ids[ref_id][0], ref_id)
        for image in found["images"]:
            self._images.add(first[image["id"]], image)
        for annotation in found["annotations"]:
            self._annotations.add(annotation["id"], annotation)

    def write(self, folder: Path) -> None:
        """Write both files."""
        truth = coco_truth(pd.DataFrame(columns=["ref_id"]), {}, self._categories)
        write_long_json(folder / COCO_RESULTS, self._results.items())
        truth |= {"images": self._images.items(), "annotations": self._annotations.items()}
        write_long_json(folder / COCO_TRUTH, truth)


class _Sorted:
    """JSON values by a number; in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it is closed with its last user)
        self._items = StoredItems(self._file, "a temporary file")
        self._keys = array("q")

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: int, value: Any) -> None:
        begin = self._file.tell()
        self._file.write(json.dumps(value, allow_nan=False).encode())
        self._items.add(begin, self._file.tell())
        self._keys.append(key)

    def items(self) -> Iterator[Any]:
        """The values by their numbers."""
        self._file.flush()
        order = np.array(self._keys, np.int64).argsort(kind="stable")
        return (self._items[place] for place in order.tolist())
