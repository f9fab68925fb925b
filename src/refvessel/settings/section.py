"""What every section of the settings is made of: strict, frozen models whose fields describe themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, Strict, model_serializer
from pydantic.fields import FieldInfo

_Items = TypeVar("_Items", bound=Sequence[Any])


class Section(BaseModel):
    """A section of the configuration: its keys with their types, descriptions, units, defaults and bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def canonical(self) -> dict[str, Any]:
        """The values as JSON-like data, equal to the letter wherever sections are equal."""
        return {name: _plain(value) for name, value in self.model_dump(by_alias=True).items()}

    @classmethod
    def fields_by_key(cls) -> dict[str, FieldInfo]:
        """The fields by the keys that users write; a word of Python's cannot name an attribute."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    def given(self) -> dict[str, Any]:
        """Those values alone that somebody stated."""
        return self.model_dump(exclude_unset=True)

    @classmethod
    def free_settings(cls) -> frozenset[str]:
        """The keys that change no result: how fast it comes, and what is kept beside it."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return frozenset(
            name for name, extra in extras.items() if isinstance(extra, dict) and "free" in extra
        )

    def result_settings(self) -> dict[str, Any]:
        """The canonical values that can change a result; an edit of any other reruns nothing."""
        free = self.free_settings()
        return {name: value for name, value in self.canonical().items() if name not in free}


class Stated(Section):
    """A section whose keys have no defaults: one that nobody states is not there."""

    @model_serializer
    def _only_stated(self) -> dict[str, Any]:
        return {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }


def setting(
    default: Any, description: str, *, unit: str | None = None, free: bool = False, **bounds: Any
) -> Any:
    """A field of a section.

    Args:
        default: its value where nobody states one; `...` for a key that must be stated.
        description: what it means, a sentence or two.
        unit: of a number.
        free: whether it changes no result, so that another value reruns nothing.
        bounds: `ge`, `lt`, `min_length` and the like, as pydantic's `Field` takes them.
    """
    extra: dict[str, JsonValue] = {**({"unit": unit} if unit else {}), **({"free": True} if free else {})}
    return Field(default, description=description, json_schema_extra=extra or None, **bounds)


def _plain(value: Any) -> Any:
    """The same without paths and tuples; keys stay as they are, which JSON would make text of."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _distinct(items: _Items) -> _Items:
    if repeated := [item for number, item in enumerate(items) if item in items[:number]]:
        raise ValueError(f"{repeated[0]!r} is named twice; name each once")
    return items


Number = int | float  # a whole one stays whole, as it is written into artifacts
Location = Annotated[Path, Strict(False)]
KEY = "[A-Za-z0-9_-]+"  # of models, data sets and splits, which stand in paths
Name = Annotated[str, Field(pattern=f"^{KEY}$")]
Distinct = AfterValidator(_distinct)
