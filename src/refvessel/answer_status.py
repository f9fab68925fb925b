"""What can become of an expression that a model is asked for."""

from enum import StrEnum


class Status(StrEnum):
    """Stands in shards, predictions and cases as its text."""

    OK = "ok"  # there are masks
    NO_SEG = "no_seg"  # an answer without [SEG], and so without a mask
    FAILED = "failed"  # no answer
