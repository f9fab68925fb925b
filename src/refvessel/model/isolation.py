"""What transformers sees of a model folder: files of known names, and of their settings those that say what it is.

Transformers acts on what else it finds in a folder: it applies `adapter_config.json`, reads files that a setting
names, compiles chat templates. A folder is another person's: nothing in it may choose code.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.model.sentencepiece_tokenizer import FAST, fast_tokenizer, needs_conversion

_WEIGHTS = ("*.safetensors",)
_WHOLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TOKENIZER = (FAST, "vocab.json", "added_tokens.json", "merges.txt", "special_tokens_map.json")
TOKENIZER_SETTINGS = "tokenizer_config.json"
# What the Qwen-VL families say of their inputs beside; of these files too, only what is known is read.
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
CHAT_TEMPLATE, CHAT_TEMPLATE_JSON = "chat_template.jinja", "chat_template.json"
# The settings of a tokenizer that say how text becomes ids; others, as names of classes and files, stay behind.
_TOKENIZER_KEYS = frozenset(
    {"added_tokens_decoder", "additional_special_tokens", "extra_special_tokens", "bos_token", "eos_token"}
    | {"unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "add_bos_token", "add_eos_token"}
    | {"add_prefix_space", "clean_up_tokenization_spaces", "errors", "legacy", "model_max_length"}
    | {"spaces_between_special_tokens", "split_special_tokens", "padding_side", "truncation_side"}
)


def weights_alone(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder of links to the weights of `folder` alone, which is there as long as the result is referred to."""
    temporary = tempfile.TemporaryDirectory(prefix="refvessel-")
    place = Path(temporary.name)
    _link(folder, place, _WEIGHTS)
    if (Path(folder) / _INDEX).is_file():  # transformers stops at one without metadata, which tell nothing
        index = {"metadata": {}, "weight_map": read_json(Path(folder) / _INDEX)["weight_map"]}
        (place / _INDEX).write_text(json.dumps(index), "utf-8")
    return temporary


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers takes of such a folder: the one of all weights, or those of an index."""
    if (folder / _WHOLE).is_file():
        return [folder / _WHOLE]
    return [folder / name for name in sorted(set(read_json(folder / _INDEX)["weight_map"].values()))]


@contextmanager
def tokenizer_alone(folder: Path) -> Iterator[Path]:
    """A folder of links to the tokenizer files of `folder`, its settings reduced to those that are known.

    In place of a sentencepiece model, there is the fast tokenizer that gives the same ids.
    Raises UserError where the settings are missing or are not a JSON object.
    """
    settings: Any = read_json(Path(folder) / TOKENIZER_SETTINGS)
    if not isinstance(settings, dict):
        raise UserError(f"{folder}/{TOKENIZER_SETTINGS} is not a JSON object; copy the model again.")
    known = {key: value for key, value in settings.items() if key in _TOKENIZER_KEYS}
    longest = known.get("model_max_length")
    if longest is not None and type(longest) not in (int, float):
        raise UserError(
            f"{folder}/{TOKENIZER_SETTINGS}: model_max_length is {longest!r:.60}, not a number; repair it."
        )
    with tempfile.TemporaryDirectory(prefix="refvessel-") as temporary:
        place = Path(temporary)
        if needs_conversion(folder):
            (place / FAST).write_text(fast_tokenizer(folder), "utf-8")
        _link(folder, place, _TOKENIZER)
        (place / TOKENIZER_SETTINGS).write_text(json.dumps(known), "utf-8")
        yield place


def _link(folder: Path, place: Path, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for path in Path(folder).glob(pattern):
            (place / path.name).symlink_to(path.absolute())
