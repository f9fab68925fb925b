"""What a prediction is and where it lies: records, shards, reusable answers, the gathered table.

Nothing here imports torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "asked": ["list_expressions"],
        "gather": ["gather_predictions"],
        "logits_file": ["read_logits", "write_logits"],
        "prediction": ["COLUMNS", "Prediction", "Status", "read_shard"],
        "refinement": ["refine_predictions"],
        "run_file": ["Run", "read_run"],
        "table": ["read_predictions", "read_records", "write_predictions"],
        "upsampling": ["image_logits", "masks_of_logits"],
    },
)
