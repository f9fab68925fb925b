"""The base model's tokenizer files, extended by the tokens that Sa2VA training adds."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from refvessel.checkpoint.output import json_bytes
from refvessel.errors import UserError
from refvessel.files import read_json, require_content
from refvessel.model.sentencepiece_tokenizer import FAST, SENTENCEPIECE, fast_tokenizer, needs_conversion

_SLOW, _ADDED, _SETTINGS = "vocab.json", "added_tokens.json", "tokenizer_config.json"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
_OFFICIAL_TOKENIZERS = (
    "tokenization_internlm2.InternLM2Tokenizer",
    "tokenization_internlm2_fast.InternLM2TokenizerFast",
    None,
)
_COPIED = ("merges.txt", SENTENCEPIECE, "special_tokens_map.json", "chat_template.jinja")


def tokenizer_files(folder: Path) -> list[Path]:
    """The files of a base folder that make its tokenizer; raises UserError where they do not suffice."""
    files = [Path(folder) / name for name in (FAST, _SLOW, _ADDED, _SETTINGS, *_COPIED)]
    for file in files:
        if file.is_symlink() and not file.exists():
            raise UserError(f"{file} is a link to nothing; fetch the file that it stands for.")
    present = {file.name for file in files if file.is_file()}
    if _SETTINGS not in present or not (
        FAST in present or SENTENCEPIECE in present or {_SLOW, "merges.txt"} <= present
    ):
        raise UserError(
            f"{folder} has no whole tokenizer; add {_SETTINGS}, and {FAST}, {SENTENCEPIECE} or both {_SLOW} and "
            "merges.txt."
        )
    return [file for file in files if file.name in present]


def extended_tokenizer(folder: Path, tokens: Iterable[str]) -> tuple[dict[str, bytes], int]:
    """Append `tokens` in their order, leaving out those that the tokenizer already has.

    Of a sentencepiece model alone, a fast tokenizer with the same ids is made.
    Returns the new files (name -> content) and the number of ids. Raises UserError where the files are
    malformed, contradict each other, or leave ids out.
    """
    files = {file.name: file for file in tokenizer_files(folder)}
    for path in files.values():
        require_content(path)
    contents: dict[str, Any] = {name: read_json(path) for name, path in files.items() if name not in _COPIED}
    if needs_conversion(folder):
        contents[FAST] = json.loads(fast_tokenizer(folder))
    try:
        ids, added = _token_ids(contents, folder)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder} has malformed tokenizer files ({error!r}); copy the base model again."
        ) from None
    new = {}
    for token in tokens:
        if token not in ids:
            new[token] = ids[token] = len(ids)
    added |= {index: _entry(token) for token, index in new.items()}
    extended = {name: path.read_bytes() for name, path in files.items()}
    decoder = {str(index): entry for index, entry in sorted(added.items())}
    settings = _without_foreign_code(contents[_SETTINGS]) | {"added_tokens_decoder": decoder}
    extended[_SETTINGS] = json_bytes(settings, files[_SETTINGS])
    if _ADDED in contents:
        extended[_ADDED] = json_bytes(contents[_ADDED] | new, files[_ADDED], sort_keys=True)
    if FAST in contents:
        entries = [{"id": index, **entry} for index, entry in sorted(added.items())]
        extended[FAST] = json_bytes(contents[FAST] | {"added_tokens": entries}, Path(folder) / FAST)
    return extended, len(ids)


def _without_foreign_code(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings; `auto_map` stays only where it names the official code's tokenizers of InternLM2."""
    named = settings.get("auto_map")
    classes = named.get("AutoTokenizer") if isinstance(named, dict) else None
    official = isinstance(classes, list) and all(each in _OFFICIAL_TOKENIZERS for each in classes)
    return {key: value for key, value in settings.items() if key != "auto_map" or official}


def _token_ids(contents: dict[str, Any], folder: Path) -> tuple[dict[str, int], dict[int, dict[str, Any]]]:
    """Token -> id over all files, and id -> settings of the added tokens."""
    fast = contents.get(FAST, {"model": {"vocab": {}}, "added_tokens": []})
    added = {
        int(index): dict(entry)
        for index, entry in contents[_SETTINGS].get("added_tokens_decoder", {}).items()
    }
    for entry in fast["added_tokens"]:
        added.setdefault(entry["id"], {key: value for key, value in entry.items() if key != "id"})
    for token, index in contents.get(_ADDED, {}).items():
        added.setdefault(index, _entry(token))
    ids: dict[str, int] = {}
    for vocabulary in (
        _vocabulary(fast["model"]["vocab"]),
        contents.get(_SLOW, {}),
        contents.get(_ADDED, {}),
        {entry["content"]: entry["id"] for entry in fast["added_tokens"]},
        {entry["content"]: index for index, entry in added.items()},
    ):
        for token, index in vocabulary.items():
            if ids.setdefault(token, index) != index:
                raise UserError(
                    f"{folder} has tokenizer files that give {token!r} the ids {ids[token]} and {index}; "
                    "copy the base model again."
                )
    if sorted(ids.values()) != list(range(len(ids))):
        raise UserError(
            f"{folder} has a tokenizer whose ids are not 0 to {len(ids) - 1}, each once; "
            "copy the base model again."
        )
    return ids, added


def _vocabulary(stated: Any) -> dict[str, int]:
    """Token -> id of a fast tokenizer's model; a unigram model has scores in the order of the ids."""
    return {token: index for index, (token, _) in enumerate(stated)} if isinstance(stated, list) else stated


def _entry(token: str) -> dict[str, Any]:
    """An added token as transformers describes one, matched whole and skipped in decoded text."""
    return {"content": token, **dict.fromkeys(_FLAGS, False), "special": True}
