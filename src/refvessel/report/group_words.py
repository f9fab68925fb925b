"""The groups of a summary in the report's language; phrases and patients are called as the data call them."""

from refvessel.metrics.subgroups import NO_VESSEL, OR_MORE, RANGE, UNDER
from refvessel.report.wording import worded_like
from refvessel.sentences import marked

# Column of the tables -> what a group is formed by, in the order shown.
GROUPINGS = {
    "phrase": marked("Phrase"),
    "truth_regions": marked("Regions"),
    "vessel_width": marked("Vessel width"),
    "foreground_share": marked("Foreground share"),
    "image_size": marked("Image size"),
}
NAMED_BY_DATA = frozenset({"phrase"})
_ALL = marked("all")


def worded_group(label: str) -> str:
    """A group that `metrics.subgroups` names."""
    return worded_like((_ALL, NO_VESSEL, UNDER, RANGE, OR_MORE), label)
