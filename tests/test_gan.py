"""Heads, losses, game and inverse: bijections, closed forms, resumption, and who is kept."""

import errno
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, add, exact_sum
from safetensors import SafetensorError
from scipy import stats

from invgan.errors import InputError
from invgan.gan import Inverse, sample, train
from invgan.gan.checkpoint import State
from invgan.gan.device import choose_device, generator_on
from invgan.gan.heads import build_head, log_prob
from invgan.gan.judge import divergence
from invgan.gan.losses import critic_loss, generator_loss, gradient_penalty
from invgan.gan.networks import Critic, Generator, initialise
from invgan.gan.pairing import region
from invgan.gan.perceptrons import perceptron
from invgan.gan.stage import Pairs, Plan, decay, run_stage
from invgan.gan.tensors import write_tensors
from invgan.metrics import c2st
from invgan.priors import Dirichlet, MultivariateNormal, Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.settings import TrainConfig
from invgan.simulation import evaluate, simulate

HEADS = ["flow", "small", "linear", "affine", "gaussian", "none"]


pytestmark = pytest.mark.usefixtures("global_generators_stay_put")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def head_of(kind: str, features: int = 3, outputs: int = 2):
    return build_head(kind, features, outputs, hidden=16, transforms=2, rng=rng(1))


@pytest.mark.parametrize("features", [1, 2, 5])
@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_a_head_is_a_bijection(kind: str, features: int) -> None:
    head = head_of(kind, features)
    e, y = torch.randn(200, features, generator=rng()), torch.randn(200, 2, generator=rng(1))
    u, _ = head(e, y)
    assert torch.allclose(head.inverse(u, y), e, atol=1e-3)


@pytest.mark.parametrize("kind", HEADS)
def test_the_log_determinant_is_that_of_the_jacobian(kind: str) -> None:
    head = head_of(kind)
    e, y = torch.randn(5, 3, generator=rng()), torch.randn(5, 2, generator=rng(1))
    _, ladj = head(e, y)
    for i in range(5):
        jacobian = torch.autograd.functional.jacobian(
            lambda row, i=i: head(row[None], y[i : i + 1])[0][0], e[i]
        )
        assert ladj[i].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-3)


@pytest.mark.parametrize("features", [6, 11])
@pytest.mark.parametrize("kind", ["flow", "small", "linear", "affine"])
def test_every_parameter_may_depend_on_every_other(kind: str, features: int) -> None:
    head = build_head(kind, features, 2, hidden=64, transforms=2, rng=rng(1))
    e, y = torch.randn(features, generator=rng()), torch.randn(1, 2, generator=rng(1))
    jacobian = torch.autograd.functional.jacobian(lambda row: head(row[None], y)[0][0], e)
    assert (jacobian != 0).all()


@pytest.mark.parametrize(("features", "alike"), [(10, True), (11, False)])
@pytest.mark.parametrize("kind", ["flow", "small", "linear", "affine"])
def test_many_parameters_are_seen_in_orders_of_the_seed(
    kind: str, features: int, alike: bool
) -> None:
    def masks(seed: int) -> torch.Tensor:
        head = build_head(kind, features, 2, hidden=16, transforms=2, rng=rng(seed))
        weights = head.state_dict()
        return torch.cat([weights[name].flatten() for name in weights if "mask" in name])

    assert torch.equal(masks(1), masks(1))
    assert torch.equal(masks(1), masks(2)) is alike


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_a_head_density_integrates_to_one(kind: str) -> None:
    head = head_of(kind, features=1)
    grid = torch.linspace(-12, 12, 20_001)[:, None]
    total = torch.exp(log_prob(head, grid, torch.zeros(len(grid), 2))).sum() * 24 / 20_000
    assert total.item() == pytest.approx(1, abs=0.01)


def test_losses_are_log_two_where_neither_side_wins() -> None:
    scores = torch.randn(100, 1, generator=rng())
    assert critic_loss(scores, scores).item() == pytest.approx(math.log(2))
    assert generator_loss(scores, scores).item() == pytest.approx(math.log(2))


def test_a_critic_that_wins_has_no_loss_and_the_generator_all() -> None:
    real, fake = torch.full((10, 1), 20.0), torch.full((10, 1), -20.0)
    assert critic_loss(real, fake).item() < 1e-6
    assert generator_loss(real, fake).item() == pytest.approx(40)


def test_the_gradient_penalty_of_a_linear_critic_is_its_squared_weight() -> None:
    weight = torch.tensor([[3.0], [4.0]], requires_grad=True)
    u = torch.randn(50, 2, generator=rng(), requires_grad=True)
    penalty = gradient_penalty(u @ weight, u)
    penalty.backward()
    assert penalty.item() == pytest.approx(25)
    assert torch.allclose(weight.grad, 2 * weight)


@torch.no_grad()
def test_a_new_generator_is_the_identity_on_its_noise() -> None:
    generator = Generator(4, 2, 3, 16, 2)
    initialise(generator, rng())
    z, y = torch.randn(20, 4, generator=rng()), torch.randn(20, 2, generator=rng(1))
    assert torch.equal(generator(z, y), z[:, :3])


def test_the_learning_rate_falls_from_all_to_a_fiftieth() -> None:
    assert decay(0, 100) == 1
    assert decay(100, 100) == pytest.approx(0.02)
    assert all(decay(i, 100) > decay(i + 1, 100) for i in range(100))


def judged(shift: float) -> float:
    """The judge's figure for a generator of N(0, 1) against real pairs of N(shift, 1)."""
    generator = Generator(1, 1, 1, 8, 1)
    initialise(generator, rng())
    real = [torch.randn(20_000, 1, generator=rng(s)) + shift for s in (2, 3)]
    y = [torch.randn(20_000, 1, generator=rng(s)) for s in (4, 5)]
    return divergence(generator, Pairs(real[0], y[0]), Pairs(real[1], y[1]), 32)


def test_the_judge_measures_the_jensen_shannon_divergence() -> None:
    grid = np.linspace(-10, 12, 40_001)
    p, q = stats.norm.pdf(grid, 1), stats.norm.pdf(grid)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.nan_to_num(p * np.log(p / middle)) + np.nan_to_num(q * np.log(q / middle))
    exact = 0.5 * terms.sum() * (grid[1] - grid[0])
    assert judged(1.0) == pytest.approx(exact, rel=0.05)
    assert abs(judged(0.0)) < 1e-3


def test_training_answers_the_population_question(
    sum_problem: Problem, sum_inverse: Inverse
) -> None:
    drawn = sample(sum_inverse, sum_problem.observations, 4000, seed=5)
    assert c2st(drawn.x, exact_sum(4000, 6)) < 0.53
    assert c2st(exact_sum(4000, 7) + 0.4, exact_sum(4000, 6)) > 0.55


def test_training_gives_the_posterior_of_every_output(sum_inverse: Inverse) -> None:
    """x1 given y is N(y/2, 1/2)."""
    for y in (0.0, 1.0, 2.0):
        x = sum_inverse.draw(np.full((4000, 1), y), seed=3)
        assert x[:, 0].mean() == pytest.approx(y / 2, abs=0.08)
        assert x[:, 0].std() == pytest.approx(math.sqrt(0.5), abs=0.12)
        assert x.sum(axis=1).std() < 0.3


@pytest.mark.parametrize("head", ["gaussian", "none"])
def test_every_rung_of_the_ladder_learns(
    head: str, sum_problem: Problem, sum_simulations: Simulations
) -> None:
    settings = TrainConfig(**{**SMALL.model_dump(), "head": head, "steps": 400})
    inverse = train(sum_problem, sum_simulations, settings, seed=2, device="cpu")
    game = [row for row in inverse.history if row["phase"] == "gan" and "heldout" in row]
    assert inverse.info["divergence"] <= game[0]["heldout"]
    x = inverse.draw(np.full((2000, 1), 1.0), seed=3)
    assert x[:, 0].mean() == pytest.approx(0.5, abs=0.15)
    assert x.sum(axis=1).mean() == pytest.approx(1, abs=0.15)
    assert x.sum(axis=1).std() < 0.3  # the prior's is 1.4


@pytest.mark.usefixtures("whole_classifier")
def test_the_best_generator_is_kept_and_the_head_is_a_candidate(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    inverse = train(sum_problem, sum_simulations, SMALL, seed=2, device="cpu")
    game = [row for row in inverse.history if row["phase"] == "gan" and "heldout" in row]
    best = min(game, key=lambda row: row["heldout"])
    kept = best if best["heldout"] < 0.5 * game[0]["heldout"] else game[0]
    assert game[0]["step"] == 0
    assert inverse.info["kept_step"] == kept["step"]
    assert inverse.info["divergence"] == kept["heldout"]


class Scripted:
    """A stage whose held-out figures are written down beforehand."""

    name, columns = "gan", ("loss",)

    def __init__(self, *figures: float) -> None:
        self.kept = perceptron(1, 1, 1, 0)
        self.state = State({"kept": self.kept}, {}, rng())
        self._figures = iter(figures)

    def step(self, step: int, record: bool) -> torch.Tensor:
        self.kept[0].weight.data.fill_(step + 1)
        return torch.zeros(1)

    def measure(self) -> float:
        return next(self._figures)

    def evidence(self) -> dict[str, float]:
        return {}


@pytest.mark.parametrize(
    ("figures", "kept"),
    [
        ((1.0, 0.6, 0.8), 0),  # no better than half of the head's: the head stays
        ((1.0, 0.4, 0.3), 2),
        ((1.0, 0.3, 0.4), 1),
        ((0.0, 0.01, 0.001), 0),
        ((1.0, math.nan), 0),  # blown up: the rest is not played
        ((1.0, 0.2, math.nan), 1),
    ],
)
def test_who_is_kept(figures: tuple[float, ...], kept: int) -> None:
    stage = Scripted(*figures)
    stage.kept[0].weight.data.fill_(0)
    run_stage(stage, Plan(steps=2, evaluations=2, patience=None), lead=0.5)
    assert stage.kept[0].weight.item() == kept


def test_a_useless_game_leaves_the_head_alone(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    """With a rate that destroys the generator, held-out pairs must choose step 0."""
    ruinous = {"head": "none", "learning_rate": 30.0, "restarts": 0}
    settings = TrainConfig(**{**SMALL.model_dump(), **ruinous})
    inverse = train(sum_problem, sum_simulations, settings, seed=2, device="cpu")
    assert inverse.info["kept_step"] == 0
    assert np.isfinite(inverse.draw(np.full((10, 1), 1.0))).all()


def test_zero_steps_keep_the_head(sum_problem: Problem, sum_simulations: Simulations) -> None:
    settings = TrainConfig(**{**SMALL.model_dump(), "head_steps": 20, "steps": 0})
    inverse = train(sum_problem, sum_simulations, settings, seed=2, device="cpu")
    assert inverse.info["kept_step"] == 0


class KilledError(Exception):
    """Stands for a kill in mid-training."""


@pytest.mark.parametrize("at", [110, 230])
def test_a_killed_training_goes_on_to_the_same_result(
    at: int,
    tmp_path: Path,
    sum_problem: Problem,
    sum_simulations: Simulations,
    sum_inverse: Inverse,
) -> None:
    def kill(done: int, total: int) -> None:
        if done > at:
            raise KilledError

    with pytest.raises(KilledError):
        train(sum_problem, sum_simulations, SMALL, seed=2, device="cpu",
              checkpoint=tmp_path / "c", progress=kill)  # fmt: skip
    assert list(tmp_path.iterdir())
    steps: list[int] = []
    resumed = train(sum_problem, sum_simulations, SMALL, seed=2, device="cpu",
                    checkpoint=tmp_path / "c", progress=lambda d, t: steps.append(d))  # fmt: skip
    assert resumed.history == sum_inverse.history
    assert min(steps) > 100
    same(resumed, sum_inverse)


@pytest.mark.parametrize("change", ["seed", pytest.param("prior", marks=pytest.mark.slow)])
def test_a_checkpoint_of_another_training_is_left_alone(
    change: str, tmp_path: Path, sum_problem: Problem, sum_simulations: Simulations,
    sum_inverse: Inverse, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    wide = replace(sum_problem, prior=Prior(x1=stats.norm(0, 3), x2=stats.norm(0, 3)))
    other, seed = (sum_problem, 9) if change == "seed" else (wide, 2)
    # Two priors whose draws nobody tells apart would have to be met by the fingerprint alone.
    monkeypatch.setattr("invgan.gan.pairing.check_drawn", lambda *_: None)
    train(other, sum_simulations, SMALL, seed=seed, device="cpu", checkpoint=tmp_path / "c")
    again = train(sum_problem, sum_simulations, SMALL, seed=2, device="cpu",
                  checkpoint=tmp_path / "c")  # fmt: skip
    same(again, sum_inverse)


@pytest.mark.parametrize(
    ("said", "code"), [("No space left on device (os error 28)", errno.ENOSPC), ("?", errno.EIO)]
)
def test_a_full_disk_is_the_system_s_error(
    said: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As which the command line knows it, and says what is kept."""

    def full(*_: object, **__: object) -> None:
        raise SafetensorError(said)

    monkeypatch.setattr("invgan.gan.tensors.save_file", full)
    with pytest.raises(OSError) as caught:
        write_tensors({"a": torch.zeros(3)}, tmp_path / "weights")
    assert caught.value.errno == code
    assert caught.value.filename == str(tmp_path / "weights")


def same(a: Inverse, b: Inverse) -> None:
    y = np.linspace(0, 2, 50)[:, None]
    assert np.array_equal(a.draw(y, seed=1), b.draw(y, seed=1))


def test_an_inverse_survives_its_files(tmp_path: Path, sum_inverse: Inverse) -> None:
    sum_inverse.save(tmp_path / "inverse")
    loaded = Inverse.load(tmp_path / "inverse", device="cpu")
    same(loaded, sum_inverse)
    assert loaded.config == sum_inverse.config
    assert loaded.history == sum_inverse.history
    assert (loaded.names, loaded.outputs) == (sum_inverse.names, sum_inverse.outputs)


def test_damaged_missing_and_pickled_files_are_refused(
    tmp_path: Path, sum_inverse: Inverse
) -> None:
    with pytest.raises(InputError, match="run train first"):
        Inverse.load(tmp_path / "nothing")
    sum_inverse.save(tmp_path / "inverse")
    weights = tmp_path / "inverse.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        Inverse.load(tmp_path / "inverse")
    weights.write_bytes(pickle.dumps({"head": 1}))
    with pytest.raises(InputError, match="damaged"):
        Inverse.load(tmp_path / "inverse")


def test_draws_are_the_same_for_a_seed_and_differ_for_another(sum_inverse: Inverse) -> None:
    y = np.ones((10_000, 1))
    a, b = sum_inverse.draw(y, seed=1), sum_inverse.draw(y, seed=1)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, sum_inverse.draw(y, seed=2))
    assert len(np.unique(a, axis=0)) == len(a)


def test_outputs_of_another_width_are_refused(sum_inverse: Inverse) -> None:
    with pytest.raises(InputError, match=r"y must be rows of 1 numbers"):
        sum_inverse.draw(np.ones((5, 2)))


@pytest.mark.parametrize(
    "prior",
    [
        Prior(a=stats.beta(0.5, 0.5), b=stats.lognorm(2.0)),
        MultivariateNormal([0, 1], [[1, 0.9], [0.9, 1]]),
        Dirichlet([0.5, 1.0, 3.0]),
    ],
)
def test_every_draw_lies_in_the_support(prior: object) -> None:
    problem = Problem(lambda x: x[:, :1] + 2 * x[:, 1:2], prior, stats.uniform(0.5, 1))
    settings = TrainConfig(**{**SMALL.model_dump(), "head_steps": 10, "steps": 4})
    inverse = train(problem, simulate(problem, 2000, seed=1), settings, seed=2, device="cpu")
    x = inverse.draw(np.linspace(-1e6, 1e6, 4000)[:, None], seed=1)
    assert np.isfinite(x).all()
    assert problem.prior.support.contains(x).all()


def test_training_keeps_to_outputs_near_the_observed_ones() -> None:
    problem = Problem(add, Prior(x1=stats.norm(), x2=stats.norm()), stats.uniform(1, 0.5))
    settings = TrainConfig(**{**SMALL.model_dump(), "head_steps": 2, "steps": 0})
    inverse = train(problem, simulate(problem, 20_000, seed=1), settings, device="cpu")
    assert inverse.low[0] == pytest.approx(1 - 0.125, abs=0.02)
    assert inverse.high[0] == pytest.approx(1.5 + 0.125, abs=0.02)
    assert list(inverse.knows(np.array([[0.8], [1.2], [1.7]]))) == [False, True, False]


def test_too_few_near_pairs_widen_the_region() -> None:
    problem = Problem(add, Prior(x1=stats.norm(), x2=stats.norm()), stats.uniform(1, 0.01))
    settings = TrainConfig(**{**SMALL.model_dump(), "head_steps": 2, "steps": 0})
    inverse = train(problem, simulate(problem, 4000, seed=1), settings, device="cpu")
    assert inverse.info["pairs"] == 2000


@pytest.mark.parametrize(("n", "kept"), [(40_000, 12_000), (10_000, 5000), (1500, 1500)])
def test_many_parameters_ask_for_more_pairs(n: int, kept: int) -> None:
    """A thousand for each, or half of all, but two thousand where there are so many."""
    prior = Prior({f"x{j}": stats.norm() for j in range(12)})
    problem = Problem(lambda x: x.sum(axis=1, keepdims=True), prior, stats.norm(0, 0.01))
    y = np.random.default_rng(1).normal(0, np.sqrt(12), (n, 1))
    low, high = region(problem, [y], TrainConfig())
    assert ((y >= low) & (y <= high)).sum() == kept


def test_the_posterior_question_trains_on_all_outputs() -> None:
    prior = Prior(x1=stats.norm(), x2=stats.norm())
    problem = Problem(add, prior, [1.0], question="posterior")
    simulations = simulate(problem, 2000, seed=1)
    settings = TrainConfig(**{**SMALL.model_dump(), "head_steps": 2, "steps": 0})
    inverse = train(problem, simulations, settings, device="cpu")
    assert inverse.info["share_of_simulations"] == 1


def test_repeats_of_one_experiment_sharpen_the_posterior() -> None:
    """x ~ N(0, 1), y_r = x + N(0, 1): the posterior of four repeats is N(sum y / 5, 1/5)."""

    def noisy(x: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        return x + noise.normal(size=x.shape)

    rows = np.array([[0.2], [1.4], [0.9], [1.5]])
    problem = Problem(noisy, Prior(x=stats.norm()), rows, stochastic=True, question="posterior")
    settings = TrainConfig(**{**SMALL.model_dump(), "head": "gaussian", "members": 1})
    inverse = train(problem, simulate(problem, 8000, seed=1), settings, seed=1, device="cpu")
    x = sample(inverse, problem.observations, 4000, seed=2).x
    assert x.mean() == pytest.approx(rows.sum() / 5, abs=0.1)
    assert x.std() == pytest.approx(math.sqrt(1 / 5), abs=0.08)
    with pytest.raises(InputError, match="trained for 4 rows of one experiment; got 2: train it"):
        sample(inverse, rows[:2], 10)


def test_two_rows_are_no_average_of_two_posteriors(sum_problem: Problem) -> None:
    problem = Problem(add, sum_problem.prior, [[1.0]], question="posterior")
    settings = TrainConfig(head="gaussian", head_steps=2, steps=0, hidden=8, members=1)
    inverse = train(problem, simulate(problem, 400, seed=1), settings, seed=1, device="cpu")
    assert len(sample(inverse, [[1.5]], 10)) == 10
    with pytest.raises(InputError, match="trained for 1 row of one experiment; got 2: train it"):
        sample(inverse, [[1.0], [2.0]], 10)
    assert not inverse.knows(np.array([[np.nan]])).any()


def test_simulations_of_another_problem_are_refused(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    other = Problem(add, Prior(a=stats.norm(), b=stats.norm()), stats.norm(1, 0.5))
    with pytest.raises(InputError, match="the simulations hold parameters"):
        train(other, sum_simulations)
    few = simulate(sum_problem, 20, seed=1)
    with pytest.raises(InputError, match="too few to train on"):
        train(sum_problem, few)


def test_devices_are_chosen_or_refused_in_a_sentence() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda")
    with pytest.raises(InputError, match="device must be"):
        choose_device("gpu")
    with pytest.raises(InputError, match="CUDA devices"):
        choose_device(f"cuda:{torch.cuda.device_count()}")


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.mark.gpu
@needs_gpu
def test_an_inverse_moves_between_gpu_and_cpu(
    tmp_path: Path, sum_problem: Problem, sum_simulations: Simulations, sum_inverse: Inverse
) -> None:
    trained = train(sum_problem, sum_simulations, SMALL, seed=2, device="cuda")
    trained.save(tmp_path / "gpu")
    sum_inverse.save(tmp_path / "cpu")
    on_cpu = Inverse.load(tmp_path / "gpu", device="cpu")
    on_gpu = Inverse.load(tmp_path / "cpu", device="cuda")
    for inverse in (trained, on_cpu, on_gpu):
        drawn = sample(inverse, sum_problem.observations, 4000, seed=5)
        assert isinstance(drawn.x, np.ndarray)
        assert c2st(drawn.x, exact_sum(4000, 6)) < 0.54


@pytest.mark.gpu
@needs_gpu
def test_the_loop_does_not_wait_for_the_gpu(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    """Between evaluations nothing is read back: torch raises on any synchronising call."""
    from invgan.gan.game import GameStage

    device = torch.device("cuda")
    u = torch.randn(4000, 2, generator=generator_on(device, 1), device=device)
    y = torch.randn(4000, 1, generator=generator_on(device, 2), device=device)
    pairs = Pairs(u, y)
    stage = GameStage(pairs, pairs, SMALL, generator_on(device, 3))
    stage.step(0, True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(1, 20):
            stage.step(step, step % 5 == 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_critic_scores_pairs() -> None:
    critic = Critic(2, 1, 8, 1)
    initialise(critic, rng())
    assert critic(torch.zeros(5, 2), torch.zeros(5, 1)).shape == (5, 1)


def test_evaluated_outputs_of_draws_follow_the_observations(
    sum_problem: Problem, sum_inverse: Inverse
) -> None:
    drawn = sample(sum_inverse, sum_problem.observations, 4000, seed=5)
    y = evaluate(sum_problem, drawn.x)
    assert stats.kstest(y[:, 0], stats.norm(1, 0.5).cdf).statistic < 0.06
