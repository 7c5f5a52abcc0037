"""Running the model: every form of it, seeds, chunks, failures, and what goes wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from invgan.errors import InputError, ModelError
from invgan.noise import Noise
from invgan.priors import Box, Prior
from invgan.problem import Problem
from invgan.simulation import evaluate, simulate, sort_repeats
from invgan.simulation.draws import Draws
from invgan.simulation.runs import measure, run_model

PRIOR = Prior(a=stats.norm(), b=stats.uniform(0, 1))
TWO = {"total": stats.norm(), "product": stats.norm()}
X = PRIOR.sample(50, np.random.default_rng(0))
Y = np.stack([X.sum(axis=1), X.prod(axis=1)], axis=1)


class Tensor:
    """What a torch tensor that carries gradients looks like from outside."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.values

    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


def both(x):
    return np.stack([x.sum(axis=-1), x.prod(axis=-1)], axis=-1)


def noisy(x, rng):
    return x[:, :1] + rng.normal(size=(len(x), 1))


FORMS = {
    "a batch": (both, True),
    "a list of rows": (lambda x: both(x).tolist(), True),
    "single precision": (lambda x: both(x).astype(np.float32), True),
    "names": (lambda x: {"product": x.prod(axis=1), "total": x.sum(axis=1), "more": 0}, True),
    "names of columns": (lambda x: {"total": x[:, :1] + x[:, 1:], "product": x.prod(1)}, True),
    "a tensor": (lambda x: Tensor(both(x)), True),
    "named tensors": (lambda x: {"total": Tensor(x.sum(1)), "product": Tensor(x.prod(1))}, True),
    "one vector": (both, False),
    "one vector, a tuple": (lambda x: (x.sum(), x.prod()), False),
    "one vector, names": (lambda x: {"product": x.prod(), "total": x.sum()}, False),
    "one vector, a tensor": (lambda x: Tensor(both(x)), False),
    "one vector, named tensors": (lambda x: {"product": Tensor(x.prod()), "total": x.sum()}, False),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_models_of_every_form(form):
    model, vectorized = FORMS[form]
    problem = Problem(model, PRIOR, TWO, vectorized=vectorized)
    y = evaluate(problem, X, chunk=7)
    assert y.dtype == float
    assert y == pytest.approx(Y, rel=1e-6)


@pytest.mark.parametrize(
    ("model", "vectorized"),
    [
        (lambda x: x.sum(axis=1), True),
        (lambda x: x.sum(axis=1, keepdims=True), True),
        (lambda x: {"anything": x.sum(axis=1)}, True),
        (lambda x: x.sum(), False),
        (lambda x: float(x.sum()), False),
        (lambda x: [x.sum()], False),
        (lambda x: {"anything": x.sum()}, False),
    ],
)
def test_one_output_may_be_a_vector_or_a_number(model, vectorized):
    problem = Problem(model, PRIOR, stats.norm(), vectorized=vectorized)
    assert evaluate(problem, X) == pytest.approx(Y[:, :1])


def test_outputs_that_nobody_named_come_in_the_model_s_order():
    problem = Problem(lambda x: {"p": x[:, 0], "q": x[:, 1]}, PRIOR, np.ones((3, 2)))
    assert np.array_equal(evaluate(problem, X), X)


@pytest.mark.parametrize("outputs", [["p", "r"], ["r", "s"]])
def test_outputs_that_somebody_named_are_not_guessed(outputs):
    problem = Problem(
        lambda x: {"p": x[:, 0], "q": x[:, 1]}, PRIOR, np.ones((3, 2)), outputs=outputs
    )
    with pytest.raises(ModelError, match=r"returned outputs \['p', 'q'\]; '[rs]' is observed but"):
        evaluate(problem, X)


def test_no_rows_give_no_outputs():
    assert evaluate(Problem(both, PRIOR, TWO), X[:0]).shape == (0, 2)


@given(st.integers(1, 10_000), st.integers(20, 9000))
@settings(deadline=None, max_examples=15)
def test_chunks_change_nothing_and_few_simulations_are_the_first_of_more(chunk, n):
    problem = Problem(both, PRIOR, TWO)
    whole = simulate(problem, 9000, seed=3)
    part = simulate(problem, n, seed=3, chunk=max(chunk, n // 20))
    assert np.array_equal(part.x, whole.x[:n])
    assert np.array_equal(part.y, whole.y[:n])


@given(st.integers(1, 5000))
@settings(deadline=None, max_examples=10)
def test_the_noise_does_not_depend_on_the_chunk(chunk):
    problem = Problem(noisy, PRIOR, [[1.0]], stochastic=True, question="posterior")
    whole = simulate(problem, 3000, seed=4)
    assert np.array_equal(simulate(problem, 3000, seed=4, chunk=chunk).y, whole.y)
    blocks = simulate(problem, 2048, seed=4)
    assert np.array_equal(blocks.y, whole.y[:2048])


def test_noise_belongs_to_the_seed_and_is_new_in_every_block():
    problem = Problem(noisy, PRIOR, [[1.0]], stochastic=True, question="posterior")
    runs = [simulate(problem, 4096, seed=seed) for seed in (5, 5, 6)]
    noise = [run.y - run.x[:, :1] for run in runs]
    assert np.array_equal(noise[0], noise[1])
    assert not np.any(noise[0] == noise[2])
    assert len(np.unique(noise[0])) == 4096
    assert stats.kstest(noise[0][:, 0], stats.norm.cdf).pvalue > 0.01
    assert abs(np.corrcoef(runs[0].x[:, 0], noise[0][:, 0])[0, 1]) < 0.05


@given(st.integers(1, 5000))
@settings(deadline=None, max_examples=10)
def test_measurement_noise_does_not_depend_on_the_chunk(chunk):
    problem = Problem(both, PRIOR, [[1.0, 2.0]] * 3, question="posterior", noise={"normal": 0.1})
    whole = simulate(problem, 3000, seed=4)
    part = simulate(problem, 1500, seed=4, chunk=max(chunk, 50))
    assert np.array_equal(part.y, whole.y[:1500])


def test_measurement_noise_lies_upon_the_outputs_of_a_model_that_knows_nothing_of_it():
    problem = Problem(both, PRIOR, TWO, noise={"normal": {"product": 2, "total": 0.5}})
    runs = [simulate(problem, 4096, seed=seed) for seed in (5, 5, 6)]
    noise = [(run.y - both(run.x)) / [0.5, 2] for run in runs]
    assert np.array_equal(noise[0], noise[1])
    assert not np.any(noise[0] == noise[2])
    assert len(np.unique(noise[0])) == 2 * 4096
    for j in range(2):
        assert stats.kstest(noise[0][:, j], stats.norm.cdf).pvalue > 0.01
    assert abs(np.corrcoef(noise[0].T)[0, 1]) < 0.05
    exact = simulate(Problem(both, PRIOR, TWO), 4096, seed=5)
    assert np.array_equal(exact.x, runs[0].x)


def test_repeats_of_a_deterministic_model_are_new_noise_upon_one_run():
    rows = []

    def model(x):
        rows.append(len(x))
        return both(x)

    problem = Problem(
        model, PRIOR, [[0.0, 0.0]] * 4, question="posterior", noise={"normal": [1, 2]}
    )
    x = np.tile(X[:1], (2000, 1))
    y = evaluate(problem, x, seed=1, chunk=700)
    assert rows == [700, 700, 600]
    assert y.shape == (2000, 8)
    assert np.all(np.diff(y[:, ::2], axis=1) > 0)
    for j, sd in enumerate((1, 2)):
        law = stats.norm(Y[0, j], sd)
        assert stats.kstest(y[:, j::2].ravel(), law.cdf).pvalue > 0.001
    assert np.array_equal(y, measure(problem, run_model(problem, x), seed=1))


def test_without_noise_a_measurement_is_the_output():
    problem = Problem(both, PRIOR, TWO)
    assert np.array_equal(measure(problem, Y), Y)
    assert np.array_equal(run_model(problem, X, chunk=7), evaluate(problem, X))


def test_measurement_noise_adds_to_the_models_own():
    problem = Problem(
        noisy, PRIOR, [[0.0]] * 2, stochastic=True, question="posterior", noise=Noise.normal(2)
    )
    own = Problem(noisy, PRIOR, [[0.0]] * 2, stochastic=True, question="posterior")
    x = np.zeros((3000, 2))
    y = evaluate(problem, x, seed=3)
    assert y.shape == (3000, 2)
    assert stats.kstest(y.ravel(), stats.norm(0, np.sqrt(5)).cdf).pvalue > 0.001
    assert stats.kstest(evaluate(own, x, seed=3).ravel(), stats.norm().cdf).pvalue > 0.001
    assert evaluate(problem, x[:0]).shape == (0, 2)


def test_noise_upon_what_is_not_finite_is_not_finite():
    problem = Problem(
        lambda x: np.where(x[:, 0] > 0, np.inf, np.nan), PRIOR, stats.norm(), noise={"lognormal": 1}
    )
    with pytest.raises(ModelError, match="none of the 50 simul"):
        simulate(problem, 50)


def test_the_parameters_follow_the_prior_and_the_seed():
    problem = Problem(both, PRIOR, TWO)
    runs = [simulate(problem, 1000, seed=seed).x for seed in range(100)]
    for column, law in enumerate(PRIOR.laws.values()):
        chances = [stats.kstest(x[:, column], law.cdf).pvalue for x in runs]
        assert stats.kstest(chances, stats.uniform.cdf).pvalue > 0.001
    assert len(np.unique(np.concatenate(runs)[:, 0])) == 100_000


def test_repeats_are_sorted_together_by_their_first_output():
    observed = np.zeros((3, 2))

    def model(x, rng):
        noise = rng.normal(size=len(x))
        return np.stack([x[:, 0] + noise, noise], axis=1)

    problem = Problem(model, PRIOR, observed, stochastic=True, question="posterior")
    y = evaluate(problem, X, seed=1)
    assert y.shape == (50, 6)
    first, second = y[:, ::2], y[:, 1::2]
    assert np.all(np.diff(first, axis=1) > 0)
    assert first - second == pytest.approx(np.tile(X[:, :1], 3))
    assert simulate(problem, 100).info["model_evaluations"] == 300


def test_sorting_repeats_forgets_their_order_and_nothing_else():
    rng = np.random.default_rng(2)
    y = rng.normal(size=(20, 4, 2))
    assert np.array_equal(sort_repeats(y), sort_repeats(y[:, rng.permutation(4)]))
    assert np.array_equal(np.sort(sort_repeats(y), axis=1), np.sort(y, axis=1))


@pytest.mark.parametrize("vectorized", [True, False])
def test_the_model_cannot_spoil_what_it_is_given(vectorized):
    def vandal(x):
        y = both(x)
        x[...] = np.nan
        return y

    mine = X.copy()
    problem = Problem(vandal, PRIOR, TWO, vectorized=vectorized)
    assert evaluate(problem, mine, chunk=7) == pytest.approx(Y)
    assert np.array_equal(mine, X)
    assert np.all(np.isfinite(simulate(problem, 50).x))


@pytest.mark.parametrize("vectorized", [True, False])
def test_a_model_may_return_the_same_array_every_time(vectorized):
    buffer = np.empty((10, 2) if vectorized else 2)

    def thrifty(x):
        buffer[...] = both(x)
        return buffer

    problem = Problem(thrifty, PRIOR, TWO, vectorized=vectorized)
    assert evaluate(problem, X, chunk=10) == pytest.approx(Y)


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    simulate(Problem(noisy, PRIOR, [[1.0]], stochastic=True, question="posterior"), 2000)
    simulate(Problem(both, PRIOR, TWO), 2000)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def fails(x):
    raise ZeroDivisionError("too cold")


@pytest.mark.parametrize(
    ("model", "vectorized", "said"),
    [
        (lambda x: x.sum(), True, r"turned \(50, 2\) parameters into outputs of shape \(\);"),
        (lambda x: x[:, :1], True, r"\(50, 1\); expected \(50, 2\), .* \(total, product\)$"),
        (lambda x: both(x).T, True, r"outputs of shape \(2, 50\); .* set vectorized=False"),
        (lambda x: both(x)[1:], True, r"outputs of shape \(49, 2\)"),
        (lambda x: None, True, "returned None; does it end with `return`"),
        (lambda x: None, False, "returned None"),
        (lambda x: "high", True, "returned str, which is not an array of real numbers"),
        (lambda x: both(x) + 1j, True, "returned ndarray, which is not .* real numbers: complex"),
        (lambda x: [[1], [2, 3]], True, "returned list, which is not an array"),
        (lambda x: {"total": x[:, 0]}, True, "'product' is observed but not among them"),
        (lambda x: {"total": x[:, 0], "product": x}, True, "column of 100 values; expected 50"),
        (lambda x: {"total": 1, "product": 2}, True, "column of 1 values; expected 50"),
        (lambda x: both(x)[:1], False, r"one parameter vector \(2,\) into 1 outputs; expected 2"),
        (lambda x: {"total": 1}, False, "'product' is observed but not among them"),
        (lambda x: (1j, 2), False, "returned tuple, which is not .* real numbers"),
        (fails, True, r"ZeroDivisionError: too cold \(line \d+ .*with 50 parameter vectors"),
        (fails, False, rf"called with a: {X[0, 0]:.6g}, b: {X[0, 1]:.6g}\)"),
        (lambda: 1, True, "TypeError: .*takes 0 positional arguments"),
    ],
)  # fmt: skip
def test_what_is_no_output_is_a_sentence(model, vectorized, said):
    with pytest.raises(ModelError, match=said):
        evaluate(Problem(model, PRIOR, TWO, vectorized=vectorized), X)


def test_a_flat_list_of_observations_is_recognised():
    """Two outputs of one experiment, written as two experiments of one output."""
    problem = Problem(both, PRIOR, [0.5, 0.1])
    with pytest.raises(ModelError, match=r"a flat list .* \[\[0.5, 0.1\]\] is one row of two"):
        evaluate(problem, X)


@pytest.mark.parametrize(
    ("model", "stochastic", "said"),
    [
        (noisy, False, r"stochastic=False, and the model takes \(x, rng\): set stochastic=True"),
        (both, True, r"stochastic=True, and the model takes \(x\): give it a generator too"),
    ],
)
def test_a_model_that_would_not_take_its_generator_is_refused(model, stochastic, said):
    question = "posterior" if stochastic else "population"
    problem = Problem(model, PRIOR, [[1.0]] * 2, stochastic=stochastic, question=question)
    with pytest.raises(InputError, match=said):
        simulate(problem, 50)


@pytest.mark.parametrize("lacking", [lambda x: {"total": x[0]}, lambda x: [x[0]], lambda x: None])
def test_a_row_without_its_outputs_has_failed_and_spoils_no_other(lacking):
    """As of a program that writes stars where a number is too large."""

    def names(y):
        return {"total": y[0], "product": y[1]}

    def model(x):
        return lacking(x) if x[0] > 0.8 else names(both(x[None])[0])

    problem = Problem(model, PRIOR, TWO, vectorized=False)
    found = simulate(problem, 300, seed=1, max_failures=0.5)
    assert len(found.failed) > 20
    assert np.array_equal(found.failed[:, 0] > 0.8, np.ones(len(found.failed), bool))
    assert found.x[:, 0].max() <= 0.8
    assert set(found.failures["kind"]) == {"wrong outputs"}
    assert found.failures["message"][0].startswith("the model ")
    with pytest.raises(ModelError, match=r"\d+ of \d+ simulations failed"):
        simulate(problem, 300, seed=1, max_failures=0.01)


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("error", [ValueError("file \udcff"), MuteError()])
def test_what_an_error_says_can_be_written_down(error):
    """A file name that is no text ended the report of every later run."""

    def model(x):
        if x[0, 0] > 1 and len(x) == 1:
            raise error
        return both(x) if len(x) == 1 else fails(x)

    found = simulate(Problem(model, PRIOR, TWO), 100, seed=1, max_failures=0.5)
    assert len(found.failed) > 3
    assert found.failures["message"][0].encode("utf-8")


def test_the_cause_of_a_raised_error_is_kept():
    with pytest.raises(ModelError) as caught:
        evaluate(Problem(fails, PRIOR, TWO), X)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_user_s_interruption_is_not_swallowed():
    def stop(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(Problem(stop, PRIOR, TWO), X)


def broken_above(share):
    """Not finite where the uniform parameter is below this share."""

    def model(x):
        y = x[:, :1].copy()
        bad = x[:, 1] < share
        y[bad] = np.where(x[bad, :1] > 0, np.inf, np.nan)
        return y

    return Problem(model, PRIOR, stats.norm())


def test_failed_rows_are_kept_apart():
    run = simulate(broken_above(0.03), 5000, seed=9)
    whole = simulate(broken_above(-1), 5000, seed=9)
    bad = whole.x[:, 1] < 0.03
    assert 100 < bad.sum() < 200
    assert np.array_equal(run.failed, whole.x[bad])
    assert np.array_equal(run.x, whole.x[~bad])
    assert np.array_equal(run.y, whole.y[~bad])
    assert run.info["not_finite"] == bad.sum()
    assert (len(run), run.info["model_evaluations"]) == (5000 - bad.sum(), 5000)


def test_too_many_failures_name_the_first_and_the_remedy():
    with pytest.raises(ModelError) as caught:
        simulate(broken_above(0.5), 1000, seed=9)
    text = str(caught.value)
    x = simulate(broken_above(-1), 1000, seed=9).x
    first = x[x[:, 1] < 0.5][0]
    assert f"(first: x = {{a: {first[0]:.6g}, b: {first[1]:.6g}}})" in text
    assert "of 1000 simulations were not finite" in text
    allowed = float(text.partition("max_failures=")[2].partition(",")[0])
    assert len(simulate(broken_above(0.5), 1000, seed=9, max_failures=allowed)) < 1000


def test_the_advice_never_exceeds_all():
    with pytest.raises(ModelError, match=r"max_failures=1, or narrow"):
        simulate(broken_above(0.97), 1000)


def test_nothing_finite_is_never_enough():
    with pytest.raises(ModelError, match=r"none of the 100 simulations was finite \(first: x = {a"):
        simulate(broken_above(2), 100, max_failures=1)


@pytest.mark.parametrize("n", [0, 19, -5])
def test_too_few_simulations(n):
    with pytest.raises(InputError, match="n must be a whole number, 20 or more"):
        simulate(Problem(both, PRIOR, TWO), n)


class Mine:
    """A prior of one's own, with a fault."""

    names = ("a", "b")
    support = Box(np.zeros(2), np.ones(2))

    def __init__(self, shape):
        self.shape = shape

    def sample(self, n, rng):
        return rng.random(self.shape(n))

    def log_prob(self, x):
        return np.zeros(len(x))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (lambda n: (n, 3), r"draws of shape \(64, 2\), .*; got shape \(64, 3\)"),
        (lambda n: (n, 1), r"got shape \(64, 1\)"),
        (lambda n: (n,), r"got shape \(64,\)"),
        (lambda n: (2, n), r"got shape \(2, 64\)"),
        (lambda n: (n + 1, 2), r"got shape \(65, 2\)"),
        (
            lambda n: (min(n, 64), 2),
            r"\(64, 2\); expected \(4096, 2\), one column for each of a, b",
        ),
    ],
)
def test_a_prior_of_ones_own_must_draw_what_it_is_asked_for(shape, said):
    with pytest.raises(InputError, match=said):
        simulate(Problem(both, Mine(shape), TWO), 100)
    assert len(simulate(Problem(both, Mine(lambda n: (n, 2)), TWO), 100)) == 100


def test_progress_counts_up_to_all():
    seen = []
    simulate(Problem(both, PRIOR, TWO), 250, chunk=100, progress=lambda *p: seen.append(p))
    assert seen == [(100, 250), (200, 250), (250, 250)]


def test_sobol_points_are_draws_of_the_prior_that_fill_it_evenly():
    problem = Problem(both, PRIOR, TWO)
    x = simulate(problem, 4096, seed=2, design="sobol").x
    for j, law in enumerate(PRIOR.laws.values()):
        u = np.sort(law.cdf(x[:, j]))
        # One point in each of 4096 equal cells, which of independent draws holds never.
        assert np.array_equal(np.floor(u * 4096), np.arange(4096))
    assert len(np.unique(x[:, 0])) == 4096
    other = simulate(problem, 4096, seed=3, design="sobol").x
    assert not np.any(x == other)
    assert np.isfinite(x).all()


@given(st.integers(20, 9000))
@settings(deadline=None, max_examples=8)
def test_few_points_of_a_design_are_the_first_of_more(n):
    problem = Problem(both, PRIOR, TWO)
    whole = simulate(problem, 9000, seed=3, design="sobol")
    assert np.array_equal(simulate(problem, n, seed=3, design="sobol").x, whole.x[:n])


def test_rows_of_a_design_can_be_had_in_any_order():
    for design in ("random", "sobol"):
        whole = Draws(PRIOR, design, 5).rows(0, 20_000)
        draws = Draws(PRIOR, design, 5)
        for start, stop in [(15_000, 20_000), (0, 10), (4095, 4097), (8192, 8192), (5, 6)]:
            assert np.array_equal(draws.rows(start, stop), whole[start:stop])


def test_designs_that_cannot_be_are_refused():
    mine = Problem(both, Mine(lambda n: (n, 2)), TWO)
    with pytest.raises(InputError, match=r"design='sobol' needs independent laws.*use design='ran"):
        simulate(mine, 100, design="sobol")
    with pytest.raises(InputError, match="design must be 'random' or 'sobol'; got 'lhs'"):
        simulate(mine, 100, design="lhs")
