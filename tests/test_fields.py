"""Fields: the Gaussian random field, models that take fields, and the answer they get."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.fft import dctn

import invgan as ig
from invgan import gallery
from invgan.checks import validate
from invgan.correction import correct
from invgan.errors import InputError
from invgan.fields import GaussianField, quantities, quantity_names, spectrum
from invgan.gallery.fields import block_means, super_resolution_posterior
from invgan.gan import sample, train
from invgan.gan.heads import RegressionHead, log_prob
from invgan.samples import Samples, Simulations
from invgan.scaling import ParameterScaling
from invgan.settings import McmcConfig, SampleConfig, SettingError, SimulateConfig, TrainConfig
from invgan.simulation import evaluate, simulate

SMALL = GaussianField((4, 6), 2.0, sd=0.7, mean=1.5, name="k")


def rng(seed=0):
    return np.random.default_rng(seed)


def halves(x):
    """Fields (n, 1, 8, 8) to their means over blocks of 4 x 4, (n, 1, 2, 2)."""
    return x.reshape(len(x), 1, 2, 4, 2, 4).mean((3, 5))


@pytest.mark.parametrize("kernel", ["exponential", "matern32", "gaussian"])
def test_draws_have_the_covariance_and_the_density_says_so(kernel):
    field = GaussianField((3, 4), 1.7, sd=2.0, mean=-1.0, kernel=kernel)
    x = field.sample(200_000, rng())
    np.testing.assert_allclose(x.mean(axis=0), -1.0, atol=0.03)
    np.testing.assert_allclose(np.cov(x.T), field.covariance, atol=0.06)
    law = stats.multivariate_normal(np.full(12, -1.0), field.covariance)
    np.testing.assert_allclose(field.log_prob(x[:50]), law.logpdf(x[:50]), rtol=1e-9)


@pytest.mark.parametrize(
    ("kernel", "at_one_length"),
    [
        ("exponential", np.exp(-1)),
        ("matern32", (1 + 3**0.5) * np.exp(-(3**0.5))),
        ("gaussian", np.exp(-0.5)),
    ],
)
def test_the_correlation_at_one_length_is_the_kernel_s(kernel, at_one_length):
    field = GaussianField((1, 5), 3.0, kernel=kernel)
    assert field.covariance[0, 3] == pytest.approx(at_one_length)
    assert field.covariance[0, 0] == pytest.approx(1)


def test_channels_are_independent_fields_and_names_tell_them_apart():
    field = GaussianField((2, 3, 3), 1.0)
    x = field.sample(50_000, rng(1)).reshape(-1, 2, 9)
    across = x[:, 0].T @ x[:, 1] / len(x)
    assert np.abs(across).max() < 0.03
    assert field.names[:2] == ("x[0,0,0]", "x[0,0,1]")
    assert field.names[9] == "x[1,0,0]"
    assert SMALL.names[7] == "k[1,1]"
    one = GaussianField((3, 3), 1.0)
    both = field.log_prob(x.reshape(-1, 18)[:20])
    np.testing.assert_allclose(both, one.log_prob(x[:20, 0]) + one.log_prob(x[:20, 1]))


def test_networks_see_the_pixels_as_exact_normal_scores():
    scaling = ParameterScaling.fit(SMALL, rng())
    x = SMALL.sample(1000, rng(2))
    np.testing.assert_allclose(scaling.to_network(x), (x - 1.5) / 0.7, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (((4,), 1.0), r"\(H, W\) or \(C, H, W\); got \(4,\)"),
        (((4, 0), 1.0), r"must be \(H, W\)"),
        (("44", 1.0), "got '44'"),
        (((4, 4), 0.0), "length .* above 0; got 0"),
        (((4, 4), np.nan), "length"),
        (((100, 100), 5.0), "4096 pixels at most; got 100 x 100"),
    ],
)
def test_fields_that_cannot_be_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        GaussianField(*arguments)


def test_a_kernel_that_is_not_known_is_named():
    with pytest.raises(InputError, match="exponential, matern32, gaussian; got 'cubic'"):
        GaussianField((4, 4), 1.0, kernel="cubic")


def test_the_spectrum_of_white_noise_is_flat_and_that_of_a_field_its_covariance_s():
    white = rng(3).normal(size=(4000, 256))
    waves, power = spectrum(white, (1, 16, 16))
    assert list(waves) == list(range(1, 16))
    np.testing.assert_allclose(power, 1, atol=0.03)
    field = GaussianField((16, 16), 4.0)
    basis = dctn(np.eye(256).reshape(-1, 16, 16), axes=(1, 2), norm="ortho").reshape(256, 256)
    exact = np.einsum("ik,ij,jk->k", basis, field.covariance, basis).reshape(1, 256)
    _, wanted = spectrum_of_power(exact.reshape(16, 16))
    _, found = spectrum(field.sample(4000, rng(4)), (1, 16, 16))
    np.testing.assert_allclose(found, wanted, rtol=0.06)


def spectrum_of_power(power):
    """Shell means of a given power (H, W) of cosine modes, written out again."""
    shells = np.rint(np.hypot(*np.indices(power.shape))).astype(int)
    return range(1, 16), [power[shells == k].mean() for k in range(1, 16)]


def test_quantities_of_a_ramp_are_known():
    ramp = np.repeat(np.arange(8.0)[:, None], 8, axis=1).reshape(1, -1)
    found = dict(zip(quantity_names((1, 8, 8)), quantities(ramp, (1, 8, 8))[0], strict=True))
    assert found["mean"] == 3.5
    assert (found["smallest"], found["largest"]) == (0, 7)
    assert found["sd"] == pytest.approx(np.arange(8).std())
    assert found["roughness"] == pytest.approx(0.5**0.5)
    assert (found["mean upper left"], found["mean lower right"]) == (1.5, 5.5)
    assert (found["value at [2,6]"], found["value at [6,2]"]) == (2, 6)
    several = quantity_names((2, 8, 8))
    assert len(several) == 26 == len(set(several))
    assert quantities(np.zeros((5, 3)), (1, 1, 3)).shape == (5, 5)


@pytest.mark.parametrize("vectorized", [True, False])
def test_the_model_gets_fields_and_may_return_them(vectorized):
    seen = set()

    def model(x):
        seen.add(x.shape[-3:])
        return halves(x if vectorized else x[None])[() if vectorized else 0]

    prior = GaussianField((8, 8), 3.0)
    problem = ig.Problem(
        model, prior, np.zeros((1, 2, 2)), question="posterior", noise={"normal": 0.1},
        vectorized=vectorized,
    )  # fmt: skip
    assert (problem.field, problem.output_shape) == ((1, 8, 8), (1, 2, 2))
    x = prior.sample(50, rng())
    y = evaluate(problem, x, seed=1)
    assert seen == {(1, 8, 8)}
    expected = x.reshape(-1, 2, 4, 2, 4).mean((2, 4)).reshape(50, 4)
    np.testing.assert_allclose(y, expected, atol=0.5)
    assert np.std(y - expected) == pytest.approx(0.1, rel=0.2)


def test_fields_and_numbers_can_be_observed_together():
    def model(x):
        return {"coarse": halves(x)[:, 0], "well": x[:, 0, 3, :2], "total": x.sum((1, 2, 3))}

    observed = {"coarse": np.zeros((1, 2, 2)), "well": [[0.1, 0.2]], "total": [3.0]}
    prior = GaussianField((8, 8), 3.0)
    problem = ig.Problem(model, prior, observed, question="posterior")
    assert problem.outputs == (
        "coarse[0,0]", "coarse[0,1]", "coarse[1,0]", "coarse[1,1]", "well[0]", "well[1]", "total",
    )  # fmt: skip
    assert problem.output_shape == (1, 2, 2)
    x = prior.sample(9, rng())
    y = evaluate(problem, x)
    f = x.reshape(9, 8, 8)
    np.testing.assert_allclose(y[:, 3], f[:, 4:, 4:].mean((1, 2)))
    np.testing.assert_allclose(y[:, 4:], np.column_stack([f[:, 3, :2], f.sum((1, 2))]))


def test_what_a_model_returns_beside_its_outputs_is_passed_over():
    def model(x):
        return {"y": x[:, 0], "z": x[:, 1], "solver": "fast", "log": [["a"], ["b", "c"]]}

    prior = ig.Prior(a=stats.norm(), b=stats.norm())
    problem = ig.Problem(model, prior, {"y": stats.norm(), "z": stats.norm()})
    x = prior.sample(30, rng())
    np.testing.assert_array_equal(evaluate(problem, x), x)


def test_no_field_has_no_quantities_and_no_failure():
    assert quantities(np.empty((0, 64)), (1, 8, 8)).shape == (0, 13)


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        ({"a": np.zeros((2, 3)), "b": np.zeros(3)}, "different numbers of rows: {'a': 2, 'b': 3}"),
        ({"a": "text"}, "observed 'a' must be numbers"),
        (np.zeros((1, 2, 2, 2, 2)), r"\(N, c, h, w\), a field in each row; got \(1, 2, 2, 2, 2\)"),
    ],
)
def test_observations_that_are_no_such_thing_are_refused(observed, said):
    with pytest.raises(InputError, match=said):
        ig.Problem(halves, GaussianField((8, 8), 3.0), observed)


def test_outputs_of_another_shape_are_refused_with_both_shapes():
    problem = ig.Problem(lambda x: x, GaussianField((8, 8), 3.0), np.zeros((3, 2, 2)))
    with pytest.raises(ig.errors.ModelError, match=r"shape \(1, 8, 8\) .* \(1, 2, 2\)"):
        simulate(problem, 20)


@pytest.mark.parametrize("vectorized", [True, False])
def test_a_field_seen_on_its_side_is_refused(vectorized):
    """It has as many values, which would be taken for each other."""

    def halves(x):
        return x[..., 0, ::2, ::2]

    for seen, right in (((2, 3), True), ((3, 2), False)):
        problem = ig.Problem(halves, GaussianField((4, 6), 3.0), np.zeros((1, *seen)),
                             noise={"normal": 0.1}, question="posterior",
                             vectorized=vectorized)  # fmt: skip
        if right:
            assert simulate(problem, 20).y.shape == (20, 6)
            continue
        with pytest.raises(ig.errors.ModelError, match=r"\(2, 3\) .* \(1, 3, 2\)"):
            simulate(problem, 20)


def test_a_prior_of_one_s_own_must_have_as_many_names_as_its_field_has_values():
    prior = GaussianField((4, 4), 1.0)
    prior.field = (1, 4, 5)
    with pytest.raises(InputError, match="20 values and the prior 16 parameters"):
        ig.Problem(halves, prior, np.zeros((3, 2, 2)))


def test_the_regression_head_is_the_conditional_of_a_joint_normal_law():
    draws = rng(5)
    factor = draws.normal(size=(5, 5)) / 2 + np.eye(5)
    both = torch.tensor(draws.normal(size=(200_000, 5)) @ factor.T, dtype=torch.float32)
    e, y = both[:, :3], both[:, 3:]
    head = RegressionHead(3, 2)
    head.fit(e, y)
    np.testing.assert_allclose(head.whiten, head.whiten.T, atol=1e-5)
    cov = factor @ factor.T
    gain = cov[:3, 3:] @ np.linalg.inv(cov[3:, 3:])
    rest = cov[:3, :3] - gain @ cov[3:, :3]
    some = slice(0, 40)
    wanted = [
        stats.multivariate_normal(gain @ b, rest).logpdf(a)
        for a, b in zip(e[some].numpy(), y[some].numpy(), strict=True)
    ]
    np.testing.assert_allclose(log_prob(head, e[some], y[some]), wanted, atol=0.05)
    u, ladj = head(e[some], y[some])
    np.testing.assert_allclose(head.inverse(u, y[some]), e[some], atol=1e-4)
    jacobian = torch.autograd.functional.jacobian(lambda row: head(row[None], y[:1])[0][0], e[0])
    exact = float(torch.linalg.slogdet(jacobian).logabsdet)
    assert exact == pytest.approx(float(ladj[0]), abs=1e-4)


def test_a_regression_takes_no_embedding():
    with pytest.raises(SettingError, match="takes no embedding"):
        TrainConfig(head="regression", embedding={"kind": "mlp"})


@pytest.mark.slow
def test_super_resolution_has_the_exact_mean_spread_and_spectrum():
    """Five per cent of the posterior's mean and standard deviation, ten of its spectrum."""
    ready = gallery.get("super-resolution")
    # A regression learns nothing from further noise.
    simulations = replace(simulate(ready.problem, 20_000, seed=1), own=None)
    config = TrainConfig(steps=0, members=1, judge=False)
    inverse = train(ready.problem, simulations, config, seed=2)
    assert inverse.info["head"] == "regression"
    x = sample(inverse, ready.problem.observations, 10_000, seed=3).x
    mean, covariance = super_resolution_posterior(ready.problem.observations.rows[0])
    sd = np.sqrt(np.diag(covariance))
    assert np.linalg.norm(x.mean(axis=0) - mean) < 0.05 * np.linalg.norm(mean)
    assert np.linalg.norm(x.std(axis=0) - sd) < 0.05 * np.linalg.norm(sd)
    _, found = spectrum(x, (1, 16, 16))
    _, exact = spectrum(ready.exact(10_000, 4), (1, 16, 16))
    np.testing.assert_allclose(found, exact, rtol=0.1)


def test_the_exact_posterior_agrees_with_draws_of_the_joint_law_near_the_survey():
    """Regressing fields on surveys gives the posterior's mean without its formula."""
    ready = gallery.get("super-resolution")
    simulations = simulate(ready.problem, 20_000, seed=6)
    survey = ready.problem.observations.rows[0]
    slope, *_ = np.linalg.lstsq(simulations.y, simulations.x, rcond=None)
    mean, covariance = super_resolution_posterior(survey)
    assert np.abs(survey @ slope - mean).max() < 0.15
    rest = (simulations.x - simulations.y @ slope).std(axis=0)
    np.testing.assert_allclose(rest, np.sqrt(np.diag(covariance)), rtol=0.05)
    np.testing.assert_allclose(
        block_means(ready.exact(4000, 1).reshape(-1, 1, 16, 16)).reshape(-1, 16).mean(axis=0),
        block_means(mean.reshape(1, 1, 16, 16)).ravel(),
        atol=0.02,
    )


def test_many_outputs_are_corrected_by_their_principal_components():
    """Fields that lie too high, seen through 36 outputs, are brought down to the observed ones."""

    def model(x):
        return x[:, 0, 1:7, 1:7]

    prior = GaussianField((8, 8), 30.0, kernel="gaussian")
    problem = ig.Problem(model, prior, model(prior.sample(3000, rng(7)).reshape(-1, 1, 8, 8)))
    x = 0.3 + prior.sample(6000, rng(8))
    high = Samples(x, None, np.ones(6000), prior.names, problem.outputs)
    corrected = correct(problem, high, seed=9)
    assert corrected.info["ratio"] != "none"
    assert corrected.y.shape[1] == 36
    assert abs(corrected.x.mean() - problem.observations.rows.mean()) < 0.1


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A whole run on fields of 8 x 8, of a population of coarse fields."""
    prior = GaussianField((8, 8), 3.0)
    observed = halves(0.3 + 0.6 * prior.sample(400, rng(10)).reshape(-1, 1, 8, 8))
    problem = ig.Problem(halves, prior, observed)
    settings = ig.Settings(
        simulate=SimulateConfig(n=4000),
        train=TrainConfig(steps=0),
        sample=SampleConfig(n=2000),
        mcmc=McmcConfig(),
    )
    out = tmp_path_factory.mktemp("field")
    return ig.solve(problem, out, settings=settings, seed=3), out


def test_a_population_of_fields_is_answered_judged_and_drawn(solved):
    solution, out = solved
    assert solution.validation.verdict == "consistent", solution.validation.reasons
    assert solution.samples.x.shape[1] == 64
    outputs = halves(solution.samples.x.reshape(-1, 1, 8, 8)).reshape(-1, 4)
    np.testing.assert_allclose(outputs, solution.samples.y, atol=1e-12)
    assert abs(outputs.mean() - 0.3) < 0.05
    assert solution.baseline is None
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "the moves of its ensemble are lost" in page
    assert "mean, some, and standard deviation of draws of P_X" in page
    assert (out / "figures" / "figure6.png").stat().st_size > 10_000


def test_a_lie_about_a_field_is_not_called_consistent(solved):
    """Draws smoothed along one axis have the right coarse means and the wrong roughness."""
    solution, _ = solved
    f = solution.samples.x.reshape(-1, 4, 2, 8)
    smooth = np.repeat(f.mean(axis=2, keepdims=True), 2, axis=2).reshape(len(f), -1)
    lie = Samples(
        smooth, solution.samples.y, np.ones(len(f)), solution.samples.names,
        solution.samples.outputs,
    )  # fmt: skip
    judged = ig.validate(
        solution.problem, lie, simulations=solution.simulations, inverse=solution.inverse, seed=4
    )
    assert judged.verdict == "not consistent"
    assert any("roughness" in reason for reason in judged.reasons)


def test_a_population_of_fields_is_judged_by_a_single_output():
    """One output for each field: simulations lie densely about it, and are looked at as fields."""
    rng, prior = np.random.default_rng(1), GaussianField((4, 4), 2.0)
    problem = ig.Problem(lambda x: x.mean(axis=(1, 2, 3)), prior, stats.norm(0, 0.5))
    x, drawn = prior.sample(20_000, rng), prior.sample(4000, rng)
    simulations = Simulations(x, x.mean(axis=1)[:, None], prior.names, problem.outputs, x[:0])
    samples = Samples(drawn, None, np.ones(4000), prior.names, problem.outputs)
    found = validate(problem, samples, simulations=simulations, seed=1)
    told = [m.output for m in found.measures if m.name == "answer against simulations KS"]
    assert told == list(problem.quantities)
