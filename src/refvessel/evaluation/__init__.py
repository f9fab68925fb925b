"""Predictions meet truth: scoring a split, tuning a threshold, comparing models."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparing": ["compare_models"],
        "official_referring": ["score_referring"],
        "official_video": ["score_video"],
        "preference_pairs": ["export_pairs"],
        "sequence_comparing": ["compare_sequences"],
        "sequence_scoring": ["score_sequences"],
        "split_scoring": ["score_split"],
        "scoring": ["score"],
        "tuning": ["tune_threshold"],
    },
)
