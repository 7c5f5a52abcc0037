import json

import numpy as np
import pytest
from scipy import stats

from invgan.errors import InputError, ModelError
from invgan.mcmc import run_mcmc, suitable_walkers
from invgan.mcmc.chains import diagnose, split_rhat
from invgan.mcmc.ensemble import KernelMove
from invgan.priors import Dirichlet, Prior
from invgan.problem import Problem
from invgan.simulation import simulate

PRIOR = Prior(a=stats.norm(), b=stats.norm())
OBSERVED = stats.norm(1, 0.3)


def add(x):
    return x.sum(axis=1)


@pytest.fixture(scope="module")
def linear():
    problem = Problem(add, PRIOR, OBSERVED)
    return problem, simulate(problem, 20_000, seed=1)


@pytest.fixture(scope="module")
def answer(linear):
    return run_mcmc(*linear, n=20_000, walkers=32, steps=2000, seed=2)


def test_a_linear_model_has_the_closed_form_answer(answer):
    """The sum has the observed law; the difference, which nothing observes, keeps the prior's."""
    added, difference = answer.x.sum(axis=1), answer.x[:, 0] - answer.x[:, 1]
    assert answer.x.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.06)
    assert added.mean() == pytest.approx(1, abs=0.02)
    assert added.std() == pytest.approx(0.3, rel=0.05)
    assert difference.std() == pytest.approx(np.sqrt(2), rel=0.05)
    assert np.corrcoef(added, difference)[0, 1] == pytest.approx(0, abs=0.05)
    assert stats.kstest(added, OBSERVED.cdf).statistic < 0.03


def test_the_chain_is_kept_walker_by_walker_with_its_density(answer):
    kept = answer.info["steps"] - answer.info["burn_in"]
    assert answer.info["thin"] == 1
    assert answer.chain.shape == (kept, 32, 2)
    states = {tuple(x) for x in answer.chain.reshape(-1, 2)}
    assert {tuple(x) for x in answer.x} <= states
    # A walker that stays where it was keeps its density, and one that moves gets another.
    stays = (np.diff(answer.chain, axis=0) == 0).all(axis=2)
    assert 0.4 < stays.mean() < 0.9
    assert np.array_equal(np.diff(answer.chain_log_prob, axis=0) == 0, stays)
    x, log_prob = answer.chain.reshape(-1, 2), answer.chain_log_prob.ravel()
    exact = PRIOR.log_prob(x) + OBSERVED.logpdf(x.sum(axis=1))
    exact -= stats.norm(0, np.sqrt(2)).logpdf(x.sum(axis=1))
    core = np.abs(x.sum(axis=1) - 1) < 0.6
    gap = (log_prob - exact)[core]
    assert gap.std() < 0.1


def test_a_chain_too_large_to_keep_is_thinned(linear, monkeypatch):
    settings = {"n": 300, "walkers": 8, "steps": 60, "seed": 3}
    whole = run_mcmc(*linear, **settings)
    monkeypatch.setattr("invgan.mcmc.run._MOST_NUMBERS", 300)
    thin = run_mcmc(*linear, **settings)
    assert thin.info["thin"] == 3
    assert np.array_equal(thin.chain, whole.chain[::3])
    assert np.array_equal(thin.chain_log_prob, whole.chain_log_prob[::3])
    assert np.array_equal(thin.x, whole.x)


@pytest.mark.slow
def test_the_target_divides_by_the_push_forward_of_the_prior():
    """A target without q_Y would give the sum a mean of 2.5 * 2 / (2 + 0.64) = 1.89."""
    shifted = Problem(add, PRIOR, stats.norm(2.5, 0.8))
    samples = run_mcmc(shifted, simulate(shifted, 20_000, seed=1), 20_000, walkers=32, steps=1000)
    assert samples.y.mean() == pytest.approx(2.5, abs=0.1)
    assert samples.y.std() == pytest.approx(0.8, rel=0.07)


def test_a_long_chain_converges_and_its_info_is_plain(answer):
    info = json.loads(json.dumps(answer.info, allow_nan=False))
    assert info["converged"] is True
    assert "autocorrelation times long" in info["message"]
    assert info["method"] == "mcmc"
    assert (info["walkers"], info["steps"], info["burn_in"]) == (32, 2000, 400)
    assert set(info["autocorrelation_time"]) == set(info["split_rhat"]) == {"a", "b"}
    assert max(info["split_rhat"].values()) < 1.05
    tau = max(info["autocorrelation_time"].values())
    assert info["effective_samples"] == pytest.approx(32 * 1600 / tau)
    assert 0.1 < info["acceptance"] < 0.6
    assert info["density_heldout"] == pytest.approx(-stats.norm(0, np.sqrt(2)).entropy(), abs=0.1)


def test_a_short_chain_says_how_long_it_must_be(linear):
    samples = run_mcmc(*linear, n=5000, walkers=32, steps=100)
    assert samples.info["converged"] is False
    words = samples.info["message"]
    assert "and 50 are needed to trust it: run at least" in words
    assert int(words.split("at least ")[1].split()[0]) > 100
    assert words.endswith("it holds 2560 of the 5000 draws wanted")
    assert len(samples) == len(samples.y) == 2560


def test_draws_are_the_models_own_counted_and_as_distinct_as_can_be(linear):
    problem, simulations = linear
    seen = []

    def counting(x):
        seen.append(len(x))
        return add(x)

    counted = Problem(counting, problem.prior, problem.observations)
    samples = run_mcmc(counted, simulations, 500, walkers=16, steps=200)
    assert samples.info["model_evaluations"] == sum(seen)
    assert np.array_equal(samples.y[:, 0], add(samples.x))
    assert np.array_equal(samples.weights, np.ones(500))
    assert len(np.unique(samples.x, axis=0)) > 350


def test_the_seed_decides_and_numpys_global_generator_is_neither_read_nor_changed(
    linear, monkeypatch
):
    settings = {"n": 300, "walkers": 8, "steps": 60}
    first = run_mcmc(*linear, seed=3, **settings)
    np.random.seed(99)  # noqa: NPY002
    before = np.random.get_state()  # noqa: NPY002
    with monkeypatch.context() as patch:
        patch.setattr(np.random, "get_state", lambda: pytest.fail("the global state was read"))
        again = run_mcmc(*linear, seed=3, **settings)
    after = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(before[1], after[1])
    assert before[2] == after[2]
    assert np.array_equal(first.x, again.x)
    assert not np.array_equal(first.x, run_mcmc(*linear, seed=4, **settings).x)


@pytest.mark.slow
def test_separate_parts_of_the_answer_get_their_shares():
    """The prior's mass of |a| near 2 is as large on the left as on the right of zero."""
    problem = Problem(lambda x: x[:, 0] ** 2, {"a": stats.uniform(-3, 9)}, stats.norm(4, 0.6))
    samples = run_mcmc(problem, simulate(problem, 20_000, seed=5), 10_000, walkers=16, steps=2500)
    assert samples.info["converged"]
    assert np.mean(samples.x**2) == pytest.approx(4, abs=0.05)
    assert np.mean(samples.x < 0) == pytest.approx(0.5, abs=0.05)


def test_several_outputs_and_an_observed_table():
    rng = np.random.default_rng(6)
    prior = Prior(a=stats.uniform(0, 2), b=stats.uniform(0, 2))
    rows = rng.normal([1.0, 0.3], [0.2, 0.1], size=(1000, 2))
    problem = Problem(lambda x: np.stack([x[:, 0] * x[:, 1], x[:, 0] - x[:, 1]], 1), prior, rows)
    samples = run_mcmc(problem, simulate(problem, 4000, seed=6), 5000, walkers=32, steps=600)
    assert samples.y.shape == (5000, 2)
    assert samples.y.mean(axis=0) == pytest.approx(rows.mean(axis=0), abs=0.03)
    assert samples.y.std(axis=0) == pytest.approx(rows.std(axis=0), rel=0.12)


def test_proportions_stay_on_the_simplex():
    law = stats.beta(20, 20)
    problem = Problem(lambda x: x[:, 0], Dirichlet([1.0, 2.0, 3.0]), law)
    samples = run_mcmc(problem, simulate(problem, 10_000, seed=7), 5000, walkers=32, steps=800)
    assert samples.x.shape == (5000, 3)
    assert problem.prior.support.contains(samples.x).all()
    assert stats.kstest(samples.x[:, 0], law.cdf).statistic < 0.05
    # Given x1, the rest is shared as Beta(2, 3), whatever was observed.
    assert np.mean(samples.x[:, 1] / (1 - samples.x[:, 0])) == pytest.approx(0.4, abs=0.02)
    assert len(samples.info["split_rhat"]) == 3


def test_the_model_is_never_asked_outside_the_prior_and_its_failures_are_avoided():
    seen = []

    def half_broken(x):
        seen.append(x)
        return np.where(x[:, :1] > 0.9, np.nan, x[:, :1])

    problem = Problem(half_broken, {"a": stats.uniform()}, stats.norm(0.8, 0.3))
    simulations = simulate(problem, 2000, max_failures=0.2)
    samples = run_mcmc(problem, simulations, 500, walkers=8, steps=100)
    asked = np.concatenate(seen)
    assert asked.min() >= 0
    assert asked.max() <= 1
    assert np.any(asked > 0.9)
    assert samples.x.max() <= 0.9
    assert np.isfinite(samples.y).all()


def test_a_model_that_raises_midway_raises_once_and_prints_nothing(linear, capsys):
    problem, simulations = linear

    def broken(x):
        raise ZeroDivisionError("no")

    with pytest.raises(ModelError, match="the model raised ZeroDivisionError: no"):
        run_mcmc(Problem(broken, problem.prior, OBSERVED), simulations, walkers=8, steps=20)
    assert capsys.readouterr().out == ""


def test_progress_counts_the_steps(linear):
    told = []
    run_mcmc(*linear, n=10, walkers=8, steps=12, progress=lambda *done: told.append(done))
    assert told == [(k, 12) for k in range(1, 13)]


@pytest.mark.parametrize(("parameters", "walkers"), [(3, 64), (31, 64), (40, 82)])
def test_walkers_that_are_left_out_suit_the_problem(parameters, walkers):
    prior = Prior({f"x{k}": stats.norm() for k in range(parameters)})
    problem = Problem(lambda x: x.sum(axis=1, keepdims=True), prior, stats.norm(1, 1))
    assert suitable_walkers(problem, None) == walkers
    assert suitable_walkers(problem, 100) == 100


@pytest.mark.parametrize("walkers", [4, 5, 63])
def test_walkers_that_do_not_suit_are_refused_with_a_number_that_does(linear, walkers):
    with pytest.raises(InputError, match="even number of walkers, 6 or more") as refusal:
        run_mcmc(*linear, walkers=walkers, steps=20)
    advised = int(str(refusal.value).split("walkers=")[1].split()[0])
    assert len(run_mcmc(*linear, n=10, walkers=advised, steps=20)) == 10


def test_what_cannot_be_answered_is_refused(linear):
    problem, simulations = linear
    noisy = Problem(add, PRIOR, OBSERVED, noise={"normal": 0.1})
    with pytest.raises(InputError, match=r"population density of a stochastic .* cannot be stated"):
        run_mcmc(noisy, simulations)
    exact = Problem(add, PRIOR, [[1.0]], question="posterior")
    with pytest.raises(InputError, match=r"no density for MCMC: give the noise .*problem.noise"):
        run_mcmc(exact, simulations)
    unknown = Problem(add, PRIOR, [[1.0]], question="posterior", stochastic=True)
    with pytest.raises(InputError, match=r"which simulations do not give: .*log_likelihood"):
        run_mcmc(unknown, simulations)
    repeated = Problem(add, PRIOR, [1, 2], question="posterior", noise={"normal": 0.1})
    with pytest.raises(InputError, match="1 columns of outputs; 2 repeats of 1 outputs are 2"):
        run_mcmc(repeated, simulations)
    with pytest.raises(InputError, match="steps must be a whole number, 10 or more; got 9"):
        run_mcmc(problem, simulations, n=10, steps=9)
    other = Problem(add, {"c": stats.norm(), "d": stats.norm()}, OBSERVED)
    with pytest.raises(InputError, match="simulate this problem first"):
        run_mcmc(other, simulations)
    outside = Problem(add, PRIOR, stats.uniform(5, 1))
    with pytest.raises(InputError, match="of 20000 simulations have outputs that the obs"):
        run_mcmc(outside, simulations)


def chain(rng, rho, steps=4000, walkers=16):
    """Autoregressive chains (T, W, 1): their autocorrelation time is (1 + rho) / (1 - rho)."""
    x = rng.normal(size=(steps, walkers, 1))
    for t in range(1, steps):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * x[t]
    return x


def test_the_diagnosis_knows_a_sound_chain_and_three_lies():
    rng = np.random.default_rng(8)
    sound = chain(rng, 0.8)
    burn_in, truth = diagnose(sound, ("a",), 10)
    assert burn_in == 800
    assert truth["converged"]
    assert truth["autocorrelation_time"]["a"] == pytest.approx(9, rel=0.15)

    _, slow = diagnose(chain(rng, 0.99), ("a",), 10)
    assert not slow["converged"]
    assert "are needed to trust it: run at least" in slow["message"]

    apart = sound + np.where(np.arange(16) < 4, 3.0, 0.0)[:, None]
    _, separate = diagnose(apart, ("a",), 10)
    assert not separate["converged"]
    assert "the walkers disagree" in separate["message"]

    wider = sound * np.where(np.arange(16) < 4, 3.0, 1.0)[:, None]
    assert split_rhat(wider)[0] > 1.05 > split_rhat(sound)[0]

    caught = sound.copy()
    caught[:, 3] = 0.1
    _, stuck = diagnose(caught, ("a",), 10)
    assert not stuck["converged"]
    assert stuck["message"].startswith("1 of 16 walkers never moved")


def test_a_chain_that_never_moved_is_not_trusted():
    _, still = diagnose(np.ones((100, 6, 2)), ("a", "b"), 10)
    assert not still["converged"]
    json.dumps(still, allow_nan=False)


@pytest.mark.slow
def test_the_moves_keep_a_normal_law():
    law = stats.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]])
    problem = Problem(lambda x: x, {"a": stats.norm(0, 2), "b": stats.norm(0, 2)}, law)
    simulations = simulate(problem, 20_000, seed=9)
    samples = run_mcmc(problem, simulations, 20_000, walkers=64, steps=800, seed=9)
    assert np.cov(samples.x.T) == pytest.approx(np.array([[1, 0.9], [0.9, 1]]), abs=0.06)


def test_parameters_in_units_far_apart_have_the_exact_answer():
    """Of a ~ N(3e-12, 1e-12) and b ~ N(5e9, 1e9), seen through a square matrix with noise."""
    scale, mix = np.array([1e-12, 1e9]), np.array([[1.0, 0.5], [-0.5, 1.0]])
    prior = {"a": stats.norm(3e-12, 1e-12), "b": stats.norm(5e9, 1e9)}
    problem = Problem(lambda x: (x / scale) @ mix, prior, [[5.0, 6.0]], outputs=["u", "v"],
                      question="posterior", noise={"normal": 0.5})  # fmt: skip
    samples = run_mcmc(problem, simulate(problem, 4000, seed=1), 8000, steps=600, seed=1)
    sd = np.sqrt(np.diag(np.linalg.inv(np.eye(2) + mix @ mix.T / 0.25)))
    assert samples.x.std(axis=0) / scale == pytest.approx(sd, rel=0.06)


def test_the_kernel_move_stays_where_the_walkers_lie_in_a_plane():
    s, c = np.zeros((3, 2)), np.outer(np.arange(5.0), [1.0, 1.0])
    q, factors = KernelMove().get_proposal(s, [c], np.random.RandomState(0))
    assert np.array_equal(q, s)
    assert np.array_equal(factors, np.zeros(3))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda x: np.maximum(x.sum(axis=1, keepdims=True), 0), "values of the outputs are repea"),
        (lambda x: np.column_stack([x, x.sum(axis=1)]), "3 outputs of 2 parameters depend on each"),
    ],
)
def test_a_chain_on_outputs_without_a_density_is_never_trusted(model, said):
    rows = model(PRIOR.sample(300, np.random.default_rng(2)))
    problem = Problem(model, PRIOR, rows)
    found = run_mcmc(problem, simulate(problem, 2000, seed=1), 200, walkers=8, steps=100)
    assert found.info["converged"] is False
    assert said in found.info["message"]
