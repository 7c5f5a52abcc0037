"""Models that a configuration describes itself: an external program, equations, a torch function.

    model: {command: [./flow, "{k}"], read: {json: out.json}}
    model: {ode: model.py:rhs, initial: [1, 0], times: [1, 2, 3]}
    model: {torch: model.py:function}

What is wrong with a description is said before any of it is run. Files of a program's template are
looked for in one folder, that of the configuration (``here``), and nowhere outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from invgan.config.model import load_model
from invgan.errors import InputError
from invgan.models import Command, ode_model, torch_model
from invgan.models.outputs import check_inside, check_reading
from invgan.settings import Section, SettingError, short

__all__ = ["MODELS", "build_model", "canonical_model", "moved_model", "takes_batches"]


class CommandConfig(Section):
    """An external program, run once for each parameter vector."""

    command: list[str] = Field(
        min_length=1,
        description="the program and its arguments; `{name}` is the parameter of this name, "
        "`{here}` the folder below, `{seed}` a seed where the program has noise",
    )
    template: dict[str, str] = Field(
        default={},
        description="input files: their name in the program's working directory, and the Jinja "
        "template beside the configuration",
    )
    read: dict[str, Any] = Field(
        default={"stdout": "names"},
        description="`{stdout: names}` (lines such as `peak 3.2`), `{stdout: numbers}`, "
        "`{stdout: {peak: regular expression}}`, `{json: file}`, `{csv: file}` or "
        "`{netcdf: file}`; the file `-` is the standard output",
    )
    timeout: float = Field(default=60.0, gt=0, description="seconds that one run may take")
    environment: dict[str, str] = Field(
        default={}, description="variables beside those that every program gets"
    )
    keep: bool = Field(
        default=False,
        description="keep working directories of failed runs in `failed-runs` of the run folder",
    )
    here: str = Field(
        default=".", description="where the program's files are looked for, from this file"
    )

    @field_validator("read")
    @classmethod
    def _read(cls, read: dict[str, Any]) -> dict[str, Any]:
        check_reading(read)
        return read

    @field_validator("template")
    @classmethod
    def _inside(cls, template: dict[str, str]) -> dict[str, str]:
        for target, source in template.items():
            check_inside(target, "a rendered file")
            if Path(source).is_absolute() or ".." in Path(source).parts:
                raise SettingError(
                    (target,), f"must be a file beside the configuration; got {short(source)}"
                )
        return template


class OdeConfig(Section):
    """Ordinary differential equations."""

    ode: str = Field(
        min_length=1,
        description="`file.py:function` f(t, u, x) of time, state and parameters: the rates",
    )
    initial: list[float] | str = Field(
        description="the initial state, or `file.py:function` of the parameters"
    )
    times: list[float] = Field(min_length=1, description="when the solution is looked at")
    states: list[str] | None = Field(default=None, description="names of the states")
    observe: list[str | int] | None = Field(
        default=None,
        description="states that are outputs, each at each time, such as `I_3`; all where left out",
    )
    summary: str | None = Field(
        default=None,
        description="`file.py:function` of times (T,) and observed states (n, T, K), in the place "
        "of the states themselves",
    )
    start: float = Field(default=0.0, description="time of the initial state")
    method: Literal["LSODA", "RK45", "RK23", "DOP853", "Radau", "BDF", "torch"] = Field(
        default="LSODA", description="of scipy's solve_ivp, or torch for whole batches"
    )
    rtol: float = Field(default=1e-6, gt=0, description="relative tolerance of a step")
    atol: float = Field(default=1e-9, gt=0, description="absolute tolerance of a step")
    most: int = Field(
        default=100_000, ge=1, description="evaluations of the rates after which a row has failed"
    )


class TorchConfig(Section):
    """A function written in torch, run in batches on the device."""

    torch: str = Field(min_length=1, description="`file.py:function` of a tensor (m, D)")
    batch: int = Field(default=65_536, ge=1, description="rows that it gets at once")


MODELS: dict[str, type[Section]] = {
    "command": CommandConfig,
    "ode": OdeConfig,
    "torch": TorchConfig,
}
"""The descriptions by the setting that they cannot do without."""

_FUNCTIONS = ("ode", "initial", "summary", "torch")


def canonical_model(raw: Any) -> str | dict[str, Any]:
    """Check a model as the file writes it and give its description in full.

    Raises:
        SettingError: it is no reference and no description; the path is relative to the model.
    """
    if isinstance(raw, str):
        if not raw:
            raise SettingError((), "must not be empty; got ''")
        return raw
    if not isinstance(raw, Mapping):
        raise SettingError((), f"must be text; got {short(raw)}")
    section = _section(raw)
    return section(**{str(key): value for key, value in raw.items()}).model_dump(exclude_none=True)


def takes_batches(model: Any) -> bool:
    """Whether a model takes whole batches where nobody says otherwise."""
    if not isinstance(model, Mapping):
        return True
    return "torch" in model or model.get("method") == "torch"


def build_model(
    model: str | Mapping[str, Any],
    directory: Path,
    *,
    names: tuple[str, ...],
    device: str,
    out: Path | None,
) -> Callable[..., Any]:
    """The function that a reference or a description stands for; files that it names are run.

    Args:
        model: what `canonical_model` returned.
        directory: where relative files start.

    Other Args:
        names: of the parameters.
        device: for torch.
        out: the run folder, where failed runs of a program are kept.

    Raises:
        ModelError: a file cannot be run, or lacks its function.
        InputError: there is no such file or program.
    """
    if isinstance(model, str):
        return load_model(model, directory)
    given = dict(model)
    for key in _FUNCTIONS:
        if isinstance(given.get(key), str):
            given[key] = load_model(given[key], directory, f"problem.model.{key}")
    try:
        if "command" in given:
            return _command(given, directory, names, out)
        if "ode" in given:
            return ode_model(given.pop("ode"), device=device, **given)
        return torch_model(given["torch"], device, batch=given["batch"])
    except InputError as error:
        raise type(error)(f"problem.model: {error}") from None


def moved_model(
    model: str | Mapping[str, Any], moved: Callable[[str], str]
) -> str | dict[str, Any]:
    """The same model for a file elsewhere.

    Args:
        model: what `canonical_model` returned.
        moved: gives a relative path from there.
    """
    if isinstance(model, str):
        return _moved_function(model, moved)
    changed = dict(model)
    for key in _FUNCTIONS:
        if isinstance(changed.get(key), str):
            changed[key] = _moved_function(changed[key], moved)
    if "here" in changed:
        changed["here"] = moved(changed["here"])
    return changed


def _section(raw: Mapping[Any, Any]) -> type[Section]:
    kinds = [kind for kind in MODELS if kind in raw]
    if len(kinds) != 1:
        wanted = f"must be file.py:function, or describe a model by one of {', '.join(MODELS)}"
        raise SettingError((), f"{wanted}; got {short(dict(raw))}")
    return MODELS[kinds[0]]


def _command(
    given: dict[str, Any], directory: Path, names: tuple[str, ...], out: Path | None
) -> Command:
    here = directory / given["here"]
    for source in given["template"].values():
        # A link may lead outside, whatever its name says.
        if not (here / source).resolve().is_relative_to(here.resolve()):
            raise InputError(f"the template {source!r} is outside {here}")
    return Command(
        given["command"],
        names,
        given["read"],
        template=given["template"],
        timeout=given["timeout"],
        environment=given["environment"],
        keep=out / "failed-runs" if given["keep"] and out is not None else None,
        here=here,
    )


def _moved_function(reference: str, moved: Callable[[str], str]) -> str:
    file, colon, function = reference.rpartition(":")
    return f"{moved(file)}{colon}{function}" if file.endswith(".py") else reference
