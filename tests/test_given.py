"""Simulations that were made elsewhere take the place of the first stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

import invgan as ig
from invgan.cli import main
from invgan.errors import InputError
from invgan.models import apply_summary, load_table, summarised
from invgan.settings import McmcConfig, SampleConfig, SimulateConfig, TrainConfig

pytestmark = pytest.mark.usefixtures("road_alone")

SETTINGS = ig.Settings(
    simulate=SimulateConfig(n=2000),
    train=TrainConfig(
        head="linear", head_steps=150, steps=0, hidden=32, layers=2, evaluations=2, members=1
    ),
    sample=SampleConfig(n=500),
    mcmc=McmcConfig(enabled=False),
)
PRIOR = ig.Prior(a=stats.norm(), b=stats.norm())


def add(x: Any) -> Any:
    return x.sum(axis=1, keepdims=True)


def table(folder: Path, n: int = 2000, off: float = 0.0) -> Path:
    x = PRIOR.sample(n, np.random.default_rng(3))
    np.savez(folder / "runs.npz", x=x, y=add(x) + off)
    return folder / "runs.npz"


def test_a_table_is_trained_on_and_belongs_to_its_run(tmp_path: Path) -> None:
    problem = ig.Problem(add, PRIOR, stats.norm(0.5, 0.8))
    given = load_table(table(tmp_path), problem)
    out = tmp_path / "run"
    solution = ig.solve(problem, out, settings=SETTINGS, simulations=given, device="cpu")
    assert solution.simulations.info["model_evaluations"] == 0
    assert solution.simulations.info["held_against"] == 20
    np.testing.assert_array_equal(solution.simulations.x, given.x)
    again = ig.solve(problem, out, settings=SETTINGS, simulations=given, device="cpu")
    np.testing.assert_array_equal(again.samples.x, solution.samples.x)
    other = load_table(table(tmp_path, 1900), problem)
    with pytest.raises(InputError, match="was made from another problem"):
        ig.solve(problem, out, settings=SETTINGS, simulations=other, device="cpu")
    wrong = load_table(table(tmp_path, off=0.1), problem)
    with pytest.raises(InputError, match="they are another model's"):
        ig.solve(problem, settings=SETTINGS, simulations=wrong, device="cpu")


@pytest.mark.slow
def test_the_noise_of_the_measurement_is_added_to_a_table(tmp_path: Path) -> None:
    problem = ig.Problem(add, PRIOR, [[0.3]], question="posterior", noise={"normal": 0.5})
    given = load_table(table(tmp_path), problem)
    solution = ig.solve(problem, settings=SETTINGS, simulations=given, device="cpu")
    found = solution.simulations
    gap = found.y - add(found.x)
    assert gap.std() == pytest.approx(0.5, rel=0.1)


def test_raw_simulations_with_a_summary_are_trained_on() -> None:
    def raw(x: Any) -> Any:
        return np.concatenate([x, x**2], axis=1)

    def total(y: Any) -> Any:
        return y[:, 0] + y[:, 1]

    names = ["u", "v", "uu", "vv"]
    rows = ig.simulate(ig.Problem(raw, PRIOR, [stats.norm()] * 4, outputs=names), 2000, seed=1)
    problem = ig.Problem(summarised(raw, total), PRIOR, stats.norm(0.5, 0.8))
    given = apply_summary(rows, total)
    solution = ig.solve(problem, settings=SETTINGS, simulations=given, device="cpu")
    np.testing.assert_array_equal(solution.simulations.y[:, 0], solution.simulations.x.sum(axis=1))


def test_a_configuration_may_name_a_table(tmp_path: Path) -> None:
    table(tmp_path)
    (tmp_path / "model.py").write_text("def add(x):\n    return x.sum(axis=1)\n")
    (tmp_path / "config.yml").write_text(
        "problem:\n  model: model.py:add\n  prior: {a: {normal: [0, 1]}, b: {normal: [0, 1]}}\n"
        "  observations: {normal: [0.5, 0.8]}\n  table: runs.npz\n"
        "train: {head: linear, head_steps: 100, steps: 0, hidden: 32, evaluations: 1}\n"
        "sample: {n: 300}\nmcmc: {enabled: no}\n"
    )
    for folder, out in ((tmp_path, "out"), (tmp_path / "out", "two")):
        command = ["solve", str(folder / "config.yml"), "--out", str(tmp_path / out), "--quiet"]
        done = CliRunner().invoke(main, [*command, "--device", "cpu"])
        assert done.exit_code in (0, 3), done.output
    found = ig.Simulations.load(tmp_path / "out" / "simulations.npz")
    assert len(found) == 2000
