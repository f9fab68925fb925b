"""Where a model comes from: the layers of a fine-tuning run, or a finished folder."""

from typing import Annotated, Any, Literal, Self

from pydantic import Strict, field_validator, model_validator

from refvessel.settings.section import Location, Name, Number, Section, Stated, setting

_Texts = Annotated[tuple[str, ...], Strict(False)]


_USED = {True: "which is used as it is", False: "which is the pretrained model"}


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
    """A model: `folder`, perhaps with a `checkpoint`, or `base_mllm` and `checkpoint` with what lies between."""

    folder: Location | None = setting(
        None,
        "Official Sa2VA Hugging Face folder; alone, it is checked and linked, not copied; with a checkpoint, it "
        "is what was fine-tuned.",
    )
    base_mllm: Location | None = setting(
        None, "Folder of the InternVL, Qwen2.5-VL or Qwen3-VL model that was fine-tuned."
    )
    sam2: Location | None = setting(
        None, "SAM2 checkpoint (.pt); null where the checkpoint is a complete Sa2VA."
    )
    pretrained: Location | None = setting(None, "Whole Sa2VA (.pth) that training began from, if any.")
    checkpoint: Location | None = setting(
        None,
        "What training left: mmengine's iter_N.pth, a file or a DeepSpeed folder, a folder that peft saved "
        "(adapter_config.json), or a complete Sa2VA.",
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
    group: Name | None = setting(
        None,
        "Name of the method that this model is one training of; the spread over the trainings of a group stands "
        "beside the spread over patients.",
        free=True,
    )
    home: Name | None = setting(
        None,
        "A key of `datasets`: the one that this model was trained for. Where it is evaluated on others, too, the "
        "report says by how much it drops there.",
        free=True,
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.folder is None) == (self.base_mllm is None) or (self.base_mllm and self.checkpoint is None):
            raise ValueError("must have either folder or base_mllm + checkpoint")
        excluded = ["sam2", "pretrained"] if self.checkpoint else ["pretrained", "overrides", "leave_out"]
        for key in excluded if self.folder is not None else []:
            value = getattr(self, key)
            if value.model_fields_set if key == "overrides" else value:
                raise ValueError(f"has a folder, {_USED[self.checkpoint is None]}; remove its {key}")
        return self
