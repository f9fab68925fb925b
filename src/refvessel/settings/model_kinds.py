"""Which models are of one kind, so that one job can ask them together: as far as settings and a glance tell."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from refvessel.settings.model_section import Model

_CONFIG = "config.json"  # of an official folder


def kinds_of(models: Mapping[str, Model]) -> dict[str, str]:
    """Model -> its kind, of those that are run.

    Checkpoints are of one kind where they were trained on the same base with the same SAM2; finished folders where
    their configurations are the same.
    """
    return {name: _kind(model) for name, model in models.items() if not model.is_imported}


def _kind(model: Model) -> str:
    if model.folder is not None and model.checkpoint is None:
        return f"finished {_content(model.folder / _CONFIG)}"
    return f"trained on {model.base_mllm or model.folder}, {model.sam2}, in {model.dtype}"


def _content(path: Path) -> str:
    """What stands for a file's content; of one that is not there, its path."""
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else str(path)
