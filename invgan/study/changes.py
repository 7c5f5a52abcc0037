"""Settings by dotted names, such as ``train.learning_rate``: which there are, and changing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from invgan.config import Settings
from invgan.settings import Section, SettingError, unknown

__all__ = ["Choice", "changed", "takes_numbers", "takes_whole_numbers", "variable"]

Choice = Mapping[str, Any]
"""A value for each setting that varies, by its dotted name."""

_VARIABLE = ("train", "sample")


def variable(name: str) -> None:
    """Accept the dotted name of a setting that a sweep may vary.

    Raises:
        SettingError: there is no such setting, or all runs must share it.
    """
    known = dict(_settings_of(Settings))
    may = [key for key in known if key.partition(".")[0] in _VARIABLE]
    if name in may:
        return
    if name.partition(".")[0] in Settings.model_fields and name in known:
        raise SettingError(
            (name,),
            "cannot vary: the simulations are made once and shared by all runs, so only settings "
            "of train and sample differ; make one sweep for each value instead",
        )
    complaint = unknown((name,), may)
    if complaint.instead is None:
        complaint = SettingError((name,), "is no setting of train or sample")
    raise complaint


def takes_numbers(name: str) -> bool:
    """Whether the setting of this dotted name takes numbers, so that a range makes sense."""
    kinds = dict(_settings_of(Settings))[name]
    return int in kinds or float in kinds


def takes_whole_numbers(name: str) -> bool:
    """Whether the setting of this dotted name takes whole numbers alone."""
    kinds = dict(_settings_of(Settings))[name]
    return int in kinds and float not in kinds


def changed(settings: Settings, choice: Choice) -> Settings:
    """The settings of all stages with those of a choice in place.

    Raises:
        SettingError: a value is impossible, by itself or beside the others.
    """
    sections = {key: getattr(settings, key) for key in Settings.model_fields}
    data = {**sections, **{key: sections[key].model_dump() for key in _VARIABLE}}
    for name, value in choice.items():
        *outer, last = name.split(".")
        place = data
        for key in outer:
            place = place[key]
        place[last] = value
    return Settings(**data)


def _settings_of(model: type[Section], prefix: str = "") -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Dotted names of all settings below a model, each with the kinds of value that it takes."""
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _settings_of(kind, f"{prefix}{name}.")
        else:
            parts = get_origin(kind) in (Union, UnionType)
            yield f"{prefix}{name}", get_args(kind) if parts else (kind,)
