"""How the rows of a model are run: where, how long each may take, and how often one is tried."""

from __future__ import annotations

import re
from concurrent.futures import Executor
from dataclasses import dataclass

from invgan.errors import InputError

__all__ = ["Execution"]

_MOST = 4096


@dataclass(frozen=True)
class Execution:
    """How the rows of a model are run. It changes no result, only when and whether it comes.

    Attributes:
        workers: ``"serial"``, in this process; ``"process:N"``, in N processes of this machine;
            ``"dask:local"``, on a Dask cluster started here; ``"dask:tcp://host:port"``, on the
            workers of that scheduler; or anything with the interface of
            `concurrent.futures.Executor`.
        timeout: seconds that one call of the model may take, or None for any. A row that takes
            longer is stopped, together with the process that runs it (so a serial run then uses
            one process), and counts as failed. A batch that takes longer is halved until the rows
            that hang stand alone.
        retries: how often rows are tried again whose worker died.
        chunk: rows handed to a batched model at once; None leaves it to the stage. A batched
            model with noise of its own gets 1024.

    Raises:
        InputError: there are no such workers, or a number is out of range.
    """

    workers: str | Executor = "serial"
    timeout: float | None = None
    retries: int = 2
    chunk: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.workers, str):
            self._check_name(self.workers)
        elif not hasattr(self.workers, "submit"):
            raise InputError(
                f"workers must be text or an executor with submit(); "
                f"got {type(self.workers).__name__}"
            )
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise InputError(f"timeout must be seconds above 0, or left out; got {self.timeout}")
        if self.retries < 0:
            raise InputError(f"retries must be 0 or more; got {self.retries}")
        if self.chunk is not None and self.chunk < 1:
            raise InputError(f"chunk must be 1 or more, or left out; got {self.chunk}")

    @staticmethod
    def _check_name(workers: str) -> None:
        known = re.fullmatch(r"serial|process:([1-9]\d{0,3})|dask:(local|[a-z]+://\S+)", workers)
        if known is None or int(known[1] or 1) > _MOST:
            raise InputError(
                "workers must be serial, process:N, dask:local or dask:tcp://host:port; "
                f"got {workers!r}"
            )

    @property
    def processes(self) -> int:
        """How many processes of this machine run the model besides this one; 0 for none."""
        if not isinstance(self.workers, str):
            return 0
        kind, _, count = self.workers.partition(":")
        if kind == "process":
            return int(count)
        return int(kind == "serial" and self.timeout is not None)
