"""The other road to a posterior, a learnt likelihood times the prior, against closed forms."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from invgan.checks import validate
from invgan.errors import InputError
from invgan.gan import Inverse, sample, train
from invgan.gan.bayes import KnownPrior, LearntPrior, Likelihood, known_prior
from invgan.gan.course import Course
from invgan.gan.expected import residuals
from invgan.gan.heads import log_prob
from invgan.gan.judge import gained
from invgan.gan.moves import moved
from invgan.gan.networks import Generator, linear_layers
from invgan.gan.recovery import Recovered
from invgan.gan.stage import Pairs
from invgan.gan.trained import Inside, Weighed
from invgan.gan.weigher import Terms, Weigher, _resampled
from invgan.gan.weighing import POWERS, Scales, chosen, decided
from invgan.metrics import c2st, kolmogorov_smirnov
from invgan.priors import Box, Dirichlet, MultivariateNormal, Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import EmbeddingConfig, TrainConfig
from invgan.simulation import simulate
from invgan.stages import evidence
from invgan.structure import pad_row
from invgan.truncation import Region, Truncated
from invgan.validation import Measure

SD = 0.15
ROW = np.array([[0.9, -0.4]])
SECOND_ROAD = (0.0, 1.0)
BLUNT = TrainConfig(
    head="gaussian", head_steps=150, steps=0, members=2, judge=False, hidden=32, evaluations=2,
    batch_size=256,
)  # fmt: skip
"""A normal head cannot say what a posterior at the edge of a box looks like."""
QUICK = BLUNT.model_copy(update={"members": 1})


def noisy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The parameters (n, 2), measured with a normal error."""
    return x + SD * rng.normal(size=x.shape)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exact(centre: np.ndarray, sd: float, n: int, seed: int) -> np.ndarray:
    """Draws of the posterior: a normal law cut to the box, shape (n, 2)."""
    laws = [stats.truncnorm((-1 - c) / sd, (1 - c) / sd, loc=c, scale=sd) for c in centre]
    return np.stack([law.rvs(n, random_state=seed + j) for j, law in enumerate(laws)], axis=1)


@pytest.fixture(scope="module")
def problem() -> Problem:
    prior = Prior(a=stats.uniform(-1, 2), b=stats.uniform(-1, 2))
    return Problem(noisy, prior, ROW, stochastic=True, question="posterior")


@pytest.fixture(scope="module")
def simulations(problem: Problem) -> Simulations:
    return simulate(problem, 4000, seed=1)


@pytest.fixture(scope="module")
def weighed(problem: Problem, simulations: Simulations) -> Inverse:
    return train(problem, simulations, BLUNT, seed=2, device="cpu")


def test_draws_of_a_blunt_head_become_those_of_the_posterior(weighed: Inverse) -> None:
    found = weighed.info["likelihood"]
    assert found["used"]
    assert found["gain"] > 2 * found["error"]
    assert found["plain"]
    rows, truth = np.repeat(ROW, 10_000, axis=0), exact(ROW[0], SD, 10_000, 5)
    before = kolmogorov_smirnov(replace(weighed, weigher=None).draw(rows, seed=3), truth)
    after = kolmogorov_smirnov(weighed.draw(rows, seed=3), truth)
    assert after.max() < 0.05
    assert before.max() > 1.5 * after.max()


def test_the_gain_is_what_the_held_out_likelihood_gains(
    problem: Problem, simulations: Simulations, weighed: Inverse
) -> None:
    """Against the exact posterior, which the weighed draws are near to."""
    held = simulations.heldout
    law = stats.norm(held.y, SD)
    log_p = (law.logpdf(held.x) - np.log(law.cdf(1) - law.cdf(-1))).sum(axis=1)
    most = float((log_p - weighed.log_prob_of_heads(held.x, held.y)).mean())
    assert weighed.info["likelihood"]["gain"] == pytest.approx(most, abs=0.12)


def test_the_density_is_that_of_the_weighed_draws(weighed: Inverse) -> None:
    """Normal laws within the bounds; the heads alone are far from them."""
    side = np.linspace(-1, 1, 81)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    rows = np.concatenate([np.repeat(ROW, len(grid), axis=0), np.repeat(-ROW, len(grid), axis=0)])
    both = np.concatenate([grid, -grid])
    found = weighed.log_prob(both, rows)
    law = stats.norm(rows, SD)
    exact_log = (law.logpdf(both) - np.log(law.cdf(1) - law.cdf(-1))).sum(axis=1)
    for part in np.split(np.arange(len(both)), 2):
        p = np.exp(exact_log[part])
        gap, of_heads = (
            float(np.average(exact_log[part] - log_q[part], weights=p))
            for log_q in (found, weighed.log_prob_of_heads(both, rows))
        )
        assert abs(gap) < 0.1
        assert of_heads > 2 * abs(gap)
        assert np.exp(found[part]).sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=0.1)
    mixed = np.random.default_rng(0).permutation(len(rows))
    assert np.array_equal(weighed.log_prob(both[mixed], rows[mixed]), found[mixed])
    assert np.isneginf(weighed.log_prob(np.array([[1.1, 0.0]]), ROW)).all()
    assert weighed.log_prob(grid[:0], rows[:0]).shape == (0,)


def likelihood_c2st(inverse: Inverse, problem: Problem, simulations: Simulations) -> Measure:
    """The figure of a verdict on the answer for these observations."""
    samples = sample(inverse, problem.observations.rows, 3000, seed=4)
    found = validate(problem, samples, simulations=simulations, **evidence(inverse, problem))
    (figure,) = [m for m in found.measures if m.name == "likelihood C2ST"]
    assert figure.passed or any("learnt likelihood expects" in said for said in found.reasons)
    return figure


@pytest.mark.slow
def test_the_model_s_outputs_are_those_that_the_likelihood_expects(
    weighed: Inverse, problem: Problem, simulations: Simulations
) -> None:
    """And are not where the model errs by half as much as it did in the simulations."""
    assert weighed.rests_on_likelihood
    right = likelihood_c2st(weighed, problem, simulations)
    assert right.passed
    assert right.value < 0.56
    quieter = replace(problem, model=lambda x, rng: x + SD / 2 * rng.normal(size=x.shape))
    wrong = likelihood_c2st(weighed, quieter, simulations)
    assert not wrong.passed
    assert wrong.value > 0.65


def test_residuals_are_normal_where_the_likelihood_is_right(weighed: Inverse) -> None:
    generator = np.random.default_rng(5)
    x = generator.uniform(-0.9, 0.9, (5000, 2))
    seen, expected = weighed.residuals(x, noisy(x, generator), seed=1)
    assert seen.shape == expected.shape == (5000, 4)
    assert np.array_equal(seen[:, :2], expected[:, :2])
    assert not np.allclose(seen[:, 2:], expected[:, 2:])
    for table in (seen, expected):
        gaps = [stats.kstest(column, "norm").statistic for column in table[:, 2:].T]
        assert max(gaps) < 0.06
    again = weighed.residuals(x, noisy(x, np.random.default_rng(6)), seed=1)
    assert np.array_equal(again[1], expected)
    with pytest.raises(InputError, match="none weighs these draws"):
        replace(weighed, weigher=None).residuals(x, x)


def test_the_lattice_of_counts_is_no_fault_of_the_likelihood() -> None:
    """Outputs rounded to twice their error are its rounded draws; outputs cut off are not."""
    weigher, _, held = exact_weigher()
    rounded, cut = (f(held.y / (2 * SD)) * 2 * SD for f in (torch.round, torch.floor))
    told = [
        c2st(*(table.numpy() for table in residuals(weigher, held.u, y, rng(1))), paired=True)
        for y in (rounded, cut)
    ]
    assert told[0] < 0.52
    assert told[1] > 0.6


def test_one_value_is_a_lattice_too() -> None:
    """The draws for an observed count of zero may all have zero, and its likelihood be right."""
    weigher, _, held = exact_weigher()
    low = Pairs(held.u - 4, torch.zeros_like(held.y))
    seen, expected = residuals(weigher, low.u, low.y, rng(1))
    assert torch.equal(seen, expected)


@pytest.mark.parametrize(("powers", "rests"), [((0.375, 0.6), False), ((0.25, 0.7), True)])
def test_an_answer_rests_on_a_likelihood_where_heads_count_little(
    weighed: Inverse, problem: Problem, powers: tuple[float, float], rests: bool
) -> None:
    other = replace(weighed, weigher=weighed.weigher.to_powers(powers))
    assert other.rests_on_likelihood == rests
    assert (evidence(other, problem)["residuals"] is not None) == rests
    assert not replace(weighed, weigher=None).rests_on_likelihood


def test_it_survives_its_files_and_its_members_have_likelihoods_of_their_own(
    weighed: Inverse, tmp_path: Path
) -> None:
    rows = np.repeat(ROW, 50, axis=0)
    weighed.save(tmp_path / "inverse")
    again = Inverse.load(tmp_path / "inverse", device="cpu")
    assert np.array_equal(again.draw(rows, seed=1), weighed.draw(rows, seed=1))
    first, second = weighed.each
    both = weighed.weigher.likelihoods
    assert list(first.weigher.likelihoods) == [both[0]]
    assert list(second.weigher.likelihoods) == [both[1]]
    assert first.draw(rows[:0], seed=1).shape == (0, 2)


REPEATS = np.array([[0.7, -0.2], [0.9, -0.4], [0.95, -0.5], [1.1, -0.6]])
"""Four measurements of one experiment, in the order that repeats are seen in."""


@pytest.mark.parametrize("kind", [pytest.param("none", marks=pytest.mark.slow), "set"])
def test_repeats_of_one_experiment_are_a_product(kind: str, tmp_path: Path) -> None:
    """Of those that are there, where the embedding takes sets of any size."""
    prior = Prior(a=stats.uniform(-1, 2), b=stats.uniform(-1, 2))
    problem = Problem(noisy, prior, REPEATS, stochastic=True, question="posterior")
    shape = REPEATS.shape if kind == "set" else None
    embedding = EmbeddingConfig(kind=kind, shape=shape, features=8, hidden=16)
    config = QUICK.model_copy(update={"embedding": embedding})
    weighed = train(problem, simulate(problem, 3000, seed=1), config, seed=2, device="cpu")
    assert weighed.info["likelihood"]["used"]
    assert [each.repeats for each in weighed.weigher.likelihoods] == [4]
    for size in (4,) if kind == "none" else (1, 4):
        truth = exact(REPEATS[:size].mean(axis=0), SD / np.sqrt(size), 4000, 5)
        rows = np.repeat(pad_row(REPEATS[:size], REPEATS.shape), 4000, axis=0)
        assert kolmogorov_smirnov(weighed.draw(rows, seed=3), truth).max() < 0.08
    weighed.save(tmp_path / "inverse")
    again = Inverse.load(tmp_path / "inverse", device="cpu")
    assert np.array_equal(again.draw(rows[:50], seed=1), weighed.draw(rows[:50], seed=1))
    fresh = simulate(problem, 500, seed=9)
    y = fresh.y.copy()
    if kind == "set":
        y[:100, 2:] = np.nan
    seen, expected = weighed.residuals(fresh.x, y)
    assert seen.shape == expected.shape == (np.isfinite(y).sum() // 2, 4)
    assert stats.kstest(seen[:, 2], "norm").statistic < 0.08


@pytest.mark.parametrize("plain", [True, False], ids=["units", "scores"])
def test_sorted_repeats_share_one_scale(plain: bool) -> None:
    """The columns of sorted repeats have laws of their own; together they have that of one."""
    prior = Prior(a=stats.norm())
    y = np.sort(np.exp(np.random.default_rng(0).normal(size=(5000, 3))), axis=1)
    outputs = OutputScaling.fit(y)
    scores = torch.tensor(outputs.to_network(y), dtype=torch.float32)
    found = Likelihood(TrainConfig(hidden=8), "linear", plain, 1, 3, 0, repeats=3)
    scaling = ParameterScaling.fit(prior, np.random.default_rng(0))
    e = torch.randn(5000, 1, generator=rng())
    found.settle(scaling, outputs, e, scores)
    pairs = found.exchanged(e, scores)
    assert pairs.u.shape == (15_000, 1)
    assert torch.equal(pairs.y[::3], pairs.y[2::3])
    known = torch.tensor(y.reshape(-1, 1) if plain else np.log(y.reshape(-1, 1)))
    assert torch.corrcoef(torch.cat([pairs.u, known], dim=1).T)[0, 1] > 0.998
    assert pairs.u.std() == pytest.approx(1, abs=0.01)
    whole = found.log_prob(e[:5], scores[:5])
    assert torch.allclose(whole, log_prob(found.estimator, *_first(pairs, 15)).reshape(5, 3).sum(1))


def _first(pairs: Pairs, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return pairs.u[:n], pairs.y[:n]


@pytest.mark.slow
def test_a_training_that_is_taken_up_weighs_as_before(
    problem: Problem, simulations: Simulations, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done > 0.8 * total:
            raise KeyboardInterrupt

    options = {"seed": 2, "device": "cpu", "checkpoint": tmp_path / "c"}
    with pytest.raises(KeyboardInterrupt):
        train(problem, simulations, QUICK, progress=stop, **options)
    assert list(tmp_path.glob("*likelihood*"))
    ends: list[tuple[int, int]] = []
    again = train(problem, simulations, QUICK, progress=lambda *done: ends.append(done), **options)
    assert ends[-1][0] == ends[-1][1]
    unstopped = train(problem, simulations, QUICK, seed=2, device="cpu")
    assert unstopped.weigher is not None
    rows = np.repeat(ROW, 50, axis=0)
    assert np.array_equal(again.draw(rows, seed=1), unstopped.draw(rows, seed=1))


PLAYED = BLUNT.model_copy(update={"head_steps": 60, "steps": 10, "restarts": 0})


@pytest.fixture
def liked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any game is liked in the latent space, and moves its draws by a hair."""
    play = Course._play

    def moved(self: Course, *args: Any) -> Recovered[Generator]:
        game = play(self, *args)
        if game.history[-1]["step"] == 0:
            return game
        linear_layers(game.kept)[-1].bias.data += 0.01
        best = {**game.history[-1], "kept": True, "heldout": 1e-5}
        return replace(game, history=[*game.history[:-1], best])

    monkeypatch.setattr(Course, "_play", moved)


@pytest.mark.usefixtures("liked")
def test_a_game_gives_way_to_weighed_draws_that_are_nearer(
    problem: Problem, simulations: Simulations
) -> None:
    done: list[tuple[int, int]] = []
    found = train(
        problem, simulations, PLAYED, seed=2, device="cpu", progress=lambda *at: done.append(at)
    )
    assert done == sorted(done)
    assert done[-1][0] == done[-1][1]
    placed = found.info["by_parameters"]
    assert placed["weighed"] < placed["game"]
    assert found.weigher is not None
    assert found.info["likelihood"]["used"]
    assert [info["kept_step"] for info in found.info["members"]] == [0, 0]
    assert not any(row["kept"] for row in found.history if row["phase"] == "gan" and "kept" in row)
    x = found.draw(np.repeat(ROW, 4000, axis=0), seed=1)
    assert kolmogorov_smirnov(x, exact(ROW[0], SD, 20_000, seed=3)).max() < 0.1


@pytest.mark.slow
@pytest.mark.usefixtures("liked")
def test_weighed_draws_give_way_to_a_game_that_is_nearer(
    problem: Problem, simulations: Simulations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its members have the heads that they had, also where training is taken up in the last one."""

    def told(_: Course, draws: Any, seen: Any) -> float:
        return 0.1 * isinstance(getattr(draws, "draws", None), Weighed)

    monkeypatch.setattr(Course, "_told", told)
    done: list[tuple[int, int]] = []
    found = train(
        problem, simulations, PLAYED, seed=2, device="cpu", progress=lambda *at: done.append(at)
    )
    assert done == sorted(done)
    assert found.weigher is None
    assert found.info["likelihood"]["gain"] > 0
    assert not found.info["likelihood"]["used"]
    assert [info["kept_step"] for info in found.info["members"]] == [10, 10]
    assert "temper" not in found.info

    def stop(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    options = {"seed": 2, "device": "cpu", "checkpoint": tmp_path / "c"}
    with pytest.raises(KeyboardInterrupt):
        train(problem, simulations, PLAYED, progress=stop, **options)
    assert len(list(tmp_path.glob("c-1-gan*"))) == 1
    again = train(problem, simulations, PLAYED, **options)
    rows = np.repeat(ROW, 50, axis=0)
    assert np.array_equal(again.draw(rows, seed=1), found.draw(rows, seed=1))


def counts(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An output that never varies, one that hardly ever does, and a count; (n, 3)."""
    n = len(x)
    rare = np.where(rng.random(n) < 0.002, 1e4 * rng.exponential(size=n), 0.0)
    count = rng.binomial(20, 1 / (1 + np.exp(3 - x[:, 0])), n)
    return np.stack([np.zeros(n), rare, count], axis=1)


def test_outputs_that_hardly_vary_stop_no_training() -> None:
    """Once their law had infinite units."""
    seen = np.array([[0.0, 0.0, 2.0]])
    problem = Problem(counts, Prior(a=stats.norm()), seen, stochastic=True, question="posterior")
    quick = QUICK.model_copy(update={"head_steps": 20})
    found = train(problem, simulate(problem, 600, seed=1), quick, seed=1, device="cpu")
    assert np.isfinite(found.info["likelihood"]["gain"])
    assert np.isfinite(found.draw(np.repeat(seen, 50, axis=0), seed=1)).all()


@pytest.mark.slow
def test_an_output_that_never_varies_changes_no_likelihood(
    problem: Problem, simulations: Simulations, tmp_path: Path
) -> None:
    """It has no density, which once was a spike that chose the form and the powers."""
    zeros = np.zeros((len(simulations), 1))
    wider = replace(
        problem, model=lambda x, rng: np.hstack([noisy(x, rng), x[:, :1] * 0]),
        observations=np.hstack([ROW, [[0.0]]]), outputs=("y1", "y2", "y3"),
    )  # fmt: skip
    rows = replace(simulations, y=np.hstack([simulations.y, zeros]), outputs=wider.outputs)
    settings = QUICK.model_copy(update={"members": 1, "head": "gaussian"})
    plain, told = (
        train(*case, settings, seed=2, device="cpu")
        for case in ((problem, simulations), (wider, rows))
    )
    assert told.info["likelihood"]["used"]
    assert told.weigher.each[0].varying == [0, 1]
    figures = [found.info["likelihood"]["gain"] for found in (plain, told)]
    assert figures[1] == pytest.approx(figures[0], abs=0.1)
    at = wider.observations.rows.repeat(200, axis=0)
    told.save(tmp_path / "inverse")
    again = Inverse.load(tmp_path / "inverse")
    assert np.array_equal(again.draw(at, seed=1), told.draw(at, seed=1))


def test_without_an_output_that_varies_there_is_nothing_to_learn() -> None:
    seen = np.array([[3.0]])
    still = Problem(
        lambda x, rng: 0 * x + 3, Prior(a=stats.norm()), seen, stochastic=True, question="posterior"
    )
    quick = QUICK.model_copy(update={"head_steps": 20})
    found = train(still, simulate(still, 600, seed=1), quick, seed=1, device="cpu")
    assert found.info["likelihood"] == {"used": False}


@pytest.mark.parametrize(
    "change",
    [
        {"stochastic": False, "model": lambda x: x},
        {"question": "population", "observations": np.repeat(ROW, 50, axis=0)},
    ],
    ids=["no noise", "population"],
)
def test_where_it_has_no_place_no_likelihood_is_learnt(problem: Problem, change: dict) -> None:
    given = {
        "model": noisy, "prior": problem.prior, "observations": ROW, "stochastic": True,
        "question": "posterior",
    }  # fmt: skip
    given |= change
    other = Problem(given.pop("model"), given.pop("prior"), given.pop("observations"), **given)
    quick = BLUNT.model_copy(update={"head_steps": 2, "members": 1})
    done: list[tuple[int, int]] = []
    found = train(
        other, simulate(other, 400, seed=1), quick, seed=1, device="cpu",
        progress=lambda *at: done.append(at),
    )  # fmt: skip
    assert found.info["likelihood"] == {"used": False}
    assert found.weigher is None
    assert done[-1][0] == done[-1][1]


@pytest.mark.parametrize(
    "settings",
    [{"likelihood": False}, {"head": "none"}, {"embedding": EmbeddingConfig(kind="mlp")}],
    ids=["switched off", "no density", "an embedding"],
)
def test_a_likelihood_needs_a_density_and_outputs_as_they_are(
    problem: Problem, simulations: Simulations, settings: dict
) -> None:
    quick = BLUNT.model_copy(update={"head_steps": 2, "members": 1, **settings})
    found = train(problem, simulations, quick, seed=1, device="cpu")
    assert found.info["likelihood"] == {"used": False}


class Told:
    """A head whose density and draws are the exact posterior of y = e + noise under e ~ N(0, 1)."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def _law(self, y: torch.Tensor) -> torch.distributions.Normal:
        share = 1 / (1 + SD**2)
        return torch.distributions.Normal(share * y + self.shift, SD * share**0.5)

    def draw(self, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        law = self._law(y)
        return law.mean + law.stddev * torch.randn(y.shape, generator=generator)

    def log_prob(self, e: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self._law(y).log_prob(e).sum(dim=1)


def normal_pairs(n: int, seed: int) -> Pairs:
    e = torch.randn(n, 1, generator=rng(seed))
    return Pairs(e, e + SD * torch.randn(n, 1, generator=rng(seed + 1)))


def likelihood_of(pairs: Pairs) -> Likelihood:
    """A likelihood on the scales of `normal_pairs`, yet to be fitted."""
    prior = Prior(a=stats.norm())
    found = Likelihood(TrainConfig(hidden=8), "linear", False, 1, 1, 0)
    scaling = ParameterScaling.fit(prior, np.random.default_rng(0))
    outputs = OutputScaling.fit(pairs.y.double().numpy())
    found.settle(scaling, outputs, pairs.u, pairs.y)
    return found


def weigher_of(likelihood: Likelihood) -> Weigher:
    """The second road alone, under a standard normal prior."""
    return Weigher(KnownPrior.blank(1), [likelihood], SECOND_ROAD)


def exact_weigher(shift: float = 0.0) -> tuple[Weigher, list[Told], Pairs]:
    pairs = normal_pairs(40_000, 1)
    found = likelihood_of(pairs)
    found.estimator.head.fit(*found.exchanged(pairs.u, pairs.y).some())
    return weigher_of(found), [Told(shift)], normal_pairs(2000, 7)


def test_draws_of_the_exact_posterior_are_weighed_alike() -> None:
    weigher, heads, held = exact_weigher()
    with torch.no_grad():
        _, log_w = weigher.weighed(heads, held.y, 16, rng())
    assert log_w.std(dim=1).mean() < 0.05


def test_weights_carry_a_shifted_head_to_the_posterior() -> None:
    weigher, heads, held = exact_weigher(shift=0.6 * SD)
    with torch.no_grad():
        e = weigher.choose(heads, held.y, rng(3))
        own = weigher.terms(heads, held.u, held.y).log_weight(SECOND_ROAD)
        others = weigher.weighed(heads, held.y, 16, rng(4))[1]
    share = 1 / (1 + SD**2)
    assert float((e - share * held.y).mean()) == pytest.approx(0, abs=0.02)
    assert float((e - share * held.y).std()) == pytest.approx(SD * share**0.5, rel=0.05)
    # KL between two normal laws 0.6 standard deviations apart, of which a choice of 16 loses some.
    assert 0.1 < float(gained(own, others).mean()) < 0.2


@pytest.mark.parametrize("shift", [0.5, 2.0], ids=["resampled", "moved"])
def test_many_draws_for_one_row_share_their_candidates(shift: float) -> None:
    """Rows of one y and of many, in any order, get what is theirs; heavy weights are kept."""
    weigher, heads, _ = exact_weigher(shift=shift * SD)
    y = torch.cat([torch.full((3000, 1), 0.5), torch.tensor([[-1.0], [2.0]]), -torch.ones(3000, 1)])
    with torch.no_grad():
        e = weigher.choose(heads, y, rng(5))
    share = 1 / (1 + SD**2)
    for rows, at in ((slice(None, 3000), 0.5), (slice(3002, None), -1.0)):
        assert float(e[rows].mean()) == pytest.approx(share * at, abs=0.02)
        assert float(e[rows].std()) == pytest.approx(SD * share**0.5, rel=0.1)
    assert torch.allclose(e[3000:3002], y[3000:3002], atol=5 * SD)


def test_moves_leave_a_law_as_it_is_and_carry_crowds_to_it() -> None:
    """Two crowds of different laws: one that has its law already, one of a few copies far off."""
    centres, sd = torch.tensor([[[0.0, 0.0]], [[3.0, -2.0]]]), torch.tensor([1.0, 0.2])

    def log_density(e: torch.Tensor) -> torch.Tensor:
        return -0.5 * ((e - centres) / sd).square().sum(dim=2)

    begin = torch.randn(2, 4001, 2, generator=rng(1)) * sd
    begin[1] = (
        torch.tensor([2.0, -1.8])
        + 0.3 * torch.randn(5, 2, generator=rng(2))[torch.randint(5, (4001,), generator=rng(3))]
    )
    end = moved(log_density, begin, 60, rng(4))
    for crowd, centre in zip(end, centres, strict=True):
        assert crowd.mean(dim=0).numpy() == pytest.approx(centre[0].numpy(), abs=0.1)
        assert crowd.std(dim=0).numpy() == pytest.approx(sd.numpy(), rel=0.1)
    assert len(end[1].unique(dim=0)) > 3000


def test_what_counts_alike_is_chosen_once() -> None:
    places = _resampled(torch.zeros(3, 40), 40, rng())
    assert all(sorted(row) == list(range(40)) for row in places.tolist())
    assert places[0].tolist() != list(range(40))
    heavy = torch.tensor([[0.0, 0.0, -1e4, 2.0]])
    places = _resampled(heavy, 9000, rng(1))[0]
    expected = 9000 * heavy[0].softmax(dim=0)
    assert torch.bincount(places, minlength=4).numpy() == pytest.approx(expected.numpy(), abs=1)


def everywhere(e: torch.Tensor) -> torch.Tensor:
    return torch.ones(e.shape[:-1], dtype=torch.bool)


def test_held_out_pairs_say_how_far_to_go() -> None:
    weigher, heads, _ = exact_weigher(shift=0.6 * SD)
    powers, info = decided(weigher, heads, normal_pairs(4000, 9), everywhere, 1)
    assert powers is not None
    assert powers[0] <= 0.25
    assert 0.85 < sum(powers) <= 1
    assert info["gain"] > 0.1
    right, heads, _ = exact_weigher()
    assert decided(right, heads, normal_pairs(4000, 9), everywhere, 1)[1]["gain"] == pytest.approx(
        0, abs=0.01
    )


def test_few_pairs_tell_nothing() -> None:
    weigher, heads, _ = exact_weigher(shift=SD)
    assert decided(weigher, heads, normal_pairs(19, 9), everywhere, 1) == (None, {})


def inner(e: torch.Tensor) -> torch.Tensor:
    return e.abs()[..., 0] < 0.3


class Pooled(Told):
    """A head that learnt from two rounds, the second of which left a tenth of what is outside."""

    def _outside(self, y: torch.Tensor) -> torch.Tensor:
        law = self._law(y)
        return law.cdf(torch.tensor(-0.3)) + 1 - law.cdf(torch.tensor(0.3))

    def draw(self, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        e = super().draw(y, generator)
        for _ in range(40):
            again = ~inner(e) & (torch.rand(len(e), generator=generator) < 0.9)
            e[again] = super().draw(y[again], generator)
        return e

    def log_prob(self, e: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        whole = (1 - 0.9 * self._outside(y)).log()[:, 0]
        return super().log_prob(e, y) + torch.where(inner(e), 0.0, math.log(0.1)) - whole


def test_draws_elsewhere_are_drawn_again() -> None:
    pooled = Pooled()
    y = normal_pairs(5_000, 9).y
    assert inner(pooled.draw(y, rng())).float().mean() < 0.9
    near = y.abs()[:, 0] < 0.3
    e = Inside(pooled, inner).draw(y[near], rng())
    assert inner(e).all()


@pytest.mark.parametrize("cut", [True, False])
def test_only_pairs_inside_a_cut_prior_are_asked_about(cut: bool) -> None:
    parameters = ParameterScaling.fit(Prior(a=stats.norm()), np.random.default_rng(0))
    outputs = OutputScaling.fit(np.random.default_rng(0).normal(size=(500, 1)))
    inside = (lambda x: np.abs(x[:, 0]) < 0.3) if cut else None
    scales = Scales(parameters, outputs, KnownPrior.blank(1), inside=inside)
    pairs = normal_pairs(1_000, 9)
    asked = scales.asked(pairs)
    kept = inner(pairs.u) if cut else torch.ones(len(pairs.u), dtype=torch.bool)
    assert torch.equal(asked.u, pairs.u[kept])
    assert torch.equal(asked.y, pairs.y[kept])


def test_what_lies_outside_a_cut_prior_has_no_say() -> None:
    """The prior before any cut is no law of the rows of all rounds, but inside the last region."""
    weigher, _, _ = exact_weigher()
    pairs = normal_pairs(40_000, 9)
    kept = inner(pairs.u) | (torch.rand(len(pairs.u), generator=rng(2)) < 0.1)
    rows = Pairs(pairs.u[kept], pairs.y[kept])
    assert decided(weigher, [Pooled()], rows, inner, 1)[1]["gain"] == pytest.approx(0, abs=0.01)
    assert decided(weigher, [Pooled()], rows, everywhere, 1)[1]["gain"] > 0.1
    powers, info = decided(weigher, [Pooled(0.6 * SD)], rows, inner, 1)
    assert powers is not None
    assert powers[0] <= 0.25
    assert 0.85 < sum(powers) <= 1
    assert 0.06 < info["gain"] < 0.2


def test_the_prior_counts_once_whatever_the_powers() -> None:
    """Where neither heads nor likelihood say more than the prior, it is what is aimed at."""
    prior, nothing = torch.randn(50, generator=rng()), torch.zeros(50)
    for powers in ((1.0, 1.0), (0.5, 0.7), SECOND_ROAD):
        assert torch.equal(Terms(prior, nothing, nothing).log_density(powers), prior)
        assert not Terms(prior, nothing, nothing).log_weight(powers).any()


@pytest.mark.parametrize("common", [0.0, 1.0], ids=["errors of their own", "the same error"])
def test_two_roads_with_errors_of_their_own_make_a_narrower_law(common: float) -> None:
    """Each is right in its spread. Their product is the law given both, if they err apart."""
    n, m = 4000, 64
    errors = torch.randn(2, n, generator=rng(1))
    errors[1] = (1 - common) * errors[1] + common * errors[0]
    draws = errors[0, :, None] + torch.randn(n, m, generator=rng(2))

    def terms(e: torch.Tensor, heads: torch.Tensor, other: torch.Tensor) -> Terms:
        return Terms(torch.zeros_like(e), -0.5 * (e - heads) ** 2, -0.5 * (e - other) ** 2)

    own = terms(torch.zeros(n), errors[0], errors[1])
    others = terms(draws, errors[0, :, None], errors[1, :, None])
    gains = [gained(own.log_weight(p), others.log_weight(p)) for p in POWERS]
    assert sum(POWERS[chosen(torch.stack(gains))]) == pytest.approx(1 if common else 2, abs=0.2)


def test_a_likelihood_that_lies_is_not_heard() -> None:
    pairs = normal_pairs(4000, 1)
    lie = likelihood_of(pairs)
    with torch.no_grad():
        lie.estimator.head.fit(*lie.exchanged(pairs.u, -pairs.y).some())
    assert decided(weigher_of(lie), [Told()], normal_pairs(4000, 9), everywhere, 1)[0] is None


def test_outputs_in_their_own_units_keep_their_density() -> None:
    """The slope of the scale is that of differences, on a skewed output."""
    prior = Prior(a=stats.norm())
    y = np.exp(np.random.default_rng(0).normal(size=(5000, 1)))
    outputs = OutputScaling.fit(y)
    scores = torch.tensor(outputs.to_network(y), dtype=torch.float32)
    found = Likelihood(TrainConfig(hidden=8), "linear", True, 1, 1, 0)
    scaling = ParameterScaling.fit(prior, np.random.default_rng(0))
    found.settle(scaling, outputs, scores, scores)
    at = torch.linspace(-2, 2, 41)[:, None]
    t = found.seen(at)
    raw = torch.tensor(outputs.maps[0].inverse(at.double().numpy()))
    assert torch.corrcoef(torch.cat([t, raw], dim=1).T)[0, 1] == pytest.approx(1, abs=1e-6)
    rise = (found.seen(at + 0.05) - found.seen(at - 0.05))[:, 0] / 0.1
    assert found.log_slope(at).exp().numpy() == pytest.approx(rise.numpy(), rel=0.05)
    assert found.seen(scores).std() == pytest.approx(1, abs=1e-3)


BOX = Region(np.array([0.2, -3.0]), np.array([2.5, 0.7]))


@pytest.mark.parametrize(
    "prior",
    [
        Prior(a=stats.gamma(2), b=stats.norm()),
        MultivariateNormal([1.0, -2.0], [[4.0, 1.5], [1.5, 1.0]], names=["a", "b"]),
        Truncated(Prior(a=stats.gamma(2), b=stats.norm()), [BOX]),
    ],
    ids=["independent", "normal", "cut"],
)
def test_a_prior_is_known_on_the_scale_of_the_network(prior: Any) -> None:
    scaling = ParameterScaling.fit(prior, np.random.default_rng(0))
    x = prior.sample(2000, np.random.default_rng(1))
    e = torch.tensor(scaling.to_network(x), dtype=torch.float32)
    found = known_prior(prior, scaling)
    gap = found(e).numpy() - (prior.log_prob(x) - scaling.log_slope(x))
    assert np.median(np.abs(gap - np.median(gap))) < 0.02
    assert gap.std() < 0.15


class Bent:
    """Two parameters, the second about the square of the first; its density is only its own."""

    names = ("a", "b")
    support = Box(np.full(2, -np.inf), np.full(2, np.inf))

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        w = rng.normal(size=(n, 2))
        return np.stack([w[:, 0], w[:, 0] ** 2 + 0.5 * w[:, 1]], axis=1)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        second = stats.norm.logpdf(x[:, 1], x[:, 0] ** 2, 0.5)
        return np.asarray(stats.norm.logpdf(x[:, 0]) + second)


@pytest.mark.slow
def test_proportions_are_weighed_too() -> None:
    """Three that sum to one, of which two are measured."""

    def model(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x[:, :2] + 0.05 * rng.normal(size=(len(x), 2))

    seen = np.array([[0.2, 0.05]])
    prior = Dirichlet([1.0, 1.0, 1.0], names=["a", "b", "c"])
    problem = Problem(model, prior, seen, stochastic=True, question="posterior")
    weighed = train(problem, simulate(problem, 3000, seed=1), QUICK, seed=2, device="cpu")
    assert weighed.info["likelihood"]["used"]
    x = weighed.draw(np.repeat(seen, 4000, axis=0), seed=3)
    assert np.allclose(x.sum(axis=1), 1)
    # Under a flat prior the posterior is normal, cut at zero.
    laws = [stats.truncnorm(-y / 0.05, np.inf, loc=y, scale=0.05) for y in seen[0]]
    truth = np.stack([law.rvs(4000, random_state=j) for j, law in enumerate(laws)], axis=1)
    assert kolmogorov_smirnov(x[:, :2], truth).max() < 0.08


@pytest.mark.slow
def test_the_density_of_any_other_prior_is_learnt(tmp_path: Path) -> None:
    prior = Bent()
    problem = Problem(noisy, prior, np.array([[0.5, 0.4]]), stochastic=True, question="posterior")
    simulations = simulate(problem, 4000, seed=1)
    done: list[tuple[int, int]] = []
    weighed = train(
        problem, simulations, QUICK, seed=2, device="cpu", progress=lambda *at: done.append(at)
    )
    assert done[-1][0] == done[-1][1]
    assert weighed.info["likelihood"]["used"]
    learnt = weighed.weigher.prior
    assert isinstance(learnt, LearntPrior)
    x = prior.sample(5000, np.random.default_rng(3))
    e = torch.tensor(weighed.parameters.to_network(x), dtype=torch.float32)
    with torch.no_grad():
        gap = learnt(e).numpy() - (prior.log_prob(x) - weighed.parameters.log_slope(x))
    assert abs(gap.mean()) < 0.1
    assert np.median(np.abs(gap)) < 0.2
    rows = np.repeat(problem.observations.rows, 50, axis=0)
    weighed.save(tmp_path / "inverse")
    again = Inverse.load(tmp_path / "inverse", device="cpu")
    assert np.array_equal(again.draw(rows, seed=1), weighed.draw(rows, seed=1))
