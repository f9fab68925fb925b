"""An official Hugging Face folder, checked before it is linked or loaded: the same checks for both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refvessel.checkpoint.model_config import OFFICIAL_MODEL_TYPE, family_of_config, model_shapes
from refvessel.checkpoint.processor import processor_files
from refvessel.checkpoint.tensors import StoredTensor
from refvessel.checkpoint.tokenizer import extended_tokenizer, tokenizer_files
from refvessel.checkpoint.training_config import SA2VA_TOKENS
from refvessel.checkpoint.weights_folder import read_weights
from refvessel.errors import UserError
from refvessel.files import read_json


@dataclass(frozen=True)
class OfficialFolder:
    """What answers depend on in a folder: configuration and tokenizer, files of weights, tensors by name."""

    texts: tuple[Path, ...]
    weight_files: tuple[Path, ...]
    tensors: Mapping[str, StoredTensor]


def read_official_folder(folder: Path) -> OfficialFolder:
    """Check an official Sa2VA folder; no tensor is read yet.

    Raises UserError where it is not a whole Sa2VA: a tensor missing, unknown, of another shape or not of floating
    point, no tokenizer with Sa2VA's tokens, a configuration that describes no supported model.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or config.get("model_type") != OFFICIAL_MODEL_TYPE:
        raise UserError(
            f"{folder}/config.json: model_type is not {OFFICIAL_MODEL_TYPE}; give a Sa2VA Hugging Face folder."
        )
    weight_files, tensors = read_weights(folder)
    if any(path.suffix == ".bin" for path in weight_files):
        raise UserError(f"{folder} holds its weights as pytorch_model.bin; save them as safetensors.")
    if odd := [path.name for path in weight_files if path.suffix not in (".safetensors", ".json")]:
        raise UserError(
            f"{folder} names {odd[0]} as a file of its weights, which is no *.safetensors; rename it."
        )
    _check_tensors(folder, tensors, model_shapes(config, str(folder)))
    if extended_tokenizer(folder, SA2VA_TOKENS)[1] != extended_tokenizer(folder, ())[1]:
        raise UserError(
            f"{folder} has a tokenizer without the tokens {' '.join(SA2VA_TOKENS)}; restore its files."
        )
    # Found by reading it as it will be used, which takes transformers a second to import.
    from refvessel.model.processing import Sa2VAProcessor

    Sa2VAProcessor.from_pretrained(folder)
    texts = (
        folder / "config.json",
        *tokenizer_files(folder),
        *processor_files(folder, family_of_config(config)),
    )
    return OfficialFolder(texts, weight_files, tensors)


def _check_tensors(
    folder: Path, tensors: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    for words, names in (
        ("lacks", shapes.keys() - tensors.keys()),
        ("has unknown", tensors.keys() - shapes.keys()),
    ):
        if names:
            more = f" and {len(names) - 1} more tensors" if len(names) > 1 else ""
            raise UserError(f"{folder} {words} {min(names)}{more}; copy the folder again.")
    for name, tensor in tensors.items():
        if tensor.shape != shapes[name]:
            raise UserError(
                f"{folder} holds {name} of shape {list(tensor.shape)} where its config.json describes "
                f"{list(shapes[name])}; copy the folder again."
            )
        if not tensor.dtype.is_floating_point:
            raise UserError(f"{folder} holds {name} as {tensor.dtype}; give weights that are not quantised.")
