"""The problem: what fits together, and the sentence for what does not."""

import numpy as np
import pytest
from scipy import stats

from invgan.errors import InputError
from invgan.noise import Noise
from invgan.observations import Law, Table
from invgan.priors import MultivariateNormal, Prior, PriorLike, Simplex
from invgan.problem import Problem

PRIOR = Prior(a=stats.norm(), b=stats.norm())
ROWS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
LAWS = {"u": stats.norm(1), "v": stats.norm(2), "w": stats.norm(3)}
ONE = ROWS[:1]


class Coin:
    """The least that a prior has to be."""

    names = ("heads", "tails")
    support = Simplex(2)

    def sample(self, n, rng):
        p = rng.random(n)
        return np.stack([p, 1 - p], axis=1)

    def log_prob(self, x):
        return np.zeros(len(x))


def same(x):
    return x


def named_rows(tmp_path):
    path = tmp_path / "seen.csv"
    path.write_text("u,v,w\n1,2,3\n4,5,6\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("observations", "outputs"),
    [
        (stats.norm(), ("y",)),
        ([1, 2, 3], ("y",)),
        (ROWS, ("y1", "y2", "y3")),
        (LAWS, ("u", "v", "w")),
        (list(LAWS.values()), ("y1", "y2", "y3")),
        (MultivariateNormal([0, 0], np.eye(2), ["u", "v"]), ("u", "v")),
    ],
)
def test_outputs_take_their_names_from_the_observations_or_by_number(observations, outputs):
    assert Problem(same, PRIOR, observations).outputs == outputs


def test_one_output_may_be_named_by_a_text():
    assert Problem(same, PRIOR, stats.norm(), outputs="flow").outputs == ("flow",)


@pytest.mark.parametrize("outputs", [("w", "u"), ("v",), ("u", "v", "w"), ["w", "v", "u"]])
def test_columns_are_chosen_and_ordered_by_name(tmp_path, outputs):
    index = ["uvw".index(name) for name in outputs]
    table = Problem(same, PRIOR, named_rows(tmp_path), outputs=outputs)
    assert isinstance(table.observations, Table)
    assert np.array_equal(table.observations.rows, ROWS[:, index])
    law = Problem(same, PRIOR, LAWS, outputs=outputs)
    assert isinstance(law.observations, Law)
    assert [column.mean() for column in law.observations.columns] == [i + 1 for i in index]
    for problem in (table, law):
        assert problem.outputs == problem.observations.names == tuple(outputs)
        assert problem.observations.width == len(outputs)


def test_names_for_nameless_columns_keep_their_order():
    problem = Problem(same, PRIOR, ROWS, outputs=["r", "s", "t"])
    assert problem.outputs == ("r", "s", "t")
    assert np.array_equal(problem.observations.rows, ROWS)


@pytest.mark.parametrize(
    ("observations", "outputs", "said"),
    [
        (LAWS, ["u", "x"], r"no column 'x'; they have \['u', 'v', 'w'\]"),
        (LAWS, [], r"each observed output once; got \[\]"),
        (ROWS, ["u", "v"], "names 2 outputs .* have 3 columns"),
        (ROWS, "u", "names 1 outputs"),
        (ROWS, ["u", "u", "v"], "each observed output once"),
        (MultivariateNormal([0, 0], np.eye(2), ["u", "v"]), ["v", "u"], "cannot be re-ordered"),
    ],
)
def test_names_that_do_not_fit_the_observations(observations, outputs, said):
    with pytest.raises(InputError, match=said):
        Problem(same, PRIOR, observations, outputs=outputs)


@pytest.mark.parametrize(
    "prior", [PRIOR, PRIOR.laws, Coin(), MultivariateNormal([0, 0], np.eye(2))]
)
def test_priors_in_every_form(prior):
    assert isinstance(Problem(same, prior, stats.norm()).prior, PriorLike)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (stats.norm(), "rv_continuous_frozen.* lacks names, sample, log_prob: use invgan.Prior"),
        (None, "NoneType.* lacks names, support, sample, log_prob"),
        ({"a": 3}, "prior of 'a' must be a frozen law"),
        ({}, "no parameters"),
    ],
)
def test_what_is_no_prior_is_refused(prior, said):
    with pytest.raises(InputError, match=said):
        Problem(same, prior, stats.norm())


def test_the_model_must_be_a_function():
    with pytest.raises(InputError, match="must be a function; got str"):
        Problem("model.py:same", PRIOR, stats.norm())


@pytest.mark.parametrize(
    ("observations", "settings", "said"),
    [
        (ROWS, {"question": "both"}, "'population' or 'posterior'; got 'both'"),
        (ROWS, {"question": None}, "'population' or 'posterior'; got None"),
        (ONE, {}, "one observed row is no population: ask question='posterior'"),
        (ONE, {"noise": {"normal": 1}}, "one observed row is no population: ask question='post"),
        (stats.norm(), {"question": "posterior"}, "takes observed rows, not a law"),
        (ROWS, {"question": "posterior"}, "2 rows of a deterministic model cannot be repeats"),
        (ROWS, {"question": "posterior"}, r"give the noise .* or set stochastic=True, or ask"),
    ],
)
def test_questions_that_the_observations_cannot_answer(observations, settings, said):
    with pytest.raises(InputError, match=said):
        Problem(same, PRIOR, observations, **settings)


@pytest.mark.parametrize(
    ("observations", "settings", "repeats"),
    [
        (ROWS, {}, 1),
        (stats.norm(), {}, 1),
        (ONE, {"question": "posterior"}, 1),
        (ONE, {"question": "posterior", "stochastic": True}, 1),
        (ROWS, {"question": "posterior", "stochastic": True}, 2),
        (ROWS, {"question": "posterior", "noise": {"normal": 1}}, 2),
        (ROWS, {"stochastic": True}, 1),
        (stats.norm(), {"stochastic": True}, 1),
        (ROWS, {"noise": {"normal": 1}}, 1),
        (stats.norm(), {"noise": {"normal": 1}}, 1),
    ],
)
def test_questions_that_they_can(observations, settings, repeats):
    assert Problem(same, PRIOR, observations, **settings).repeats == repeats


def likelihood(x, rows):
    return np.zeros(len(x))


NOISE, STOCHASTIC, KNOWN = (
    {"noise": {"normal": 1}},
    {"stochastic": True},
    {"log_likelihood": likelihood},
)


@pytest.mark.parametrize(
    ("question", "settings", "random", "has_density", "runs"),
    [
        ("population", {}, False, True, 1),
        ("population", STOCHASTIC, True, False, 1),
        ("population", NOISE, True, False, 1),
        ("posterior", NOISE, True, True, 1),
        ("posterior", STOCHASTIC, True, False, 2),
        ("posterior", NOISE | STOCHASTIC, True, False, 2),
        ("posterior", NOISE | KNOWN, True, True, 1),
        ("posterior", STOCHASTIC | KNOWN, True, True, 2),
        ("posterior", NOISE | STOCHASTIC | KNOWN, True, True, 2),
    ],
)
def test_what_noise_changes(question, settings, random, has_density, runs):
    problem = Problem(same, PRIOR, ROWS, question=question, **settings)
    assert (problem.random, problem.has_density, problem.runs_per_row) == (
        random,
        has_density,
        runs,
    )


def test_an_exact_posterior_has_no_density():
    problem = Problem(same, PRIOR, ONE, question="posterior")
    assert not problem.random
    assert not problem.has_density


@pytest.mark.parametrize(
    "noise", [{"normal": {"w": 3, "u": 1}}, {"normal": [1, 3]}, Noise.normal({"u": 1, "w": 3})]
)
def test_noise_takes_the_order_of_the_outputs(noise):
    problem = Problem(same, PRIOR, LAWS, outputs=("u", "w"), noise=noise)
    assert problem.noise == Noise.normal((1, 3))


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        ({"nromal": 1}, r"^noise.nromal is not a law of noise; did you mean noise.normal\?$"),
        ({"normal": {"u": 1, "v": 2}}, "^noise.normal.w is missing"),
        ({"normal": [1, 2]}, "^noise.normal must have one number for each of the 3 outputs; got 2"),
        (0.1, r"^noise must be one law, such as \{normal: 0.1\}; got 0.1$"),
    ],
)
def test_noise_that_is_none(noise, said):
    with pytest.raises(InputError, match=said):
        Problem(same, PRIOR, LAWS, noise=noise)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (STOCHASTIC | {"log_likelihood": "f"}, "log_likelihood must be a function .*; got str"),
        (KNOWN, r"deterministic model does not have: give the noise too, .* \(stochastic=True\)"),
    ],
)
def test_likelihoods_that_are_none(settings, said):
    with pytest.raises(InputError, match=said):
        Problem(same, PRIOR, ONE, question="posterior", **settings)
    with pytest.raises(InputError, match="log_likelihood is for question='posterior'"):
        Problem(same, PRIOR, ROWS, **NOISE, **KNOWN)


def test_a_problem_is_frozen():
    problem = Problem(same, PRIOR, stats.norm())
    with pytest.raises(AttributeError):
        problem.stochastic = True
