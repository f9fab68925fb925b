"""Which model and which data a prediction was made from."""

import hashlib
from pathlib import Path

from refvessel.errors import UserError
from refvessel.files import read_json, sha256_of_file


def model_identity(folder: Path) -> str:
    """SHA-256 that names a model's weights: the conversion's own, else over the folder's weight files.

    Raises UserError where the folder holds no safetensors.
    """
    folder = Path(folder)
    conversion = folder / "conversion.json"
    if conversion.exists():
        return read_json(conversion)["identity"]
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UserError(f"{folder} holds no *.safetensors; give a Sa2VA Hugging Face folder.")
    return _hash_of_files([folder / "config.json", *weights])


def dataset_identity(root: Path) -> str:
    """SHA-256 over a tree's annotations: its expressions, splits and truth masks."""
    annotations = Path(root) / "ref_seg" / "refcoco"
    return _hash_of_files([annotations / "instances.json", annotations / "refs(unc).p"])


def _hash_of_files(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} does not exist; give a complete folder.")
        digest.update(f"{path.name} {sha256_of_file(path)}\n".encode())
    return digest.hexdigest()
