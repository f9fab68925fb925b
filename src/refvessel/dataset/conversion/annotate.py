"""From annotated vessel images to the official tree, all of it or nothing."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from refvessel.dataset.conversion.converted import Converted, Truths, convert_images
from refvessel.dataset.conversion.dataset_record import dataset_record
from refvessel.dataset.conversion.gates import NEAR_DUPLICATES, Gates
from refvessel.dataset.conversion.original_names import keep_original_names
from refvessel.dataset.conversion.phrases import labels_left_out, phrases_of_labels, phrases_without_label
from refvessel.dataset.conversion.spool import Spool
from refvessel.dataset.conversion.truths import TruthRule
from refvessel.dataset.patients.identities import identify
from refvessel.dataset.patients.pseudonyms import (
    DEFAULT_KEY_FILE,
    OriginalNames,
    Pseudonyms,
    read_or_create_key,
)
from refvessel.dataset.patients.splits import DEFAULT_SEED, SplitRule
from refvessel.dataset.patients.stated import Origins
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.formats import read_records
from refvessel.dataset.tree.layout import DATASET, IMAGES, REFS, TOP_LEVEL
from refvessel.dataset.tree.writing import tree_writer
from refvessel.errors import UserError
from refvessel.files import atomic_directory, write_json


def convert_dataset(
    *,
    source_format: str,
    root: Path,
    output: Path,
    options: Mapping[str, Any] | None = None,
    phrases: Mapping[str, str | None] | None = None,
    target: str = "phrase",
    include_empty: bool = False,
    crossing_outlines: str = "refuse",
    patient_pattern: str | None = None,
    patients: Path | None = None,
    splits: Mapping[str, float] | None = None,
    single_split: str | None = None,
    split_seed: int = DEFAULT_SEED,
    split_by_frames: bool = False,
    near_duplicates: int | None = NEAR_DUPLICATES,
    trained_on: Path | None = None,
    pseudonymise: bool = True,
    key_file: Path | None = None,
    jobs: int | None = None,
) -> dict[str, Any]:
    """Convert the data under `root` to an official tree at `output`; return what its `dataset.json` says.

    What is read: `source_format` is a key of READERS, `options` are its reader's (see `read_records`).

    What is asked: `phrases` maps labels to phrases, or to None, which leaves the label out (no `phrases`: the
    label is the phrase); see TruthRule for `target`, `include_empty` and `crossing_outlines`.

    Who is in which split: `patients` is a CSV table (see PatientTable), `patient_pattern` a regular expression
    (see PatientPattern); without either the data tell or, in one split only, their names (see
    `likely_patients`). Splits come from `single_split`; else from the table or the pattern; else, where `splits`
    is None, from the data; else in the ratios `splits` (None: 0.7 train, 0.1 val, 0.2 test), by hash with the seed
    `split_seed`, or by frames with `split_by_frames` (see `splits`).

    What is refused: see Gates for `near_duplicates` and `trained_on`.

    What is published: pseudonyms, unless `pseudonymise` is false. `key_file` (None: `.refvessel/pseudonym.key`)
    holds their key and is made where absent; the folder `names` beside it gets the table of the original names.

    `jobs` processes work on the images (None: one a core).

    Raises UserError with all problems of the data, up to 20, one a line; nothing is written then. An older tree
    at `output` is replaced once the new one is complete.
    """
    root, output = Path(root), Path(output)
    key_file = DEFAULT_KEY_FILE if key_file is None else Path(key_file)
    truth_rule = TruthRule(target, include_empty, crossing_outlines)
    split_rule = SplitRule(single_split, splits, split_seed, split_by_frames)
    origins = Origins(patient_pattern, patients, own_splits=splits is None)
    gates = Gates(near_duplicates, trained_on)
    left_out = labels_left_out(phrases)
    _require_places(root, output, key_file)

    problems = Problems()
    records_of_format = read_records(source_format, root, options or {}, problems, left_out)
    found = list(tqdm(records_of_format, "reading annotations", unit="image", disable=None))
    records = [record for record in found if record.annotation is not None]
    labels = phrases_of_labels(phrases, records, problems)
    names = Pseudonyms(read_or_create_key(key_file)) if pseudonymise else OriginalNames()
    identities = identify(records, origins, split_rule, names, problems)
    with atomic_directory(output) as tree:
        spool = Spool(tree)
        several_splits = len({identity.split for identity in identities}) > 1
        converted = convert_images(
            identities,
            labels,
            tree,
            spool,
            problems,
            rule=truth_rule,
            hashed=several_splits and gates.near_duplicates is not None,
            jobs=jobs,
        )
        kept = [item for item in converted if item.tally.expressions]
        gate_findings = gates.check(kept, origins, tree / IMAGES, problems)
        problems.raise_any()
        if not kept:
            vanished = sum(item.tally.regions_without_pixels for item in converted)
            why = f" ({vanished} annotated regions have no pixel)" if vanished else ""
            raise UserError(
                f"{root} holds no image with an expression in the form {source_format!r}{why}; check both."
            )
        table, collisions = keep_original_names(key_file, output, names, identities, labels)
        _write_tree(tree, kept, spool, list(dict.fromkeys(labels.values())))
        summary = {
            "source_format": source_format,
            "target": target,
            "include_empty": include_empty,
            "crossing_outlines": crossing_outlines,
            "pseudonymised": pseudonymise,
            **table,
            **dataset_record(
                converted,
                kept,
                split_rule.effective_ratios,
                gate_findings,
                images_not_annotated=len(found) - len(records),
                phrases_without_label=phrases_without_label(labels, records),
            ),
        }
        summary["warnings"] += collisions
        write_json(tree / DATASET, summary)
    print(told(summary), file=sys.stderr)
    return summary


def _write_tree(root: Path, kept: Sequence[Converted], spool: Spool, phrases: Sequence[str]) -> None:
    with tree_writer(root, phrases) as writer:
        for item in sorted(kept, key=lambda item: item.identity.image_id):
            truths: Truths = spool.read(item.truths)
            writer.add(
                file_name=item.file_name,
                size=(item.image.width, item.image.height),
                patient=item.identity.patient,
                split=item.identity.split,
                truths=truths.by_phrase,
                ignore=truths.ignore,
                spacing=item.identity.record.spacing,
                outlines=truths.outlines,
            )


def _require_places(root: Path, output: Path, key_file: Path) -> None:
    """Refuse an output that would replace something else than an older tree, or publish the key."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; name the one that holds the data.")
    real_root, real_output = root.resolve(), output.resolve()
    if real_output.is_relative_to(real_root) or real_root.is_relative_to(real_output):
        raise UserError(f"The output {output} and the data {root} lie in one another; choose another output.")
    if key_file.resolve().is_relative_to(real_output):
        raise UserError(f"The key {key_file} lies in the output {output}; keep it out of what is published.")
    if real_output.is_relative_to(key_file.resolve().parent):
        raise UserError(
            f"The output {output} lies in the folder of the key {key_file}, which holds the original names; "
            "give the key a folder of its own."
        )
    if output.is_dir() and not (output / DATASET).is_file():
        strangers = {entry.name for entry in output.iterdir()} - TOP_LEVEL
        if strangers or (output / REFS).exists():
            raise UserError(
                f"{output} exists and is no tree of RefVessel's; remove it or choose another output."
            )
    elif output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; choose another output.")


def told(summary: Mapping[str, Any]) -> str:
    """How many patients were seen in which split, and the warnings: a wrong pattern shows here first."""
    counts = summary["counts"]
    patients = ", ".join(f"{split} {len(members)}" for split, members in summary["splits"].items())
    found = (
        f"{counts['images']} images, {counts['expressions']} expressions, "
        f"{counts['patients']} patients ({patients})"
    )
    return "\n".join([found, *(f"Warning: {warning}" for warning in summary["warnings"])])
