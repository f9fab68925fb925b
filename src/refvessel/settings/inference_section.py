"""How a model is run."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, model_validator

from refvessel.errors import UserError
from refvessel.prompts import IMAGE_PLACEHOLDER, PHRASE_PLACEHOLDER
from refvessel.settings.memory import stated_memory
from refvessel.settings.section import Section, setting

Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]
LanguageWeights = Literal["int8", "float8"]

_PLACEHOLDERS = (IMAGE_PLACEHOLDER, PHRASE_PLACEHOLDER)


def _has_placeholders(question: str) -> str:
    if any(question.count(placeholder) != 1 for placeholder in _PLACEHOLDERS):
        raise ValueError(f"{question!r} must hold {' and '.join(_PLACEHOLDERS)} once each; add them")
    return question


Question = Annotated[str, AfterValidator(_has_placeholders)]


class Inference(Section):
    """How the models are run."""

    shards: int | None = setting(
        None,
        "Jobs that a split is divided into, until all of them are done; null is as many as the GPUs serve at "
        "once.",
        free=True,
        ge=1,
        le=10_000,
    )
    gpus_per_job: int = setting(
        1,
        "Free GPUs that each of these jobs takes and holds, where it runs on any; several share one model. All "
        "jobs together take the GPUs of the machine, or as many as `--resources gpu=N` says.",
        free=True,
        ge=1,
    )
    device_map: Literal["auto"] | None = setting(
        None,
        "auto spreads a model over the GPUs of its job, what finds no room there goes to the host's memory, "
        "and the rest to the disk; null keeps it whole on one device.",
        free=True,
    )
    max_memory: dict[int | str, Any] = setting(
        {},
        "What weights may take at most, by number of a GPU within its job (0 for the first) or cpu, e.g. "
        "{0: 20GiB, cpu: 40GiB}; where nothing is stated, nine tenths of what is free.",
        free=True,
    )
    language_weights: LanguageWeights | None = setting(
        None,
        "Weights of the language model's linear layers in 8 bits, with a scale for each output channel; null "
        "keeps them in dtype.",
    )
    threads: int | None = setting(
        None,
        "Cores of a job, to read images for a GPU (8 feed an H100) or to compute on the CPU; null is, in a "
        "run, 8 for a GPU (fewer where the machine has fewer) and 1 on the CPU, and all cores for a command.",
        free=True,
        ge=1,
    )
    batch_size: int | None = setting(
        None,
        "Images per batch, fewer where memory is short; null is what fits into a GPU's memory, 64 at most, and "
        "4 on the CPU.",
        free=True,
        ge=1,
    )
    draft: str | None = setting(
        "Sure, [SEG].<|im_end|>",
        "Answer that is expected at first and verified in one pass; later it is the most frequent one. Null "
        "expects none.",
        free=True,
    )
    dtype: Dtype | None = setting(
        None,
        "Precision of the computation; null is bfloat16 on a GPU, else float32. float16, for GPUs older than "
        "bfloat16, leaves SAM2 in float32.",
    )
    device: Device | None = setting(None, "Where models run; null is a GPU where there is one.")
    question: Question = setting(
        "<image>\n Please segment {phrase} in this image.",  # the official one; mind the blank
        f"The prompt, with `{IMAGE_PLACEHOLDER}` and `{PHRASE_PLACEHOLDER}` once each.",
    )
    max_new_tokens: int = setting(2048, "Longest answer.", unit="tokens", ge=1)
    flips: bool = setting(
        False,
        "Test-time augmentation: average the logits over an image and its three flips; not for phrases that "
        "name a side.",
    )
    compiled: bool = setting(
        False, "Compile the model's blocks first; pays on a GPU, for many images.", free=True
    )
    save_logits: bool = setting(
        False,
        "Store the masks' logits beside each shard, in half precision: for scores of probabilities, and for "
        "other thresholds than the model's own.",
        free=True,
    )
    max_failures: int = setting(
        0, "Failed expressions that a shard may hold before the run stops.", free=True, ge=0
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        try:
            self.weights_memory(self.device)
        except UserError as error:
            raise ValueError(str(error).removesuffix(".")) from None
        return self

    def weights_memory(self, device: str | None) -> dict[int | str, int] | None:
        """What weights may take at most on a device (None: not known yet), as `stated_memory` gives it."""
        return stated_memory(
            device_map=self.device_map,
            max_memory=self.max_memory,
            gpus_per_job=self.gpus_per_job,
            device=device,
            compiled=self.compiled,
        )
