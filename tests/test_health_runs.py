"""The health monitor on games that are made to fail, and on healthy ones.

The games are those of benchmarks/health.py, here with seeds of their own. One of most kinds
is played by default; the whole count, with its bars, takes minutes.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from scipy import stats

from invgan.gan import train
from invgan.gan.networks import Generator
from invgan.gan.recovery import play_with_recovery
from invgan.gan.stage import Plan
from invgan.health import FAILURES, diagnose
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.settings import TrainConfig
from invgan.simulation import simulate


def benchmark() -> ModuleType:
    """The benchmark as a module."""
    path = Path(__file__).parents[1] / "benchmarks" / "health.py"
    spec = importlib.util.spec_from_file_location("health_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench = benchmark()
FIRST = 200
QUICK = ("blown up", "mode collapse", "healthy")
SLOWER = tuple(kind for kind in bench.KINDS if kind not in QUICK)


@pytest.mark.parametrize(
    "kind", [*QUICK, *(pytest.param(k, marks=pytest.mark.slow) for k in SLOWER)]
)
def test_a_game_of_each_kind_is_named(kind: str) -> None:
    game = bench.games(kind)[8 if kind == "healthy" else 0]
    row = bench.play(replace(game, settings={**game.settings, "evaluations": 6}), FIRST)
    assert row["failed"]
    assert row["name"] == kind, row["said"]


@pytest.mark.slow
def test_a_game_that_converges_is_never_accused_on_its_way() -> None:
    """While it runs it is not yet trained, or healthy."""
    row = bench.play(bench.Game("healthy", "linear", {"gamma": 0.3, "evaluations": 6}), FIRST + 1)
    evaluated = [i for i, r in enumerate(row["history"]) if "heldout" in r]
    for last in evaluated:
        assert diagnose(row["history"][: last + 1]).name in ("not yet trained", "healthy")


@pytest.mark.slow
def test_a_game_that_blew_up_recovers() -> None:
    """Played again at a tenth of the rate, and once more, from the beginning or the best so far."""
    game = bench.Game("blown up", "linear", {"learning_rate": 5.0, "steps": 90})
    rates = []

    def play(config: TrainConfig, start: Generator | None, attempt: int, /) -> Any:
        rates.append(config.learning_rate)
        pairs, selection = bench.pairs_of(game, FIRST)
        stage = bench.Watched(pairs, selection, config, torch.Generator().manual_seed(attempt))
        if start is not None:
            stage.begin_from(start)
        return stage.kept, bench.watched(stage, Plan(config.steps, 6, None))

    result = play_with_recovery(play, TrainConfig(**{**bench.SMALL, **game.settings}))
    assert rates == pytest.approx([5.0, 0.5, 0.05][: len(rates)])
    assert result.restarts[0]["failure"] == "blown up"
    assert result.restarts[-1]["heldout"][1] < 0.7 * result.untrained
    assert result.health.name != "blown up"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["critic wins", "mode collapse", "oscillation"])
def test_a_game_that_failed_is_none_the_worse_for_restarts(kind: str) -> None:
    """Held-out pairs choose among the attempts; on pairs that none has seen it is no worse too."""
    game, seed = bench.games(kind)[0], FIRST
    once, again = (bench.recovered(game, seed, restarts) for restarts in (0, 2))
    assert once.health.name == kind
    assert once.restarts == ()
    first = again.restarts[0]
    assert first["failure"] == kind
    assert first["changed"]
    assert first["heldout"][0] == figure(once)
    assert figure(again) == min(figure(once), *(r["heldout"][1] for r in again.restarts))
    assert bench.apart(again.kept, game, seed) <= bench.apart(once.kept, game, seed) + 0.01


def figure(result: Any) -> float:
    """The held-out figure of what was kept."""
    kept: list[float] = [row["heldout"] for row in result.history if row.get("kept")]
    return kept[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "settings", "share"),
    [
        ("critic wins", {"loss": "nonsaturating", "generator_rate": 2e-6, "critic_steps": 3,
                         "gamma": 0.001}, 0.2),
        ("oscillation", {"penalty": "none", "averaging": 0.0, "learning_rate": 0.03,
                         "network": {"slope": 0.9}}, 1.0),
    ],
)  # fmt: skip
def test_training_plays_a_game_that_failed_again(
    failure: str, settings: dict[str, Any], share: float
) -> None:
    problem = Problem(
        lambda x: x.sum(axis=1), Prior(a=stats.norm(), b=stats.norm()), stats.norm(0.5, 0.5)
    )
    simulations = simulate(problem, 4000, seed=1)
    config = {**bench.SMALL, "steps": 200, **settings}
    once, again = (
        train(problem, simulations, TrainConfig(**config, restarts=n), seed=1, device="cpu").info
        for n in (0, 2)
    )
    assert once["restarts"] == []
    assert once["health"]["name"] == failure
    assert again["restarts"][0]["failure"] == failure
    assert again["restarts"][0]["heldout"][0] == once["divergence"]
    assert again["divergence"] <= share * once["divergence"]


@pytest.mark.slow
def test_failures_are_named_and_healthy_games_let_pass() -> None:
    """The bars: 95 of 100 made failures, at least four of five of each kind; one alarm in 20."""
    right = {kind: sum(row["name"] == kind for row in twenty(kind)) for kind in bench.KINDS}
    made = [right[kind] for kind in FAILURES]
    assert sum(made) >= 0.95 * 20 * len(made), right
    assert min(made) >= 16, right
    assert right["healthy"] >= 19


def twenty(kind: str) -> list[dict[str, Any]]:
    """Twenty games of one kind that came about, those of the table in docs/health.md."""
    rows: list[dict[str, Any]] = []
    made = bench.games(kind)
    for number in range(100):
        if len(rows) == 20:
            break
        row = bench.play(made[bench.STRIDE * number % len(made)], 1000 + number)
        rows += [row] * row["failed"]
    return rows


def test_every_failure_is_made() -> None:
    assert set(bench.KINDS) == {*FAILURES, "healthy"}
