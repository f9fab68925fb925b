"""Generation settings of the official folder, for the official code: RefVessel's answers do not depend on them."""

import json
from collections.abc import Mapping
from pathlib import Path

from refvessel.checkpoint.output import json_bytes
from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.model.prompt_templates import find_template

GENERATION = "generation_config.json"
_SETTINGS = "tokenizer_config.json"


def generation_files(folder: Path) -> list[Path]:
    """The file of generation settings, where a folder has one."""
    return [path for path in [Path(folder) / GENERATION] if path.is_file()]


def generation_config(base: Path, template: str, tokenizer: Mapping[str, bytes]) -> bytes:
    """The content of a folder's `generation_config.json`: the base model's, else the tokens that end an answer.

    Args:
        base: folder of the base model.
        template: name of the chat template.
        tokenizer: the converted tokenizer's files, name -> content.

    Raises:
        UserError: where the base model's file is not a JSON object.
    """
    path = Path(base) / GENERATION
    if path.is_file():
        settings = read_json(path)
        if not isinstance(settings, dict):
            raise UserError(f"{path} is not a JSON object; copy the base model again.")
        return json_bytes(settings, path)
    added = json.loads(tokenizer[_SETTINGS])["added_tokens_decoder"]
    stop_tokens = find_template(template).stop_tokens
    ids = sorted(int(index) for index, entry in added.items() if entry["content"] in stop_tokens)
    return json_bytes({"_from_model_config": True, "eos_token_id": ids}, path)
