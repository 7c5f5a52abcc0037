"""Run a program once: without a shell, for a bounded time, and with nothing of it left behind.

The program gets a session of its own, so that it and all that it started end together: when it has
ended, at the time-out, and when the run is stopped by Ctrl-C. What it writes to its standard
streams is kept up to a limit. Of the environment it sees only what programs need to start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import IO

__all__ = ["Ended", "run_program"]

_PASSED = (
    "PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CONDA_PREFIX", "VIRTUAL_ENV",
    "SYSTEMROOT", "PATHEXT", "COMSPEC",
)  # fmt: skip
# Many programs run beside each other: none should take all cores, or write 0,5 for 0.5.
_SET = {
    "LC_NUMERIC": "C",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_TAIL = 4096
_BEAT, _GRACE = 0.05, 2.0


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: its return code; None where it was stopped, at the time-out or for writing too much.
        stdout: what it wrote, up to the limit.
        stderr: the last of what it complained of.
        overflow: whether it wrote more to its standard output than the limit.
    """

    code: int | None
    stdout: bytes
    stderr: bytes
    overflow: bool


def run_program(
    arguments: Sequence[str],
    directory: Path,
    *,
    timeout: float,
    environment: Mapping[str, str],
    most: int,
) -> Ended:
    """Run a program in a directory and wait for it.

    Args:
        arguments: the program and its arguments, as it gets them.
        directory: where it starts.

    Other Args:
        timeout: seconds that it may take.
        environment: variables beside those that every program gets.
        most: bytes of standard output that it may write.

    Raises:
        OSError: the program cannot be started.
    """
    process, streams = None, list[_Stream]()
    try:
        with _interrupted_later():
            process = subprocess.Popen(
                list(arguments),
                cwd=directory,
                env={**_environment(directory), **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            streams.append(_Stream(process.stdout, most))
            streams.append(_Stream(process.stderr, _TAIL, last=True))
        in_time = _wait(process, streams[0], time.monotonic() + timeout)
    finally:
        if process is not None:
            _end(process)
        for stream in streams:
            stream.finish()
    out, complaints = streams
    return Ended(
        process.returncode if in_time else None, bytes(out.kept), bytes(complaints.kept), out.full
    )


class _Stream(Thread):
    """Reads a stream to its end, so that the program never waits for it, and keeps a part.

    Args:
        stream: what the program writes to.
        most: bytes to keep.
        last: keep the last of it; else the first.
    """

    def __init__(self, stream: IO[bytes] | None, most: int, *, last: bool = False) -> None:
        super().__init__(daemon=True)
        self._stream, self._most, self._last = stream, most, last
        self.kept, self.full = bytearray(), False
        self.start()

    def run(self) -> None:
        """Read until nothing more comes."""
        while self._stream is not None and (piece := os.read(self._stream.fileno(), 1 << 16)):
            if self._last:
                self.kept = (self.kept + piece)[-self._most :]
                continue
            room = self._most - len(self.kept)
            self.kept += piece[:room]
            self.full = self.full or len(piece) > room

    def finish(self) -> None:
        """Close the stream at its end; one that a stranger to the session keeps open is left."""
        self.join(_GRACE)
        if self._stream is not None and not self.is_alive():
            self._stream.close()


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Let a Ctrl-C, or the end that a worker is told, wait while a program is being started.

    One that came in the middle of it would leave a program that nobody knows of.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if None in before.values() or current_thread() is not main_thread():
        yield
        return
    noted: list[int] = []
    for number in before:
        signal.signal(number, lambda number, _: noted.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in noted[:1]:
            signal.raise_signal(caught)


def _wait(process: subprocess.Popen[bytes], out: _Stream, deadline: float) -> bool:
    """Whether the program ended by itself before the deadline, having written no more than it may.

    The end of its output tells at once; a look now and then is for what it left running behind.
    """
    while process.poll() is None and not out.full and (left := deadline - time.monotonic()) > 0:
        pause = min(_BEAT, left)
        if out.is_alive():
            out.join(pause)
            continue
        with suppress(subprocess.TimeoutExpired):
            process.wait(pause)
    return process.poll() is not None and not out.full


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _environment(directory: Path) -> dict[str, str]:
    known = {name: os.environ[name] for name in _PASSED if name in os.environ}
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(directory))
    return {**known, **_SET, **temporary}
