"""Rounds: the answer stays inside the regions, whatever the network between rounds got wrong."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr, ndtri

from invgan.checks.consistency import in_agreement
from invgan.errors import InputError, OutsideError
from invgan.fields import GaussianField
from invgan.gan import sample
from invgan.metrics import c2st
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.rounds import (
    Confined,
    confined,
    learnable,
    sample_inside,
    simulate_rounds,
    solve_rounds,
)
from invgan.rounds.inside import conditions
from invgan.rounds.pooling import pooled
from invgan.samples import Simulations
from invgan.scaling import ParameterScaling
from invgan.settings import SimulateConfig, TrainConfig
from invgan.simulation import simulate
from invgan.stages import evidence
from invgan.truncation import Region, Truncated, mass_of, narrowed

pytestmark = pytest.mark.usefixtures("whole_classifier")

SD = 0.02
SEEN = np.array([[0.31, -0.42]])
SQUARE = Prior(a=stats.uniform(-1, 2), b=stats.uniform(-1, 2))
QUICK = TrainConfig(
    head="flow", head_steps=300, steps=0, judge=False, likelihood=False, hidden=32, layers=2,
    transforms=1, evaluations=3, batch_size=256,
)  # fmt: skip


LINE = QUICK.model_copy(update={"head": "regression"})


def blurred(x, rng):
    return x + rng.normal(0, SD, x.shape)


def radius(x):
    return np.hypot(x[:, :1], x[:, 1:])


NARROW = Problem(blurred, SQUARE, SEEN, stochastic=True, question="posterior")
RING = Problem(radius, SQUARE, [[0.5]], question="posterior")


def truth(n, seed=0):
    """Exact draws of the posterior of NARROW."""
    return SEEN + np.random.default_rng(seed).normal(0, SD, (n, 2))


def ring(y, rng, thickness=0.0):
    """Exact draws of RING's posterior for radii y (n, 1), with an error of the radius."""
    ends = np.arccos(np.minimum(1, 1 / y[:, 0])), np.arcsin(np.minimum(1, 1 / y[:, 0]))
    angle = rng.integers(4, size=len(y)) * np.pi / 2 + rng.uniform(*ends)
    r = y[:, 0] + thickness * rng.normal(size=len(y))
    return r[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


class Known:
    """An inverse whose law is known, in place of a trained one."""

    def __init__(self, law, width=2):
        self.law, self.low, self.names, self.outputs = law, np.zeros(width), ("a", "b"), ("y",)
        self.config = TrainConfig()
        self.info, self.parameters = {}, ParameterScaling.fit(SQUARE, np.random.default_rng(0))

    def draw(self, y, *, seed=0, progress=None):
        if progress is not None:
            progress(len(y), len(y))
        return self.law(y, np.random.default_rng(seed))

    def knows(self, y):
        return np.ones(len(y), bool)


def normal(scale=1.0, shift=0.0, stray=0.0):
    """The posterior of NARROW, in the square, with planted faults; shift and scale in its sd."""

    def law(y, rng):
        centre, sd = y + shift * SD, scale * SD
        low, high = ndtr((-1 - centre) / sd), ndtr((1 - centre) / sd)
        x = np.clip(centre + sd * ndtri(rng.uniform(low, high)), -1, 1)
        astray = rng.random(len(y)) < stray
        return np.where(astray[:, None], rng.uniform(-1, 1, y.shape), x)

    return law


def plant(monkeypatch, law, width=2):
    """Let training give an inverse of this law; returns the list of calls."""
    calls = []

    def train(problem, simulations, config, **rest):
        calls.append(SimpleNamespace(problem=problem, simulations=simulations, config=config))
        return Known(law, width)

    monkeypatch.setattr("invgan.rounds.budget.train", train)
    monkeypatch.setattr("invgan.rounds.doubt._CONDITIONS", 500)
    return calls


def in_rounds(problem=NARROW, n=2000, rounds=3, **rest):
    return simulate_rounds(problem, SimulateConfig(n=n, rounds=rounds), QUICK, seed=1, **rest)


def covered(simulations, x, problem=NARROW):
    prior = confined(problem, simulations).prior
    return prior.contains(x).mean() if isinstance(prior, Truncated) else 1.0


def test_an_exact_inverse_puts_the_budget_where_the_answer_is(monkeypatch):
    calls = plant(monkeypatch, normal())
    simulations = in_rounds()
    prior = confined(NARROW, simulations).prior
    rows = simulations.info["rounds"]
    assert [row["simulations"] for row in rows] == [500, 500, 1000]
    assert covered(simulations, truth(20_000)) > 0.995
    assert mass_of(prior) < 0.02
    assert len(simulations) > 1000 > 20 * mass_of(prior) * 2000
    assert sum(row["inside"] for row in rows) == len(simulations)
    assert simulations.info["model_evaluations"] == 2000
    assert prior.contains(simulations.x).all()
    assert [len(call.simulations) for call in calls] == [500, 1000]
    assert len(simulations) + len(simulations.beyond) == 2000
    assert not prior.contains(simulations.beyond.x).any()


def test_all_rows_are_draws_of_the_last_prior(monkeypatch):
    """Wide regions, so that many rows of the first rounds are kept, in no order."""
    plant(monkeypatch, normal(scale=12))
    simulations = in_rounds(n=6000)
    prior = confined(NARROW, simulations).prior
    kept = [row["inside"] for row in simulations.info["rounds"]]
    assert min(kept) > 100
    fresh = prior.sample(20_000, np.random.default_rng(5))
    thirds = np.array_split(simulations.x, 3)
    for j in range(2):
        assert all(stats.ks_2samp(part[:, j], fresh[:, j]).pvalue > 1e-3 for part in thirds)
    assert c2st(simulations.x, fresh[: len(simulations)], seed=1) < 0.53
    noise = (simulations.y - simulations.x) / SD
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3


def test_training_learns_from_all_rows_under_their_own_law(monkeypatch):
    """A mixture of the cut priors, which is the last one but for a factor where that one is."""
    plant(monkeypatch, normal(scale=12))
    simulations = in_rounds(n=6000)
    here, together = learnable(NARROW, simulations)
    assert len(together) == 6000 == len(simulations) + len(simulations.beyond)
    drawn = here.prior.sample(20_000, np.random.default_rng(5))
    assert c2st(together.x, drawn[:6000], seed=1) < 0.53
    for j in range(2):
        assert stats.ks_2samp(together.x[:, j], drawn[:, j]).pvalue > 1e-3
    last = confined(NARROW, simulations).prior
    x = last.sample(1000, np.random.default_rng(6))
    assert np.ptp(here.prior.log_prob(x) - last.log_prob(x)) < 1e-9
    heights = np.exp(here.prior.log_prob(SQUARE.sample(100_000, np.random.default_rng(7))))
    assert heights.mean() == pytest.approx(1 / 4, rel=0.03)
    assert heights.min() > 0
    assert np.array_equal(here.prior.support.low, [-1, -1])


@pytest.mark.parametrize("beyond", [100, 101, 333, 4000])
@pytest.mark.parametrize("within", [107, 1000, 1999])
def test_rows_that_are_held_out_stay_held_out(beyond, within):
    x = np.arange(beyond + within, dtype=float)[:, None].repeat(2, axis=1)
    others = Simulations(x[within:], x[within:], ("a", "b"), ("u", "v"), x[:0])
    region = Region(np.array([-1.0, -1.0]), np.array([0.5, 0.5])).to_dict()
    info = {
        "regions": [region],
        "rounds": [{"regions": k, "simulations": 1 + k} for k in range(2)],
    }
    simulations = Simulations(
        x[:within], x[:within], ("a", "b"), ("u", "v"), x[:0], info, beyond=others
    )
    _, together = learnable(NARROW, simulations)
    assert sorted(together.x[:, 0]) == list(range(beyond + within))
    learnt, chosen = set(together.training.x[:, 0]), set(together.selection.x[:, 0])
    assert not learnt & set(simulations.unlearnt.x[:, 0])
    assert not (learnt | chosen) & set(simulations.heldout.x[:, 0])
    for part in (together.training, together.selection):
        share = np.mean(part.x[:, 0] >= within)
        first = np.mean(part.x[: len(part) // 2, 0] >= within)
        assert first == pytest.approx(share, abs=2 / len(part) + 0.01)


def test_one_round_is_learnt_from_as_it_is(monkeypatch):
    plant(monkeypatch, normal())
    simulations = in_rounds(n=300, rounds=1)
    assert simulations.beyond is None
    here, together = learnable(NARROW, simulations)
    assert here is NARROW and together is simulations


@pytest.mark.parametrize("beyond", [99, 100])
def test_a_handful_of_rows_beyond_is_left_out(monkeypatch, beyond):
    plant(monkeypatch, normal())
    part = in_rounds(n=300, rounds=1)
    part.info["round"] = {"simulations": 300}
    part.x[:, 0] = np.where(np.arange(300) < beyond, -0.5, 0.5)
    half = Truncated(SQUARE, [Region(np.array([0.0, -1.0]), np.array([1.0, 1.0]))])
    simulations = pooled(replace(NARROW, prior=half), [part], seed=1)
    assert len(simulations) == 300 - beyond
    assert (simulations.beyond is None) == (beyond < 100)


@pytest.mark.parametrize("fault", [{"scale": 0.3}, {"shift": 2.0}, {"scale": 0.5, "shift": 1.0}])
def test_an_answer_too_narrow_or_shifted_does_not_lose_the_truth(monkeypatch, fault):
    plant(monkeypatch, normal(**fault))
    believed = narrowed(SQUARE, Known(normal(**fault)).draw(np.repeat(SEEN, 20_000, axis=0)))
    assert believed.contains(truth(20_000)).mean() < 0.97
    simulations = in_rounds()
    assert covered(simulations, truth(20_000)) > 0.995
    assert 0 < simulations.info["rounds"][-1]["prior_mass"] < 0.1


def test_a_thin_answer_in_the_wrong_place_does_not_lose_the_truth(monkeypatch):
    """Rings of a radius 3 % too large: their centre and size are right, all draws are wrong."""
    law = lambda y, rng: ring(1.03 * y, rng, thickness=0.002)  # noqa: E731
    exact = ring(np.full((5000, 1), 0.5), np.random.default_rng(6))
    believed = narrowed(SQUARE, Known(law, 1).draw(np.full((20_000, 1), 0.5)))
    plant(monkeypatch, law, width=1)
    simulations = in_rounds(RING, n=4000)
    assert covered(simulations, exact, RING) > 0.995
    assert covered(simulations, exact, RING) > believed.contains(exact).mean() - 1e-9
    assert 0 < simulations.info["rounds"][-1]["prior_mass"] < 0.7


def test_stray_draws_do_not_spread_the_region(monkeypatch):
    plant(monkeypatch, normal(stray=0.01))
    simulations = in_rounds()
    found = simulations.info["rounds"][1]
    assert found["stray"] == pytest.approx(0.01, abs=0.003)
    assert found["prior_mass"] < 0.05
    assert covered(simulations, truth(20_000)) > 0.995


def test_an_inverse_that_knows_nothing_leaves_one_round(monkeypatch):
    calls = plant(monkeypatch, lambda y, rng: rng.uniform(-1, 1, y.shape))
    simulations = in_rounds()
    assert confined(NARROW, simulations) is NARROW
    assert len(simulations) == 2000
    assert [len(call.simulations) for call in calls] == [500, 1000]
    assert simulations.info["rounds"][1]["would_leave"] > 0.9
    assert stats.kstest((simulations.x.ravel() + 1) / 2, "uniform").pvalue > 1e-3


def test_one_round_is_the_plain_simulation(monkeypatch):
    calls = plant(monkeypatch, normal())
    simulations = in_rounds(n=300, rounds=1)
    assert (len(simulations), calls) == (300, [])
    assert confined(NARROW, simulations) is NARROW


def test_a_population_keeps_all_that_its_law_asks_for(monkeypatch):
    """y = |x| of a ring, observed as N(0.5, 0.03): the region holds the whole annulus."""
    problem = Problem(radius, SQUARE, stats.norm(0.5, 0.03))
    plant(monkeypatch, ring, width=1)
    simulations = in_rounds(problem, n=3000)
    y = np.random.default_rng(7).normal(0.5, 0.03, (20_000, 1))
    exact = ring(y, np.random.default_rng(8))
    assert covered(simulations, exact, problem) > 0.995
    assert mass_of(confined(problem, simulations).prior) < 0.5


def test_only_the_head_is_trained_between_rounds(monkeypatch):
    calls = plant(monkeypatch, normal())
    twice = SimulateConfig(n=1000, rounds=2)
    simulate_rounds(NARROW, twice, TrainConfig(steps=77))
    simulate_rounds(NARROW, twice, TrainConfig(head="none", steps=77))
    assert [call.config.steps for call in calls] == [0, 77]


def test_a_run_that_was_stopped_goes_on_to_the_same_result(monkeypatch, tmp_path):
    calls = plant(monkeypatch, normal())
    whole = in_rounds(n=1200)
    runs = []

    def fragile(x, rng):
        runs.append(len(x))
        if len(runs) == 3:
            raise KeyboardInterrupt
        return blurred(x, rng)

    broken = Problem(fragile, SQUARE, SEEN, stochastic=True, question="posterior")
    with pytest.raises(KeyboardInterrupt):
        in_rounds(broken, n=1200, store=tmp_path, fingerprint="f")
    left = ["round-3", "simulations-1.npz", "simulations-2.npz"]  # the first as far as it came
    assert sorted(f.name for f in tmp_path.iterdir()) == left
    before = len(calls)
    again = in_rounds(broken, n=1200, store=tmp_path, fingerprint="f")
    assert not (tmp_path / "round-3").exists()
    assert len(calls) == before + 1
    assert np.array_equal(again.x, whole.x)
    assert np.array_equal(again.y, whole.y)
    assert np.array_equal(again.beyond.x, whole.beyond.x)
    assert again.info["regions"] == whole.info["regions"]
    assert again.info["rounds"] == whole.info["rounds"]
    with pytest.raises(InputError, match="another problem, seed or setting"):
        in_rounds(n=1200, store=tmp_path, fingerprint="g")


def test_the_cut_prior_comes_back_from_the_file_of_simulations(monkeypatch, tmp_path):
    plant(monkeypatch, normal())
    simulations = in_rounds(n=1000)
    simulations.save(tmp_path / "simulations.npz")
    loaded = Simulations.load(tmp_path / "simulations.npz")
    assert np.array_equal(loaded.beyond.x, simulations.beyond.x)
    assert np.array_equal(loaded.beyond.y, simulations.beyond.y)
    back = confined(NARROW, loaded).prior
    prior = confined(NARROW, simulations).prior
    rng = np.random.default_rng
    assert np.array_equal(back.sample(1000, rng(1)), prior.sample(1000, rng(1)))
    assert mass_of(back) == mass_of(prior)


def test_draws_that_leak_are_drawn_again():
    prior = Truncated(SQUARE, [Region(np.array([0.31, -1.0]), np.array([1.0, 1.0]))])
    problem = Problem(blurred, prior, SEEN, stochastic=True, question="posterior")
    samples = sample_inside(problem, Known(normal()), 5000, seed=1)
    assert samples.info["leaked"] == pytest.approx(0.5, abs=0.03)
    assert samples.info["outside"] == 0
    assert prior.contains(samples.x).all()
    half = (samples.x[:, 0] - 0.31) / SD
    assert stats.kstest(half, stats.halfnorm.cdf).pvalue > 1e-3
    assert stats.kstest((samples.x[:, 1] + 0.42) / SD, "norm").pvalue > 1e-3


def test_draws_that_cannot_be_inside_are_counted():
    prior = Truncated(SQUARE, [Region(np.array([0.8, -1.0]), np.array([1.0, 1.0]))])
    inverse = Confined(Known(normal()), prior)
    x, leaked, outside = inverse.redrawn(np.repeat(SEEN, 50, axis=0), seed=1)
    assert (leaked, outside, x.shape) == (1, 1, (50, 2))
    assert inverse.knows(SEEN).all()


def test_a_cut_inverse_says_how_far_it_is():
    told = []
    inverse = Confined(Known(normal()), SQUARE, lambda *rows: told.append(rows))
    inverse.draw(np.repeat(SEEN, 50, axis=0), seed=1)
    assert told == [(50, 50)]


def test_members_of_an_ensemble_are_judged_by_draws_inside():
    """One of them leaks half of its draws, which no answer holds, and else they are the same."""
    prior = Truncated(SQUARE, [Region(np.array([0.31, -1.0]), np.array([1.0, 1.0]))])
    problem = Problem(blurred, prior, SEEN, stochastic=True, question="posterior")
    ensemble = SimpleNamespace(
        each=(Known(normal()), Known(lambda y, rng: truncated(y, rng, 0.31))), has_density=False,
        config=TrainConfig(), doubts=(), rests_on_likelihood=False, draw=None,
    )  # fmt: skip
    members = evidence(ensemble, problem)["members"]
    apart = in_agreement(members, SEEN, ("a", "b"), seed=1)
    assert [m.passed for m in apart] == [True, True]
    leaking = in_agreement(ensemble.each, SEEN, ("a", "b"), seed=1)
    assert [m.passed for m in leaking] == [False, True]


def truncated(y, rng, low):
    """Draws about y (n, 2), the first of them beyond a value."""
    above = y[:, 0] + SD * stats.truncnorm.rvs(
        (low - y[:, 0]) / SD, np.inf, size=len(y), random_state=rng
    )
    return np.stack([above, y[:, 1] + rng.normal(0, SD, len(y))], axis=1)


def test_without_a_cut_the_draws_are_those_of_sample():
    problem = Problem(radius, SQUARE, np.linspace(0.4, 0.6, 7))
    inverse = Known(ring, 1)
    ours, theirs = (
        sample_inside(problem, inverse, 100, seed=3),
        sample(inverse, problem.observations, 100, seed=3),
    )
    assert np.array_equal(ours.x, theirs.x)
    assert ours.info["leaked"] == 0


def test_repeats_are_one_condition():
    rows = [[0.3, 0.0], [0.1, 1.0], [0.2, 2.0]]
    problem = Problem(blurred, SQUARE, rows, stochastic=True, question="posterior")
    y = conditions(problem, 2, np.random.default_rng(0))
    assert np.array_equal(y, [[0.1, 1, 0.2, 2, 0.3, 0]] * 2)


def test_points_that_fill_the_prior_are_those_of_the_first_round(monkeypatch):
    """Inside a region there is no such design; the rounds after are drawn at random."""
    plant(monkeypatch, normal())
    even = SimulateConfig(n=2000, rounds=2, design="sobol")
    found = simulate_rounds(NARROW, even, QUICK, seed=1)
    every = np.concatenate([found.x, found.beyond.x])
    alone = simulate(NARROW, 1000, seed=1, design="sobol").x
    assert {tuple(row) for row in alone} <= {tuple(row) for row in every}


def test_a_field_stays_a_field_in_every_round(monkeypatch):
    monkeypatch.setattr("invgan.rounds.doubt._CONDITIONS", 500)
    shapes = set()

    def smoothed(fields, rng):
        shapes.add(fields.shape[1:])
        return fields.reshape(len(fields), -1) + rng.normal(0, 0.1, (len(fields), 4))

    prior = GaussianField((2, 2), 2.0)
    problem = Problem(
        smoothed, prior, [[0.5, 0.4, 0.3, 0.2]], stochastic=True, question="posterior"
    )
    found = simulate_rounds(problem, SimulateConfig(n=3000, rounds=2), LINE, seed=1, device="cpu")
    assert shapes == {(1, 2, 2)}
    assert len(found.info["rounds"]) == 2
    assert mass_of(confined(problem, found).prior) < 1
    assert learnable(problem, found)[0].field == (1, 2, 2)


def test_refusals(monkeypatch):
    calls = plant(monkeypatch, normal())
    with pytest.raises(InputError, match=r"would have 75 of 300 .* use 400 simulations or more"):
        in_rounds(n=300)
    far = Problem(blurred, SQUARE, [[9.0, 9.0]], stochastic=True, question="posterior")
    with pytest.raises(OutsideError):
        in_rounds(far)
    assert not calls


@pytest.mark.slow
def test_three_rounds_come_closer_than_one_with_the_same_budget():
    """A narrow posterior and few steps: the cut prior brings the answer to the network's scale."""
    sd = 0.004
    sharp = Problem(
        lambda x, rng: x + rng.normal(0, sd, x.shape),
        SQUARE, SEEN, stochastic=True, question="posterior",
    )  # fmt: skip
    error = {}
    for rounds in (1, 3):
        here, simulations, inverse = solve_rounds(
            sharp, SimulateConfig(n=2000, rounds=rounds), QUICK, seed=1, device="cpu"
        )
        samples = sample_inside(here, inverse, 4000, seed=5)
        error[rounds] = np.abs(samples.x - SEEN).mean() / sd
    exact = SEEN + np.random.default_rng(4).normal(0, sd, (20_000, 2))
    assert covered(simulations, exact, sharp) > 0.995
    assert mass_of(here.prior) < 0.2
    assert error[3] < 0.7 * error[1]
