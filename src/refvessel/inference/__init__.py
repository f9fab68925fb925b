"""From a model and a tree to one prediction record per expression."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "run": ["segment_shard"],
        "sequence_run": ["segment_sequences"],
        "sequence_tasks": ["tasks_of_split"],
        "video_results": ["segment_videos"],
    },
)
