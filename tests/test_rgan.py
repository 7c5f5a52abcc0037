"""The regularised generator: stand-ins for the model, closed forms, resumption, refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import add
from scipy import stats

import invgan as ig
from invgan.correction import correct, push_forward
from invgan.errors import InputError
from invgan.gan.device import generator_on
from invgan.gan.regularised import RganStage
from invgan.gan.rgan import Block, PopulationGenerator, RganConfig, train_rgan
from invgan.gan.stage import Pairs, Plan, run_stage
from invgan.gan.surrogate import KnownModel, TargetScale, pairs_for, surrogate_stage
from invgan.observations import Table, as_observations
from invgan.priors import Dirichlet, MultivariateNormal, Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import ParameterScaling
from invgan.simulation import simulate

CPU = torch.device("cpu")
QUICK = RganConfig(
    surrogate_steps=150, steps=300, hidden=32, layers=2, batch_size=256, evaluations=3
)


def tensor_add(x: torch.Tensor) -> torch.Tensor:
    return x.sum(dim=1, keepdim=True)


def simulations_of(x: np.ndarray, y: np.ndarray, names: tuple[str, ...]) -> Simulations:
    outputs = ("y",) if y.shape[1] == 1 else tuple(f"y{j + 1}" for j in range(y.shape[1]))
    return Simulations(x, y, names, outputs, x[:0])


@pytest.fixture(scope="module")
def sum_generator(sum_problem: Problem, sum_simulations: Simulations) -> PopulationGenerator:
    return train_rgan(sum_problem, sum_simulations, QUICK, seed=1, device="cpu")


@pytest.fixture
def wavy() -> tuple[ParameterScaling, TargetScale, np.ndarray, np.ndarray]:
    """Scales for a bounded and a positive parameter, and some simulations."""
    prior = Prior(a=stats.uniform(-1, 3), b=stats.lognorm(0.4))
    x = prior.sample(6000, np.random.default_rng(1))
    y = np.stack([np.sin(x[:, 0]) * x[:, 1], np.exp(x[:, 1])], axis=1)
    scale = TargetScale.fit(y, [y[:500, 0], y[:500, 1]])
    return ParameterScaling.fit(prior, np.random.default_rng(2)), scale, x, y


def test_the_target_scale_is_of_size_one_where_the_observations_are() -> None:
    rng = np.random.default_rng(1)
    y, rows = rng.normal(0, 10, (5000, 1)), rng.normal(3, 0.2, (400, 1))
    t = TargetScale.fit(y, [rows[:, 0]]).to_network(np.concatenate([rows, y]))
    assert abs(np.median(t[:400])) < 0.1
    assert 0.5 < t[:400].std() < 1.2
    assert np.abs(t).max() < 8
    assert np.all(np.diff(t[400:][np.argsort(y[:, 0])], axis=0) >= 0)


def test_a_known_model_agrees_with_the_scales(wavy) -> None:
    parameters, scale, x, y = wavy

    def model(p: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.sin(p[:, 0]) * p[:, 1], torch.exp(p[:, 1])], dim=1)

    known = KnownModel(model, parameters, scale)
    e = torch.as_tensor(parameters.to_network(x), dtype=torch.float32)
    inside = np.all(np.abs(scale.scores.to_network(y)) < 5.9, axis=1)
    found = known(e, e[:, :0]).numpy()
    assert found[inside] == pytest.approx(scale.to_network(y)[inside], abs=0.01)


def test_gradients_pass_through_a_known_model(wavy) -> None:
    parameters, scale, x, _ = wavy
    known = KnownModel(lambda p: torch.stack([p[:, 0], p[:, 1]], dim=1), parameters, scale)
    e = torch.as_tensor(parameters.to_network(x[:50]), dtype=torch.float64).requires_grad_()
    known(e, e[:, :0])[:, 0].sum().backward()
    step = 1e-2
    with torch.no_grad():
        ahead, behind = (known(e + s * torch.tensor([1.0, 0.0]), e[:, :0]) for s in (step, -step))
    slope = (ahead - behind)[:, 0] / (2 * step)
    near = (e.grad[:, 0] - slope).abs() < 0.1 * slope.abs() + 0.02
    assert near.double().mean() > 0.85
    assert torch.all(e.grad[:, 1] == 0)


def test_a_known_model_of_another_shape_or_of_proportions_is_refused(wavy) -> None:
    parameters, scale, _, _ = wavy
    e = torch.zeros(4, 2)
    with pytest.raises(InputError, match=r"expected a tensor \(4, 2\)"):
        KnownModel(tensor_add, parameters, scale)(e, e[:, :0])
    shares = ParameterScaling.fit(Dirichlet([1.0, 2.0, 3.0]), np.random.default_rng(1))
    with pytest.raises(InputError, match="proportions"):
        KnownModel(tensor_add, shares, scale)


def test_the_regression_learns_a_smooth_model(wavy) -> None:
    parameters, scale, x, y = wavy
    pairs = pairs_for(x[:5000], y[:5000], parameters, scale, CPU)
    unseen = pairs_for(x[5000:], y[5000:], parameters, scale, CPU)
    _, stage = surrogate_stage(
        "regression", pairs, unseen, steps=300, hidden=32, seed=1, rng=generator_on(CPU, 1)
    )
    before = stage.measure()
    run_stage(stage, Plan(300, 3, None))
    assert stage.measure() < 0.02
    assert before > 0.5


@pytest.mark.slow
def test_the_flow_draws_the_noise_of_a_stochastic_model() -> None:
    """t = e + (0.2 + 0.2 [e > 0]) N(0, 1): mean and spread on either side."""
    rng = np.random.default_rng(1)
    e = rng.normal(size=(6000, 1))
    t = e + np.where(e > 0, 0.4, 0.2) * rng.normal(size=e.shape)
    pairs = Pairs(*(torch.as_tensor(a, dtype=torch.float32) for a in (t, e)))
    network, stage = surrogate_stage(
        "flow", pairs, Pairs(pairs.u[:600], pairs.y[:600]), steps=200, hidden=32, seed=1,
        rng=generator_on(CPU, 1),
    )  # fmt: skip
    run_stage(stage, Plan(300, 3, None))
    noise = torch.randn(4000, network.noise, generator=generator_on(CPU, 2))
    with torch.no_grad():
        for at, spread in ((-1.0, 0.2), (1.0, 0.4)):
            drawn = network(torch.full((4000, 1), at), noise)
            assert float(drawn.mean()) == pytest.approx(at, abs=0.1)
            assert float(drawn.std()) == pytest.approx(spread, abs=0.08)


def test_the_game_starts_from_the_prior_itself() -> None:
    class Sum(torch.nn.Module):
        noise = 0

        def forward(self, e: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
            return e.sum(dim=1, keepdim=True)

    game = RganStage(
        Sum(), [([0], torch.zeros(10, 1))], torch.randn(50, 2), QUICK, 1, generator_on(CPU, 1)
    )
    z = torch.randn(100, 4, generator=generator_on(CPU, 2))
    assert torch.equal(game.kept(z, z[:, :0]), z[:, :2])


def test_the_push_forward_is_met_and_the_law_given_it_kept(
    sum_problem: Problem, sum_generator: PopulationGenerator
) -> None:
    raw = push_forward(sum_problem, sum_generator.sample(9000, seed=2))
    assert raw.info["method"] == "rgan"
    assert stats.kstest(raw.y[:, 0], stats.norm(1, 0.5).cdf).statistic < 0.2
    assert stats.kstest(raw.y[:, 0], stats.norm(0, np.sqrt(2)).cdf).statistic > 0.3
    answer = correct(sum_problem, raw, 5000, seed=3)
    assert stats.kstest(answer.y[:, 0], stats.norm(1, 0.5).cdf).statistic < 0.03
    across = answer.x[:, 0] - answer.x[:, 1]
    assert across.std() == pytest.approx(np.sqrt(2), abs=0.25)
    assert abs(np.corrcoef(across, answer.y[:, 0])[0, 1]) < 0.15


def test_a_differentiable_model_takes_the_place_of_the_learnt_one(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    found = train_rgan(
        sum_problem, sum_simulations, QUICK, differentiable=tensor_add, seed=2, device="cpu"
    )
    y = add(found.sample(5000, seed=2).x)
    assert stats.kstest(y[:, 0], stats.norm(1, 0.5).cdf).statistic < 0.12
    assert found.info["surrogate_error"] is None
    assert {row["phase"] for row in found.history} == {"rgan"}


def test_a_differentiable_model_may_have_weights_of_its_own(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    layer = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    quick = replace(QUICK, steps=20)
    fixed = sum_simulations.x.copy()
    fixed.flags.writeable = False
    simulations = replace(sum_simulations, x=fixed)
    one, other = (
        train_rgan(sum_problem, simulations, quick, differentiable=f, seed=2, device="cpu")
        for f in (layer, tensor_add)
    )
    assert np.allclose(one.sample(50, seed=1).x, other.sample(50, seed=1).x, atol=1e-3)
    assert bool((layer.weight == 1).all())


def test_a_heavier_weight_stays_nearer_to_the_prior(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    means = []
    for weight in (0.1, 30.0):
        config = replace(QUICK, weight=weight, last_weight=weight, evaluations=1, steps=120)
        found = train_rgan(
            sum_problem, sum_simulations, config, differentiable=tensor_add, seed=1, device="cpu"
        )
        means.append(add(found.sample(4000, seed=2).x).mean())
    assert means[1] < 0.5 < means[0]


@pytest.mark.slow
def test_noise_is_taken_out_where_averaged_posteriors_would_keep_it() -> None:
    """x ~ N(0, 1), y = x + N(0, 0.6^2); P_Y comes of x ~ N(0.8, 0.4^2), and of no other law.

    The averaged posterior has a standard deviation of 0.72.
    """
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6000, 1))
    y = x + rng.normal(0, 0.6, x.shape)
    problem = Problem(lambda x: x, Prior(x=stats.norm()), stats.norm(0.8, np.hypot(0.4, 0.6)))
    config = RganConfig(
        **{**QUICK.__dict__, "surrogate": "flow", "surrogate_steps": 150, "steps": 300}
    )
    found = train_rgan(problem, simulations_of(x, y, ("x",)), config, seed=1, device="cpu")
    drawn = found.sample(5000, seed=2).x
    assert drawn.mean() == pytest.approx(0.8, abs=0.1)
    assert 0.25 < drawn.std() < 0.55


def test_each_population_has_a_critic_of_its_own() -> None:
    """Two outputs observed apart: both marginals are met."""
    problem = Problem(lambda x: x, Prior(a=stats.norm(), b=stats.norm()), np.zeros((2, 2)))
    simulations = simulate(problem, 3000, seed=1)
    laws = [as_observations(law) for law in (stats.norm(1, 0.5), stats.norm(-1, 0.7))]
    blocks = [Block((0,), laws[0]), Block((1,), laws[1])]
    found = train_rgan(problem, simulations, QUICK, blocks=blocks, seed=1, device="cpu")
    drawn = found.sample(5000, seed=2).x
    assert found.info["blocks"] == 2
    for column, law in zip(drawn.T, (stats.norm(1, 0.5), stats.norm(-1, 0.7)), strict=True):
        assert stats.kstest(column, law.cdf).statistic < 0.15


def test_a_stopped_training_goes_on_to_the_same_generator(
    tmp_path: Path, sum_problem: Problem, sum_simulations: Simulations
) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > 60:
            raise StopError

    config = RganConfig(
        surrogate_steps=30, steps=60, hidden=8, layers=1, batch_size=64, evaluations=3
    )
    few = sum_simulations.selection
    whole = train_rgan(sum_problem, few, config, seed=1, device="cpu")
    with pytest.raises(StopError):
        train_rgan(
            sum_problem, few, config, seed=1, device="cpu", checkpoint=tmp_path / "c", progress=stop
        )
    again = train_rgan(sum_problem, few, config, seed=1, device="cpu", checkpoint=tmp_path / "c")
    assert np.array_equal(whole.sample(50, seed=1).x, again.sample(50, seed=1).x)


def test_a_saved_generator_draws_the_same(
    tmp_path: Path, sum_generator: PopulationGenerator
) -> None:
    sum_generator.save(tmp_path / "rgan")
    again = PopulationGenerator.load(tmp_path / "rgan", device="cpu")
    assert np.array_equal(sum_generator.sample(20_000, seed=4).x, again.sample(20_000, seed=4).x)
    assert again.config == sum_generator.config
    (tmp_path / "rgan.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="damaged"):
        PopulationGenerator.load(tmp_path / "rgan", device="cpu")
    with pytest.raises(InputError, match="no trained generator"):
        PopulationGenerator.load(tmp_path / "other", device="cpu")
    with pytest.raises(InputError, match="n must be a whole number, 1 or more; got 0"):
        again.sample(0)


def test_what_it_cannot_do_is_refused_at_the_door(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    posterior = Problem(sum_problem.model, sum_problem.prior, [1.0], question="posterior")
    with pytest.raises(InputError, match="question='population'"):
        train_rgan(posterior, sum_simulations)
    with pytest.raises(InputError, match="the problem has"):
        train_rgan(sum_problem, simulations_of(np.ones((200, 1)), np.ones((200, 1)), ("k",)))
    noisy = Problem(add, sum_problem.prior, stats.norm(1, 0.5), noise={"normal": 0.1})
    with pytest.raises(InputError, match="leave out the noise"):
        train_rgan(
            noisy, simulate(noisy, 500, seed=1), QUICK, differentiable=tensor_add, device="cpu"
        )
    twice = [Block((0,), Table(np.ones((30, 1)))), Block((0,), Table(np.ones((30, 1))))]
    with pytest.raises(InputError, match="share out the 1 output columns"):
        train_rgan(sum_problem, sum_simulations, blocks=twice)
    with pytest.raises(InputError, match="must be positive"):
        RganConfig(last_weight=0.0)


@pytest.mark.slow
def test_parameters_that_depend_on_each_other_still_do() -> None:
    """Of two that the prior correlates one is observed; the other follows it."""
    prior = MultivariateNormal([0, 0], [[1, 0.9], [0.9, 1]])
    problem = Problem(lambda x: x[:, :1], prior, stats.norm(0.5, 0.5))
    simulations = simulate(problem, 4000, seed=1)
    config = replace(QUICK, steps=800)
    found = train_rgan(
        problem, simulations, config, differentiable=lambda x: x[:, :1], seed=1, device="cpu"
    )
    x = found.sample(5000, seed=2).x
    assert np.corrcoef(x.T)[0, 1] > 0.5
    assert x[:, 1].mean() > 0.2


def test_another_game_does_not_take_up_a_checkpoint(
    sum_problem: Problem, sum_simulations: Simulations, tmp_path: Path
) -> None:
    quick = replace(QUICK, steps=60)

    def trained(sign: float, checkpoint: Path | None) -> np.ndarray:
        found = train_rgan(
            sum_problem, sum_simulations, quick, differentiable=lambda x: sign * tensor_add(x),
            seed=1, device="cpu", checkpoint=checkpoint,
        )  # fmt: skip
        return found.sample(50, seed=2).x

    stem = tmp_path / "c"
    first, second = trained(1.0, stem), trained(-1.0, stem)
    assert np.array_equal(second, trained(-1.0, None))
    assert not np.array_equal(first, second)


def test_rounds_are_not_for_the_regularised_generator(sum_problem: Problem) -> None:
    settings = ig.Settings(
        simulate=ig.SimulateConfig(n=2000, rounds=2), train=ig.TrainConfig(method="rgan")
    )
    with pytest.raises(InputError, match="holds to the whole prior, and rounds cut it"):
        ig.solve(sum_problem, settings=settings, device="cpu")
