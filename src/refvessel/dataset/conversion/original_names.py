"""The original names behind a tree: the table that leads back to them, and which of them a report says anyway."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from refvessel.dataset.patients.identities import Identified
from refvessel.dataset.patients.likely_patients import UNNAMED
from refvessel.dataset.patients.pseudonyms import OriginalNames, Pseudonyms
from refvessel.errors import UserError
from refvessel.privacy.name_tables import Name, keep_names, table_of_tree
from refvessel.privacy.terms import Terms
from refvessel.sentences import english


def keep_original_names(
    key_file: Path,
    output: Path,
    pseudonyms: Pseudonyms | OriginalNames,
    identities: Sequence[Identified],
    labels: Mapping[str, str | None],
) -> tuple[dict[str, str], list[str]]:
    """Write the table from pseudonyms back to names; returns what dataset.json says of it, and warnings.

    Without pseudonyms the table of the tree that is replaced is removed: its names are published from now on.

    Args:
        key_file: of the pseudonyms; the table goes into the folder `names` beside it.
        output: folder of the tree, whose name the table has too.
        pseudonyms: what the names were replaced by.
        identities: of all images.
        labels: label -> phrase.
    """
    if not isinstance(pseudonyms, Pseudonyms):
        with suppress(UserError):
            table_of_tree(output, key_file).unlink()
        return {}, []
    published = [*labels, *filter(None, labels.values()), *(each.split for each in identities), output.name]
    names = {Name("word", word, word) for word in published}
    for each in identities:
        names.add(Name("image", each.image_id, each.record.name))
        if each.place is not None and each.record.sequence:
            names.add(Name("image", each.place.video, each.record.sequence))
        if each.origin.patient != UNNAMED:
            names.add(Name("patient", each.patient, each.origin.patient))
        names |= {Name("identifier", each.patient, word) for word in each.record.identifiers}
    identity = keep_names(key_file, output.name, names, pseudonyms.name_table)
    return {"name_table": identity}, _collisions(names)


def _collisions(names: set[Name]) -> list[str]:
    """What to know of names that the report's own sentences hold, before anything is computed for it.

    Warnings are published: they count the patients. Their pseudonyms go to standard error.
    """
    words, wholes = Terms([sorted(names)]).in_the_report()
    warnings = []
    if words:
        warnings.append(
            english(
                "Words in the names of %(n)s patients are also words of the report's own sentences; the search "
                "for original names passes over them there, not in cells of tables.",
                n=len(words),
            )
        )
    if wholes:
        warnings.append(
            english(
                "The whole names of %(n)s patients stand in the report's own sentences; the search for original "
                "names will refuse it until they are accepted (privacy.accepted); the log of the conversion "
                "lists them.",
                n=len(wholes),
            )
        )
    for found in (words, wholes):
        if found:
            print(
                f"In the report's own sentences: {', '.join(sorted(name.published for name in found))}",
                file=sys.stderr,
            )
    return warnings
