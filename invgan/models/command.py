"""An external program as a model: one run for each parameter vector.

    (x1, ..., xD)  ->  arguments and input files  ->  the program  ->  outputs by name

Each run has an empty working directory of its own, which is removed afterwards. Arguments are
handed over as they are, never through a shell. Numbers are written so that they read back to the
same double (17 digits at most).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from invgan.errors import InputError, ModelError
from invgan.models.outputs import check_inside, check_reading, read_outputs
from invgan.models.process import Ended, run_program
from invgan.models.template import check_template, render

__all__ = ["Command", "CommandError"]

_PLACE = re.compile(r"\{(\{[^\s{}]+\})\}|\{([^\s{}]+)\}")
_OWN = ("here", "seed")
_MOST_KEPT = 100


class CommandError(ModelError):
    """One run of a program failed.

    Attributes:
        kind: ``"timed out"``, ``"exit"`` (a return code other than 0), ``"output"`` (its outputs
            are not there) or ``"start"``.
        stderr: the last of what the program complained of.
    """

    def __init__(self, message: str, kind: str = "exit", stderr: str = "") -> None:
        super().__init__(message, kind, stderr)
        self.kind, self.stderr = kind, stderr

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, init=False)
class Command:
    """A program that is run for one parameter vector at a time (``vectorized=False``).

    Args:
        arguments: the program and its arguments; ``{name}`` stands for the parameter of this name,
            ``{here}`` for the folder below, ``{seed}`` for a seed from the generator of a model
            with noise. ``{{name}}`` is the text ``{name}``.
        names: the D parameter names, in the order of x.
        read: where the outputs are; see `check_reading`. By default lines such as ``peak 3.2``.

    Other Args:
        template: input files to write before each run: a mapping from their names in the working
            directory to template files. Templates know the parameters by name, all of them as
            ``parameters``, and the seed.
        timeout: seconds after which a run is stopped, with all that it started.
        environment: variables beside those that every program gets (PATH, HOME, LANG and those of
            the dynamic linker; threads are bounded to one).
        keep: a folder for the working directories of failed runs, the first 100 of them.
        here: the folder where templates, and a program given by a path, are looked for.
        most: bytes that a program may write to its standard output or to the file that is read.

    Raises:
        InputError: there is no such program or template, a placeholder that nobody knows, or a
            parameter that has none.

    Example:
        >>> add = Command(["awk", "BEGIN { print {a} + {b} }"], ["a", "b"], {"stdout": "numbers"})
        >>> add([1.5, 2.0])
        array([3.5])
    """

    arguments: tuple[str, ...]
    names: tuple[str, ...]
    reading: tuple[str, Any]
    templates: Mapping[str, str]
    timeout: float
    environment: Mapping[str, str]
    keep: Path | None
    here: Path
    most: int
    identity: str = field(repr=False)
    _uses_seed: bool = field(repr=False)

    def __init__(
        self,
        arguments: Sequence[str],
        names: Sequence[str],
        read: Mapping[str, Any] | None = None,
        *,
        template: Mapping[str, str | Path] | None = None,
        timeout: float = 60.0,
        environment: Mapping[str, str] | None = None,
        keep: str | Path | None = None,
        here: str | Path = ".",
        most: int = 1 << 26,
    ) -> None:
        if not 0 < timeout < float("inf"):
            raise InputError(f"timeout must be a number of seconds above 0; got {timeout!r}")
        put, folder = object.__setattr__, Path(here).resolve()
        put(self, "names", _names(names))
        put(self, "here", folder)
        put(self, "arguments", _arguments(arguments, self.names, folder))
        put(self, "reading", check_reading({"stdout": "names"} if read is None else read))
        put(self, "templates", {
            check_inside(target, "template"): _source(folder / file)
            for target, file in (template or {}).items()
        })  # fmt: skip
        put(self, "timeout", float(timeout))
        put(self, "environment", {str(k): str(v) for k, v in (environment or {}).items()})
        put(self, "keep", None if keep is None else Path(keep).resolve())
        put(self, "most", int(most))
        put(self, "identity", self._identity())
        asked = self._check_templates()
        self._check_used(asked)
        put(self, "_uses_seed", "seed" in asked or self._in_arguments("seed"))

    def __call__(
        self, x: ArrayLike, rng: np.random.Generator | None = None
    ) -> dict[str, float] | NDArray[np.float64]:
        """Run the program for one parameter vector x (D,).

        Returns:
            Outputs by name; the numbers in their order for ``{"stdout": "numbers"}``.

        Raises:
            CommandError: the program failed, took too long, or did not give its outputs.
        """
        values = self._values(x, rng)
        with tempfile.TemporaryDirectory(prefix="invgan-", ignore_cleanup_errors=True) as name:
            directory = Path(name)
            ended = self._run(directory, values)
            try:
                self._check(ended)
                found = read_outputs(self.reading, directory, ended.stdout, self.most)
            except CommandError as error:
                self._kept(directory, error, ended)
                raise
            except InputError as error:
                failure = self._failed(f"gave no outputs: {error}", "output", ended)
                self._kept(directory, failure, ended)
                raise failure from None
        if self.reading == ("stdout", "numbers"):
            return np.array(list(found.values()))
        return found

    def _values(self, x: ArrayLike, rng: np.random.Generator | None) -> dict[str, Any]:
        row = np.asarray(x, float)
        if row.shape != (len(self.names),):
            raise InputError(
                f"a Command runs one parameter vector ({len(self.names)},) at a time; got "
                f"{row.shape}: set vectorized=False"
            )
        values: dict[str, Any] = dict(zip(self.names, row.tolist(), strict=True))
        if self._uses_seed == (rng is None):
            raise InputError(
                "the command has a {seed} and the model no noise: say stochastic=True"
                if rng is None
                else "a program with noise takes a seed: give it the argument {seed}"
            )
        return values if rng is None else {**values, "seed": int(rng.integers(2**31))}

    def _run(self, directory: Path, values: Mapping[str, Any]) -> Ended:
        """Write the input files and run the program in its directory."""
        for target, text in self.templates.items():
            file = directory / target
            file.parent.mkdir(parents=True, exist_ok=True)
            known = {**values, "parameters": {name: values[name] for name in self.names}}
            file.write_text(render(text, target, known), encoding="utf-8")
        shown = {**values, "here": str(self.here)}
        program, *rest = self.arguments
        arguments = [program, *(_filled(argument, shown) for argument in rest)]
        try:
            return run_program(
                arguments, directory, timeout=self.timeout, environment=self.environment,
                most=self.most,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise self._failed(f"could not be started: {error}", "start", None) from None

    def _check(self, ended: Ended) -> None:
        if ended.overflow:
            raise self._failed(f"wrote more than {self.most} bytes", "output", ended)
        if ended.code is None:
            raise self._failed(f"was stopped after {self.timeout:g} s", "timed out", ended)
        if ended.code != 0:
            how = f"signal {-ended.code}" if ended.code < 0 else f"return code {ended.code}"
            raise self._failed(f"ended with {how}", "exit", ended)

    def _failed(self, what: str, kind: str, ended: Ended | None) -> CommandError:
        complaint = "" if ended is None else ended.stderr.decode("utf-8", "replace").strip()
        last = f"; it said: {complaint.splitlines()[-1][:200]}" if complaint else ""
        name = Path(self.arguments[0]).name
        return CommandError(f"the program {name} {what}{last}", kind, complaint)

    def _kept(self, directory: Path, failure: CommandError, ended: Ended) -> None:
        """Copy the working directory of a failed run to where the user asked for it."""
        if self.keep is None:
            return
        # A full disk must not hide why the run failed.
        with suppress(OSError, shutil.Error):
            self.keep.mkdir(parents=True, exist_ok=True)
            if sum(1 for _ in self.keep.iterdir()) >= _MOST_KEPT:
                return
            folder = Path(
                tempfile.mkdtemp(prefix=f"{failure.kind.replace(' ', '-')}-", dir=self.keep)
            )
            shutil.copytree(directory, folder, symlinks=True, dirs_exist_ok=True)
            (folder / "failure.txt").write_text(f"{failure}\n", encoding="utf-8")
            (folder / "stdout.txt").write_bytes(ended.stdout)
            (folder / "stderr.txt").write_bytes(ended.stderr)

    def _identity(self) -> str:
        """What is run and what is read, with the files that stand in `here`, wherever that is."""
        program, *rest = self.arguments
        inside = Path(program).is_relative_to(self.here)
        shown = {**dict.fromkeys((*self.names, "seed"), ""), "here": str(self.here)}
        files = [Path(_filled(text, shown)) for text in rest]
        digests = [_digest(file) for file in [*([Path(program)] if inside else []), *files]]
        first = str(Path(program).relative_to(self.here)) if inside else program
        parts = (first, rest, self.names, self.reading, dict(self.templates), digests)
        return f"Command {json.dumps([*parts, dict(self.environment)])}"

    def _check_used(self, asked: set[str]) -> None:
        """Refuse a parameter that never reaches the program, whose runs would not depend on it."""
        for name in self.names:
            if not {name, "parameters"} & asked and not self._in_arguments(name):
                raise InputError(
                    f"the parameter {name!r} never reaches the program: write {{{name}}} in an "
                    f"argument or {{{{ {name} }}}} in a template, or leave it out"
                )

    def _check_templates(self) -> set[str]:
        """The names that templates ask for; refuses what no run could fill in."""
        asked = set[str]()
        for target, text in self.templates.items():
            wanted = check_template(text, target)
            known = {*self.names, "seed", "parameters"}
            if unknown := sorted(wanted - known):
                raise InputError(
                    f"the template of {target} asks for {unknown[0]!r}; the parameters are "
                    f"{', '.join(self.names)}"
                )
            asked |= wanted
        return asked

    def _in_arguments(self, name: str) -> bool:
        return any(found[2] == name for text in self.arguments for found in _PLACE.finditer(text))


def _names(names: Sequence[str]) -> tuple[str, ...]:
    given = (names,) if isinstance(names, str) else tuple(map(str, names))
    own = [name for name in given if name in (*_OWN, "parameters")]
    if not given or len(set(given)) != len(given) or own:
        raise InputError(
            f"names must name each parameter once, and none {', '.join(_OWN)} or parameters; got "
            f"{list(given)}"
        )
    return given


def _arguments(given: Sequence[str], names: tuple[str, ...], here: Path) -> tuple[str, ...]:
    if isinstance(given, str | bytes) or not given or not all(isinstance(a, str) for a in given):
        raise InputError(
            "a command is a list of texts, the program first, as in ['./flow', '--k', '{k}']; "
            f"got {str(given)[:80]}"
        )
    if any("\0" in argument for argument in given):
        raise InputError("a command holds a character that no argument can have")
    known = {*names, *_OWN}
    for argument in given:
        for found in _PLACE.finditer(argument):
            if found[2] is not None and found[2] not in known:
                raise InputError(
                    f"the command has a placeholder {{{found[2]}}} that is no parameter "
                    f"({', '.join(names)}); for the text itself write {{{{{found[2]}}}}}"
                )
    return (_program(given[0], here), *given[1:])


def _program(name: str, here: Path) -> str:
    """The program's path; names without a folder are looked up as a shell would."""
    named = name.replace("{here}", str(here))
    path = str(here / named) if Path(named).name != named else named
    found = shutil.which(path)
    if found is None and Path(path).is_file():
        raise InputError(
            f"the program {name!r} is there and may not be run: make it executable "
            f"(chmod +x {path}), or name what runs it first, as in [sh, {name}]"
        )
    if found is None:
        raise InputError(f"there is no program {name!r} to run; give its path, or install it")
    return found


def _source(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"there is no template {str(file)!r}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"the template {file} cannot be read: {error}") from None


def _digest(file: Path) -> str | None:
    """Of a file that the command names; None where it names none."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    except (OSError, ValueError):
        return None


def _filled(argument: str, values: Mapping[str, Any]) -> str:
    return _PLACE.sub(lambda m: m[1] if m[1] is not None else str(values[m[2]]), argument)
