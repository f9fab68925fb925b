"""A job on its machine: the GPUs it holds, its lock, the signals that end it, its progress."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "gpus": ["claimed_gpus", "usable_gpus"],
        "progress": ["Progress", "read_progress"],
        "status": ["under_way", "watch"],
    },
)
