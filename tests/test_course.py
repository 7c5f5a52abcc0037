"""The ladder of heads, the judge, members and embeddings in training, against closed forms."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL
from scipy import stats

from invgan.errors import InputError
from invgan.gan import Inverse, sample, train, training
from invgan.gan.course import Course
from invgan.gan.embedding import build_embedding
from invgan.gan.heads import build_head, log_prob
from invgan.gan.judge import CANDIDATES, train_judge
from invgan.gan.likelihood import LikelihoodStage
from invgan.gan.member import Estimator
from invgan.gan.networks import Generator, fitted, initialise, linear_layers
from invgan.gan.recovery import Recovered
from invgan.gan.stage import Pairs
from invgan.gan.temper import temper_together
from invgan.health import diagnose, standing
from invgan.priors import MultivariateNormal, Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.settings import EmbeddingConfig, TrainConfig
from invgan.simulation import simulate

QUICK = {"head_steps": 120, "steps": 40, "hidden": 32, "layers": 2, "evaluations": 3,
         "likelihood": False}  # fmt: skip
SD = 0.4
FASTER = "faster flow"


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noisy(observed: object, **options: object) -> Problem:
    """x ~ N(0, 1)^2 seen through N(0, SD^2) noise: the posterior is normal in closed form."""
    prior = Prior(a=stats.norm(), b=stats.norm())
    return Problem(
        lambda x: x, prior, observed, noise={"normal": SD}, question="posterior", **options
    )


@pytest.fixture(scope="module")
def problem() -> Problem:
    return noisy(np.array([[0.5, -1.0]]))


@pytest.fixture(scope="module")
def inverse(problem: Problem) -> Inverse:
    config = TrainConfig(**{**QUICK, "members": 2})
    # Seen once each: under further noise nothing betters the regression, which is exact here.
    simulations = replace(simulate(problem, 6000, seed=1), own=None)
    return train(problem, simulations, config, seed=3, device="cpu")


def exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log p(x given y) of `noisy`."""
    share = 1 / (1 + SD**2)
    return stats.norm(share * y, SD * np.sqrt(share)).logpdf(x).sum(axis=1)


@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("kind", ["linear", "affine"])
def test_a_linear_head_starts_at_the_regression(kind: str, features: int) -> None:
    y = torch.randn(20_000, 2, generator=rng())
    slope = torch.randn(2, features, generator=rng(1))
    e = 1 + y @ slope + 0.3 * torch.randn(20_000, features, generator=rng(2))
    head = build_head(kind, features, 2, hidden=16, transforms=2, rng=rng(3))
    head.fit(e[:10_000], y[:10_000])
    with torch.no_grad():
        found = log_prob(head, e[10_000:], y[10_000:]).mean().item()
    assert found == pytest.approx(features * (-0.5 * np.log(2 * np.pi * np.e * 0.09)), abs=0.02)


def test_heldout_pairs_choose_the_head(inverse: Inverse) -> None:
    heads = inverse.info["heads"]
    assert set(heads) == {"linear", "small", "flow", FASTER}
    assert inverse.info["head"] == min(heads, key=heads.get) == "linear"


@pytest.mark.parametrize(("features", "tried"), [(10, False), (11, True)])
def test_of_many_parameters_an_affine_flow_is_tried_too(features: int, tried: bool) -> None:
    prior = Prior(**{f"x{j}": stats.norm() for j in range(features)})
    seen = np.zeros((1, features))
    problem = Problem(lambda x: x, prior, seen, noise={"normal": SD}, question="posterior")
    config = TrainConfig(head_steps=2, steps=0, evaluations=1, hidden=8, members=1, judge=False)
    found = train(problem, simulate(problem, 800, seed=1), config, seed=1, device="cpu").info
    assert ("affine" in found["heads"]) is tried


@pytest.mark.slow
def test_a_folded_law_is_not_left_to_the_regression() -> None:
    prior = Prior(a=stats.norm())
    problem = Problem(lambda x: x**2, prior, np.array([[1.0]]), noise={"normal": 0.1},
                      question="posterior")  # fmt: skip
    config = TrainConfig(**{**QUICK, "head_steps": 300, "steps": 0, "judge": False})
    found = train(problem, simulate(problem, 4000, seed=1), config, seed=1, device="cpu").info
    assert found["head"] != "linear"
    assert found["heads"][found["head"]] < found["heads"]["linear"] - 0.03, found["heads"]


@pytest.mark.parametrize(
    ("pairs", "given", "steps"),
    [(10_000, None, 4000), (85_000, None, 9960), (10**6, None, 20_000), (10**6, 300, 300)],
)
def test_a_density_that_is_the_answer_is_fitted_for_longer_to_more_pairs(
    problem: Problem, sum_problem: Problem, pairs: int, given: int | None, steps: int
) -> None:
    config = TrainConfig(head_steps=given)
    assert training._scheduled(config, problem, pairs).steps_of_head == steps
    of_population = training._scheduled(config, sum_problem, pairs)
    assert of_population.steps_of_head == (given or 4000)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rates of all fits by likelihood, as they begin."""
    found: list[float] = []
    begun = LikelihoodStage.__init__

    def begin(stage: LikelihoodStage, *given: Any) -> None:
        found.append(given[3].learning_rate)
        begun(stage, *given)

    monkeypatch.setattr(LikelihoodStage, "__init__", begin)
    return found


BRIEF = {**QUICK, "head_steps": 2, "steps": 0, "members": 1, "judge": False}


def test_a_flow_is_tried_faster_where_its_density_is_the_answer(
    problem: Problem, sum_problem: Problem, rates: list[float]
) -> None:
    config = TrainConfig(**BRIEF)
    for asked, tried in ((problem, [1, 1, 1, 2]), (sum_problem, [1, 1, 1])):
        rates.clear()
        found = train(asked, simulate(asked, 800, seed=1), config, seed=1, device="cpu").info
        assert rates == pytest.approx([config.learning_rate * pace for pace in tried])
        assert (FASTER in found["heads"]) == (len(tried) == 4)


def test_each_form_of_a_likelihood_is_tried_at_two_paces(
    problem: Problem, rates: list[float]
) -> None:
    config = TrainConfig(**BRIEF | {"head": "linear", "likelihood": True})
    found = train(problem, simulate(problem, 800, seed=1), config, seed=1, device="cpu").info
    trials, finals = rates[1:9], rates[9:]
    assert trials == pytest.approx([config.learning_rate * pace for pace in (1, 4)] * 4)
    paces = [rate / config.learning_rate for rate in finals]
    assert len(finals) == 2
    assert any(found["likelihood"]["pace"] == pytest.approx(pace) for pace in paces)


def judged(shift: float):
    """A judge of draws from N(0, 1) where the truth is N(shift, 1), and the generator."""
    generator = Generator(1, 1, 1, 8, 1)
    initialise(generator, rng())
    real = [torch.randn(n, 1, generator=rng(s)) + shift for n, s in ((20_000, 2), (8_000, 3))]
    pairs = [Pairs(u, torch.zeros_like(u)) for u in real]
    config = TrainConfig(hidden=16, layers=2, head_steps=10, steps=800)
    return generator, train_judge(generator, *pairs, config, 5)


def test_a_judge_gains_the_divergence_that_it_corrects() -> None:
    generator, (judge, info) = judged(0.6)
    assert judge is not None
    # KL(N(0.6, 1) || N(0, 1)) = 0.18 nats, of which candidates of a finite number give less.
    assert 0.12 < info["gain"] < 0.19
    assert 0.5 < info["effective_share"] < 0.9
    with torch.no_grad():
        u = judge.choose(generator, torch.zeros(20_000, 1), rng(7))
    assert u.mean().item() == pytest.approx(0.6, abs=0.06)
    assert u.std().item() == pytest.approx(1, abs=0.05)


def test_a_judge_that_cannot_tell_is_not_used() -> None:
    _, (judge, info) = judged(0.0)
    assert judge is None
    assert abs(info["gain"]) < 0.01
    assert info["effective_share"] > 0.95
    assert CANDIDATES > 1


def test_a_deterministic_model_is_not_judged(sum_inverse: Inverse) -> None:
    assert sum_inverse.info["judge"] == {"used": False}


def test_the_density_ratio_is_that_of_bayes(problem: Problem, inverse: Inverse) -> None:
    fresh = simulate(problem, 2000, seed=9)
    found = inverse.log_ratio(fresh.x, fresh.y)
    truth = exact(fresh.x, fresh.y) - problem.prior.log_prob(fresh.x)
    assert np.mean(truth - found) == pytest.approx(0, abs=0.05)
    assert np.std(truth - found) < 0.3


def test_the_density_is_that_of_the_parameters(problem: Problem, inverse: Inverse) -> None:
    fresh = simulate(problem, 2000, seed=9)
    found = inverse.log_prob(fresh.x, fresh.y)
    assert np.mean(exact(fresh.x, fresh.y) - found) == pytest.approx(0, abs=0.05)
    assert np.std(exact(fresh.x, fresh.y) - found) < 0.3


def test_the_density_knows_a_prior_whose_parameters_depend_on_each_other() -> None:
    """y = x + noise under a correlated normal prior: the posterior is normal, in closed form."""
    cov = np.array([[1.0, 0.9], [0.9, 1.0]])
    prior = MultivariateNormal(np.zeros(2), cov)
    problem = Problem(
        lambda x: x, prior, np.zeros((1, 2)), noise={"normal": SD}, question="posterior"
    )
    config = TrainConfig(**{**QUICK, "head": "linear", "judge": False, "members": 1, "steps": 0})
    inverse = train(problem, simulate(problem, 4000, seed=1), config, device="cpu")
    fresh = simulate(problem, 2000, seed=9)
    gain = cov @ np.linalg.inv(cov + SD**2 * np.eye(2))
    law = stats.multivariate_normal(np.zeros(2), cov - gain @ cov)
    truth = law.logpdf(fresh.x - fresh.y @ gain.T)
    found = inverse.log_prob(fresh.x, fresh.y)
    assert np.mean(truth - found) == pytest.approx(0, abs=0.05)
    assert np.std(truth - found) < 0.3
    assert np.std(inverse.log_ratio(fresh.x, fresh.y) + prior.log_prob(fresh.x) - found) > 0.5


def test_the_density_takes_matched_rows(inverse: Inverse) -> None:
    for density in (inverse.log_prob, inverse.log_ratio):
        with pytest.raises(InputError, match="one x for each y; got 2 and 3 rows"):
            density(np.zeros((2, 2)), np.zeros((3, 2)))


def test_no_head_has_no_density(problem: Problem) -> None:
    config = TrainConfig(**{**QUICK, "head": "none", "judge": False, "members": 1})
    plain = train(problem, simulate(problem, 1000, seed=1), config, device="cpu")
    assert not plain.has_density
    with pytest.raises(InputError, match="train with another head"):
        plain.log_prob(np.zeros((2, 2)), np.zeros((2, 2)))


def test_members_differ_and_are_drawn_from_equally(inverse: Inverse) -> None:
    first, second = inverse.each
    y = np.zeros((4000, 2))
    a, b = first.log_ratio(y, y), second.log_ratio(y, y)
    assert not np.allclose(a, b)
    assert np.allclose(inverse.log_ratio(y, y), np.logaddexp(a, b) - np.log(2), atol=1e-4)
    x = inverse.draw(y, seed=2)
    assert np.allclose(x.std(axis=0), SD / np.sqrt(1 + SD**2), rtol=0.15)


def test_members_survive_saving(inverse: Inverse, tmp_path: Path) -> None:
    inverse.save(tmp_path / "inverse")
    again = Inverse.load(tmp_path / "inverse", device="cpu")
    y = np.random.default_rng(1).normal(size=(50, 2))
    assert len(again.members) == 2
    assert np.array_equal(again.draw(y, seed=4), inverse.draw(y, seed=4))


@pytest.mark.parametrize(("shift", "stays"), [(0.01, True), (0.6, False)])
def test_a_game_that_moves_mass_is_put_aside(
    shift: float, stays: bool, sum_problem: Problem, sum_simulations: Simulations,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """However well its thinner sheet is liked in the latent space."""
    play = Course._play

    def moved(self: Course, *args: Any) -> Recovered[Generator]:
        game = play(self, *args)
        linear_layers(game.kept)[-1].bias.data += shift
        liked = {**game.history[-1], "kept": True, "heldout": 1e-4}
        return replace(game, history=[*game.history[:-1], liked])

    monkeypatch.setattr(Course, "_play", moved)
    config = TrainConfig(**{**QUICK, "head": "gaussian", "steps": 20, "restarts": 0})
    found = train(sum_problem, sum_simulations, config, seed=2, device="cpu")
    placed = found.info["by_parameters"]
    assert (placed["game"] < 1.1 * placed["head"] + 0.001) == stays
    assert (found.info["kept_step"] == 20) == stays
    assert (found.info["divergence"] == 1e-4) == stays
    assert any(row.get("kept") for row in found.history if row["phase"] == "gan") == stays
    still = found.members[0].generator
    z = torch.randn(50, 4, generator=rng())
    assert torch.equal(still(z, torch.zeros(50, 1)), z[:, :2]) != stays


@pytest.mark.slow
def test_one_training_answers_for_sets_of_any_size(tmp_path: Path) -> None:
    shape = (3, 2)
    problem = noisy(np.zeros(shape))
    embedding = EmbeddingConfig(kind="set", shape=shape, features=6, hidden=16)
    config = TrainConfig(
        members=1,
        **{**QUICK, "head": "flow", "head_steps": 900, "steps": 0, "judge": False},
        embedding=embedding,
    )
    trained = train(problem, simulate(problem, 6000, seed=1), config, seed=2, device="cpu")
    trained.save(tmp_path / "inverse")
    again = Inverse.load(tmp_path / "inverse", device="cpu")
    spread = [
        sample(again, np.full((size, 2), 0.3), 3000, seed=5).x.std(axis=0).mean()
        for size in (1, 2, 3)
    ]
    # Few steps blur the narrow posteriors of large sets most.
    exactly = [SD / np.sqrt(size + SD**2) for size in (1, 2, 3)]
    assert spread == pytest.approx(exactly, rel=0.45)
    assert spread[0] > spread[1] > spread[2]


def test_the_members_after_the_first_try_what_it_kept(inverse: Inverse) -> None:
    first, second = inverse.info["members"]
    assert len(first["heads"]) == 4
    assert list(second["heads"]) == [first["head"]]
    assert second["steps"] == (first["steps"] if first["kept_step"] else 0)


class Narrow(torch.nn.Module):
    """A head that thinks the standard normal e to be this wide, and off its centre."""

    def __init__(self, width: float, offset: float = 0.0) -> None:
        super().__init__()
        self.width, self.offset = width, offset

    def forward(self, e: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ladj = torch.full((len(e),), -e.shape[1] * float(np.log(self.width)))
        return (e - self.offset) / self.width, ladj

    def inverse(self, u: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.offset + self.width * u


def estimator(width: float, offset: float = 0.0) -> Estimator:
    embedding = build_embedding(EmbeddingConfig(), 1, rng())
    return Estimator(embedding, Narrow(width, offset), 2)  # type: ignore[arg-type]


def normal_pairs(n: int = 20_000) -> Pairs:
    return Pairs(torch.randn(n, 2, generator=rng(5)), torch.zeros(n, 1))


def test_a_head_that_is_too_sure_is_widened() -> None:
    heldout, head = normal_pairs(), estimator(0.5)
    before = -float(log_prob(head, heldout.u, heldout.y).mean())
    gain = head.temper(heldout)
    after = -float(log_prob(head, heldout.u, heldout.y).mean())
    assert gain == pytest.approx(before - after, abs=1e-3)
    assert after == pytest.approx(1 + np.log(2 * np.pi), abs=0.02)
    drawn = head.inverse(torch.randn(20_000, 2, generator=rng(6)), torch.zeros(20_000, 1))
    assert drawn.std(dim=0).numpy() == pytest.approx([1, 1], abs=0.02)


def test_a_mixture_is_not_widened_twice() -> None:
    """Members off to both sides, each right in spread, are too wide together."""
    members, heldout = [estimator(1.0, 0.6), estimator(1.0, -0.6)], normal_pairs()

    def nll(factor: float) -> float:
        centres = [stats.norm(c, factor).logpdf(heldout.u.numpy()).sum(axis=1) for c in (0.6, -0.6)]
        return -float((np.logaddexp(*centres) - np.log(2)).mean())

    factor = temper_together(members, heldout)
    assert factor < 0.95
    assert nll(factor) < min(nll(factor - 0.05), nll(factor + 0.05), nll(1))
    assert members[0].spread.numpy() == pytest.approx([factor, factor])


def test_one_member_alone_stays_as_it_was_tempered() -> None:
    member, heldout = estimator(1.7), normal_pairs()
    member.temper(heldout)
    assert temper_together([member], heldout) == pytest.approx(1)


def test_a_model_with_noise_has_several_members_and_no_judge(problem: Problem) -> None:
    simulations = simulate(problem, 1000, seed=1)
    trained = train(problem, simulations, TrainConfig(**{**QUICK, "head": "linear"}), seed=1)
    assert len(trained.members) == 4
    assert not any(info["judge"]["used"] for info in trained.info["members"])


@pytest.mark.slow
def test_a_game_that_failed_is_played_again_and_never_for_the_worse() -> None:
    """A rate that is absurd blows the game up; a tenth of it, and a tenth of that, do not."""
    prior = Prior(a=stats.norm(), b=stats.norm())
    seen = Problem(lambda x: x.sum(axis=1), prior, stats.norm(0.5, 0.5))
    wild = {"head": "none", "learning_rate": 20.0, "steps": 300, "evaluations": 6, "hidden": 32}
    info = train(seen, simulate(seen, 4000, seed=1), TrainConfig(**wild), seed=1).info
    assert info["restarts"]
    assert info["restarts"][0]["changed"]["learning_rate"] == [20.0, 2.0]
    assert info["divergence"] <= min(min(r["heldout"]) for r in info["restarts"])


def test_a_watcher_sees_every_evaluation_and_changes_nothing(
    sum_problem: Problem, sum_simulations: Simulations, sum_inverse: Inverse
) -> None:
    seen = []
    watched = train(
        sum_problem, sum_simulations, SMALL, seed=2, device="cpu",
        watch=lambda rows: seen.append((len(rows), rows[-1]["phase"], standing(rows))),
    )  # fmt: skip
    assert watched.history == sum_inverse.history
    judged = [r for r in watched.history if "heldout" in r and r["step"] > 0]
    assert [phase for _, phase, _ in seen] == [r["phase"] for r in judged]
    assert seen[-1][2].startswith(f"game {SMALL.steps}: critic ")
    assert seen[-1][2].endswith(diagnose(watched.history).name)


def test_a_game_that_went_well_is_played_once(sum_inverse: Inverse) -> None:
    assert sum_inverse.info["restarts"] == []
    assert {"name", "evidence", "remedy", "healthy", "said"} == set(sum_inverse.info["health"])


def test_members_have_even_shares_of_small_calls_too(inverse: Inverse) -> None:
    class Marked(torch.nn.Module):
        def __init__(self, mark: float) -> None:
            super().__init__()
            self.mark = torch.nn.Parameter(torch.tensor(mark))

        def draw(self, y: torch.Tensor, *_: object) -> torch.Tensor:
            return torch.full((len(y), 2), self.mark.item())

    members = tuple(Marked(mark) for mark in (-1.0, 0.0, 1.0))
    marked = replace(inverse, members=members, weigher=None)
    for n in (1, 2, 5, 9):
        x = np.stack([marked.draw(np.zeros((n, 2)), seed=seed)[:, 0] for seed in range(300)])
        shares = [np.mean(np.round(x) == mark) for mark in (-1, 0, 1)]
        assert shares == pytest.approx([1 / 3] * 3, abs=0.09)
        if n > 2:
            assert all(len(np.unique(np.round(row))) == 3 for row in x)


@pytest.mark.parametrize("output", ["linear", "tanh"])
def test_the_head_is_kept_alone_whatever_the_game_begins_from(
    output: str, problem: Problem, tmp_path: Path
) -> None:
    config = TrainConfig(
        **{**QUICK, "head": "gaussian", "steps": 0, "members": 2, "judge": False,
           "network": {"output": output}}
    )  # fmt: skip
    found = train(problem, simulate(problem, 3000, seed=1), config, seed=3, device="cpu")
    assert found.info["kept_step"] == 0
    row = np.repeat([[0.5, -1.0]], 8000, axis=0)
    x = found.draw(row, seed=1)
    share = 1 / (1 + SD**2)
    assert x.mean(axis=0) == pytest.approx(share * row[0], abs=0.1)
    assert x.std(axis=0) == pytest.approx([SD * np.sqrt(share)] * 2, rel=0.15)
    found.save(tmp_path / "inverse")
    again = Inverse.load(tmp_path / "inverse", device="cpu")
    assert np.array_equal(again.draw(row, seed=1), x)


def test_a_gap_is_refused_where_none_was_learnt(inverse: Inverse) -> None:
    with pytest.raises(InputError, match=r"1 of 2 rows with NaN: train it .* missing=True"):
        inverse.draw(np.array([[0.0, 1.0], [np.nan, 1.0]]))


def test_an_embedding_needs_a_head_to_be_trained_by() -> None:
    with pytest.raises(InputError, match="none leaves nothing to train the embedding by"):
        TrainConfig(head="none", embedding=EmbeddingConfig(kind="mlp"))
    seen = TrainConfig(embedding=EmbeddingConfig(kind="mlp"))
    assert fitted(seen, (1, 8, 8), None).head == "gaussian"
    with pytest.raises(InputError, match="a field of 1024 cells has no head"):
        fitted(seen, (1, 32, 32), None)
