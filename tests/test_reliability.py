"""Whole runs that are killed, and whole runs of which rows fail, by benchmarks/reliability.py."""

import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from invgan.execution.crew import close_crews

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    """The benchmark as a module that workers can import too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        module = importlib.import_module("reliability")
        yield module
    close_crews()
    del sys.modules["reliability"]


def test_what_is_made_again_is_counted(bench: ModuleType) -> None:
    whole = Counter(m=2500, l=25_516, observed=500)
    before = bench.Held(rows=700, steps=625, walked=100, files={"inverse.json": 1})
    after = bench.Held(1500, 0, 0, {"inverse.json": 1, "samples.npz": 2})
    calls = Counter(m=1800, l=25_516 - 100 * bench.WALKERS)
    rest = bench.Ran("end", calls, trained=641, seconds={})
    assert not any(bench.again(before, rest, after, whole).values())
    cut = replace(rest, stage="mcmc", calls=Counter(m=1800, l=40))
    assert not any(bench.again(before, cut, after, whole).values())
    waste = replace(rest, calls=calls + Counter(m=30, l=32), trained=621)
    after.files["inverse.json"] = 3
    assert bench.again(before, waste, after, whole) == {
        "simulations": 30, "chain": 32, "training": 1, "files": 1,
    }  # fmt: skip


@pytest.mark.slow
def test_rows_that_fail_leave_the_answer_of_those_that_do_not(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"head_steps": 40, "steps": 20, "evaluations": 1}
    monkeypatch.setattr(bench, "TRAIN", bench.TRAIN.model_copy(update=quick))
    found = bench.fouled(150, 30, timeout=1)
    assert set(found["failed"]) == set(bench.FATES)
    assert found["recorded"]
    assert found["same simulations"]
    assert found["same answer"]
    assert found["same draws without the failing"]
    assert found["later runs failed"] > 0


@pytest.mark.slow
def test_a_run_killed_in_every_stage_ends_as_if_it_had_not_been(bench: ModuleType) -> None:
    (trial,) = bench.kills(1, seed=3)
    assert len(trial["killed"]) == len(bench.STAGES)
    assert all(trial["same"].values())
    assert trial["again"] == {}
