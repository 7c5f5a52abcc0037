"""The folder of a sweep: whose it is, and one small file for each finished run.

Every file is written whole or not at all, so that a sweep that was stopped, however hard, goes on
with the runs that are not there. More runs, and for a grid or random settings more seeds, may be
asked for later; everything else that a run depends on is part of the folder's fingerprint. A run
that failed by no word of invgan's own is carried out once more, but for Optuna, whose later
proposals rest on what it was told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invgan.errors import InputError
from invgan.files import digest, write_text
from invgan.study.plan import SweepPlan
from invgan.study.row import Row

__all__ = ["Store"]

_OPEN = ("runs", "seeds", "score")


class Store:
    """Where the rows of a sweep are kept, or nowhere (path None).

    Args:
        path: the folder; it is made when first written to.
        key: the fingerprint of problem, settings and seed.
        plan: what varies.
        resolved: the settings as plain data, for the reader of the folder.

    Raises:
        InputError: the path is a file, or holds another sweep or damaged rows.
    """

    def __init__(
        self, path: Path | None, key: str, plan: SweepPlan, resolved: Mapping[str, Any]
    ) -> None:
        if path is not None and path.exists() and not path.is_dir():
            raise InputError(f"a sweep needs a folder; {str(path)!r} is a file, name another")
        self.path = path
        self._settled = plan.method == "optuna"
        self._about = {
            "fingerprint": _fingerprint(key, plan),
            "plan": plan.model_dump(mode="json"),
            "settings": dict(resolved),
        }
        self._refuse_others()

    def open(self) -> None:
        """Write whose folder this is."""
        if self.path is not None:
            write_text(self.path / "sweep.json", json.dumps(self._about, indent=1) + "\n")

    def keep(self, row: Row) -> None:
        """Write a row."""
        if self.path is not None:
            text = json.dumps(row.to_dict(), indent=1, allow_nan=False)
            write_text(self.path / "runs" / f"{row.number:04d}-{row.seed}.json", text + "\n")

    def rows(self) -> dict[tuple[int, int], Row]:
        """The rows that need no other run, by number and seed.

        Raises:
            InputError: one is damaged.
        """
        found = {}
        for file in sorted(self.path.glob("runs/*.json")) if self.path else []:
            try:
                row = Row.from_dict(json.loads(file.read_text(encoding="utf-8")))
            except (TypeError, ValueError, OSError) as error:
                raise InputError(
                    f"{file} is damaged ({error}); remove it, and its run is repeated"
                ) from None
            if self._settled or not row.again:
                found[row.number, row.seed] = row
        return found

    def _refuse_others(self) -> None:
        file = None if self.path is None else self.path / "sweep.json"
        if file is None or not file.is_file():
            return
        try:
            theirs = json.loads(file.read_text(encoding="utf-8"))["fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file} is damaged ({error}); name another folder (--out)") from None
        if theirs != self._about["fingerprint"]:
            raise InputError(
                f"{self.path} holds a sweep of another problem, plan, seed or setting: name "
                "another folder (--out)"
            )


def _fingerprint(key: str, plan: SweepPlan) -> str:
    """What rows depend on by their number; what Optuna proposes depends on seeds and score too."""
    left = {"runs"} if plan.method == "optuna" else set(_OPEN)
    text = json.dumps(plan.model_dump(mode="json", exclude=left), sort_keys=False)
    return digest(key, text)
