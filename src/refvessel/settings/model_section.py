"""Where a model comes from: the layers of a fine-tuning run, a finished folder, or masks that it left."""

from typing import Annotated, Any, Literal, Self

from pydantic import Strict, field_validator, model_validator

from refvessel.settings.import_section import ImportFormat, ImportOptions
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


_IMPORTED = ("predictions", "format", "pattern", "phrases", "options")  # keys of a model that is imported


class Model(Section):
    """A model: `folder`, perhaps with a `checkpoint`, or `base_mllm` and `checkpoint` with what lies between.

    Or `predictions`: masks of any model, or of an annotator, which are imported; nothing is run.
    """

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
    predictions: Location | None = setting(
        None,
        "In place of all these, what any model or annotator predicted: a folder of masks, or of coco, predictions "
        "and results the file or its folder. It is imported, and then scored and compared as any model.",
    )
    format: ImportFormat | None = setting(
        None,
        "Form of these predictions: masks (images, .npy, .npz), nnunet (NIfTI or images, as nnU-Net names them), "
        "coco (COCO results), results (of videos, as the official script writes them), labelme, or predictions (a "
        "predictions.parquet).",
    )
    pattern: str | None = setting(
        None,
        "Of masks, nnunet and labelme, the path template of the files, with {image} and perhaps {phrase}, e.g. "
        '"{phrase}/{image}_mask.png"; null takes IMAGE.SUFFIX and PHRASE/IMAGE.SUFFIX. An image is called by its '
        "id in the tree, or by the name that it had before pseudonyms.",
        min_length=1,
    )
    phrases: dict[int | str, str | None] | str | None = setting(
        None,
        "Which phrase a mask is of: one phrase of all; or value of a pixel, folder, label or category -> phrase, "
        "or null to leave it out; null instead of both takes folders, labels and categories as they are called, "
        "and where they say nothing the one phrase that is asked.",
    )
    options: ImportOptions = setting(
        ImportOptions(), "What the format must know beside these, e.g. {missing: empty}."
    )

    @property
    def is_imported(self) -> bool:
        """Whether its masks are there already: nothing is converted and nothing run."""
        return self.predictions is not None

    @classmethod
    def keys_of_layers(cls) -> tuple[str, ...]:
        """The keys of a model that is run."""
        return tuple(name for name in cls.model_fields if name not in (*_IMPORTED, *cls.free_settings()))

    @classmethod
    def keys_of_imports(cls) -> tuple[str, ...]:
        """The keys of one that is imported."""
        return _IMPORTED

    @model_validator(mode="after")
    def _is_imported_or_run(self) -> Self:
        others = _IMPORTED[1:] if self.predictions is None else self.keys_of_layers()
        for key in others:
            if getattr(self, key) != type(self).model_fields[key].default:
                why = "no predictions, of which that speaks" if self.predictions is None else "predictions"
                raise ValueError(f"has {why}; remove its {key}")
        if self.predictions is None:
            return self
        if self.format is None:
            raise ValueError("has predictions of no format; state format")
        if foreign := self.options.foreign_to(self.format):
            raise ValueError(f"options: the format {self.format!r} has no {foreign[0]}; remove it")
        return self

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.is_imported:
            return self
        if (self.folder is None) == (self.base_mllm is None) or (self.base_mllm and self.checkpoint is None):
            raise ValueError("must have either folder or base_mllm + checkpoint, or predictions")
        excluded = ["sam2", "pretrained"] if self.checkpoint else ["pretrained", "overrides", "leave_out"]
        for key in excluded if self.folder is not None else []:
            value = getattr(self, key)
            if value.model_fields_set if key == "overrides" else value:
                raise ValueError(f"has a folder, {_USED[self.checkpoint is None]}; remove its {key}")
        return self
