"""Precisions, as commands of two stages name them."""

from enum import StrEnum


class Dtype(StrEnum):
    """Precisions of weights and computation."""

    float32 = "float32"
    bfloat16 = "bfloat16"
