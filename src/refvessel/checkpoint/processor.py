"""The files of a Qwen-VL folder that say how an image is read and a question is wrapped."""

from pathlib import Path

from refvessel.checkpoint.layer_names import Family
from refvessel.errors import UserError
from refvessel.files import read_json, require_content
from refvessel.model.isolation import CHAT_TEMPLATE_JSON, PREPROCESSOR, PROCESSOR

_JSON = (PREPROCESSOR, PROCESSOR, CHAT_TEMPLATE_JSON, "video_preprocessor_config.json")


def processor_files(folder: Path, family: Family) -> list[Path]:
    """Those of a folder, none of an InternVL; the tokenizer's files are not among them.

    Raises UserError for one that is no JSON object.
    """
    if family is not Family.QWEN:
        return []
    paths = [path for path in (Path(folder) / name for name in _JSON) if path.is_file()]
    for path in paths:
        require_content(path)
        if not isinstance(read_json(path), dict):
            raise UserError(f"{path} is not a JSON object; copy the base model again.")
    return paths
