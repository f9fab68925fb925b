"""What the training config says was loaded, beside the layers that are given."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from refvessel.checkpoint.layer_names import Address
from refvessel.checkpoint.layers import OFFICIAL, Layer
from refvessel.checkpoint.stated_files import Role, StatedFile
from refvessel.checkpoint.trunks import trunk_name
from refvessel.errors import UserError
from refvessel.sentences import english

# What names of InternVL's releases state that is not a matter of taste: version, size, and the kind of training.
_BASE = re.compile(r"intern[\W_]*vl|qwen[\W_]*[\d._]*[\W_]*vl|sa2va", re.IGNORECASE)
_RELEASE = re.compile(
    r"(?:intern[\W_]*vl|qwen)[\W_]*(\d+(?:[._]\d+)?)|(?<![a-z0-9.])(\d+)b(?![a-z0-9])|"
    r"(?<![a-z])(instruct|pretrained|mpo|awq|flash|chat|plus)(?![a-z])",
    re.IGNORECASE,
)
# SAM2's releases, by their checkpoints' or their settings' names.
_TRUNK = re.compile(r"hiera[_-](base_plus|tiny|small|large|b\+|[tsl])(?![a-z])", re.IGNORECASE)
_TRUNKS = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}


def check_lineage(layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Compare the files that training says it loaded with the layers given.

    Args:
        layers: the earliest first.
        shapes: official name -> shape of the tensors that the model has.

    Returns:
        Warnings, sentences, about what may be another file than the one that training loaded: names prove nothing,
        since users rename what they move.

    Raises:
        UserError: where a pretrained layer is stated and none is given, unless the overrides say that it is left
            out or a layer holds the whole model; where SAM2's trunk is another one than the stated one.
    """
    given = {layer.name: layer for layer in layers}
    warnings = []
    for layer in layers:
        if layer.config is None or _is_whole(layer, shapes):
            continue
        loaded = [each for each in layer.config.loaded if each.name]
        stated = {role: [each for each in loaded if each.role is role] for role in Role}
        if official := given.get(OFFICIAL):
            warnings += [
                english(
                    "%(statement)s; make sure that the folder given (%(folder)s) is of it.",
                    statement=_named(layer, each),
                    folder=_name(official),
                )
                for each in stated[Role.PRETRAINED]
                if not each.resumed and not layer.config.without_pretrained
            ]
            warnings += _base(layer, stated[Role.BASE], official.source)
            continue
        pretrained = given.get(Role.PRETRAINED) if layer.name != Role.PRETRAINED else None
        left_out = layer.config.without_pretrained
        warnings += _pretrained(layer, stated[Role.PRETRAINED], pretrained, shapes, left_out=left_out)
        warnings += _base(layer, stated[Role.BASE], given[Role.BASE].source)
        _check_trunk(layer, stated[Role.SAM2], trunk_name(shapes))
    return warnings


def _is_whole(layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return all(Address(name) in layer.tensors for name in shapes)


def _pretrained(
    layer: Layer,
    stated: Sequence[StatedFile],
    given: Layer | None,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    left_out: bool,
) -> list[str]:
    if given and left_out:
        raise UserError(
            f"The overrides leave out what {layer.source} began from, but {given.source} is given as the "
            "pretrained layer; remove one of them."
        )
    needed = [each for each in stated if not each.resumed]
    resumed = [each for each in stated if each.resumed]
    if left_out:
        return [
            english("%(statement)s, but the configuration leaves it out.", statement=_named(layer, each))
            for each in needed
        ]
    if needed and given is None:
        raise UserError(
            f"{_statement(layer, needed[0])}, but no pretrained layer is given; give that file as pretrained, or, "
            "if it is left out on purpose, set pretrained_pth to null in the overrides."
        )
    if given is None:
        return [
            english(
                "%(statement)s and resumed it; its own tensors replace that file's.",
                statement=_named(layer, each),
            )
            for each in resumed
        ]
    if not stated:
        return [
            english(
                "%(given)s is given as the pretrained layer, but %(layer)s states none.",
                given=_name(given),
                layer=_name(layer),
            )
        ]
    names = {each.name for each in stated}
    if len(names) > 1 and not _is_whole(given, shapes):
        absent = next(each for each in stated if each.name != _name(given))
        raise UserError(
            f"{_statement(layer, absent)}, beside another file, but the one pretrained layer ({given.source}) is "
            "not a whole model; give the whole model that training began from."
        )
    if _name(given) not in names:
        return [
            english(
                "%(statement)s; make sure that it is the %(given)s that is given.",
                statement=_named(layer, stated[0]),
                given=_name(given),
            )
        ]
    return []


def _base(layer: Layer, stated: Sequence[StatedFile], folder: Path) -> list[str]:
    """A warning where the base model's folder is named like another release than the stated one."""
    # A folder of the Hugging Face cache is called by a hash, within one that is called by the model.
    given = next((part for part in reversed(folder.absolute().parts) if _BASE.search(part)), "")
    return [
        english(
            "%(statement)s; make sure that the base model given (%(given)s) is the same.",
            statement=_named(layer, each),
            given=given,
        )
        for each in stated[:1]
        if given and _BASE.search(each.name) and _release(each.name) != _release(given)
    ]


def _release(name: str) -> set[str]:
    return {part.lower().replace(".", "_") for found in _RELEASE.findall(name) for part in found if part}


def _check_trunk(layer: Layer, stated: Sequence[StatedFile], trunk: str | None) -> None:
    for each in stated:
        match = _TRUNK.search(each.name)
        size = match[1].lower() if match else None
        if size and _TRUNKS.get(size, size) != trunk:
            raise UserError(
                f"{_statement(layer, each)}, but the SAM2 given has the trunk {trunk or 'of no release'}; give "
                "the SAM2 that training loaded."
            )


def _name(layer: Layer) -> str:
    return Path(layer.source).name


def _named(layer: Layer, file: StatedFile) -> str:
    """For warnings, which are published: without folders, since a path can identify a person."""
    return english(
        "%(layer)s states %(key)s = %(file)s: training loaded it",
        layer=_name(layer),
        key=file.key,
        file=repr(file.name),
    )


def _statement(layer: Layer, file: StatedFile) -> str:
    return f"{layer.source} states {file.key} = {file.path!r}: training loaded it"
