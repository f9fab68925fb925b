"""From annotated vessel images to the official tree, all of it or nothing."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from refvessel.dataset.conversion.converted import Converted, Truths, convert_images
from refvessel.dataset.conversion.dataset_record import dataset_record
from refvessel.dataset.conversion.gates import Gates
from refvessel.dataset.conversion.original_names import keep_original_names
from refvessel.dataset.conversion.phrases import labels_left_out, phrases_of_labels, phrases_without_label
from refvessel.dataset.conversion.runs_of_tree import require_common_sizes, write_runs
from refvessel.dataset.conversion.spool import Spool
from refvessel.dataset.conversion.truths import TruthRule
from refvessel.dataset.patients.first_look import (
    first_look_record,
    patients_of_first_look,
    warning_of_first_look,
)
from refvessel.dataset.patients.identities import Identified, identify
from refvessel.dataset.patients.pseudonyms import OriginalNames, Pseudonyms, read_or_create_key
from refvessel.dataset.patients.sequences import SequenceRule, in_sequences
from refvessel.dataset.patients.splits import SplitRule
from refvessel.dataset.patients.stated import Origins
from refvessel.dataset.problems import Problems
from refvessel.dataset.readers.formats import read_records
from refvessel.dataset.readers.records import Record
from refvessel.dataset.tree.layout import DATASET, IMAGES, REFS, TOP_LEVEL
from refvessel.dataset.tree.stated_facts import FIRST_LOOK, TARGET, TRUTH
from refvessel.dataset.tree.writing import tree_writer
from refvessel.errors import UserError
from refvessel.files import atomic_directory, write_json
from refvessel.settings.dataset_section import Dataset


def convert_dataset(*, output: Path, settings: Dataset, threads: int | None = None) -> dict[str, Any]:
    """Convert a data set to an official tree at `output`; return what its `dataset.json` says.

    What is asked: see `phrases_of_labels` for `phrases`, TruthRule for `target`, `include_empty` and
    `crossing_outlines`.

    Who is in which split: `patients` is a CSV table (see PatientTable), `patient_pattern` a regular expression
    (see PatientPattern); without either the data tell or, in one split only, their names (see
    `likely_patients`). Splits come from `single_split`; else from the table or the pattern; else, where `splits`
    is None, from the data; else in the ratios `splits`, by hash with the seed `split_seed`, or by frames with
    `split_by_frames` (see `splits`).

    Which images are frames of one run: see SequenceRule for `sequences`. The tree then also has the runs, all of
    their frames, in the Ref-VOS layout.

    With `limit`, some patients of each split are taken: see `patients_of_first_look`.

    What is refused: see Gates for `near_duplicates` and `trained_on`.

    Args:
        output: folder to write; an older tree there is replaced once the new one is complete. The folder `names`
            beside the key of the pseudonyms gets the table of the original names.
        settings: the data set: what is read, what is asked, who is in which split, what is refused and published.
        threads: processes that work on the images; None: one per core.

    Raises:
        UserError: with all problems of the data, up to 20, one per line; nothing is written then.
    """
    output, rules, problems = Path(output), _Rules.of(settings), Problems()
    _require_places(settings.root, output, settings.key_file)
    found = _read(settings, problems)
    annotated = [record for record in found if record.annotation is not None]
    records = annotated if rules.runs is None else rules.runs.of_annotated_runs(found, problems)
    labels = phrases_of_labels(settings.phrases, records, problems)
    names = Pseudonyms(read_or_create_key(settings.key_file)) if settings.pseudonymise else OriginalNames()
    identities = identify(records, rules.origins, rules.splits, names, problems)
    if rules.runs is not None:
        identities = in_sequences(identities, names, problems)
    everyone = identities
    if settings.limit is not None:
        identities = patients_of_first_look(everyone, settings.limit)
    with atomic_directory(output) as tree:
        spool = Spool(tree)
        converted = convert_images(
            identities,
            labels,
            tree,
            spool,
            problems,
            rule=rules.truths,
            hashed=rules.compares(identities),
            threads=threads,
        )
        kept = [item for item in converted if item.tally.expressions]
        gate_findings = rules.gates.check(kept, rules.origins, tree / IMAGES, problems)
        require_common_sizes(converted, problems)
        problems.raise_any()
        _require_any(kept, converted, settings)
        table, collisions = keep_original_names(settings.key_file, output, names, everyone, labels)
        asked = list(dict.fromkeys(labels.values()))
        numbers = _write_tree(tree, kept, spool, asked)
        if rules.runs is not None:
            write_runs(tree, converted, spool, asked, numbers)
        record = dataset_record(
            [item for item in converted if item.identity.record.annotation is not None],
            kept,
            rules.splits.effective_ratios,
            gate_findings,
            images_not_annotated=len(found) - len(annotated),
            phrases_without_label=phrases_without_label(labels, records) if settings.has_truth else (),
            runs=None if rules.runs is None else converted,
        )
        looked_at = first_look_record(everyone, identities)
        warnings = warning_of_first_look(looked_at) + record["warnings"] + collisions
        summary = {**_asked(settings), **table, **record, FIRST_LOOK: looked_at, "warnings": warnings}
        write_json(tree / DATASET, summary)
    print(told(summary), file=sys.stderr)
    return summary


@dataclass(frozen=True)
class _Rules:
    """What the settings say of truths, splits, patients, runs and gates."""

    truths: TruthRule
    runs: SequenceRule | None  # None: every image is its own
    splits: SplitRule
    origins: Origins
    gates: Gates

    @classmethod
    def of(cls, settings: Dataset) -> Self:
        return cls(
            TruthRule(
                settings.target, settings.include_empty or not settings.has_truth, settings.crossing_outlines
            ),
            None if settings.runs is None else SequenceRule(settings.runs),
            SplitRule(settings.single_split, settings.splits, settings.split_seed, settings.split_by_frames),
            Origins(settings.patient_pattern, settings.patients, own_splits=settings.splits is None),
            Gates(settings.near_duplicates, settings.trained_on),
        )

    def compares(self, identities: Sequence[Identified]) -> bool:
        """Whether images of different splits are compared."""
        return self.gates.near_duplicates is not None and len({each.split for each in identities}) > 1


def _read(settings: Dataset, problems: Problems) -> list[Record]:
    """The records of all images, in the order of the reader."""
    left_out = labels_left_out(settings.phrases)
    records = read_records(settings.format, settings.root, settings.options.given(), problems, left_out)
    return list(tqdm(records, "reading annotations", unit="image", disable=None))


def _require_any(kept: Sequence[Converted], converted: Sequence[Converted], settings: Dataset) -> None:
    """Refuse data without an expression."""
    if kept:
        return
    vanished = sum(item.tally.regions_without_pixels for item in converted)
    why = f" ({vanished} annotated regions have no pixel)" if vanished else ""
    raise UserError(
        f"{settings.root} holds no image with an expression in the form {settings.format!r}{why}; check both."
    )


def _asked(settings: Dataset) -> dict[str, Any]:
    """What `dataset.json` says of the settings."""
    return {
        "source_format": settings.format,
        TRUTH: settings.has_truth,
        TARGET: settings.target,
        "include_empty": settings.include_empty,
        "crossing_outlines": settings.crossing_outlines,
        "pseudonymised": settings.pseudonymise,
    }


def _write_tree(
    root: Path, kept: Sequence[Converted], spool: Spool, phrases: Sequence[str]
) -> dict[str, dict[str, list[int]]]:
    """Write the RefCOCO tree; return the numbers of the refs, by image_id and phrase."""
    numbers = {}
    with tree_writer(root, phrases) as writer:
        for item in sorted(kept, key=lambda item: item.identity.image_id):
            truths: Truths = spool.read(item.truths)
            numbers[item.identity.image_id] = writer.add(
                file_name=item.file_name,
                size=(item.image.width, item.image.height),
                patient=item.identity.patient,
                split=item.identity.split,
                truths=truths.by_phrase,
                ignore=truths.ignore,
                spacing=item.identity.record.spacing,
                outlines=truths.outlines,
            )
    return numbers


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
    if "runs" in counts:
        found += f", {counts['runs']} runs of {counts['frames']} frames"
    return "\n".join([found, *(f"Warning: {warning}" for warning in summary["warnings"])])
