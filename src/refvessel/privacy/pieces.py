"""What a search reads: pieces of text that mean one thing each, such as a table's cell or a paragraph."""

from dataclasses import dataclass

HEADER = "column"  # the field of what names a column or a key
COUNT = "n"  # the field of a number that we counted or measured
# Last words of columns and keys whose values may say who somebody is, and words before such a value.
IDENTIFYING = frozenset(
    """
    accession case child comment description error family field file given id identifier image key label
    mrn name no note nr number path patient person phrase pid record ref series source study subject text
    title url value who
    """.split()  # noqa: SIM905
)

# Running numbers of COCO's and RefCOCO's files; longer ones may be a hospital's.
_RUNNING = frozenset({"id", "image_id", "ann_id", "category_id", "ref_id", "sent_id", "ref_ids", "sent_ids"})
_LONGEST_RUNNING = 6  # digits


def field_of_number(field: str, value: int) -> str:
    """The field of a whole number that is stored as one: running numbers are counts."""
    return COUNT if field in _RUNNING and abs(value) < 10**_LONGEST_RUNNING else field


class Unsearchable(Exception):
    """A file that cannot be searched; its text says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One text node, cell, value or name, and where it stands.

    `field` is the name of the column or key whose value a cell is, an empty string where it has none, and None
    of running text. A column's cells may be one piece, one line each. `quoted`: typed as text, so that its
    digits are no count. `guessed`: from bytes that need not be text.
    """

    where: str
    text: str
    field: str | None = None
    quoted: bool = False
    guessed: bool = False
