"""Where a model comes from: the layers of a fine-tuning run, or a finished folder."""

from typing import Annotated, Any, Literal, Self

from pydantic import Strict, field_validator, model_validator

from refvessel.settings.section import Location, Number, Section, Stated, setting

_Texts = Annotated[tuple[str, ...], Strict(False)]


class Lora(Stated):
    """A low-rank update."""

    r: int = setting(None, "Rank.", ge=1)
    lora_alpha: Number = setting(None, "Alpha.", gt=0)
    use_rslora: bool = setting(None, "Whether the update is scaled by the root of the rank.")


class Overrides(Stated):
    """What replaces the training config inside a checkpoint."""

    template: str = setting(None, "Prompt template, e.g. qwen_chat.")
    special_tokens: _Texts = setting(None, "Tokens that training added, in their order.")
    llm_lora: Lora = setting(None, "LoRA on the language model, e.g. {r: 64}.")
    visual_encoder_lora: Lora = setting(None, "LoRA on the vision encoder.")
    pretrained_pth: None = setting(
        None, "Null leaves out, on purpose, what the training config says that training began from."
    )

    @field_validator("pretrained_pth", mode="before")
    @classmethod
    def _is_null(cls, value: Any) -> None:
        if value is not None:
            raise ValueError(
                f"{value!r} may only be null, which leaves the layer out; give the file as pretrained"
            )


class Model(Section):
    """A model: either `folder`, or `base_mllm` and `checkpoint` with what lies between."""

    folder: Location | None = setting(
        None, "Official Hugging Face folder, checked and linked, not copied; excludes the layers."
    )
    base_mllm: Location | None = setting(None, "Folder of the InternVL model that was fine-tuned.")
    sam2: Location | None = setting(
        None, "SAM2 checkpoint (.pt); null where the checkpoint is a complete Sa2VA."
    )
    pretrained: Location | None = setting(None, "Whole Sa2VA (.pth) that training began from, if any.")
    checkpoint: Location | None = setting(
        None, "What training left: mmengine's iter_N.pth, a file or a DeepSpeed folder, or a complete Sa2VA."
    )
    overrides: Overrides = setting(
        Overrides(),
        "In place of the training config inside the checkpoint, e.g. {template: qwen_chat, llm_lora: {r: 64}}; "
        "contradictions are reported.",
    )
    leave_out: _Texts = setting(
        (), 'Patterns (`*`, `?`) of tensors that do not take part, e.g. ["ema.*"]; they are recorded.'
    )
    dtype: Literal["bfloat16", "float32"] = setting("bfloat16", "Precision of the converted weights.")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        layers = self.base_mllm is not None and self.checkpoint is not None
        if (self.folder is not None) == layers:
            raise ValueError("must have either folder or base_mllm + checkpoint")
        for key in ("base_mllm", "checkpoint", "pretrained", "overrides", "leave_out"):
            value = getattr(self, key)
            if self.folder is not None and (value.model_fields_set if key == "overrides" else value):
                raise ValueError(f"has a folder, which is used as it is; remove its {key}")
        return self
