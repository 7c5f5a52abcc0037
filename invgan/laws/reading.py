"""Priors and observations as a configuration file writes them.

A law is one name with its arguments, by list in their order or by name:

    {uniform: [-2, 2]}                   {uniform: {low: -2, high: 2}}

`canonical_prior` and `canonical_observations` check what the file says and write it out in full, as
plain data; `prior_from` and `observations_from` build the objects from that plain data.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invgan.errors import InputError
from invgan.laws.kinds import JOINT, LAWS, scipy_arguments
from invgan.observations import Law, Observations, as_observations
from invgan.priors import Prior, PriorLike
from invgan.settings import SettingError, number, short, unknown

__all__ = ["canonical_observations", "canonical_prior", "observations_from", "prior_from"]


def canonical_prior(raw: Any) -> dict[str, Any]:
    """Check a prior as the file writes it and give it in full.

    Args:
        raw: a mapping from parameter names to laws, or one joint law.

    Returns:
        The same with every argument by name.

    Raises:
        SettingError: it is not such a prior; the path is relative to the prior.
    """
    if not isinstance(raw, Mapping) or not raw:
        wanted = "must give each parameter a law, as in x1: {uniform: [-2, 2]}"
        raise SettingError((), f"{wanted}; got {short(raw)}")
    joint = next((name for name in raw if name in JOINT), None)
    if joint is None:
        return {str(name): _one_law(str(name), law) for name, law in raw.items()}
    for name in raw:
        if name != joint:
            raise SettingError((str(name),), f"cannot stand beside {joint}, {_beside(name)}")
    return _canonical(raw)


def canonical_observations(raw: Any) -> Any:
    """Check observations as the file writes them and give them in full.

    Args:
        raw: one law, a mapping from output names to laws, one joint law, a path to a .csv or .npy,
            or an inline table: numbers (one output), or rows of numbers.

    Returns:
        The same with every argument by name and every row a list.

    Raises:
        SettingError: it is none of these; the path is relative to the observations.
    """
    if isinstance(raw, str) and raw.strip():
        return raw
    if isinstance(raw, list | tuple) and raw:
        return _rows(list(raw))
    if not isinstance(raw, Mapping) or not raw:
        wanted = "must be a law, laws by output name, a .csv or .npy path, or a list of rows"
        raise SettingError((), f"{wanted}; got {short(raw)}")
    if _is_law(raw):
        return _canonical(raw)
    return {str(name): _one_law(str(name), law) for name, law in raw.items()}


def prior_from(canonical: Mapping[str, Any]) -> PriorLike:
    """Build the prior that `canonical_prior` checked."""
    if set(canonical) & set(JOINT):
        law: PriorLike = _read(canonical)[1].law()
        return law
    return Prior({name: _read(law)[1].law() for name, law in canonical.items()})


def observations_from(canonical: Any, directory: Path) -> Observations:
    """Build the observations that `canonical_observations` checked.

    Args:
        canonical: what it returned.
        directory: where relative paths start.
    """
    if isinstance(canonical, str):
        return as_observations(directory / canonical)
    if not isinstance(canonical, Mapping):
        return as_observations(canonical)
    if not _is_law(canonical):
        return as_observations({name: _read(law)[1].law() for name, law in canonical.items()})
    kind, section = _read(canonical)
    law = section.law()
    if kind not in JOINT:
        return as_observations(law)
    names = getattr(section, "names", None)
    return Law((), law, len(law.names), tuple(names) if names else None)


def _is_law(raw: Mapping[str, Any]) -> bool:
    """Whether this is a law itself, rather than laws by name: an output may be called gamma."""
    (kind, arguments), *more = raw.items()
    inner = isinstance(arguments, Mapping) and len(arguments) == 1 and set(arguments) <= set(LAWS)
    return not more and kind in LAWS and not inner


def _one_law(name: str, raw: Any) -> dict[str, Any]:
    """The law of one named value."""
    if not name.strip():
        raise SettingError((name,), f"needs a name before its law {short(raw)}")
    if name in LAWS and not (isinstance(raw, Mapping) and set(raw) & set(LAWS)):
        example = f"as in x1: {{{name}: ...}}"
        raise SettingError((name,), f"is a law without a name; put the name first, {example}")
    if isinstance(raw, list) and (misspelt := unknown((name,), LAWS, "a law")).instead:
        raise misspelt
    try:
        law = _canonical(raw)
        if set(law) & set(JOINT):
            raise SettingError(
                (), f"is a joint law of several values; write {next(iter(law))} alone"
            )
    except SettingError as error:
        raise error.under(name) from None
    return law


def _canonical(raw: Any) -> dict[str, Any]:
    kind, section = _read(raw)
    return {kind: section.model_dump(exclude_none=True)}


def _read(raw: Any) -> tuple[str, Any]:
    """The name of a law and its checked arguments."""
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise SettingError((), f"must be one law, such as {{normal: [350, 50]}}; got {short(raw)}")
    kind, arguments = next(iter(raw.items()))
    if kind not in LAWS:
        raise unknown((str(kind),), LAWS, "a law")
    try:
        section = LAWS[kind](**_by_name(kind, arguments))
        _check(section)
    except SettingError as error:
        raise error.under(kind) from None
    return kind, section


def _by_name(kind: str, arguments: Any) -> dict[str, Any]:
    """The arguments of a law by name, whichever way they came."""
    if isinstance(arguments, Mapping):
        return {str(name): value for name, value in arguments.items()}
    order = _order(kind, arguments)
    if not isinstance(arguments, list | tuple):
        wanted = f"must hold its arguments ({', '.join(order)}) by list or by name"
        raise SettingError((), f"{wanted}; got {short(arguments)}")
    values = list(arguments)
    # `dirichlet: [1, 1, 1]` means the one list that it takes, not three arguments.
    if kind == "dirichlet" and values and not isinstance(values[0], list | tuple):
        values = [values]
    if len(values) > len(order):
        taken = f"takes {len(order)} values at most ({', '.join(order)})"
        raise SettingError((), f"{taken}; got {len(values)}")
    return dict(zip(order, values, strict=False))


def _order(kind: str, arguments: Any) -> list[str]:
    if kind == "scipy" and isinstance(arguments, list | tuple) and arguments:
        return ["name", *scipy_arguments(arguments[0])]
    return list(LAWS[kind].model_fields)


def _check(section: Any) -> None:
    """Refuse arguments that are each possible but together define no law."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            law = section.law()
            usable = not hasattr(law, "median") or math.isfinite(law.median())
        except InputError as error:
            raise SettingError((), f"is not usable: {error}") from None
        except (ArithmeticError, RuntimeError, TypeError, ValueError):
            usable = False
    if not usable:
        raise SettingError((), f"defines no law with {short(section.model_dump())}")


def _beside(name: Any) -> str:
    if name == "names":
        return "whose third argument it is: {mean: ..., cov: ..., names: [...]}"
    return "which is the law of all parameters together"


def _rows(raw: list[Any]) -> list[Any]:
    """An inline table as floats."""
    width = len(raw[0]) if isinstance(raw[0], list | tuple) else None
    out: list[Any] = []
    for i, row in enumerate(raw, start=1):
        if width is None:
            out.append(_finite(row, i))
            continue
        if not isinstance(row, list | tuple) or len(row) != width or not width:
            wanted = f"must have {width or 'some'} values in every row, as in the first"
            raise SettingError((), f"{wanted}; got {short(row)} in row {i}")
        out.append([_finite(value, i) for value in row])
    return out


def _finite(raw: Any, i: int) -> float:
    try:
        value = number(raw)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except (SettingError, OverflowError):
        pass
    raise SettingError((), f"must be finite numbers or rows of them; got {short(raw)} in row {i}")
