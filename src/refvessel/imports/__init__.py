"""Masks of any model or annotator as predictions of a tree: files are matched to images, and nothing is run.

Nothing here imports torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"importing": ["import_predictions"]}
)
