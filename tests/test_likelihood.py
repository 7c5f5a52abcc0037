"""MCMC for the posterior: closed forms, separate branches, known likelihoods, and refusals."""

import numpy as np
import pytest
from scipy import stats

from invgan.config import Settings
from invgan.errors import InputError, ModelError
from invgan.fingerprints import fingerprints
from invgan.mcmc import run_mcmc
from invgan.mcmc.doubts import doubt
from invgan.metrics import c2st
from invgan.pipeline import Run
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.settings import McmcConfig, SampleConfig, SimulateConfig
from invgan.simulation import simulate

PRIOR = Prior(a=stats.norm(), b=stats.norm())
A = np.array([[1.0, 0.5], [0.2, -1.0], [1.0, 1.0]])
SD = np.array([0.5, 0.3, 1.0])
WIDE = Prior(a=stats.norm(0, 1), b=stats.norm(1, 2))


def add(x):
    return x.sum(axis=1)


def linear_posterior(repeats):
    """A linear model with Gaussian noise, and its posterior's mean and covariance."""
    rows = np.array([1.0, -0.4, 1.5]) + SD * np.random.default_rng(3).normal(size=(repeats, 3))
    problem = Problem(lambda x: x @ A.T, WIDE, rows, question="posterior", noise={"normal": SD})
    prior_precision, weight = np.diag([1, 0.25]), A.T / SD**2
    cov = np.linalg.inv(prior_precision + repeats * weight @ A)
    return problem, cov @ (prior_precision @ [0, 1] + weight @ rows.sum(axis=0)), cov


@pytest.fixture(scope="module", params=[1, 20])
def measured(request):
    problem, mean, cov = linear_posterior(request.param)
    simulations = simulate(problem, 2000, seed=1)
    return problem, run_mcmc(problem, simulations, 4000, walkers=16, steps=800, seed=2), mean, cov


def test_a_linear_model_has_the_closed_form_posterior(measured):
    _, samples, mean, cov = measured
    sd = np.sqrt(np.diag(cov))
    assert samples.info["converged"], samples.info["message"]
    assert (samples.x.mean(axis=0) - mean) / sd == pytest.approx([0, 0], abs=0.08)
    assert np.cov(samples.x.T) / np.outer(sd, sd) == pytest.approx(cov / np.outer(sd, sd), abs=0.12)
    exact = np.random.default_rng(4).multivariate_normal(mean, cov, 4000)
    assert c2st(samples.x, exact) < 0.53
    narrow = mean + (exact - mean) / 1.3
    assert c2st(samples.x, narrow) > 0.53


def test_outputs_are_predictions_of_the_repeats_that_were_observed(measured):
    problem, samples, mean, cov = measured
    repeats = problem.repeats
    y = samples.y.reshape(len(samples), repeats, 3)
    predicted = np.sqrt(np.diag(A @ cov @ A.T) + SD**2)
    assert y.mean(axis=(0, 1)) == pytest.approx(A @ mean, abs=0.06)
    assert y.reshape(-1, 3).std(axis=0) == pytest.approx(predicted, rel=0.05)
    assert np.all(np.diff(y[:, :, 0], axis=1) >= 0)
    residual = (y - (samples.x @ A.T)[:, None]) / SD
    assert residual.std(axis=(0, 1)) == pytest.approx(1, rel=0.05)
    assert len(np.unique(y[:, 0, 0])) == len(samples)


@pytest.mark.parametrize(
    ("noise", "law"),
    [
        pytest.param({"normal": 0.4}, lambda m: stats.norm(m, 0.4), marks=pytest.mark.slow),
        ({"student_t": {"df": 2, "sd": 0.4}}, lambda m: stats.t(2, m, 0.4)),
        pytest.param(
            {"lognormal": 0.4}, lambda m: stats.lognorm(0.4, scale=m), marks=pytest.mark.slow
        ),
    ],
)
def test_two_branches_of_a_square_under_every_law_of_noise(noise, law):
    """y = a^2 with noise: both roots, each with its share, as quadrature has it."""
    rows = np.array([[3.8], [3.1], [5.5]])
    prior = {"a": stats.norm(0.3, 2)}
    problem = Problem(lambda x: x**2, prior, rows, question="posterior", noise=noise)
    simulations = simulate(problem, 2000, seed=5)
    samples = run_mcmc(problem, simulations, 6000, walkers=32, steps=1500, seed=5)
    a = np.linspace(-6, 6, 100_000)
    density = stats.norm(0.3, 2).pdf(a) * law(a**2).pdf(rows).prod(axis=0)
    levels = np.cumsum(density) / density.sum()
    left = np.interp(0, a, levels)
    assert 0.4 < left < 0.6 and np.mean(samples.x < 0) == pytest.approx(left, abs=0.06)
    size = np.abs(samples.x[:, 0])
    folded = np.interp(a, a, levels) - np.interp(-a, a, levels)
    assert stats.kstest(size, lambda v: np.interp(v, a, folded)).statistic < 0.03
    quantiles = np.quantile(size, [0.05, 0.5, 0.95])
    assert np.interp(quantiles, a, folded) == pytest.approx([0.05, 0.5, 0.95], abs=0.025)


def test_a_likelihood_that_the_user_knows_is_enough_for_any_model():
    """The chain runs no model: only its draws are predicted."""
    problem, mean, cov = linear_posterior(3)
    seen, runs = [], []

    def noisy(x, rng):
        runs.append(len(x))
        return x @ A.T + SD * rng.normal(size=(len(x), 3))

    def likelihood(x, rows):
        seen.append(rows.shape)
        found = stats.norm.logpdf(rows, (x @ A.T)[:, None], SD).sum(axis=(1, 2))
        x[...], rows[...] = np.nan, np.nan
        return found[:, None]

    stated = Problem(
        noisy, WIDE, problem.observations, question="posterior", stochastic=True,
        log_likelihood=likelihood,
    )  # fmt: skip
    simulations = simulate(stated, 1000, seed=6)
    runs.clear()
    samples = run_mcmc(stated, simulations, 4000, walkers=16, steps=800, seed=6)
    assert set(seen) == {(3, 3)}
    assert sum(runs) == samples.info["model_evaluations"] == 3 * 4000
    assert samples.y.shape == (4000, 9)
    assert (samples.x.mean(axis=0) - mean) / np.sqrt(np.diag(cov)) == pytest.approx(0, abs=0.08)
    assert c2st(samples.x, np.random.default_rng(7).multivariate_normal(mean, cov, 4000)) < 0.53


def stated_normal(sd, repeats=1, correlated=True):
    """Two outputs with correlated noise, and a likelihood that may be another one."""
    root = np.array([[1.0, 0.0], [0.9, 0.44]])
    true = stats.multivariate_normal([0, 0], 0.01 * root @ root.T)

    def likelihood(x, rows):
        gaps = (rows - x[:, None]) * 0.1 / sd
        if correlated:
            return true.logpdf(gaps.reshape(-1, 2)).reshape(len(x), -1).sum(axis=1)
        return stats.norm.logpdf(gaps, 0, 0.1).sum(axis=(1, 2))

    return Problem(
        lambda x, rng: x + 0.1 * rng.normal(size=(len(x), 2)) @ root.T,
        PRIOR, np.full((repeats, 2), 0.3), question="posterior", stochastic=True,
        log_likelihood=likelihood,
    )  # fmt: skip


@pytest.mark.parametrize("repeats", [1, 5])
def test_the_model_s_own_likelihood_is_not_doubted(repeats):
    problem = stated_normal(0.1, repeats)
    for seed in range(5):
        assert doubt(problem, simulate(problem, 4000, seed=seed)) == ""


def test_a_likelihood_of_many_outputs_is_not_doubted():
    """What is linear in the outputs is learnt from other pairs than those that are looked at."""
    mix = np.random.default_rng(0).normal(size=(2, 150))
    problem = Problem(
        lambda x, rng: x @ mix + rng.normal(size=(len(x), 150)), PRIOR, np.zeros((1, 150)),
        question="posterior", stochastic=True,
        log_likelihood=lambda x, rows: -0.5 * np.square(rows - x @ mix).sum(axis=1),
    )  # fmt: skip
    for seed in range(3):
        assert doubt(problem, simulate(problem, 2000, seed=seed)) == ""


@pytest.mark.parametrize(
    "problem",
    [
        stated_normal(0.2), stated_normal(0.06), stated_normal(0.2, 5),
        stated_normal(0.1, correlated=False),
    ],
)  # fmt: skip
def test_another_likelihood_makes_a_chain_not_to_be_trusted(problem):
    simulations = simulate(problem, 4000, seed=1)
    samples = run_mcmc(problem, simulations, 50, walkers=8, steps=20)
    assert samples.info["converged"] is False
    said = "log_likelihood is not the law of the model's outputs given its parameters"
    assert samples.info["message"].startswith(said)
    assert "do not trust this chain" in samples.info["message"]


def test_a_likelihood_that_knows_only_the_observed_rows_is_not_doubted():
    asked = stated_normal(0.1)
    simulations, observed = simulate(asked, 2000, seed=1), asked.observations.rows

    def choosy(x, rows):
        if not np.array_equal(rows, observed):
            raise ValueError("what is this?")
        return asked.log_likelihood(x, rows)

    for likelihood in (choosy, lambda x, rows: asked.log_likelihood(x, observed)):
        problem = Problem(
            asked.model, PRIOR, observed, question="posterior", stochastic=True,
            log_likelihood=likelihood,
        )  # fmt: skip
        assert doubt(problem, simulations) == ""


def test_what_a_likelihood_may_not_do():
    def run(likelihood):
        problem = Problem(
            add, PRIOR, [[1.0]], question="posterior", noise={"normal": 0.1},
            log_likelihood=likelihood,
        )  # fmt: skip
        return run_mcmc(problem, simulate(problem, 200), 50, walkers=8, steps=20)

    def raises(x, rows):
        raise ZeroDivisionError("no")

    with pytest.raises(ModelError, match=r"log_likelihood raised ZeroDivisionError: no \(called"):
        run(raises)
    with pytest.raises(ModelError, match=r"into shape \(\); expected \(200,\), for each param"):
        run(lambda x, rows: 0.0)
    with pytest.raises(ModelError, match=r"into shape \(200, 2\); expected \(200,\)"):
        run(lambda x, rows: x)
    with pytest.raises(InputError, match="none of 200 simulations gives the observ"):
        run(lambda x, rows: np.full(len(x), -np.inf))
    half = run(lambda x, rows: np.where(x[:, 0] > 0, 0.0, np.nan))
    assert half.x[:, 0].min() > 0


def test_walkers_start_apart_even_where_the_likelihood_is_sharp():
    problem = Problem(
        add, PRIOR, np.full(400, 1.0), question="posterior", noise={"normal": 1e-3}
    )  # fmt: skip
    simulations = simulate(problem, 1000, seed=8)
    samples = run_mcmc(problem, simulations, 4000, walkers=32, steps=1500, seed=8)
    assert samples.x.sum(axis=1) == pytest.approx(1, abs=1e-3)
    # What was not observed keeps the prior's law: given the sum, the difference is N(0, 2).
    apart = samples.x[:, 0] - samples.x[:, 1]
    assert stats.kstest(apart, stats.norm(0, np.sqrt(2)).cdf).statistic < 0.05


def test_a_posterior_is_decided_by_the_seed_and_never_asks_outside_the_prior():
    asked = []

    def model(x):
        asked.append(x)
        return np.log(x)

    problem = Problem(
        model, {"a": stats.uniform(0, 1)}, [[-0.1]], question="posterior", noise={"normal": 0.2}
    )
    simulations = simulate(problem, 500)
    runs = [run_mcmc(problem, simulations, 200, walkers=8, steps=60, seed=s) for s in (1, 1, 2)]
    assert np.array_equal(runs[0].x, runs[1].x)
    assert np.array_equal(runs[0].y, runs[1].y)
    assert not np.array_equal(runs[0].x, runs[2].x)
    assert np.concatenate(asked).min() > 0
    assert np.concatenate(asked).max() <= 1
    assert sum(map(len, asked)) == 500 + sum(run.info["model_evaluations"] for run in runs)


def run_settings():
    return Settings(
        simulate=SimulateConfig(n=500),
        sample=SampleConfig(n=100),
        mcmc=McmcConfig(walkers=8, steps=50),
    )


def test_a_run_has_a_baseline_where_the_posterior_has_a_density(tmp_path):
    run = Run(linear_posterior(2)[0], run_settings(), tmp_path, seed=1)
    run.simulate()
    samples = run.mcmc()
    assert samples.y.shape == (100, 6)
    assert (tmp_path / "samples-mcmc.npz").is_file()
    without = Problem(add, PRIOR, [[1.0]], question="posterior")
    assert Run(without, run_settings(), None, seed=1).mcmc() is None


def test_noise_and_likelihood_are_part_of_a_run_s_fingerprint():
    def keys(sd, likelihood):
        problem = Problem(
            add, PRIOR, [[1.0]], question="posterior", noise={"normal": sd},
            log_likelihood=likelihood,
        )  # fmt: skip
        return fingerprints(problem, run_settings(), 0)

    first = keys(0.1, None)
    assert first == keys(0.1, None)
    assert not set(first.values()) & set(keys(0.2, None).values())
    known = keys(0.1, lambda x, rows: x[:, 0])
    assert [stage for stage in first if first[stage] != known[stage]] == ["mcmc", "validate"]
    assert known["mcmc"] != keys(0.1, lambda x, rows: x[:, 1])["mcmc"]
