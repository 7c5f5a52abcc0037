"""Sweeps: what is tried, what is kept, what is refused, and that the best can be run again.

Where only the order of things matters, a run is a formula of its settings; the others train for a
moment.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import add
from matplotlib.figure import Figure
from scipy import stats

from invgan.cli import main
from invgan.config import Settings, build_problem, load_config
from invgan.errors import InputError
from invgan.models import load_table
from invgan.pipeline import Run
from invgan.plots.sweep import Dimension, plot_main_effects, plot_parallel
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.settings import SampleConfig, SimulateConfig, TrainConfig
from invgan.study import FIGURES, Row, Study, SweepPlan, load_plan, processes, sweep
from invgan.study.plan import check
from invgan.study.runs import Task, carry_out
from invgan.study.search import search_of
from invgan.study.spaces import Range, space_of
from invgan.study.yardstick import held_out_divergence

TRAIN = TrainConfig(
    head="linear", head_steps=20, steps=20, hidden=8, layers=1, evaluations=1, batch_size=64
)
TINY = Settings(simulate=SimulateConfig(n=1200), train=TRAIN, sample=SampleConfig(n=200))
RATES = {"vary": {"train.learning_rate": [1e-3, 2e-3]}}
FOUR = {"vary": {"train.gamma": [0.1, 0.2], "train.hidden": [8, 16]}, "seeds": [0, 1]}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A rough classifier for the held-out figures; other processes would not know of it."""
    if "slow" not in request.keywords:
        monkeypatch.setattr("invgan.gan.judge._QUICK_STEPS", 20)


class Counted:
    """The sum of two parameters, and how many rows were asked for."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.rows += len(x)
        return add(x)


@pytest.fixture
def counted() -> Problem:
    return Problem(Counted(), Prior(x1=stats.norm(), x2=stats.norm()), stats.norm(1, 0.5))


def bowl(task: Task) -> Row:
    """A run that is a formula: the score is smallest at gamma 0.3, and grows with hidden."""
    chosen = task.choice
    gamma, hidden = chosen.get("train.gamma", 0.3), chosen.get("train.hidden", 0)
    score = abs(np.log(gamma / 0.3)) + 0.001 * hidden + 1e-4 * task.seed
    return Row(task.number, task.seed, chosen, {"heldout": float(score)}, "healthy", 1.0)


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Runs are formulas; which were carried out, by number and seed."""
    done: list[tuple[int, int]] = []

    def noted(task: Task) -> Row:
        done.append((task.number, task.seed))
        return bowl(task)

    monkeypatch.setattr("invgan.study.workers.carry_out", noted)
    monkeypatch.setattr("invgan.study.conduct.write_summary", lambda *given: None)
    return done


def choices(**plan: Any) -> list[dict[str, Any]]:
    return [dict(choice) for choice in search_of(SweepPlan(**plan), 0).ask()]


# What is tried ----------------------------------------------------------------------------------


def test_a_grid_is_every_combination() -> None:
    vary = {"train.head": ["none", "flow"], "train.hidden": [8, 16, 32]}
    found = choices(vary=vary)
    assert [tuple(choice.values()) for choice in found] == [
        (head, hidden) for head in ("none", "flow") for hidden in (8, 16, 32)
    ]


def test_a_grid_takes_even_levels_of_a_range() -> None:
    gamma = choices(vary={"train.gamma": {"log_uniform": [0.01, 1]}})
    assert [c["train.gamma"] for c in gamma] == pytest.approx([0.01, 0.1, 1])
    rate = choices(vary={"train.clip": {"uniform": [1, 2]}}, levels=5)
    assert [c["train.clip"] for c in rate] == pytest.approx([1, 1.25, 1.5, 1.75, 2])
    whole = [
        c["train.critic_steps"] for c in choices(vary={"train.critic_steps": {"uniform": [1, 2]}})
    ]
    assert whole == [1, 2]
    assert all(type(k) is int for k in whole)


def test_random_draws_follow_their_laws() -> None:
    rng = np.random.default_rng(1)
    log = Range(0.01, 1, log=True, whole=False)
    draws = [np.log10(log.draw(rng)) for _ in range(2000)]
    assert stats.kstest(draws, stats.uniform(-2, 2).cdf).pvalue > 0.001
    assert stats.kstest(draws, stats.norm(-1, 0.6).cdf).pvalue < 0.001
    whole = Range(2, 4, log=False, whole=True)
    counts = np.bincount([whole.draw(rng) for _ in range(3000)], minlength=5)
    assert counts[:2].sum() == 0
    assert stats.chisquare(counts[2:]).pvalue > 0.001


def test_random_settings_are_the_same_again_and_more_of_them_are_others() -> None:
    plan = {"method": "random", "vary": {"train.gamma": {"log_uniform": [0.01, 1]}}}
    few, more = choices(**plan, runs=5), choices(**plan, runs=9)
    assert more[:5] == few
    assert len({c["train.gamma"] for c in more}) == 9
    other = search_of(SweepPlan(**plan, runs=5), 1).ask()
    assert [dict(c) for c in other] != few


def test_no_random_setting_is_tried_twice() -> None:
    found = choices(
        method="random", vary={"train.hidden": [8, 16], "train.layers": [1, 2]}, runs=50
    )
    assert len(found) == 4
    assert len({tuple(c.values()) for c in found}) == 4


def proposals(plan: SweepPlan, score: Callable[[dict[str, Any]], float | None]) -> list[Any]:
    search, found = search_of(plan, 3), []
    while asked := search.ask():
        found += asked
        search.tell([score(dict(choice)) for choice in asked])
    return found


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc"])
def test_optuna_proposes_what_did_well(sampler: str) -> None:
    pytest.importorskip("optuna")
    runs = 12 if sampler == "gp" else 40
    vary = {"train.gamma": {"log_uniform": [1e-3, 10]}, "train.head": ["none", "flow"]}
    plan = SweepPlan(method="optuna", sampler=sampler, runs=runs, vary=vary)

    def away(choice: dict[str, Any]) -> float:
        return abs(np.log(choice["train.gamma"] / 0.3)) + 3 * (choice["train.head"] == "none")

    found = proposals(plan, away)
    assert len(found) == runs
    assert found == proposals(plan, away)
    distances = [away(choice) for choice in found]
    if sampler == "tpe":
        assert np.median(distances[-20:]) < 0.6 * np.median(distances[:10])
        assert sum(choice["train.head"] == "flow" for choice in found[-20:]) >= 14
    assert {choice["train.head"] for choice in found} == {"none", "flow"}


def test_optuna_goes_on_after_failures() -> None:
    pytest.importorskip("optuna")
    vary = {"train.critic_steps": {"uniform": [1, 8]}}
    plan = SweepPlan(method="optuna", runs=12, vary=vary)
    found = proposals(plan, lambda c: None if c["train.critic_steps"] > 4 else 1.0)
    assert len(found) == 12
    assert {type(c["train.critic_steps"]) for c in found} == {int}


def test_without_optuna_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'invgan\[optuna\]'"):
        choices(method="optuna", **RATES)


# What is kept -----------------------------------------------------------------------------------


def test_a_stopped_sweep_goes_on(
    sum_problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    formula: list[tuple[int, int]],
) -> None:  # fmt: skip
    whole = sweep(sum_problem, TINY, FOUR, tmp_path / "whole", device="cpu")
    assert len(formula) == 8
    formula.clear()

    def stopped(task: Task) -> Row:
        if len(formula) == 3:
            raise KeyboardInterrupt
        formula.append((task.number, task.seed))
        return bowl(task)

    monkeypatch.setattr("invgan.study.workers.carry_out", stopped)
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        sweep(sum_problem, TINY, FOUR, out, device="cpu")
    assert len(list((out / "runs").iterdir())) == 3
    # What a killed process leaves of a file that it was writing is no row.
    (out / "runs" / ".0002-0.json.partial").write_text("{", encoding="utf-8")
    monkeypatch.setattr(
        "invgan.study.workers.carry_out",
        lambda task: formula.append((task.number, task.seed)) or bowl(task),
    )
    again = sweep(sum_problem, TINY, FOUR, out, device="cpu")
    assert again.rows == whole.rows
    assert sorted(formula) == [(n, s) for n in range(4) for s in range(2)]


def test_a_sweep_by_optuna_goes_on_as_if_it_had_not_stopped(
    sum_problem: Problem, tmp_path: Path, formula: list[tuple[int, int]]
) -> None:
    pytest.importorskip("optuna")
    plan = {"method": "optuna", "vary": {"train.gamma": {"log_uniform": [0.01, 1]}}, "batch": 3}
    whole = sweep(sum_problem, TINY, {**plan, "runs": 14}, device="cpu")
    sweep(sum_problem, TINY, {**plan, "runs": 6}, tmp_path, device="cpu")
    formula.clear()
    more = sweep(sum_problem, TINY, {**plan, "runs": 14}, tmp_path, device="cpu")
    assert more.rows == whole.rows
    assert len(formula) == 8


def test_more_seeds_repeat_no_run(
    sum_problem: Problem, tmp_path: Path, formula: list[tuple[int, int]]
) -> None:
    sweep(sum_problem, TINY, FOUR, tmp_path, device="cpu")
    formula.clear()
    study = sweep(sum_problem, TINY, {**FOUR, "seeds": [0, 1, 7]}, tmp_path, device="cpu")
    assert sorted(formula) == [(n, 7) for n in range(4)]
    assert len(study.rows) == 12


@pytest.mark.usefixtures("formula")
@pytest.mark.parametrize("other", ["problem", "plan", "settings", "seed", "exact"])
def test_the_folder_of_another_sweep_is_refused(
    sum_problem: Problem, tmp_path: Path, other: str
) -> None:
    sweep(sum_problem, TINY, RATES, tmp_path, device="cpu")
    problem, settings, plan, seed = sum_problem, TINY, dict(RATES), 0
    if other == "problem":
        problem = Problem(add, sum_problem.prior, stats.norm(2, 0.5))
    elif other == "plan":
        plan = {"vary": {"train.learning_rate": [1e-3, 3e-3]}}
    elif other == "settings":
        train = TrainConfig(**{**TRAIN.model_dump(), "hidden": 12})
        settings = Settings(simulate=TINY.simulate, train=train, sample=TINY.sample)
    elif other == "seed":
        seed = 1
    exact = np.zeros((50, 2)) if other == "exact" else None
    with pytest.raises(InputError, match="holds a sweep of another problem, plan, seed or setting"):
        sweep(problem, settings, plan, tmp_path, exact=exact, seed=seed, device="cpu")


@pytest.mark.usefixtures("formula")
def test_a_file_and_a_damaged_row_are_refused(sum_problem: Problem, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is a file, name another"):
        sweep(sum_problem, TINY, RATES, tmp_path / "file", device="cpu")
    out = tmp_path / "out"
    sweep(sum_problem, TINY, RATES, out, device="cpu")
    (out / "runs" / "0001-0.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"0001-0\.json is damaged .* remove it"):
        sweep(sum_problem, TINY, RATES, out, device="cpu")


def test_the_simulations_are_made_once(counted: Problem, tmp_path: Path) -> None:
    plan = {**RATES, "push_forward": False}
    study = sweep(counted, TINY, plan, tmp_path, device="cpu")
    assert counted.model.rows == TINY.simulate.n + 6  # six to see whether it is deterministic
    assert not study.failed
    assert all(row.figures["heldout"] is not None for row in study.rows)
    sweep(counted, TINY, {**plan, "seeds": [0, 1]}, tmp_path, device="cpu")
    assert counted.model.rows == TINY.simulate.n + 6


def test_a_table_gets_the_noise_of_the_measurement_as_in_a_run(tmp_path):
    x = np.random.default_rng(1).normal(size=(1500, 1))
    np.savetxt(tmp_path / "t.csv", np.c_[x, x], delimiter=",", header="a,y", comments="")
    problem = Problem(
        lambda x: x, Prior(a=stats.norm()), [[0.3]], noise={"normal": 1.0}, question="posterior"
    )
    table = load_table(tmp_path / "t.csv", problem)
    plan = {"vary": {"train.gamma": [0.1]}}
    (row,) = sweep(problem, TINY, plan, simulations=table, device="cpu").rows
    assert row.figures["nll"] == pytest.approx(0.5 * np.log(np.pi * np.e), abs=0.15)
    other = replace(problem, model=lambda x: 2 * x)
    with pytest.raises(InputError, match="they are another model"):
        sweep(other, TINY, plan, simulations=table, device="cpu")


def test_simulations_that_were_made_before_are_taken(
    counted: Problem, sum_simulations: Any, tmp_path: Path, formula: list[tuple[int, int]]
) -> None:
    given: dict[str, Any] = {"simulations": sum_simulations, "device": "cpu"}
    sweep(counted, TINY, RATES, tmp_path, **given)
    assert counted.model.rows == 20  # some of them are held against the model
    assert len(formula) == 2
    with pytest.raises(InputError, match="holds a sweep of another problem"):
        sweep(counted, TINY, RATES, tmp_path, device="cpu")


# What goes wrong --------------------------------------------------------------------------------


def test_a_failing_run_is_a_row_with_its_reason(counted: Problem) -> None:
    vary = {"train.loss": ["relativistic", "hinge"], "train.real_weight": [1, 2]}
    study = sweep(counted, TINY, {"vary": vary, "push_forward": False}, device="cpu")
    assert [bool(row.failure) for row in study.rows] == [False, True, False, False]
    (row,) = study.failed
    assert row.settings == {"train.loss": "relativistic", "train.real_weight": 2}
    assert row.failure.startswith("train.real_weight weighs the real and the fake part of a loss")
    assert row.score("heldout") is None
    assert study.best is not None
    assert study.best.number != 1


@pytest.mark.usefixtures("formula")
def test_a_score_by_few_held_out_pairs_is_refused_before_the_first_run(
    sum_problem: Problem, formula: list[tuple[int, int]]
) -> None:
    few = Settings(simulate=SimulateConfig(n=700), train=TRAIN, sample=TINY.sample)
    with pytest.raises(InputError, match=r"needs 50 held-out .* and \d\d of 35 are: raise simul"):
        sweep(sum_problem, few, RATES, device="cpu")
    assert not formula
    sweep(sum_problem, few, {**RATES, "score": "pushforward"}, device="cpu")
    assert len(formula) == 2


@pytest.mark.parametrize("method", ["grid", "optuna"])
def test_a_run_that_failed_by_chance_is_run_once_more(
    sum_problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    full, done = [True], list[int]()

    def lacking(task: Task) -> Row:
        done.append(task.number)
        if task.number == 1:
            raise InputError("no such setting")
        if task.number == 2 and full[0]:
            raise MemoryError("no memory left")
        return bowl(task)

    monkeypatch.setattr("invgan.study.runs._judged", lacking)
    monkeypatch.setattr("invgan.study.conduct.write_summary", lambda *given: None)
    plan: dict[str, Any] = {**FOUR, "seeds": None}
    if method == "optuna":
        pytest.importorskip("optuna")
        plan = {"method": "optuna", "vary": {"train.gamma": {"uniform": [0.1, 1]}}, "runs": 4}
    first = sweep(sum_problem, TINY, plan, tmp_path, device="cpu")
    assert [row.again for row in first.rows] == [False, False, True, False]
    full[0] = False
    done.clear()
    second = sweep(sum_problem, TINY, plan, tmp_path, device="cpu")
    assert done == ([2] if method == "grid" else [])
    assert [bool(row.failure) for row in second.rows] == [False, True, method != "grid", False]


def test_a_model_that_raises_later_is_a_row(sum_problem: Problem) -> None:
    calls = []

    def tired(x: np.ndarray) -> np.ndarray:
        calls.append(len(x))
        if len(calls) > 2:
            raise RuntimeError("no more licences")
        return add(x)

    problem = Problem(tired, sum_problem.prior, sum_problem.observations)
    settings = Settings(
        simulate=SimulateConfig(n=1200, chunk=4096), train=TRAIN, sample=TINY.sample
    )
    study = sweep(problem, settings, {"vary": {"train.gamma": [0.1]}}, device="cpu")
    assert study.best is None
    assert len(study.failed) == 1
    assert "no more licences" in str(study.failed[0].failure)


def test_a_run_that_blows_up_is_a_row(
    sum_problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    from invgan.gan import train

    def broken(*given: Any, **named: Any) -> Any:
        inverse = train(*given, **named)
        if inverse.config.learning_rate > 1.5e-3:
            rows = [row for row in inverse.history if row["phase"] == "gan"]
            rows[-1]["critic_loss"] = float("nan")
        return inverse

    monkeypatch.setattr("invgan.stages.train", broken)
    study = sweep(sum_problem, TINY, {**RATES, "push_forward": False}, device="cpu")
    assert [bool(row.failure) for row in study.rows] == [False, True]
    assert str(study.rows[1].failure).startswith("critic's loss is not finite from step")
    assert study.rows[1].health == "blown up"
    json.dumps(study.rows[1].to_dict(), allow_nan=False)


class Planted(Executor):
    """An executor whose workers fail by themselves."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(self._error)
        return future


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BrokenExecutor("killed"), "a worker of the sweep ended before its run was over"),
        (AttributeError("Can't pickle <lambda>"), "a run cannot be handed to the workers"),
    ],
)
def test_workers_that_fail_end_the_sweep_with_a_sentence(
    sum_problem: Problem, error: Exception, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        sweep(sum_problem, TINY, RATES, executor=Planted(error), device="cpu")


# In parallel ------------------------------------------------------------------------------------


def without_seconds(study: Study) -> list[dict[str, Any]]:
    return [{**row.to_dict(), "seconds": 0} for row in study.rows]


class Backwards(Executor):
    """An executor that carries out the last task first, when it has all of them."""

    def __init__(self, count: int) -> None:
        self._count, self._held = count, list[tuple[Future[Any], Any, Any]]()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._held.append((future, fn, args))
        if len(self._held) == self._count:
            for held, function, given in reversed(self._held):
                held.set_result(function(*given))
        return future


@pytest.mark.slow
def test_in_another_order_the_rows_are_the_same(sum_problem: Problem) -> None:
    plan = {"vary": {"train.gamma": [0.1]}, "seeds": [0, 5]}
    serial = sweep(sum_problem, TINY, plan, device="cpu")
    parallel = sweep(sum_problem, TINY, plan, executor=Backwards(2), device="cpu")
    assert without_seconds(parallel) == without_seconds(serial)
    found = [row.figures for row in serial.rows]
    assert len({figures["critic_loss"] for figures in found}) == 2
    for figures in found:
        assert 0 < figures["share"] <= 1
        assert 0.4 < figures["pushforward"] < 1
        assert -0.1 < figures["heldout"] < np.log(2)


@pytest.mark.usefixtures("formula")
def test_in_parallel_optuna_proposes_the_same(sum_problem: Problem) -> None:
    pytest.importorskip("optuna")
    plan = {"method": "optuna", "runs": 12, "vary": {"train.gamma": {"log_uniform": [0.01, 1]}}}
    serial = sweep(sum_problem, TINY, plan, device="cpu")
    with ThreadPoolExecutor(3) as executor:
        parallel = sweep(sum_problem, TINY, plan, executor=executor, device="cpu")
    assert parallel.rows == serial.rows


@pytest.mark.slow
def test_processes_give_the_same_rows(sum_problem: Problem) -> None:
    serial = sweep(sum_problem, TINY, RATES, device="cpu")
    with processes(2) as executor:
        parallel = sweep(sum_problem, TINY, RATES, executor=executor, device="cpu")
    assert without_seconds(parallel) == without_seconds(serial)


def test_workers_are_one_or_more() -> None:
    with pytest.raises(InputError, match="workers must be 1 or more; got 0"), processes(0):
        pass


# What is found ----------------------------------------------------------------------------------


def test_the_exact_answer_and_the_density_of_a_posterior(sum_problem: Problem) -> None:
    problem = Problem(add, sum_problem.prior, [[1.0]], question="posterior", noise={"normal": 0.5})
    rng = np.random.default_rng(0)
    # x1 + x2 = s with s ~ N(0.889, 0.471^2) given y = 1, and x1 - x2 ~ N(0, 2).
    s, gap = rng.normal(8 / 9, np.sqrt(2 / 9), 500), rng.normal(0, np.sqrt(2), 500)
    exact = np.stack([s + gap, s - gap], axis=1) / 2
    train = TrainConfig(**{**TRAIN.model_dump(), "members": 1, "judge": False})
    settings = Settings(simulate=TINY.simulate, train=train, sample=SampleConfig(n=500))
    plan = {"vary": {"train.head": ["linear", "none"]}, "score": "exact"}
    study = sweep(problem, settings, plan, exact=exact, device="cpu")
    linear, none = (row.figures for row in study.rows)
    assert study.failed == ()
    assert linear["exact"] < 0.62 < none["exact"]
    assert linear["pushforward"] is None
    # Two Gaussians: half of the log-determinant of 2 pi e times the covariance given y, 2/9 and 2.
    entropy = np.log(2 * np.pi * np.e) + 0.5 * np.log(0.5 * (2 / 9) * 2 / 2)
    assert linear["nll"] == pytest.approx(entropy, abs=0.4)
    assert none["nll"] is None
    assert study.best is not None
    assert study.best.settings == {"train.head": "linear"}


def row(number: int, seed: int, score: float | None, failure: str | None = None) -> Row:
    figures = {"heldout": score}
    return Row(number, seed, {"train.gamma": float(number + 1)}, figures, "healthy", 2.0, failure)


def study_of(*rows: Row) -> Study:
    plan = SweepPlan(vary={"train.gamma": [float(n + 1) for n in range(5)]})
    return Study(plan, TINY, rows)


def test_the_best_is_that_of_the_smallest_mean() -> None:
    study = study_of(row(0, 0, 0.5), row(0, 1, 0.1), row(1, 0, 0.2), row(1, 1, 0.25))
    assert study.best is not None
    assert study.best.number == 1
    assert study.best.score == pytest.approx(0.225)
    assert study.best_settings is not None
    assert study.best_settings.train.gamma == 2.0
    assert study.best_settings.train.hidden == TRAIN.hidden


def test_a_setting_that_failed_for_a_seed_is_best_only_where_all_did() -> None:
    lucky = row(0, 0, 0.1), row(0, 1, None, "blown up")
    study = study_of(*lucky, row(1, 0, 0.2), row(1, 1, 0.3))
    assert study.best is not None
    assert study.best.number == 1
    assert [tried.failed for tried in study.tried] == [0, 1]
    both = study_of(*lucky, row(1, 0, 0.05), row(1, 1, None, "blown up"))
    assert both.best is not None
    assert both.best.number == 1
    assert study_of(row(0, 0, None, "blown up")).best is None


def test_the_files_of_a_sweep(
    sum_problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invgan.study.workers.carry_out", bowl)
    study = sweep(sum_problem, TINY, FOUR, tmp_path, device="cpu")
    lines = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert len(lines) == 8
    assert [float(line["heldout"]) for line in lines] == study.column("heldout")
    assert {line["train.hidden"] for line in lines} == {"8", "16"}
    assert {line["health"] for line in lines} == {"healthy"}
    text = (tmp_path / "summary.md").read_text()
    assert "8 runs of 4 settings. **Best by heldout**: train.gamma 0.2, train.hidden 8" in text
    assert "figures/main-effects.png" in text
    for name in ("main-effects", "parallel-coordinates"):
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_shares_of_the_variance_of_a_grid() -> None:
    a = np.repeat([0.1, 0.2, 0.3], 4)
    b = np.tile(["x", "y"], 6).tolist()
    scores = 10 * a + np.tile([0.0, 1.0], 6)
    first, second = Dimension.of("a", a.tolist()), Dimension.of("b", b)
    assert first.labels == ("0.1", "0.2", "0.3")
    assert second.labels == ("x", "y")
    assert first.means(scores) == pytest.approx([1.5, 2.5, 3.5])
    assert first.share(scores) + second.share(scores) == pytest.approx(1)
    assert second.share(scores) == pytest.approx(0.25 / (0.25 + 2 / 3))
    assert Dimension.of("c", [1] * 12).share(scores) == 0


def test_many_numbers_are_binned_in_order() -> None:
    values = np.geomspace(1e-3, 10, 50)
    found = Dimension.of("rate", np.random.default_rng(0).permutation(values).tolist(), log=True)
    assert np.bincount(found.groups).tolist() == [10] * 5
    assert found.places.min() == 0
    assert sorted(found.places) == pytest.approx(np.linspace(0, 1, 50))
    assert found.labels[0].startswith("0.001 to ")


def test_levels_stand_in_order_whatever_they_are() -> None:
    found = Dimension.of("odd", [None, 10, "b", 2, True, [3, 4], 2])
    assert found.labels == ("2", "10", "b", "[3, 4]", "null", "true")
    assert found.groups.tolist() == [4, 1, 2, 0, 5, 3, 0]


def test_the_figures_show_every_setting() -> None:
    scores = np.array([0.3, 0.1, 0.2, 0.4])
    shown = [Dimension.of("train.gamma", [1, 1, 2, 2]), Dimension.of("head_$x$", list("abab"))]
    effects, parallel = plot_main_effects(shown, scores, "s"), plot_parallel(shown, scores, "s")
    assert isinstance(effects, Figure)
    assert [axes.get_title(loc="left") for axes in effects.axes] == ["train.gamma", r"head_\$x\$"]
    means = effects.axes[1].lines[1].get_ydata()
    assert means == pytest.approx([0.25, 0.25])
    lines = [line for line in parallel.axes[0].lines if len(line.get_xdata()) == 3]
    assert len(lines) == 4
    # The best is drawn last, and so on top.
    assert lines[-1].get_ydata()[-1] == 0
    effects.canvas.draw()
    parallel.canvas.draw()


# What the files may say -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vary: {train.gama: [1, 2]}", r"vary\.train\.gama is not a setting; did you mean vary\."),
        ("vary: {gamma: [1, 2]}", r"did you mean vary\.train\.gamma\?"),
        ("vary: {banana: [1, 2]}", r"vary\.banana is no setting of train or sample"),
        ("vary: {simulate.n: [1, 2]}", r"vary\.simulate\.n cannot vary: the simulations are made"),
        ("vary: {mcmc.steps: [1, 2]}", r"vary\.mcmc\.steps cannot vary"),
        ("vary: {train.gamma: 0.1}", r"vary\.train\.gamma must be a list of values, \{uniform"),
        ("vary: {train.gamma: []}", r"vary\.train\.gamma must not be empty"),
        ("vary: {train.gamma: [1, 1]}", r"vary\.train\.gamma lists 1 twice; keep one"),
        ("vary: {train.gamma: {uniform: [2, 1]}}", r"gamma\.uniform must have low < high"),
        ("vary: {train.gamma: {uniform: [2]}}", r"gamma\.uniform must be \[low, high\]"),
        ("vary: {train.gamma: {log_uniform: [0, 1]}}", "must have low above 0, or use uniform"),
        ("vary: {train.hidden: {uniform: [8.5, 16]}}", "must be whole numbers for this setting"),
        ("vary: {train.judge: {uniform: [0, 1]}}", "takes no range; list the values to try"),
        ("vary: {}", "vary must not be empty"),
        ("method: grid", "vary is missing; say which settings differ"),
        ("metod: grid\nvary: {train.gamma: [1]}", "metod is not a setting; did you mean method?"),
        ("method: lucky\nvary: {train.gamma: [1]}", "method must be 'grid', 'random' or 'optuna'"),
        ("runs: 0\nvary: {train.gamma: [1]}", "runs must be 1 or more; got 0"),
        ("seeds: [1, 1]\nvary: {train.gamma: [1]}", "seeds must differ from each other"),
        ("seeds: []\nvary: {train.gamma: [1]}", "seeds must not be empty"),
        ("score: beauty\nvary: {train.gamma: [1]}", "score must be 'heldout', 'pushforward'"),
        ("- train.gamma", "must hold settings by name, such as `vary:`; got"),
        ("", "must hold settings by name, such as `vary:`; got None"),
        ("vary: {train.gamma: [1, 2", "line 1"),
    ],
)
def test_a_plan_that_is_not_usable_is_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        load_plan(path)
    assert "\n" not in str(caught.value)


def test_the_plan_of_the_page_loads(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yml"
    path.write_text(
        "method: random\nruns: 7\nseeds: [0, 1, 2]\nvary:\n  train.learning_rate: [1e-3, 2e-3]\n"
        "  train.gamma: {log_uniform: [0.01, 1]}\n  train.network.norm: [none, layer]\n"
        "score: heldout\n",
        encoding="utf-8",
    )
    plan = load_plan(path)
    assert (plan.method, plan.runs, plan.seeds) == ("random", 7, (0, 1, 2))
    assert plan.spaces["train.learning_rate"].levels(3) == (1e-3, 2e-3)
    assert plan.spaces["train.gamma"] == Range(0.01, 1, log=True, whole=False)


def refused(
    problem: Problem, vary: dict[str, Any], *, settings: Settings = TINY, **more: Any
) -> str:
    with pytest.raises(InputError) as caught:
        check(SweepPlan(vary=vary, **more), problem, settings, exact=False)
    return str(caught.value)


def test_what_cannot_be_run_is_refused_before_it_is(sum_problem: Problem) -> None:
    gamma = {"train.gamma": [0.1, 0.2]}
    assert refused(sum_problem, {"train.steps": [10, -1]}).startswith("vary.train.steps must be 0")
    said = refused(sum_problem, {"train.network.kind": ["mlp", "resnet"]})
    assert said.startswith("vary.train.network.kind must be 'mlp'")
    assert "the relativistic loss is no sum" in refused(sum_problem, {"train.real_weight": [1, 2]})
    rounds = Settings(simulate=SimulateConfig(n=1200, rounds=2), train=TRAIN)
    assert "set simulate.rounds: 1; got 2" in refused(sum_problem, gamma, settings=rounds)
    assert "train.method must be cgan" in refused(sum_problem, {"train.method": ["cgan", "rgan"]})
    assert refused(sum_problem, gamma, score="exact").startswith("score exact needs draws of")
    assert refused(sum_problem, gamma, score="nll").startswith("score nll is the density of")
    said = refused(sum_problem, gamma, score="pushforward", push_forward=False)
    assert said.startswith("score pushforward compares the outputs")
    huge = {f"train.{name}": {"uniform": [1, 2]} for name in ("gamma", "clip", "lipschitz")}
    assert "the grid has 1000000 settings" in refused(sum_problem, huge, levels=100)


def test_a_value_that_fits_some_others_is_no_mistake(sum_problem: Problem) -> None:
    vary = {"train.real_weight": [1, 2], "train.loss": ["relativistic", "hinge"]}
    check(SweepPlan(vary=vary), sum_problem, TINY, exact=False)


# The command line -------------------------------------------------------------------------------

CONFIG = """\
seed: 3
device: cpu
problem:
  model: model.py:total
  prior: {a: {normal: [0, 1]}, b: {normal: [0, 1]}}
  observations: {normal: [1, 0.5]}
simulate: {n: 1200}
train:
  {head: linear, head_steps: 20, steps: 20, hidden: 8, layers: 1, evaluations: 1, batch_size: 64}
sample: {n: 200}
mcmc: {enabled: false}
"""
MODEL = "def total(x):\n    return x.sum(axis=1, keepdims=True)\n"
PLAN = "vary: {train.critic_steps: [1, 2]}\nseeds: [3, 4]\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    (tmp_path / "sweep.yml").write_text(PLAN, encoding="utf-8")
    path = tmp_path / "config.yml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def invgan(config: Path, *more: str) -> Result:
    out, plan = config.parent / "runs" / "study", config.with_name("sweep.yml")
    words = ["sweep", str(config), str(plan), "--out", str(out), *more]
    return CliRunner().invoke(main, words)


@pytest.mark.slow
def test_the_best_setting_gives_the_same_figures_again(config: Path) -> None:
    result = invgan(config, "--quiet")
    assert result.exit_code == 0, result.output
    assert "4 runs of 2 settings\nbest: train.critic_steps " in result.stdout
    out = config.parent / "runs" / "study"
    best = load_config(out / "best.yml")
    assert best.seed == 3
    lines = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    (line,) = (
        line
        for line in lines
        if int(line["train.critic_steps"]) == best.train.critic_steps and line["seed"] == "3"
    )
    solution = Run(build_problem(best, out), best, None, seed=best.seed, device="cpu").solve()
    (again,) = [row for row in solution.inverse.history if row["step"] == best.train.steps][-1:]
    assert float(line["critic_loss"]) == again["critic_loss"]
    assert float(line["divergence"]) == solution.inverse.info["divergence"]
    assert float(line["share"]) == solution.samples.info["effective_share"]
    figure = held_out_divergence(solution.inverse, solution.simulations)
    assert float(line["heldout"]) == figure
    others = [one["critic_loss"] for one in lines if one is not line]
    assert str(again["critic_loss"]) not in others


def test_a_rehearsal_writes_nothing(config: Path) -> None:
    result = invgan(config, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "varies      train.critic_steps" in result.stdout
    assert "runs        4, 1 at once" in result.stdout
    assert not (config.parent / "runs").exists()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("vary: {train.gama: [1, 2]}", "did you mean vary.train.gamma?"),
        ("vary: {train.steps: [-1, 2]}", "vary.train.steps must be 0 or more; got -1"),
    ],
)
def test_a_bad_plan_is_one_sentence(config: Path, plan: str, said: str) -> None:
    config.with_name("sweep.yml").write_text(plan, encoding="utf-8")
    result = invgan(config)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert said in line
    assert not (config.parent / "runs").exists()


def test_a_sweep_in_which_all_runs_fail_says_so(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(task: Task) -> Row:
        return Row(task.number, task.seed, task.choice, failure="the moon is full")

    monkeypatch.setattr("invgan.study.workers.carry_out", failed)
    result = invgan(config, "--quiet")
    assert result.exit_code == 2
    assert "no run gave the figure heldout (first: the moon is full)" in result.stderr
    assert not (config.parent / "runs" / "study" / "best.yml").exists()


def test_ctrl_c_keeps_the_finished_runs(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(task: Task) -> Row:
        if task.number == 1:
            raise KeyboardInterrupt
        return bowl(task)

    monkeypatch.setattr("invgan.study.workers.carry_out", stopped)
    result = invgan(config, "--quiet")
    assert result.exit_code == 130
    assert result.stderr.startswith("invgan: stopped; runs, simulations, sweep.json kept in ")
    assert result.stderr.endswith(", and the same command goes on from there\n")
    kept = sorted(p.name for p in (config.parent / "runs" / "study" / "runs").iterdir())
    assert kept == ["0000-3.json", "0000-4.json"]


@pytest.mark.slow
def test_workers_of_the_command_line_give_the_same_table(config: Path) -> None:
    assert invgan(config, "--quiet", "--workers", "2").exit_code == 0
    out = config.parent / "runs" / "study"
    parallel = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    out.rename(out.with_name("first"))
    assert invgan(config, "--quiet").exit_code == 0
    serial = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    for one, other in zip(parallel, serial, strict=True):
        assert {**one, "seconds": ""} == {**other, "seconds": ""}


def test_a_run_alone_is_a_row(sum_problem: Problem, sum_simulations: Any) -> None:
    task = Task(7, 1, {"train.hidden": 16}, TINY, lambda: sum_problem, sum_simulations, None, False,
                "cpu")  # fmt: skip
    found = carry_out(task)
    assert (found.number, found.seed, found.failure) == (7, 1, None)
    assert found.seconds > 0
    assert Row.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert space_of([1, 2]).levels(9) == (1, 2)


# What is written about it ------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]


def test_the_page_names_every_key_and_figure() -> None:
    page = (ROOT / "docs" / "hyperparameters.md").read_text(encoding="utf-8")
    for name in [*SweepPlan.model_fields, *FIGURES]:
        assert f"`{name}`" in page, name


def test_the_plan_of_the_page_and_of_the_example_can_be_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "hyperparameters.md").read_text(encoding="utf-8")
    path = tmp_path / "sweep.yml"
    path.write_text(page.split("```\n")[3], encoding="utf-8")
    config = load_config(ROOT / "examples" / "sweep" / "config.yml")
    problem = build_problem(config, tmp_path)
    for file in (path, ROOT / "examples" / "sweep" / "sweep.yml"):
        check(load_plan(file), problem, config, exact=True)
