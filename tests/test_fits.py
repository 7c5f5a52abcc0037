"""Fits side by side in processes are those one after the other, and what breaks is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL

import invgan as ig
from invgan.errors import InputError
from invgan.fingerprints import fingerprints
from invgan.gan import fits
from invgan.gan.device import few_threads
from invgan.gan.fits import Fit, Fitter, fitting, one_by_one
from invgan.gan.member import build_estimator
from invgan.gan.stage import Pairs, Plan
from invgan.problem import Problem
from invgan.settings import SimulateConfig, TrainConfig

CONFIG = TrainConfig(head_steps=60, hidden=16, batch_size=64)


def normal(n: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def three(plans: list[Plan]) -> list[Fit]:
    """Heads of three kinds that are yet to be fitted."""
    pairs, heldout = (Pairs(normal(n, 2, 1), normal(n, 3, 2)) for n in (500, 200))
    kinds = ("linear", "small", "gaussian")
    return [
        Fit(build_estimator(CONFIG, kind, 2, 3, seed), pairs, heldout, CONFIG, seed, plan)
        for seed, (kind, plan) in enumerate(zip(kinds, plans, strict=True))
    ]


@pytest.fixture(scope="module")
def fitter() -> Iterator[Fitter]:
    with few_threads(), fitting(2) as both:
        yield both


@pytest.mark.slow
def test_the_result_is_that_of_one_after_the_other(fitter: Fitter, tmp_path: Path) -> None:
    told: list[int] = []
    heard: list[int] = []
    plans = [
        Plan(60, 3, None, tmp_path / str(place), "one",
             lambda done, _, place=place: told.append(60 * place + done),
             lambda rows: heard.append(len(rows)))
        for place in range(3)
    ]  # fmt: skip
    here = three([Plan(60, 3, None)] * 3)
    there = three(plans)
    assert one_by_one(here) == fitter(there)
    for a, b in zip(here, there, strict=True):
        state = b.estimator.state_dict()
        assert all(torch.equal(v, state[k]) for k, v in a.estimator.state_dict().items())
    assert told == sorted(told)
    assert told[-1] == 180
    assert len(heard) == 3
    # The checkpoints are those of the fits: taken up, they are done.
    again = three([replace(plan, progress=None, watch=None) for plan in plans])
    assert fitter(again) == one_by_one(three([Plan(60, 3, None)] * 3))


def test_what_a_fit_raises_is_raised(fitter: Fitter) -> None:
    some = three([Plan(60, 3, None)] * 3)
    broken = replace(some[1], pairs=Pairs(normal(500, 2, 1), normal(500, 4, 2)))
    with pytest.raises(InputError, match="one column for each output"):
        fitter([some[0], broken])


def test_pairs_on_the_disk_or_a_device_stay_here(
    fitter: Fitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits, "_packed", lambda fit: pytest.fail("nothing may be sent"))
    monkeypatch.setattr(fits, "_travels", lambda fit: False)
    assert fitter(three([Plan(60, 3, None)] * 3)) == one_by_one(three([Plan(60, 3, None)] * 3))


def test_how_many_processes_is_no_part_of_what_is_trained(sum_problem: Problem) -> None:
    one, two = (
        ig.Settings(
            train=TrainConfig(**SMALL.model_dump() | {"workers": count}),
            simulate=SimulateConfig(rounds=2),
        )
        for count in (1, 2)
    )
    assert fingerprints(sum_problem, one, 1) == fingerprints(sum_problem, two, 1)


class Fatal:
    """Ends the process that unpacks it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_when_a_process_dies_it_is_one_sentence(fitter: Fitter) -> None:
    """The last of those that share it: it is of no use afterwards."""
    some = three([Plan(60, 3, None)] * 3)
    with pytest.raises(InputError, match=r"ended before it was done .*__main__.*train\.workers"):
        fitter([some[0], replace(some[1], estimator=Fatal())])  # type: ignore[arg-type]


SCRIPT = """
import signal
import sys
import numpy as np
from scipy import stats
import invgan as ig

def model(x, rng):
    return x.sum(axis=1, keepdims=True) + 0.3 * rng.normal(size=(len(x), 1))

def main():
    prior = ig.Prior(a=stats.norm(), b=stats.norm())
    problem = ig.Problem(model, prior, [[1.0]], stochastic=True, question="posterior")
    simulations = ig.simulate(problem, 1000, seed=1)
    config = ig.TrainConfig(head="small", head_steps=int(sys.argv[1]), steps=0, members=2,
                            hidden=16, evaluations=int(sys.argv[1]) // 30, patience=10**6,
                            workers=int(sys.argv[2]))
    inverse = ig.train(problem, simulations, config, seed=1, device="cpu", checkpoint=sys.argv[3])
    print(np.abs(inverse.draw(np.ones((50, 1)), seed=1)).sum())

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background's children ignore it
    main()
"""


def start(tmp_path: Path, steps: int, workers: int, name: str) -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(steps), str(workers), str(tmp_path / name)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_the_training_is_taken_up(tmp_path: Path) -> None:
    whole, _ = start(tmp_path, 300, 1, "whole").communicate()
    child = start(tmp_path, 300, 2, "parts")
    while len(list(tmp_path.glob("parts-*.safetensors"))) < 2:
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=30)
    assert "KeyboardInterrupt" in stderr
    assert child.returncode != 0
    again, stderr = start(tmp_path, 300, 2, "parts").communicate()
    assert again == whole, stderr
    assert np.isfinite(float(again))
