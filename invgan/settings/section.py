"""A group of settings, and the one sentence that is said of a setting that cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from invgan.errors import InputError

__all__ = ["Section", "SettingError", "number", "sentence", "short", "unknown"]


class SettingError(InputError):
    """One setting is not usable as it is.

    Attributes:
        path: the keys that lead to the setting, outermost first.
        complaint: what is wrong with it, what came, what is known.
        instead: the key in its place that was probably meant, or None.
    """

    def __init__(self, path: Sequence[str], complaint: str, instead: str | None = None) -> None:
        self.path, self.complaint, self.instead = tuple(path), complaint, instead
        keys = [key if key.isprintable() and len(key) < 40 else short(key, 40) for key in path]
        meant = ".".join([*keys[:-1], instead]) if instead else ""
        hint = f"; did you mean {meant}?" if instead else ""
        super().__init__(f"{'.'.join(keys)} {complaint}{hint}".strip())

    def under(self, *outer: str) -> SettingError:
        """The same complaint, for a setting that stands under outer keys."""
        return SettingError((*outer, *self.path), self.complaint, self.instead)


class Section(BaseModel):
    """A group of settings: frozen, strict about names, types and ranges.

    Raises:
        InputError: the first complaint, as one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, *unnamed: Any, **values: Any) -> None:
        if unnamed:
            raise InputError(
                f"{type(self).__name__} takes its settings by name, such as "
                f"{next(iter(type(self).model_fields))}=...; got {type(unnamed[0]).__name__}"
            )
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise sentence(error, type(self)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """Numbers may be text and are never true or false; an empty section has its defaults."""
        kind = cls.model_fields[str(info.field_name)].annotation
        kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        if value is None and isinstance(kind, type) and issubclass(kind, Section):
            return {}
        return number(value) if bool not in kinds and {int, float} & set(kinds) else value


def sentence(error: ValidationError, model: type[BaseModel]) -> SettingError:
    """The first of pydantic's complaints as one sentence: what, got, do."""
    complaints = error.errors(include_url=False)
    foreign = (c for c in complaints if c["type"] == "extra_forbidden")
    first = next(foreign, complaints[0])
    path = [str(key) for key in first["loc"]]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, SettingError):
        return inner.under(*path)
    if isinstance(inner, InputError):
        return SettingError(path, f"is not usable: {inner}")
    if first["type"] == "extra_forbidden":
        return unknown(path, _settings_of(model, path[-1]))
    if first["type"] == "missing":
        return SettingError(path, "is missing")
    wanted = _WANTED.get(first["type"], "is not usable ({msg})")
    text = wanted.format(msg=first["msg"], **first.get("ctx", {}))
    return SettingError(path, f"{text}; got {short(first['input'])}")


def unknown(path: Sequence[str], known: Iterable[str], what: str = "a setting") -> SettingError:
    """The complaint about a key that nobody knows, with the known one that is most like it."""
    names = list(known)
    # The last part of a known name counts too, so that a setting in the wrong section is found.
    close = [name for name in names if name.endswith(f".{path[-1]}")]
    close = close or difflib.get_close_matches(path[-1], names, n=1)
    if close:
        return SettingError(path, f"is not {what}", " or ".join(close))
    return SettingError(path, f"is not {what}; known are {', '.join(names)}")


def number(value: Any) -> Any:
    """The number that a text such as "1e5" spells; anything else as it came.

    Raises:
        SettingError: true or false, which Python would take for 1 or 0.
    """
    if isinstance(value, bool):
        raise SettingError((), f"must be a number; got {str(value).lower()}")
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value


def short(value: Any, width: int = 60) -> str:
    """A value as it is shown in a sentence: never longer than a line."""
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."


_WANTED = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be {le:g} or less",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "model_type": "must be settings, one `name: value` a line",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}


def _settings_of(model: type[BaseModel], name: str) -> list[str]:
    """The settings of a section, and those of its own sections that have this name."""
    deeper = [
        f"{outer}.{name}"
        for outer, field in model.model_fields.items()
        if isinstance(field.annotation, type)
        and issubclass(field.annotation, BaseModel)
        and name in field.annotation.model_fields
    ]
    return [*model.model_fields, *deeper]
