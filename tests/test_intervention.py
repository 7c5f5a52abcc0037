"""The intervention problem: closed forms, a known truth, and populations that nothing explains."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from invgan.errors import CorrectionError, InputError, OutsideError
from invgan.fields import GaussianField
from invgan.gan.rgan import RganConfig
from invgan.intervention import Intervention, couple, judge, project, solve_intervention
from invgan.metrics import kolmogorov_smirnov
from invgan.priors import Dirichlet, MultivariateNormal, Prior
from invgan.samples import Simulations
from invgan.settings import TrainConfig
from invgan.simulation import simulate

TIMES = np.array([1.0, 4.0, 10.0])
SHIFT = {"control": stats.norm(0.5, 0.5), "treated": stats.norm(1.5, 0.6)}


def same(x: np.ndarray) -> np.ndarray:
    return x


def concentration(x: np.ndarray) -> np.ndarray:
    """Drug in the blood (n, 3) at three times after a dose by mouth; x (n, 3) are ka, ke and V.

    One compartment: the gut empties at the rate ka, the blood at the rate ke.
    """
    ka, ke, volume = (x[:, j : j + 1] for j in range(3))
    gap = (ka - ke) * TIMES
    safe = np.where(np.abs(gap) > 1e-6, gap, 1)
    taken = np.where(np.abs(gap) > 1e-6, -np.expm1(-safe) / safe, 1)
    return 100 * ka / volume * TIMES * np.exp(-ke * TIMES) * taken


def inhibited(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Elimination slowed by the share c."""
    return np.stack([x[:, 0], x[:, 1] * (1 - c[:, 0]), x[:, 2]], axis=1)


def patients(n: int, seed: int) -> np.ndarray:
    """The true population of ka, ke, V and c, shape (n, 4)."""
    rng = np.random.default_rng(seed)
    x = np.exp(rng.normal(np.log([1.2, 0.3, 9.0]), [0.25, 0.25, 0.2], (n, 3)))
    return np.hstack([x, 1 / (1 + np.exp(-rng.normal(0, 0.4, (n, 1))))])


def pharmacology(**changed) -> Intervention:
    one, other = patients(1000, 1), patients(1000, 2)
    prior = Prior(
        ka=stats.lognorm(0.5, scale=1.5),
        ke=stats.lognorm(0.5, scale=0.25),
        V=stats.lognorm(0.4, scale=10),
    )
    given = {
        "control": concentration(one[:, :3]),
        "treated": concentration(inhibited(other[:, :3], other[:, 3:])),
        "extra": Prior(c=stats.uniform(0, 1)),
        "shared": ["ka", "V"],
        "outputs": ["C(1)", "C(4)", "C(10)"],
    }
    return Intervention(concentration, prior, inhibited, **{**given, **changed})


def shift(**changed) -> Intervention:
    """x ~ N(0, 1) moved by c ~ N(0, 1): everything is Gaussian."""
    given = {**SHIFT, "extra": Prior(c=stats.norm()), **changed}
    return Intervention(same, Prior(x=stats.norm()), lambda x, c: x + c, **given)


def fitted_in_turn(mean, cov, marginals, rounds=400):
    """Iterative proportional fitting of a Gaussian: one marginal after the other, in moments."""
    for _ in range(rounds):
        for j, (m, v) in enumerate(marginals):
            gain = cov[:, j] / cov[j, j]
            mean = mean + gain * (m - mean[j])
            cov = cov + np.outer(gain, gain) * (v - cov[j, j])
    return mean, cov


@pytest.fixture(scope="module")
def shift_simulations() -> Simulations:
    return simulate(shift().problem(), 20_000, seed=1)


@pytest.fixture(scope="module")
def coupled(shift_simulations: Simulations):
    return couple(shift(), shift_simulations, seed=2)


@pytest.fixture(scope="module")
def patients_coupled():
    intervention = pharmacology()
    simulations = simulate(intervention.problem(), 15_000, seed=3)
    return intervention, simulations, couple(intervention, simulations, seed=4)


def test_the_gaussian_answer_is_that_of_iterative_proportional_fitting(
    coupled, shift_simulations: Simulations
) -> None:
    start = np.array([[1.0, 1.0], [1.0, 2.0]])
    mean, cov = fitted_in_turn(np.zeros(2), start, [(0.5, 0.25), (1.5, 0.36)])
    y, w = shift_simulations.y, coupled.projection.weights
    assert np.average(y, axis=0, weights=w) == pytest.approx(mean, abs=0.03)
    assert np.cov(y.T, aweights=w) == pytest.approx(cov, abs=0.02)
    apart = 0.5 * (
        np.trace(np.linalg.solve(start, cov))
        + mean @ np.linalg.solve(start, mean)
        - 2
        - np.linalg.slogdet(cov)[1]
        + np.linalg.slogdet(start)[1]
    )
    assert coupled.projection.divergence == pytest.approx(apart, abs=0.1)


def test_the_law_of_the_parameters_given_the_outputs_is_the_prior_s(
    patients_coupled,
) -> None:
    _, simulations, coupling = patients_coupled
    rows = {tuple(row) for row in np.hstack([simulations.x, simulations.y])}
    drawn = np.hstack([coupling.samples.x, coupling.samples.y])
    assert {tuple(row) for row in drawn} <= rows
    assert coupling.info["distinct"] > 0.93


def test_the_mismatch_falls_from_round_to_round(coupled) -> None:
    found = [row["mismatch"] for row in coupled.projection.rounds]
    assert all(later < 1.05 * earlier for earlier, later in pairwise(found))
    assert found[0] > 5 * found[-1]
    assert sum(row["kept"] for row in coupled.projection.rounds) == 1
    assert coupled.projection.mismatch < 0.03


def test_simulations_that_have_the_marginals_are_left_as_they_are(
    shift_simulations: Simulations,
) -> None:
    y = shift_simulations.y
    rng = np.random.default_rng(5)
    others = [rng.normal(0, 1, (2000, 1)), rng.normal(0, np.sqrt(2), (2000, 1))]
    found = project([y[:, :1], y[:, 1:]], others, seed=1)
    assert found.effective > 0.95 * len(y)
    assert found.divergence < 0.02


def test_two_tables_that_disagree_on_what_is_shared_settle_within_their_errors() -> None:
    """A known change that is none: exact conditions would have no solution at all."""
    rng = np.random.default_rng(7)
    rows = [rng.normal(0.3, 0.8, (300, 1)) for _ in range(2)]
    intervention = Intervention(same, Prior(x=stats.norm()), same, control=rows[0], treated=rows[1])
    coupling = couple(intervention, simulate(intervention.problem(), 5000, seed=1), seed=1)
    both = np.concatenate(rows)
    assert coupling.projection.effective > 2000
    assert coupling.samples.x.mean() == pytest.approx(both.mean(), abs=0.1)


def test_the_known_truth_is_found_where_it_can_be(patients_coupled) -> None:
    _, simulations, coupling = patients_coupled
    truth, found = patients(5000, 9), coupling.samples.x
    before = kolmogorov_smirnov(simulations.x[:, :3], truth[:, :3])
    after = kolmogorov_smirnov(found[:, :3], truth[:, :3])
    assert np.all(before > 0.14)
    assert np.all(after < 0.09)
    # The spread of c is not identified by populations that were observed apart; its mean is.
    slowed = np.log1p(-found[:, 3]).mean()
    assert slowed == pytest.approx(np.log1p(-truth[:, 3]).mean(), abs=0.1)
    assert np.log1p(-simulations.x[:, 3]).mean() == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("name", ["control", "treated"])
def test_each_population_is_judged_by_its_own_rows(patients_coupled, name: str) -> None:
    intervention, simulations, coupling = patients_coupled
    assert judge(intervention, coupling.samples, name).verdict == "consistent"
    prior = coupling.samples.__class__(
        simulations.x[:3000], simulations.y[:3000], np.ones(3000), simulations.names,
        simulations.outputs,
    )  # fmt: skip
    assert judge(intervention, prior, name).verdict == "not consistent"


def test_a_population_s_part_is_what_the_model_says(patients_coupled) -> None:
    intervention, simulations, _ = patients_coupled
    for name in ("control", "treated"):
        x, y = intervention.part(simulations, name)
        assert np.array_equal(concentration(x), y)
    assert np.array_equal(intervention.part(simulations, "control")[0], simulations.x[:, :3])


def test_populations_that_no_member_connects_are_refused_or_called_inconsistent() -> None:
    """Treatment is said to change nothing, and the treated are plainly others."""
    intervention = Intervention(
        same, Prior(x=stats.norm()), same,
        control=stats.norm(-0.7, 0.3), treated=stats.norm(0.7, 0.3),
    )  # fmt: skip
    simulations = simulate(intervention.problem(), 5000, seed=1)
    try:
        coupling = couple(intervention, simulations, seed=1)
    except CorrectionError as error:
        assert "explain both" in str(error) or "two populations" in str(error)
    else:
        verdicts = {judge(intervention, coupling.samples, p).verdict for p in SHIFT}
        assert "not consistent" in verdicts


def test_a_population_beyond_the_simulations_is_refused(shift_simulations: Simulations) -> None:
    with pytest.raises(OutsideError, match="no parameter of the prior"):
        couple(shift(treated=stats.norm(30, 1)), shift_simulations, seed=1)


@pytest.mark.parametrize("road", ["projection", "rgan"])
def test_both_roads_meet_both_populations(road: str, shift_simulations: Simulations) -> None:
    quick = RganConfig(
        surrogate_steps=100, steps=120, hidden=32, layers=2, batch_size=256, evaluations=2
    )
    short = TrainConfig(
        head="gaussian", head_steps=200, steps=0, hidden=32, layers=2, evaluations=2, judge=False
    )
    few = replace(shift_simulations, x=shift_simulations.x[:6000], y=shift_simulations.y[:6000])
    solution = solve_intervention(
        shift(), few, 2000, road=road, train_config=short, rgan_config=quick, seed=1, device="cpu"
    )
    assert len(solution.samples) == 2000
    assert solution.samples.info["effective_samples"] == 2000
    for name, law in SHIFT.items():
        drawn = solution.population(name)
        assert stats.kstest(drawn.y[:, 0], law.cdf).statistic < 0.05
        assert np.array_equal(drawn.x, drawn.y)
    assert solution.consistent
    assert (solution.coupling is None) == (road == "rgan")


@pytest.mark.slow
def test_noise_of_the_measurement_takes_the_road_of_the_critics() -> None:
    noisy = shift(noise={"normal": 0.3})
    simulations = simulate(noisy.problem(), 3000, seed=1)
    rest = simulations.y - np.stack([simulations.x[:, 0], simulations.x.sum(axis=1)], axis=1)
    assert rest.std(axis=0) == pytest.approx([0.3, 0.3], abs=0.03)
    assert abs(np.corrcoef(rest.T)[0, 1]) < 0.1
    with pytest.raises(InputError, match="road='rgan'"):
        couple(noisy, simulations)
    quick = RganConfig(surrogate_steps=100, steps=60, hidden=16, layers=2, batch_size=128)
    found = solve_intervention(noisy, simulations, 500, road="rgan", rgan_config=quick, seed=1)
    assert len(found.samples) == 500
    assert set(found.validations) == set(SHIFT)


def test_the_same_seed_gives_the_same_answer(shift_simulations: Simulations) -> None:
    few = shift_simulations.selection
    one, two, other = (couple(shift(), few, 500, seed=s).samples.x for s in (3, 3, 4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_correlated_priors_get_their_extra_parameters() -> None:
    prior = MultivariateNormal([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]], ("a", "b"))
    rows = np.random.default_rng(1).normal(size=(50, 2))
    intervention = Intervention(
        same, prior, lambda x, c: x * np.exp(c), control=rows, treated=rows,
        extra={"c": stats.norm()},
    )  # fmt: skip
    joint = intervention.joint_prior
    xi = joint.sample(2000, np.random.default_rng(1))
    assert joint.names == ("a", "b", "c")
    assert np.corrcoef(xi.T)[0, 1] == pytest.approx(0.5, abs=0.06)
    expected = prior.log_prob(xi[:, :2]) + stats.norm.logpdf(xi[:, 2])
    assert joint.log_prob(xi) == pytest.approx(expected)
    assert len(simulate(intervention.problem(), 100, seed=1).x) == 100


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shared": ["ke"]}, "'ke' is said to be shared, but the change moves it"),
        ({"shared": ["kel"]}, "shared names 'kel'"),
        ({"treated": np.ones((50, 2))}, "observations have"),
        ({"extra": Prior(ka=stats.norm())}, r"both have \['ka'\]"),
        ({"extra": Dirichlet([1.0, 1.0])}, "proportions"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_door(changed, said: str) -> None:
    with pytest.raises(InputError, match=said):
        pharmacology(**changed)


def test_a_change_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(64, 1\) into \(64,\)"):
        Intervention(same, Prior(x=stats.norm()), lambda x: x[:, 0], **SHIFT)
    with pytest.raises(InputError, match="change must be a function"):
        Intervention(same, Prior(x=stats.norm()), 2.0, **SHIFT)


def test_a_model_with_noise_is_not_weighed_by_its_outputs() -> None:
    noisy = Intervention(lambda x, rng: x, Prior(x=stats.norm()), same, stochastic=True, **SHIFT)
    with pytest.raises(InputError, match="road='rgan'"):
        couple(noisy, None)


def test_foreign_simulations_unknown_roads_and_few_rows_are_refused(
    shift_simulations: Simulations,
) -> None:
    with pytest.raises(InputError, match=r"simulate intervention\.problem"):
        couple(pharmacology(), shift_simulations)
    with pytest.raises(InputError, match="road must be"):
        solve_intervention(shift(), shift_simulations, road="ipf")
    with pytest.raises(InputError, match="n must be a whole number, 20 or more; got 0"):
        solve_intervention(shift(), shift_simulations, 0)
    with pytest.raises(InputError, match="5 observed rows"):
        project([np.ones((100, 1))], [np.ones((5, 1))])
    with pytest.raises(InputError, match="'control' and 'treated'"):
        shift().population("placebo")


def test_an_output_that_one_population_never_varies_in_is_refused() -> None:
    rng = np.random.default_rng(1)
    y, rows = rng.normal(size=(500, 2)), rng.normal(size=(50, 2))
    rows[:, 1] = 0
    with pytest.raises(InputError, match="output 1 of population 1 is 0 in every observed row"):
        project([y], [rows])
    y[:, 1] = 0
    assert len(project([y], [rows]).weights) == 500


def test_a_field_and_what_is_no_prior_are_refused():
    rows = np.zeros((20, 1))
    with pytest.raises(InputError, match="those of a field have none"):
        Intervention(lambda x: x.mean((1, 2, 3))[:, None], GaussianField((4, 4), 2.0),
                     lambda x: x, control=rows, treated=rows)  # fmt: skip
    with pytest.raises(InputError, match="lacks names, sample, log_prob"):
        Intervention(lambda x: x[:, :1], Prior(a=stats.norm()), lambda x, e: x + e,
                     control=rows, treated=rows, extra=stats.norm())  # fmt: skip


def test_a_change_that_raises_and_one_shared_name():
    rows = np.random.default_rng(0).normal(size=(20, 1))
    parts = {"control": rows, "treated": rows}
    with pytest.raises(InputError, match=r"change raised IndexError: .* it takes parameters"):
        Intervention(lambda x: x, Prior(a=stats.norm()), lambda x: x[:, 3], **parts)
    with pytest.raises(InputError, match=r"change raised TypeError: .*and the extra ones"):
        Intervention(lambda x: x, Prior(a=stats.norm()), lambda x: x, **parts,
                     extra={"shift": stats.norm()})  # fmt: skip
    with pytest.raises(InputError, match="shared names 'rate'; the parameters are"):
        Intervention(lambda x: x, Prior(a=stats.norm()), lambda x: x, **parts, shared="rate")
