"""Outputs under further noise: what a known law of the noise makes of each run of the model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import invgan as ig
from invgan.gan import pairing, train
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.rounds import simulate_rounds
from invgan.scaling import ParameterScaling
from invgan.settings import SimulateConfig, TrainConfig
from invgan.simulation import simulate

CPU = torch.device("cpu")
PRIOR = Prior(u=stats.norm(), v=stats.norm())
NOISES = {
    "normal": {"normal": {"a": 5.0, "b": 0.1}},
    "lognormal": {"lognormal": 0.3},
    "student_t": {"student_t": {"df": 2, "sd": 0.1}},
}
QUICK = TrainConfig(
    head="small", head_steps=600, steps=0, members=1, judge=False, hidden=32, likelihood=False
)
OUTPUTS = 10
WEIGHTS = np.random.default_rng(5).normal(size=(2, OUTPUTS))


def model(x):
    """Two outputs of very different size; a tenth of the prior gives none."""
    y = np.stack([1e6 * x[:, 0] + x[:, 1], np.exp(x[:, 1])], axis=1)
    return np.where(x[:, :1] > 1.3, np.nan, y)


def posed(noise, repeats=1, **more):
    observed = 1.0 + np.arange(2.0 * repeats).reshape(repeats, 2)
    return Problem(
        model, PRIOR, observed, outputs=["a", "b"], noise=noise, question="posterior", **more
    )


def linear(sd=1.0):
    return Problem(
        lambda x: x @ WEIGHTS, PRIOR, np.zeros((1, OUTPUTS)), noise={"normal": sd},
        question="posterior",
    )  # fmt: skip


def paired(problem, simulations, config=QUICK):
    seen = pairing.under_noise(problem, simulations, seed=3)
    ends = pairing.region(problem, seen, config)
    scale = ParameterScaling.fit(problem.prior, np.random.default_rng(0))
    return pairing.material(
        problem, simulations, seen, config, scale, ends, seed=3, device=CPU, folder=None
    )


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("kind", NOISES)
def test_the_own_outputs_stand_beside_the_observed_ones(kind, repeats, tmp_path):
    problem = posed(NOISES[kind], repeats)
    made = simulate(problem, 2500, seed=3, max_failures=0.2)
    assert len(made.failed) > 100
    own = model(made.x)
    assert np.allclose(made.own, own, rtol=1e-9, atol=1e-9 * np.abs(own).mean(axis=0))
    assert not np.allclose(made.y[:, :2], own, rtol=1e-9)
    kept = simulate(problem, 2500, seed=3, max_failures=0.2, store=tmp_path / "store")
    assert np.array_equal(kept.own, made.own)
    grown = simulate(problem, 3000, seed=3, max_failures=0.2, store=tmp_path / "store")
    assert np.array_equal(grown.own[: len(made)], made.own)


def test_a_model_with_noise_of_its_own_is_measured_again():
    def noisy(x, rng):
        return x + rng.normal(size=x.shape)

    one = Problem(
        noisy, PRIOR, [[0.0, 1.0]], outputs=["a", "b"], noise={"normal": 0.1}, stochastic=True,
        question="posterior",
    )  # fmt: skip
    made = simulate(one, 500, seed=1)
    assert np.std(made.y - made.own) == pytest.approx(0.1, rel=0.1)
    assert np.std(made.own - made.x) == pytest.approx(1, rel=0.1)
    twice = replace(one, observations=np.zeros((2, 2)))
    assert simulate(twice, 100, seed=1).own is None, "each repeat is a run of its own"
    silent = replace(one, noise=None)
    assert simulate(silent, 100, seed=1).own is None


def test_pairs_are_the_runs_under_as_much_noise_as_there_is_room_for(monkeypatch):
    problem = linear(sd=0.5)
    simulations = simulate(problem, 1000, seed=1)
    found = paired(problem, simulations)
    assert found.copies == 32
    assert len(found.pairs.u) == 32 * 850
    assert len(found.selection.u) == 100, "held-out rows stay as they were observed"
    u = found.pairs.u.reshape(32, 850, 2)
    assert torch.equal(u, u[:1].expand_as(u))
    seen = np.stack(pairing.under_noise(problem, simulations, seed=3))
    assert np.array_equal(seen[0], simulations.training.y)
    scores = found.scaling.to_network(seen.reshape(-1, OUTPUTS))
    assert np.allclose(found.pairs.y, scores, atol=1e-5)
    noise = seen - simulations.training.own
    assert noise.std(axis=(1, 2)) == pytest.approx(np.full(32, 0.5), rel=0.05)
    assert np.abs(np.corrcoef(noise.reshape(32, -1)) - np.eye(32)).max() < 0.06
    monkeypatch.setattr(pairing, "_COPIED_ROWS", 3 * 850)
    assert paired(problem, simulations).copies == 3
    monkeypatch.setattr(pairing, "_COPIED_VALUES", 2 * 850 * (2 + OUTPUTS))
    assert paired(problem, simulations).copies == 2
    assert paired(replace(problem, noise=None), simulations).copies == 1
    unknown = replace(simulations, own=None)
    assert torch.equal(paired(problem, unknown).pairs.y, paired(problem, simulations).pairs.y[:850])


@pytest.mark.slow
def test_few_runs_are_worth_more_than_their_pairs(monkeypatch):
    """300 runs, two parameters, ten noisy outputs: the exact posterior is normal."""
    problem = linear()
    simulations, fresh = simulate(problem, 300, seed=1), simulate(problem, 4000, seed=2)
    covariance = np.linalg.inv(np.eye(2) + WEIGHTS @ WEIGHTS.T)
    mean = fresh.y @ WEIGHTS.T @ covariance
    exact = stats.multivariate_normal(cov=covariance).logpdf(fresh.x - mean).mean()

    def loss(**more):
        inverse = train(problem, simulations, QUICK.model_copy(update=more), seed=4, device="cpu")
        return exact - inverse.log_prob(fresh.x, fresh.y).mean(), inverse.info

    many, info = loss()
    assert (info["copies"], info["share_of_simulations"]) == (32, 1)
    monkeypatch.setattr(pairing, "_MOST_COPIES", 1)
    one, info = loss()
    assert info["copies"] == 1
    assert 0 < many < 0.7 * one


def test_rounds_and_tables_keep_the_own_outputs():
    problem = linear()
    quick = QUICK.model_copy(update={"head_steps": 60})
    rounds = simulate_rounds(problem, SimulateConfig(n=900, rounds=2), quick, seed=1, device="cpu")
    assert np.allclose(rounds.own, rounds.x @ WEIGHTS)
    if rounds.beyond is not None:
        assert np.allclose(rounds.beyond.own, rounds.beyond.x @ WEIGHTS)
    settings = ig.Settings(
        train=quick, sample=ig.SampleConfig(n=200), mcmc=ig.McmcConfig(enabled=False)
    )
    x = PRIOR.sample(400, np.random.default_rng(1))
    table = ig.Simulations(x, x @ WEIGHTS, PRIOR.names, problem.outputs, x[:0], {"table": "a.csv"})
    solution = ig.solve(problem, settings=settings, simulations=table, seed=1, device="cpu")
    assert np.array_equal(solution.simulations.own, table.y)
    assert np.std(solution.simulations.y - table.y) == pytest.approx(1, rel=0.05)
    assert solution.inverse.info["copies"] == 32
