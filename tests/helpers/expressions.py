"""Expressions for tests."""

from pathlib import Path

from refvessel.dataset.tree.expressions import Expression


def expression(**stated):
    """An expression of which only what matters is stated."""
    usual = {
        "image_id": "i",
        "ref_id": 0,
        "sent_id": 0,
        "phrase": "vessel",
        "patient": "p",
        "height": 8,
        "width": 8,
    }
    return Expression(**(usual | {"image_path": Path("i.png"), "truth": {}} | stated))
