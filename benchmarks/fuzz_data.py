#!/usr/bin/env python3
"""Feed the readers of data with damaged files, and watch what they do.

    python benchmarks/fuzz_data.py [--minutes 3] [--threads 2]

LabelMe, COCO and Sa2VA JSON, DICOM, images, refs, run lengths and YAML options: small valid files of which bytes
are changed, cut out or doubled, or whose values are replaced by what files should not hold. Each is read, drawn
and decoded as a conversion does. Prints one table; ends with status 1 where an input was neither read
nor refused by a UserError of one line per problem, crashed or took more than SLOW seconds. Decoders may crash: a
conversion tells the image whose process ended, and goes on.
"""

import argparse
import io
import json
import os
import pickle
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from refvessel import rle
from refvessel.dataset.conversion.truths import TruthRule, draw_ignored, draw_truths
from refvessel.dataset.conversion.workers import Ended, map_in_processes
from refvessel.dataset.images.pixels import clean_image
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.formats import read_records
from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.refs import read_refs
from refvessel.errors import UserError
from refvessel.yaml_text import parse_yaml

SLOW = 20.0  # seconds an input
A_ROUND = 25  # inputs
ODD: list[Any] = [
    *(None, True, 0, -1, 1e300, -1e300, 2**31, 2**32, 2**63, 10**400, 0.5, float("inf"), float("nan")),
    *("", "x", "x" * 300, "\ud800", "a\0b", "../../x", "/", "."),
    *([], {}, [[]], [None], [[1]], [1, 2, 3], {"size": [1, 1]}, [[[[1]]]]),
]
RULE = TruthRule("phrase", include_empty=False, crossing_outlines="refuse")
GREY = Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 40), np.uint8))


def image(form: str, **options: Any) -> bytes:
    """A small grey image as a file."""
    buffer = io.BytesIO()
    GREY.save(buffer, form, **options)
    return buffer.getvalue()


def dicom(syntax: str, content: bytes) -> bytes:
    """A small grey DICOM image around its pixels."""
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = "1.2.3"
    header.PatientID, header.NumberOfFrames, header.InstanceNumber = "17", 1, 1
    header.Rows, header.Columns, header.SamplesPerPixel, header.PixelRepresentation = 30, 40, 1, 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 8, 8, 7
    header.PhotometricInterpretation, header.WindowCenter, header.WindowWidth = "MONOCHROME2", 128, 256
    header.PixelSpacing = [0.2, 0.2]
    encapsulated = syntax != ExplicitVRLittleEndian
    header.PixelData = pydicom.encaps.encapsulate([content]) if encapsulated else content
    header["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


MASK = rle.encode(np.asarray(GREY) > 128)
POLYGON = [2, 2, 20, 4, 8, 25]
SHAPES = [
    {"label": "a", "points": [[2, 2], [20, 4], [8, 25]], "shape_type": "polygon"},
    {"label": "a", "points": [[2, 2], [20, 4]], "shape_type": "linestrip", "line_width": 3},
    {"label": "a", "points": [[2, 2], [20, 14]], "shape_type": "rectangle"},
]
LABELME = {"imagePath": "a.png", "imageData": None, "imageWidth": 40, "imageHeight": 30, "shapes": SHAPES}
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
    "categories": [{"id": 1, "name": "a"}],
    "annotations": [
        {"id": number, "image_id": 1, "category_id": 1, "segmentation": each}
        for number, each in enumerate([[POLYGON], [MASK], MASK, {"size": [30, 40], "counts": [600, 600]}])
    ],
}
SA2VA = [{"image": "a.png", "mask": [POLYGON, [POLYGON]], "text": ["a", "b"], "width": 40, "height": 30}]
REF = {"ref_id": 1, "ann_id": [1], "image_id": 1, "split": "test", "sentences": [{"sent_id": 1, "sent": "a"}]}
YAML = "a: &a {x: [1, 2.5, yes, 2024-01-01]}\nb: {<<: *a, y: '{name}'}\nc: !!int 3\n"
DICOM = [
    dicom(ExplicitVRLittleEndian, GREY.tobytes()),
    dicom(JPEG2000Lossless, image("JPEG2000", no_jp2=True)),
    dicom("1.2.840.10008.1.2.4.50", image("JPEG")),
]


def damaged(chance: random.Random, content: bytes) -> bytes:
    """Some bytes changed, cut out, doubled or inserted."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place, length = chance.randrange(len(changed) + 1), chance.randint(1, 12)
        match chance.randrange(4):
            case 0:
                changed[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[place : place + length]
            case 2:
                changed[place:place] = changed[place : place + length] * chance.choice((1, 1, 1, 500))
            case 3:
                changed[place:place] = chance.randbytes(length)
    return bytes(changed)


def odd(chance: random.Random, value: Any) -> Any:
    """The same JSON with one or two of its values replaced."""
    value = json.loads(json.dumps(value))
    for _ in range(chance.randint(1, 2)):
        container = value
        while True:
            keys = list(container) if isinstance(container, dict) else range(len(container))
            if not keys:
                break
            key = chance.choice(list(keys))
            if not isinstance(container[key], dict | list) or chance.random() < 0.15:
                container[key] = deepcopy(chance.choice(ODD))
                break
            container = container[key]
    return value


def as_json(chance: random.Random, value: Any) -> bytes:
    """JSON that is damaged in its values or in its bytes."""
    if chance.random() < 0.7:
        return json.dumps(odd(chance, value)).encode()
    return damaged(chance, json.dumps(value).encode())


def convert(source_format: str, root: Path) -> None:
    """Read, decode and draw everything below `root`; UserError for what is wrong with it."""
    problems = Problems()
    with problems.collect():
        for record in read_records(source_format, root, {}, problems):
            with problems.collect():
                _, facts = clean_image(record.load(record.path), record.stated_size, str(record.path))
                regions = record.all_regions(problems)
                phrases = {region.label: region.label for region in regions}
                size = (facts.width, facts.height)
                draw_truths(record, regions, phrases, size, RULE, problems)
                draw_ignored(record, regions, size, RULE, problems)
    for sentence in problems.sentences:
        sentence.encode()
        if "\n" in sentence or len(sentence) > 2_000:
            raise AssertionError(f"not one line: {sentence:.300}")
    problems.raise_any()


def _labelme(chance: random.Random, folder: Path) -> None:
    (folder / "a.png").write_bytes(image("PNG"))
    (folder / "a.json").write_bytes(as_json(chance, LABELME))
    convert("labelme", folder)


def _coco(chance: random.Random, folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images/a.png").write_bytes(image("PNG"))
    (folder / "annotations.json").write_bytes(as_json(chance, COCO))
    convert("coco", folder)


def _sa2va(chance: random.Random, folder: Path) -> None:
    (folder / "a.png").write_bytes(image("PNG"))
    (folder / "annotations.json").write_bytes(as_json(chance, SA2VA))
    convert("sa2va", folder)


def _dicom(chance: random.Random, folder: Path) -> None:
    (folder / "a.dcm").write_bytes(damaged(chance, chance.choice(DICOM)))
    (folder / "a.json").write_text(json.dumps(LABELME))
    convert("dicom", folder)


def _image(chance: random.Random, folder: Path) -> None:
    form = chance.choice(("PNG", "JPEG", "TIFF", "GIF", "BMP"))
    (folder / "a.png").write_bytes(damaged(chance, image(form)))
    (folder / "a.json").write_text(json.dumps(LABELME))
    convert("labelme", folder)


def _tree(chance: random.Random, folder: Path) -> None:
    for place in (folder / IMAGES, (folder / INSTANCES).parent):
        place.mkdir(parents=True, exist_ok=True)
    (folder / IMAGES / "a.png").write_bytes(image("PNG"))
    (folder / INSTANCES).write_bytes(
        as_json(chance, COCO) if chance.random() < 0.5 else json.dumps(COCO).encode()
    )
    content = pickle.dumps([REF, odd(chance, REF)], chance.randrange(5))
    (folder / REFS).write_bytes(content)
    convert("refcoco", folder)


def _refs(chance: random.Random, folder: Path) -> None:
    (folder / "refs").write_bytes(damaged(chance, pickle.dumps([REF] * 3, chance.randrange(6))))
    read_refs(folder / "refs")


def _run_lengths(chance: random.Random, folder: Path) -> None:  # noqa: ARG001 (one signature for all)
    counts = MASK["counts"].encode()
    counts = (damaged(chance, counts) if chance.random() < 0.8 else counts).decode("latin-1")
    runs: Any = {
        "size": chance.choice([[30, 40], [40, 30], [2**16, 2**16], [-30, -40], [10**9, 10**9]]),
        "counts": counts,
    }
    if not rle.is_rle(runs):
        raise UserError("no run lengths")
    rle.area(runs), rle.decode(runs), rle.union([runs, runs])


def _yaml(chance: random.Random, folder: Path) -> None:  # noqa: ARG001
    parse_yaml(damaged(chance, YAML.encode()), "options")


TARGETS: dict[str, Callable[[random.Random, Path], None]] = {
    "LabelMe": _labelme,
    "COCO": _coco,
    "Sa2VA": _sa2va,
    "DICOM": _dicom,
    "images": _image,
    "official tree": _tree,
    "refs": _refs,
    "run lengths": _run_lengths,
    "YAML": _yaml,
}
DECODERS = ("DICOM", "images")  # written in C


def feed(item: tuple[str, int]) -> tuple[Counter[str], list[str], float]:
    """Outcomes of a round of one target, what was wrong, and the slowest input."""
    target, seed = item
    outcomes: Counter[str] = Counter()
    wrong, slowest = [], 0.0
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C libraries say of damaged files
    for number in range(A_ROUND):
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            try:
                TARGETS[target](random.Random(f"{seed} {number}"), Path(folder))
                outcomes["read"] += 1
            except UserError:
                outcomes["refused"] += 1
            except Exception as error:
                outcomes["tracebacks"] += 1
                wrong.append(f"{target} {seed} {number}: {type(error).__name__} {error!s:.200}")
            slowest = max(slowest, time.monotonic() - start)
    return outcomes, wrong, slowest


def main() -> None:
    """Feed, watch, print a table; status 1 where something was neither read nor refused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    totals = {target: Counter() for target in TARGETS}
    slowest, wrong = dict.fromkeys(TARGETS, 0.0), []
    items = [(target, arguments.first_seed + number) for number in range(10_000) for target in TARGETS]
    for (target, seed), result in zip(
        items, map_in_processes(feed, items, threads=arguments.threads, seconds=SLOW * A_ROUND), strict=False
    ):
        if isinstance(result, Ended):
            totals[target]["ended processes"] += 1
            if target not in DECODERS or "took" in result.reason:
                wrong.append(f"{target} {seed}: {result.reason}")
        else:
            totals[target].update(result[0])
            wrong += result[1]
            slowest[target] = max(slowest[target], result[2])
        if time.monotonic() > deadline:
            break
    columns = ("read", "refused", "tracebacks", "ended processes")
    print(f"| fuzzing data | {' | '.join(columns)} | slowest |\n|---|---|---|---|---|---|")
    for target, counts in totals.items():
        numbers = " | ".join(str(counts[column]) for column in columns)
        print(f"| {target} | {numbers} | {slowest[target]:.2f} s |")
    if wrong or max(slowest.values()) > SLOW:
        sys.exit("\n".join(["a bar is missed", *wrong[:40]]))


if __name__ == "__main__":
    main()
