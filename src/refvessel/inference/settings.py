"""How a shard is segmented: what the configuration says under `inference`, checked."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from refvessel.dataset.tree.loader import QUESTION
from refvessel.errors import UserError
from refvessel.inference.devices import choose_device, choose_dtype
from refvessel.inference.drafts import EXPECTED
from refvessel.inference.spreading import stated_memory
from refvessel.model.processing import IMAGE_PLACEHOLDER
from refvessel.model.quantisation import LANGUAGE_WEIGHTS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a shard is segmented.

    dtype: float32 or bfloat16; None: bfloat16 on a GPU, float32 on the CPU.
    device: cpu or cuda; None: a GPU where there is one.
    gpus_per_job: free GPUs that the job takes, where it runs on any; several share the model.
    device_map: auto spreads the model over the job's GPUs, the host's memory and the disk, as far as it must.
    max_memory: GPU number within the job or cpu -> what weights may take of it, e.g. 20GiB.
    language_weights: int8 or float8 for the language model's linear layers; None: in `dtype`.
    batch_size: images a batch, fewer where they do not fit into memory; None: what fits, 4 on the CPU.
    threads: cores that the job uses, to read images for a GPU or to compute; None: all it may use.
    draft: the answer that is expected at first, later it is the most frequent one; None: none is.
    max_new_tokens: the longest answer.
    question: the prompt, with `<image>` and `{phrase}`.
    flips: average the logits over each image and its three flips (test-time augmentation).
    compiled: compile the model's blocks first; pays on a GPU, for many images.
    save_logits: store the masks' logits beside the shard.
    max_failures: how many failed expressions a finished shard may hold.

    Raises UserError for a value that is not one of these, or does not go with another.
    """

    dtype: str | None = None
    device: str | None = None
    gpus_per_job: int = 1
    device_map: str | None = None
    max_memory: Mapping[int | str, str] | None = None
    language_weights: str | None = None
    batch_size: int | None = None
    threads: int | None = None
    draft: str | None = EXPECTED
    max_new_tokens: int = 2048
    question: str = QUESTION
    flips: bool = False
    compiled: bool = False
    save_logits: bool = False
    max_failures: int = 0

    def __post_init__(self) -> None:
        if self.question.count(IMAGE_PLACEHOLDER) != 1 or self.question.count("{phrase}") != 1:
            raise UserError(
                f"the question {self.question!r} must hold {IMAGE_PLACEHOLDER} and {{phrase}} exactly once each; "
                "add them."
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise UserError(f"the batch size is {self.batch_size}; give at least 1.")
        if self.language_weights not in (None, *LANGUAGE_WEIGHTS):
            raise UserError(
                f"language_weights is {self.language_weights!r}; give {' or '.join(LANGUAGE_WEIGHTS)}."
            )
        self.chosen_dtype()
        self.weights_memory()

    def chosen_device(self) -> torch.device:
        """The device that is named, else a GPU where there is one."""
        return choose_device(self.device)

    def chosen_dtype(self) -> torch.dtype:
        """The precision that is named, else the device's own."""
        return choose_dtype(self.dtype, self.chosen_device())

    def weights_memory(self) -> dict[int | str, int] | None:
        """What weights may take at most, as `stated_memory` gives it; None for a model whole on one device."""
        return stated_memory(
            device_map=self.device_map,
            max_memory=self.max_memory,
            gpus_per_job=self.gpus_per_job,
            device=self.chosen_device().type,
            compiled=self.compiled,
        )
