"""A first look at a data set: some patients of each split, the same ones each time."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from refvessel.dataset.patients.identities import Identified


def patients_of_first_look(identified: Sequence[Identified], limit: int) -> list[Identified]:
    """The images of at most `limit` patients of each split.

    Patients come in the order of their published names' SHA-256: a larger limit adds to those of a smaller one,
    and neither the names nor the order of files choose.
    """
    chosen = {
        (split, patient)
        for split, patients in _patients_of_splits(identified).items()
        for patient in sorted(patients, key=_position)[:limit]
    }
    return [each for each in identified if (each.split, each.patient) in chosen]


def first_look_record(
    identified: Sequence[Identified], chosen: Sequence[Identified]
) -> dict[str, dict[str, int]]:
    """Split -> how many patients are looked at, and of how many; none where they are all."""
    some, everyone = _patients_of_splits(chosen), _patients_of_splits(identified)
    return {
        split: {"patients": len(some[split]), "of": len(patients)}
        for split, patients in sorted(everyone.items())
        if len(some[split]) < len(patients)
    }


def warning_of_first_look(record: Mapping[str, Mapping[str, int]]) -> list[str]:
    """What is to be known of it."""
    told = ", ".join(f"{split} {each['patients']} of {each['of']}" for split, each in record.items())
    return (
        [f"A first look: some patients only ({told}); nothing here is of the whole data set."]
        if record
        else []
    )


def _patients_of_splits(identified: Sequence[Identified]) -> dict[str, set[str]]:
    patients = defaultdict(set)
    for each in identified:
        patients[each.split].add(each.patient)
    return patients


def _position(patient: str) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()
