"""From annotated vessel images to the official tree, all of it or nothing."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refvessel.dataset.converted import Converted, convert_images
from refvessel.dataset.identities import identify
from refvessel.dataset.patients import Origin, PatientPattern
from refvessel.dataset.phrases import phrases_of_labels
from refvessel.dataset.problems import Problems
from refvessel.dataset.pseudonyms import DEFAULT_KEY_FILE, OriginalNames, Pseudonyms, read_or_create_key
from refvessel.dataset.readers.formats import READERS
from refvessel.dataset.splits import (
    DEFAULT_RATIOS,
    require_one_split,
    require_ratios,
    require_split_name,
    split_by_hash,
)
from refvessel.dataset.summary import summarise
from refvessel.dataset.tree import DATASET, REFS
from refvessel.dataset.tree_writing import TreeImage, write_tree
from refvessel.errors import UserError
from refvessel.files import atomic_directory, write_json

_TOP_LEVEL = {"ref_seg", "glamm_data", DATASET.name}


def convert_dataset(
    *,
    source_format: str,
    root: Path,
    output: Path,
    phrases: Mapping[str, str] | None = None,
    patient_pattern: str | None = None,
    splits: Mapping[str, float] | None = None,
    single_split: str | None = None,
    include_empty: bool = False,
    pseudonymise: bool = True,
    key_file: Path | None = None,
    jobs: int | None = None,
) -> dict[str, Any]:
    """Convert the data under `root` to an official tree at `output`; return what its `dataset.json` says.

    `source_format` is a key of READERS. `phrases` maps labels to phrases (None: the label is the phrase).
    Patients come from `patient_pattern` (see PatientPattern). Splits come from `single_split`, else from the
    pattern's group `split`, else by hash in the ratios `splits` (None: 0.7 train, 0.1 val, 0.2 test).
    With `include_empty` every phrase without a region on an annotated image becomes an expression with an empty
    truth. `key_file` (None: `.refvessel/pseudonym.key`) holds the key of the pseudonyms and is made where absent.
    `jobs` threads work on the images (None: as many as Python takes).

    Raises UserError with all problems of the data, up to 20, one a line; nothing is written then. An older tree
    at `output` is replaced once the new one is complete.
    """
    root, output = Path(root), Path(output)
    key_file = DEFAULT_KEY_FILE if key_file is None else Path(key_file)
    if source_format not in READERS:
        raise UserError(f"The format {source_format!r} is unknown; choose one of: {', '.join(READERS)}.")
    pattern = PatientPattern(patient_pattern)
    ratios = _ratios(splits, single_split)
    _require_places(root, output, key_file)

    def split_of(origin: Origin) -> str:
        if single_split is not None or origin.split is None:
            return split_by_hash(origin.patient, ratios)
        require_split_name(origin.split)
        return origin.split

    problems = Problems()
    found = list(READERS[source_format](root, problems))
    records = [record for record in found if record.annotation is not None]
    labels = phrases_of_labels(phrases, records, problems)
    names = Pseudonyms(read_or_create_key(key_file)) if pseudonymise else OriginalNames()
    identities = identify(records, pattern, split_of, names, problems)
    with atomic_directory(output) as tree:
        converted = convert_images(identities, labels, tree, problems, include_empty=include_empty, jobs=jobs)
        kept = [item for item in converted if item.truths.by_phrase]
        _require_distinct_pixels(kept, problems)
        problems.raise_any()
        if not kept:
            raise UserError(
                f"{root} holds no image with an expression in the form {source_format!r}; check both."
            )
        write_tree(tree, [_tree_image(item) for item in kept], list(dict.fromkeys(labels.values())))
        summary = {
            "source_format": source_format,
            "include_empty": include_empty,
            "pseudonymised": pseudonymise,
            **summarise(converted, kept, ratios, images_not_annotated=len(found) - len(records)),
        }
        write_json(tree / DATASET, summary)
    _tell(summary)
    return summary


def _ratios(splits: Mapping[str, float] | None, single_split: str | None) -> dict[str, float]:
    if splits is not None and single_split is not None:
        raise UserError("splits and single_split are both given; leave one out.")
    if single_split is not None:
        splits = {single_split: 1.0}
    ratios = dict(DEFAULT_RATIOS if splits is None else splits)
    require_ratios(ratios)
    return ratios


def _require_places(root: Path, output: Path, key_file: Path) -> None:
    """Refuse an output that would replace something else than an older tree, or publish the key."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; name the one that holds the data.")
    real_root, real_output = root.resolve(), output.resolve()
    if real_output.is_relative_to(real_root) or real_root.is_relative_to(real_output):
        raise UserError(f"The output {output} and the data {root} lie in one another; choose another output.")
    if key_file.resolve().is_relative_to(real_output):
        raise UserError(f"The key {key_file} lies in the output {output}; keep it out of what is published.")
    if output.is_dir() and not (output / DATASET).is_file():
        strangers = {entry.name for entry in output.iterdir()} - _TOP_LEVEL
        if strangers or (output / REFS).exists():
            raise UserError(
                f"{output} exists and is no tree of RefVessel's; remove it or choose another output."
            )
    elif output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; choose another output.")


def _require_distinct_pixels(kept: list[Converted], problems: Problems) -> None:
    members = ((item.pixels_sha256, item.identity.split, item.identity.record.name) for item in kept)
    require_one_split("have identical pixels", members, problems)


def _tree_image(item: Converted) -> TreeImage:
    identity = item.identity
    return TreeImage(
        identity.image_id, identity.patient, identity.split, item.width, item.height, item.truths.by_phrase
    )


def _tell(summary: Mapping[str, Any]) -> None:
    """Say on standard error how many patients were seen in which split: a wrong pattern shows here first."""
    counts = summary["counts"]
    patients = ", ".join(f"{split} {len(members)}" for split, members in summary["splits"].items())
    print(
        f"{counts['images']} images, {counts['expressions']} expressions, "
        f"{counts['patients']} patients ({patients})",
        file=sys.stderr,
    )
    for warning in summary["warnings"]:
        print(f"Warning: {warning}", file=sys.stderr)
