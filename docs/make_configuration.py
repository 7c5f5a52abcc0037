"""Write docs/configuration.md from the settings themselves: ``python docs/make_configuration.py``.

A test compares the committed file with what this makes, so that the reference cannot fall behind.
"""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from invgan.config import MODELS, ORDER, Config
from invgan.laws import LAWS
from invgan.settings import Section

__all__ = ["configuration", "main"]

INTRODUCTION = """\
# Configuration

*Made from the settings by `python docs/make_configuration.py`; edit those, not this page.*

One YAML file says everything about a run:

```sh
invgan init mine                                  # writes mine/config.yml and mine/model.py
invgan solve mine/config.yml --out runs/mine --dry-run
invgan solve mine/config.yml --out runs/mine
```

```yaml
problem:
  model: model.py:rosenbrock
  prior:
    x1: {uniform: [-2, 2]}
    x2: {uniform: [-2, 2]}
  observations: {truncnorm: {mean: 350, sd: 50, low: 200, high: 500}}
```

Only `problem` is needed; everything else has a default. A setting that does not exist, or a value
that is not possible, is refused before anything runs. The run folder keeps the resolved file, with
every default written out, as `config.yml`.

**A configuration can run code.** It names the file of a model, and solving runs that file, as does
`--dry-run`. Treat the configuration of a stranger like a program of a stranger. Reading a file
alone (`invgan.config.load_config`) opens and runs nothing that it names.

The file is read by the rules of YAML 1.2: `1e5` is a number, `010` is ten, `no` is a word. A key
may stand only once, and aliases (`*name`) are not used.
"""

MODEL = """\
### The model

| form | is |
|---|---|
| `model.py:rosenbrock` | a function in a file, which may import its neighbours |
| `package.module:function` | a function of an installed module |
| `gallery:rosenbrock` | a ready problem (`invgan gallery` lists them) |
| `{command: [./flow, "{k}"], ...}` | an external program |
| `{ode: model.py:rates, ...}` | ordinary differential equations |
| `{torch: model.py:function, ...}` | a function written in torch |

The paths of a model's file and of a table start at the configuration file. A ready problem brings
its own prior, observations and outputs, which may be replaced. [Models](models.md) shows how to
bring each kind.
"""

OBSERVATIONS = """\
### Observations

| form | is |
|---|---|
| `{normal: [350, 50]}` | a law, for a model of one output |
| `{peak: {normal: [3, 1]}, day: {gamma: [2, 5]}}` | a law for each output, by name |
| `{multivariate_normal: {mean: [0, 1], cov: [[1, 0], [0, 1]]}}` | one joint law |
| `observed.csv` | a table whose first line names its columns |
| `observed.npy` | an array (N, L), or N fields (N, h, w) or (N, c, h, w) |
| `[1.2, 3.4, 2.2]` | observed values of one output |
| `[[1.2, 10], [3.4, 12]]` | observed rows, one column for each output |
"""

LAWS_TEXT = """\
## Laws

For priors and observations alike, with the arguments by list, in this order, or by name:
`{uniform: [-2, 2]}` is `{uniform: {low: -2, high: 2}}`. Bounds of `truncnorm` may be infinite:
`-.inf`, `.inf`.
"""

SCIPY_TEXT = """\
`scipy` takes the law's shapes, `loc` and `scale` as scipy.stats calls them:
`{scipy: {name: gennorm, beta: 1.5, scale: 2}}`, or `{scipy: [gennorm, 1.5, 0, 2]}`.
`multivariate_normal`, `dirichlet` and `gaussian_field` are laws of several values at once; as a
prior they stand alone: `prior: {dirichlet: {alpha: [1, 1, 1], names: [sand, silt, clay]}}`.
"""


def configuration() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## At the top", _table(Config, [key for key in ORDER if _plain(key)])]
    for key in ORDER:
        if not _plain(key):
            section: Any = Config.model_fields[key].annotation
            parts += [f"## `{key}`", f"{section.__doc__}", _table(section)]
        if key == "problem":
            parts += [MODEL, *(_model(name) for name in MODELS), OBSERVATIONS]
    parts += [LAWS_TEXT, _laws(), SCIPY_TEXT]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def main() -> None:
    """Write the page beside this file."""
    Path(__file__).with_name("configuration.md").write_text(configuration(), encoding="utf-8")


def _plain(key: str) -> bool:
    return not _is_section(Config.model_fields[key].annotation)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _table(section: type[Section], keys: list[str] | None = None) -> str:
    head = ["| setting | default | values | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *_rows(section, keys or list(section.model_fields))])


def _rows(section: type[Section], keys: list[str], outer: str = "") -> list[str]:
    """One row for each setting; after a section within the section, those of its own settings."""
    rows = []
    for key in keys:
        field = section.model_fields[key]
        cells = [f"`{outer}{key}`", _default(field), _values(field), str(field.description)]
        rows.append(f"| {' | '.join(cells)} |")
        if _is_section(field.annotation):
            inner: Any = field.annotation
            rows += _rows(inner, list(inner.model_fields), f"{outer}{key}.")
    return rows


def _model(name: str) -> str:
    section: Any = MODELS[name]
    return f"#### `{name}`\n\n{section.__doc__}\n\n{_table(section)}"


def _laws() -> str:
    rows = ["| law | arguments | |", "|---|---|---|"]
    for name, section in LAWS.items():
        arguments = [
            f"`{key}` {field.description}" + ("" if field.is_required() else _optional(field))
            for key, field in section.model_fields.items()
        ]
        rows.append(f"| `{name}` | {'; '.join(arguments)} | {section.__doc__} |")
    return "\n".join(rows)


def _optional(field: FieldInfo) -> str:
    if field.default is None:
        return " (may be left out)"
    plain = field.default if isinstance(field.default, str) else f"{field.default:g}"
    return f" (default {plain})"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.default is None or _is_section(field.annotation):
        return ""
    value = str(field.default).lower() if isinstance(field.default, bool) else field.default
    return f"`{value}`"


def _values(field: FieldInfo) -> str:
    return f"{_words(field.annotation)}{_range(field)}"


def _words(kind: Any) -> str:
    """A type as a reader says it."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_words(part) for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) in (list, tuple) and get_args(kind) != (Any,):
        part = _words(get_args(kind)[0])
        return f"list of {part if part == 'text' else part + 's'}"
    if _is_section(kind):
        return "settings, in the rows below"
    return _KINDS.get(get_origin(kind) or kind, str(kind))


def _range(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in signs.items()
        if hasattr(limit, name)
    ]
    return f" {', '.join(limits)}" if limits else ""


_KINDS = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    dict: "mapping",
    list: "list",
}


if __name__ == "__main__":
    main()
