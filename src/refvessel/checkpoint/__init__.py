"""From the layers of a fine-tuning run to an official Hugging Face folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "compare": ["compare_checkpoints"],
        "contents": ["Contents", "read_contents"],
        "convert": ["convert_checkpoint"],
        "link": ["link_checkpoint"],
    },
)
