"""A sentencepiece model as a fast tokenizer: ids between the added tokens are those that sentencepiece gives.

Models are published with a `tokenizer.model` alone, for which transformers runs a class of the folder's own code.
That class cuts a text at the added tokens and hands what is between them to sentencepiece, piece by piece; so does
the tokenizer that is made here. Algorithm: https://github.com/google/sentencepiece (bpe_model.cc, normalizer.cc).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, processors
from tokenizers.models import BPE, Unigram

from refvessel.errors import UserError
from refvessel.files import read_json, require_content
from refvessel.model.sentencepiece_charsmap import is_sound

SENTENCEPIECE = "tokenizer.model"
FAST = "tokenizer.json"

_SETTINGS, _ADDED, _NAMED = "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"
_SLOW = "vocab.json"
_SPACE = "\u2581"  # how sentencepiece writes a blank
_UNIGRAM, _BPE = 1, 2  # kinds of models, as the format numbers them
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 3, 4, 5, 6  # kinds of pieces
_ADDED_KIND = 0  # ours, of those that added tokens take the place of
_LARGEST = 1 << 26  # bytes; released ones have 1.5 million
_LONGEST_REASON = 300  # characters
_MOST_SPLITS = 1 << 28  # characters looked at for merges; released ones have some 10 million
_FLAGS = ("single_word", "lstrip", "rstrip")
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_DEFAULTS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


@dataclass(frozen=True)
class _Piece:
    text: str
    score: float
    kind: int


def has_tokenizer(folder: Path) -> bool:
    """True where a folder has a fast tokenizer, or what one is made of."""
    return any((Path(folder) / name).is_file() for name in (FAST, SENTENCEPIECE))


def needs_conversion(folder: Path) -> bool:
    """True where a folder's tokenizer is a sentencepiece model and nothing else."""
    others = (Path(folder) / name for name in (FAST, _SLOW))
    return (Path(folder) / SENTENCEPIECE).is_file() and not any(path.is_file() for path in others)


def fast_tokenizer(folder: Path) -> str:
    """The content of the `tokenizer.json` that stands for a folder's `tokenizer.model` and what is added to it.

    Read are `tokenizer_config.json`, `added_tokens.json` and `special_tokens_map.json`, too: a token to which they
    give an id of the model's takes the place of that piece. Ids differ in one case: where the model puts a blank
    before every text, there is none before a text that is a user-defined symbol and nothing else.

    Raises UserError where a file is damaged, or the model is of a kind that fast tokenizers do not compute.
    """
    folder = Path(folder)
    path = folder / SENTENCEPIECE
    proto = _read_model(path)
    pieces = [_Piece(each.piece, each.score, each.type) for each in proto.pieces]
    settings = _object(folder / _SETTINGS) or {}
    if settings.get("legacy") is False and proto.normalizer_spec.add_dummy_prefix:
        raise UserError(
            f"{folder}/{_SETTINGS} states legacy = false, which {SENTENCEPIECE} alone is not read with; save the "
            "tokenizer with transformers as a fast one."
        )
    named = {**_DEFAULTS, **(_object(folder / _NAMED) or {}), **settings}
    added = _added_tokens(folder, settings, named, [each.text for each in pieces])
    renamed = [
        _Piece(added[index]["content"], piece.score, _ADDED_KIND) if index in added else piece
        for index, piece in enumerate(pieces)
    ]
    beyond = sorted(index for index in added if index >= len(pieces))
    texts = {each.text for each in renamed} | {added[index]["content"] for index in beyond}
    if beyond != [*range(len(pieces), len(pieces) + len(beyond))] or len(texts) < len(pieces) + len(beyond):
        raise UserError(
            f"{folder} has added tokens that leave ids out, or give one text two; copy the model again."
        )
    # A blank is written as another character before symbols are looked for: those with a blank are never found.
    own = {
        i: each.text for i, each in enumerate(renamed) if each.kind == _USER_DEFINED and " " not in each.text
    }
    try:
        tokenizer = Tokenizer(_model(proto, renamed, path))
        if steps := _normalisation(proto.normalizer_spec, [*own.values()]):
            tokenizer.normalizer = normalizers.Sequence(steps)
    except UserError:
        raise
    except Exception as error:  # tokenizers raise plain ones
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise UserError(f"{path} cannot be read as a fast tokenizer ({reason}); copy it again.") from None
    tokenizer.decoder = _decoder(has_prefix=proto.normalizer_spec.add_dummy_prefix)
    ids = {each.text: index for index, each in enumerate(renamed)}
    ids |= {entry["content"]: index for index, entry in added.items()}
    if framing := _framing(settings, named, ids):
        tokenizer.post_processor = framing
    content = json.loads(tokenizer.to_str())
    symbols = {index: _entry(text, normalized=True, special=False) for index, text in own.items()}
    content["added_tokens"] = [{"id": index, **entry} for index, entry in sorted((symbols | added).items())]
    return json.dumps(content, ensure_ascii=False)


def _read_model(path: Path) -> Any:
    require_content(path)
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path} is larger than any tokenizer ({_LARGEST} bytes); give the model's own.")
    # The format's classes are made as the module is imported, and most models need none of it.
    try:
        format_of_models = import_module("sentencepiece.sentencepiece_model_pb2")
        damage = import_module("google.protobuf.message").DecodeError
    except ImportError as error:
        raise UserError(f"{path} is read with sentencepiece and protobuf; install both ({error}).") from None
    proto = format_of_models.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except (damage, ValueError) as error:
        raise UserError(f"{path} is no sentencepiece model ({error}); copy it again.") from None
    texts = [piece.piece for piece in proto.pieces]
    if not texts or len(set(texts)) != len(texts) or "" in texts:
        raise UserError(f"{path} has no pieces, or one twice; copy it again.")
    charsmap = proto.normalizer_spec.precompiled_charsmap
    if charsmap and not is_sound(charsmap):
        raise UserError(f"{path} has a damaged table of characters; copy it again.")
    if not 0 <= proto.trainer_spec.unk_id < len(texts):
        raise UserError(f"{path} has no piece for what is unknown; copy it again.")
    if proto.trainer_spec.treat_whitespace_as_suffix:
        raise UserError(f"{path} puts blanks at the end of words, which is not supported; convert it first.")
    return proto


def _object(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; copy the model again.")
    return content


def _added_tokens(
    folder: Path, settings: Mapping[str, Any], named: Mapping[str, Any], pieces: Sequence[str]
) -> dict[int, dict[str, Any]]:
    """Id -> settings of the tokens at which a text is cut before sentencepiece sees it."""
    try:
        added = {
            int(index): _entry(**{key: each[key] for key in ("content", "special", *_FLAGS) if key in each})
            for index, each in (settings.get("added_tokens_decoder") or {}).items()
        }
        for token, index in (_object(folder / _ADDED) or {}).items():
            added.setdefault(int(index), _entry(token))
        special = [*map(named.get, _ROLES), *(named.get("additional_special_tokens") or [])]
        tokens = [each["content"] if isinstance(each, dict) else each for each in special if each]
        known = {entry["content"]: entry for entry in added.values()}
        ids = {piece: index for index, piece in enumerate(pieces)}
        for token in tokens:
            if token in known:
                known[token]["special"] = True
            elif token in ids:
                added.setdefault(ids[token], _entry(token))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder} has malformed tokenizer files ({error!r}); copy the model again."
        ) from None
    if not all(isinstance(entry["content"], str) and entry["content"] for entry in added.values()):
        raise UserError(f"{folder} has an added token without text; copy the model again.")
    return added


def _entry(content: str, *, normalized: bool = False, special: bool = True, **flags: bool) -> dict[str, Any]:
    """An added token as `tokenizer.json` describes one."""
    given = {key: bool(flags.get(key, False)) for key in _FLAGS}
    return {"content": content, **given, "normalized": normalized, "special": bool(special)}


def _model(proto: Any, pieces: Sequence[_Piece], path: Path) -> Any:
    """The model that joins characters to pieces."""
    trained = proto.trainer_spec
    if trained.model_type == _UNIGRAM:
        if unread := [each.text for each in pieces if each.kind in (_UNUSED, _BYTE, _CONTROL)]:
            raise UserError(
                f"{path} is a unigram model with the piece {unread[0]!r}, which no text becomes, and fast "
                "tokenizers know no such pieces; convert it first."
            )
        scores = [(piece.text, piece.score) for piece in pieces]
        return Unigram(scores, unk_id=trained.unk_id, byte_fallback=trained.byte_fallback)
    if trained.model_type != _BPE:
        raise UserError(
            f"{path} is a model of words or characters, which is not supported; convert it first."
        )
    return BPE(
        vocab={piece.text: index for index, piece in enumerate(pieces)},
        merges=_merges(pieces, path),
        unk_token=pieces[trained.unk_id].text,
        fuse_unk=True,
        byte_fallback=trained.byte_fallback,
    )


def _merges(pieces: Sequence[_Piece], path: Path) -> list[tuple[str, str]]:
    """Pairs of pieces that together are a piece, in the order in which sentencepiece joins them: best first."""
    joined = {each.text: index for index, each in enumerate(pieces) if each.kind in (_NORMAL, _UNUSED)}
    if sum(len(text) ** 2 for text in joined) > _MOST_SPLITS:
        raise UserError(f"{path} has longer pieces than any tokenizer; give the model's own.")
    found = []
    for text, index in joined.items():
        cuts = ((text[:cut], text[cut:]) for cut in range(1, len(text)))
        pairs = [(left, right) for left, right in cuts if left in joined and right in joined]
        if pairs and pieces[index].kind == _UNUSED:
            raise UserError(f"{path} marks {text!r} as unused, which is not supported; convert it first.")
        found += [(-pieces[index].score, joined[left], joined[right], left, right) for left, right in pairs]
    return [(left, right) for *_, left, right in sorted(found)]


def _normalisation(stated: Any, own: Sequence[str]) -> list[Any]:
    """What becomes of a text before it is joined to pieces; `own` are the texts of user-defined symbols."""
    steps: list[Any] = []
    if stated.precompiled_charsmap:
        steps.append(normalizers.Precompiled(stated.precompiled_charsmap))
    if stated.remove_extra_whitespaces:
        steps += [
            normalizers.Replace(Regex(rf"\A +|[ {_SPACE}]+\z"), ""),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    if stated.add_dummy_prefix:
        # The symbols themselves are normalised by these steps, too, and are none with a prefix.
        but = f"(?!(?:{'|'.join(map(re.escape, own))})\\z)" if own else ""
        steps.append(normalizers.Replace(Regex(rf"\A{but}(?=[\s\S])"), " "))
    if stated.escape_whitespaces:
        steps.append(normalizers.Replace(" ", _SPACE))
    return steps


def _decoder(*, has_prefix: bool) -> Any:
    steps: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence([*steps, decoders.Strip(content=" ", left=1)] if has_prefix else steps)


def _framing(settings: Mapping[str, Any], named: Mapping[str, Any], ids: Mapping[str, int]) -> Any:
    """The tokens before and behind every text."""
    before = _role("bos_token", named, ids) if settings.get("add_bos_token", True) else None
    behind = _role("eos_token", named, ids) if settings.get("add_eos_token", False) else None
    if not before and not behind:
        return None
    special = [token for token in (before, behind) if token]
    return processors.TemplateProcessing(
        single=[*([before] if before else []), "$A", *([behind] if behind else [])],
        special_tokens=[(token, ids[token]) for token in dict.fromkeys(special)],
    )


def _role(role: str, named: Mapping[str, Any], ids: Mapping[str, int]) -> str | None:
    token = named.get(role)
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token in ids else None
