"""An official tree, ours or another's, as data: sentences are the labels, its splits and patients stay."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.records import Record, not_annotated
from refvessel.dataset.readers.source_files import locate
from refvessel.dataset.regions.shapes import Region, Runs
from refvessel.dataset.tree.expressions import Annotated, Expression, Shapes, read_tree
from refvessel.dataset.tree.layout import DATASET, IMAGES, INSTANCES, REFS
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.rle import area


def read(root: Path, problems: Problems) -> Iterator[Record]:
    """Yield a record for every image with a ref, then one for every image without."""
    for file in (INSTANCES, REFS):
        locate(root, root, str(file), f"{root}: the file")
    stated = _patients_are_stated(root)
    by_image: dict[Path, list[tuple[str, Annotated]]] = {}
    for split, annotated_expressions in read_tree(root).annotated_by_split(problems).items():
        for expression, shapes in annotated_expressions:
            by_image.setdefault(expression.image_path, []).append((split, (expression, shapes)))
    annotated = set()
    for path, members in sorted(by_image.items()):
        with problems.collect():
            record = _record(root, path, members)
            record = record if stated else replace(record, patient=None)
            annotated.add(record.path)
            yield record
    yield from not_annotated(root, annotated)


def _patients_are_stated(root: Path) -> bool:
    """False for a tree of ours whose patients follow from names alone."""
    path = locate(root, root, str(DATASET), f"{root}: the file")
    content = read_json(path) if path.is_file() else {}
    return not isinstance(content, dict) or content.get("patients_stated") is not False


def _record(root: Path, path: Path, members: list[tuple[str, Annotated]]) -> Record:
    splits = sorted({split for split, _ in members})
    if len(splits) > 1:
        raise UserError(
            f"{root / REFS}: the image {path.name} is in the splits {' and '.join(splits)}; keep one."
        )
    first, _ = members[0][1]
    return Record(
        name=path.relative_to(root / IMAGES).as_posix(),
        path=locate(root, root, str(path.relative_to(root)), f"{root}: the image"),
        annotation=root / INSTANCES,
        also_read=(root / REFS,),
        where=f"{root / REFS}: image {path.name}",
        regions=tuple(_region(root, *annotated) for _, annotated in members),
        ignore=None if first.ignore_mask is None else Runs(first.ignore_mask),
        stated_size=(first.width, first.height),
        spacing=first.spacing,
        patient=first.patient if first.patient_stated else None,
        split=splits[0],
    )


def _region(root: Path, expression: Expression, shapes: Shapes) -> Region:
    """The expression's truth as it is annotated; without shapes where that is empty."""
    return Region(
        expression.phrase.strip(),
        shapes if area(expression.truth) else (),
        f"{root / REFS}: sentence {expression.sent_id} ({expression.image_path.name})",
    )
