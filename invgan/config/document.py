"""A configuration as text, both ways.

The text is YAML, read by the core schema of version 1.2, in which ``1e5`` is a number, ``010`` is
ten and ``no`` is a word; each key may stand only once. What `to_yaml` writes loads back to an equal
`Config`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from invgan.config.sections import ORDER, Config, ProblemConfig, Settings
from invgan.errors import InputError
from invgan.settings import short

__all__ = ["differences", "load_config", "plain", "read_document", "to_yaml"]


def load_config(path: str | Path) -> Config:
    """Read and check a configuration file. Nothing that it names is opened or run yet.

    Args:
        path: the YAML file.

    Raises:
        InputError: the file cannot be read, or a setting in it is unknown or impossible.
    """
    data = read_document(path)
    if data is None:
        raise InputError(f"{path} is empty; `invgan init` writes a file to start from")
    if not isinstance(data, dict):
        got = "a list" if isinstance(data, list) else short(data)
        raise InputError(f"{path} must hold settings by name, such as `problem:`; got {got}")
    if "problem" not in data and not set(data) - set(ORDER):
        known = ", ".join(ProblemConfig.model_fields)
        raise InputError(f"problem is missing; {path} needs this section, with {known}")
    return Config(**data)


def read_document(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises:
        InputError: it cannot be read, or is not YAML.
    """
    return _parse(_text(Path(path)), str(path))


def plain(config: Settings) -> dict[str, Any]:
    """The resolved configuration as plain data: every default, in the order of the file."""
    data = config.model_dump()
    if "problem" in data:
        data["problem"] = {k: v for k, v in data["problem"].items() if v is not None}
    return {key: data[key] for key in ORDER if key in data}


def to_yaml(config: Settings | Mapping[str, Any]) -> str:
    """The resolved configuration, or what `plain` made of it, as text."""
    data = plain(config) if isinstance(config, Settings) else dict(config)
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def differences(path: Path, resolved: Mapping[str, Any], most: int = 3) -> list[str]:
    """What a file that `to_yaml` wrote says otherwise, by dotted names; nothing if unreadable.

    Args:
        path: the file.
        resolved: the configuration that it is held against, as plain data.
        most: how many values are told of.
    """
    try:
        before = _flat(read_document(path))
    except InputError:
        return []
    now = _flat(_parse(to_yaml(resolved), str(path)))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    told = [f"{n}: {before.get(n)} there, {now.get(n)} now" for n in names[:most]]
    return [*told, "..."] if len(names) > most else told


def _flat(data: Any, name: str = "") -> dict[str, Any]:
    """A configuration's values by their dotted names."""
    if not isinstance(data, dict):
        return {name: data}
    parts = (_flat(value, f"{name}.{key}" if name else str(key)) for key, value in data.items())
    return {key: value for part in parts for key, value in part.items()}


_MOST = 1 << 20
"""Bytes of the longest file that is read; tables belong into files of their own."""


def _text(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{path} is a directory; name the file in it, as in {path / 'config.yml'}")
    try:
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
        if len(content) > _MOST:
            raise InputError(
                f"{path} has more than {_MOST} bytes; put tables into .csv or .npy files"
            )
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no config file {str(path)!r}") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _parse(text: str, name: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark else name
        raise InputError(f"{where}: {str(error.problem or error.context)[:200]}") from None
    except yaml.reader.ReaderError as error:
        raise InputError(f"{name} holds a character that no text has: {error.reason}") from None
    except RecursionError:
        raise InputError(f"{name} is nested too deeply to be a configuration") from None
    except _UNFIT:
        unfit = "a value that does not fit its tag, or too long a number"
        raise InputError(f"{name} holds {unfit}") from None


# What the constructors of PyYAML raise on values such as `!!timestamp soon`.
_UNFIT = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _Loader(yaml.SafeLoader):
    """Safe YAML by the 1.2 core schema, each key once, without aliases."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                problem="aliases (*name) are not used here; write the value out",
                problem_mark=mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs: dict[Any, Any] = {}
        for key, value in node.value:
            problem = None if isinstance(key, yaml.ScalarNode) else "a key must be plain text"
            if problem is None and key.value in pairs:
                problem = f"{short(key.value)} stands here for the second time; keep one"
            if problem:
                raise yaml.constructor.ConstructorError(
                    problem=problem, problem_mark=key.start_mark
                )
            pairs[key.value] = self.construct_object(value, deep=True)
        return pairs


class _Dumper(yaml.SafeDumper):
    """Mappings one key a line, lists in brackets, nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
)
_TAG = "tag:yaml.org,2002:"
_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(
    f"{_TAG}null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver(
    f"{_TAG}bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"[-+]?[0-9]+$"), list("-+0123456789"))
for _reader in (_Loader, _Dumper):
    _reader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+.0123456789"))
_Loader.add_constructor(f"{_TAG}int", lambda _, node: int(node.value))
_Dumper.add_representer(
    list, lambda dumper, rows: dumper.represent_sequence(f"{_TAG}seq", rows, flow_style=True)
)
