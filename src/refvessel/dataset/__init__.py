"""From vessel data to the official RefCOCO-style tree, and back through a loader."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "conversion.annotate": ["convert_dataset"],
        "tree.expressions": ["Expression", "read_expressions"],
        "tree.loader": ["ReferringDataset"],
    },
)
