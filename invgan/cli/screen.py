"""What the user sees: progress on stderr, the verdict on stdout, an error as one sentence."""

from __future__ import annotations

import errno
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from invgan.errors import CorrectionError, InvganError

if TYPE_CHECKING:
    from invgan.validation import Validation

__all__ = ["Code", "answering", "duration", "exit_code", "kept", "progress"]

Advance = Callable[[int, int], None]

_AGAIN = "the same command (without --overwrite)"


class Code(IntEnum):
    """The exit codes."""

    CONSISTENT = 0
    BAD_INPUT = 2
    NOT_CONSISTENT = 3
    STOPPED = 130
    TERMINATED = 143


def exit_code(validation: Validation) -> int:
    """0 for a consistent answer, 3 for any other."""
    return Code.CONSISTENT if validation.verdict == "consistent" else Code.NOT_CONSISTENT


def progress(title: str) -> AbstractContextManager[Advance]:
    """How a stage shows that it goes on: a bar in a terminal, one line elsewhere."""
    return _bar(title) if sys.stderr.isatty() else _line(title)


@dataclass(frozen=True)
class _Shown:
    """What a stage tells of itself: called with (done, total), and told how it stands."""

    advance: Advance
    tell: Callable[[str], object]

    def __call__(self, done: int, total: int) -> None:
        self.advance(done, total)


@contextmanager
def _bar(title: str) -> Iterator[Advance]:
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[told]}", markup=False),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(title, total=None, told="")
        yield _Shown(
            lambda done, total: shown.update(task, completed=done, total=total),
            lambda text: shown.update(task, told=text),
        )


@contextmanager
def _line(title: str) -> Iterator[Advance]:
    started = time.perf_counter()
    click.echo(f"{title} ...", err=True, nl=False)
    end, told = " stopped", [""]
    try:
        yield _Shown(lambda done, total: None, told.append)
        end = f" {duration(time.perf_counter() - started)}"
    finally:
        click.echo(f"{end} ({told[-1]})" if told[-1] else end, err=True)


@contextmanager
def answering(debug: bool = False, out: Path | None = None, again: str = _AGAIN) -> Iterator[None]:
    """Turn whatever a user can cause into one sentence and an exit code.

    Args:
        debug: show the traceback as well.
        out: the run folder, of which the sentence says what is kept; None where there is none.
        again: what goes on from there.
    """
    try:
        with _ending_in_order():
            yield
    except KeyboardInterrupt as error:
        code = Code.TERMINATED if isinstance(error, _Terminated) else Code.STOPPED
        _leave(error, code, f"stopped{_left(out, again)}", debug)
    except CorrectionError as error:
        _leave(error, Code.NOT_CONSISTENT, str(error), debug)
    except InvganError as error:
        _leave(error, Code.BAD_INPUT, str(error), debug)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        file = f" ({error.filename})" if error.filename else ""
        reason = f"{error.strerror or error}{file}"
        _leave(error, Code.BAD_INPUT, f"{reason[:1].lower()}{reason[1:]}{_left(out, again)}", debug)
    except (MemoryError, RuntimeError) as error:
        # torch's own errors are not imported for their names; that of the CPU has none.
        short = type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)
        if not isinstance(error, MemoryError) and not short:
            raise
        smaller = "ask for less (simulate.n, simulate.chunk, train.batch_size, sample.n)"
        _leave(error, Code.BAD_INPUT, f"out of memory: {smaller}{_left(out, again)}", debug)


class _Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM), as batch systems do when the time is up."""


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C: what has come is kept, and what was started ends too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough to end in order
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _leave(error: BaseException, code: Code, message: str, debug: bool) -> NoReturn:
    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    click.echo(f"invgan: {message}", err=True)
    raise click.exceptions.Exit(code) from None


def _left(out: Path | None, again: str) -> str:
    if out is None:
        return ""
    files = kept(out)
    if not files:
        return f"; nothing is kept in {out} yet"
    return f"; {files} kept in {out}, and {again} goes on from there"


def kept(out: Path) -> str:
    """The finished files of a run folder, in one line."""
    try:
        return ", ".join(sorted(p.name for p in out.iterdir() if p.name[:1] != "."))
    except OSError:
        return ""


def duration(seconds: float) -> str:
    """Seconds as a reader says them."""
    if seconds < 10:
        return f"{seconds:.1f} seconds"
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
