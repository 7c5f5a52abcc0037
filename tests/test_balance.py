"""A law's density is held against its draws: exact ones pass whatever their shape."""

import numpy as np
import pytest
from scipy import stats
from test_observations import Ring

from invgan.balance import check_density
from invgan.errors import InputError
from invgan.observations import as_observations
from invgan.own_prior import as_prior
from invgan.priors import Box

ROOT = np.linalg.cholesky(np.full((3, 3), 0.99) + 0.01 * np.eye(3))
SHARES = np.array([0.1, 0.6, 0.3])


def normal(n, rng):
    return rng.normal(size=(n, 1))


def normals(n, rng):
    return rng.normal(size=(n, 200))


def wide(n, rng):
    return np.exp(4 * rng.normal(size=(n, 2)))


def correlated(n, rng):
    return rng.normal(size=(n, 3)) @ ROOT.T


def bent(n, rng):
    w = rng.normal(size=(n, 2))
    return np.stack([w[:, 0], w[:, 0] ** 2 + 0.1 * w[:, 1]], axis=1)


def steps(n, rng):
    return (rng.choice(3, p=SHARES, size=n) + rng.random(n))[:, None]


def step_heights(shares):
    def density(x):
        inside = (x >= 0) & (x < 3)
        return np.where(inside, np.log(shares[np.clip(x.astype(int), 0, 2)]), -np.inf)[:, 0]

    return density


def of_normal(spread=1.0, middle=0.0):
    return lambda x: stats.norm.logpdf(x, middle, spread).sum(axis=1)


def along_the_bend(height):
    return lambda x: stats.norm.logpdf(x[:, 0]) + stats.norm.logpdf(x[:, 1], height(x[:, 0]), 0.1)


EXACT = {
    "a normal": (normal, of_normal()),
    "a normal but for a factor": (normal, lambda x: of_normal()(x) + 12),
    "two hundred of them": (normals, of_normal()),
    "heavy tails": (wide, lambda x: stats.lognorm.logpdf(x, 4).sum(axis=1)),
    "a narrow sheet": (correlated, stats.multivariate_normal(np.zeros(3), ROOT @ ROOT.T).logpdf),
    "a banana": (bent, along_the_bend(np.square)),
    "steps": (steps, step_heights(SHARES)),
    "a ring": (Ring().sample, Ring().log_prob),
}
WRONG = {
    "too wide": (normal, of_normal(1.4), "move the draws along 'x0' "),
    "too narrow": (normal, of_normal(0.7), "move the draws along 'x0' "),
    "beside": (normal, of_normal(middle=0.3), "move the draws along 'x0' "),
    "upside down": (normal, lambda x: -of_normal()(x), "move the draws along 'x0' "),
    "two hundred a little too wide": (normals, of_normal(1.4), "along all columns"),
    "no Jacobian": (wide, lambda x: stats.norm.logpdf(np.log(x), 0, 4).sum(axis=1), "Jacobian"),
    "no correlation": (correlated, of_normal(), r"along 'x\d' with 'x\d'"),
    "the other correlation": (bent, along_the_bend(lambda a: -np.square(a)), "x1"),
    "other shares": (steps, step_heights(SHARES[[1, 0, 2]]), "move the draws along 'x0' "),
    "flat": (normal, lambda x: np.zeros(len(x)), "move the draws along 'x0' "),
}


def names(sample):
    return [f"x{j}" for j in range(sample(1, np.random.default_rng(0)).shape[1])]


@pytest.mark.parametrize("case", EXACT)
def test_an_exact_density_passes(case):
    sample, density = EXACT[case]
    check_density("the law", names(sample), sample, density)


@pytest.mark.parametrize("case", WRONG)
def test_another_law_s_density_is_refused(case):
    sample, density, said = WRONG[case]
    with pytest.raises(InputError, match=f"the law: log_prob is not the density.*{said}"):
        check_density("the law", names(sample), sample, density)


class LogUniform:
    """Draws are even in the logarithm; the density may be given as even in the parameter."""

    names, support = ("rate",), Box(np.array([1.0]), np.array([20.0]))

    def __init__(self, jacobian):
        self.jacobian = jacobian

    def sample(self, n, rng):
        return np.exp(rng.uniform(0, np.log(20), (n, 1)))

    def log_prob(self, x):
        if (x > 20).any():
            raise ArithmeticError("beyond the support")
        return -self.jacobian * np.log(x[:, 0])


def test_a_prior_s_density_is_asked_inside_its_support_only():
    own = LogUniform(jacobian=1)
    assert as_prior(own) is own
    with pytest.raises(InputError, match=r"the prior \(LogUniform\): .*along 'rate'"):
        as_prior(LogUniform(jacobian=0))


class Swollen(Ring):
    def log_prob(self, y):
        return super().log_prob(y) / 4


class Choosy(Ring):
    def log_prob(self, y):
        if (np.hypot(*y.T) > 1.5).any():
            raise ArithmeticError("too far out")
        return super().log_prob(y)


class Short(Ring):
    def log_prob(self, y):
        return super().log_prob(y)[:5]


def test_an_observed_law_s_density_is_held_against_its_draws():
    with pytest.raises(InputError, match=r"the observed joint law \(Swollen\): .*all columns"):
        as_observations(Swollen())


@pytest.mark.parametrize(
    ("law", "said"),
    [
        (Choosy(), "raised ArithmeticError: too far out .* -inf where there are no draws"),
        (Short(), r"raised ValueError: .*shape \(4000,\)"),
    ],
)
def test_an_observed_law_has_a_density_for_every_row(law, said):
    with pytest.raises(InputError, match=rf"the observed joint law .*: log_prob\(y\) {said}"):
        as_observations(law)
