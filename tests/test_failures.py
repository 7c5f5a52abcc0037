"""Failed simulations: only the guilty rows, every one recorded, counted, and told of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from invgan.correction import push_forward
from invgan.errors import ModelError
from invgan.execution.calls import KINDS
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Samples, Simulations, failure_records
from invgan.simulation import evaluate, failure_table, run_model, simulate

PRIOR = Prior(a=stats.norm(), b=stats.uniform(0, 1))
X = PRIOR.sample(300, np.random.default_rng(0))


def picky(below):
    """Raises for a batch that holds any row with b below."""

    def model(x):
        if (x[..., 1] < below).any():
            raise FloatingPointError(f"no solution for b of {x[..., 1].min():.3f}")
        return x[..., 0] * x[..., 1]

    return model


def problem(model, **options):
    return Problem(model, PRIOR, stats.norm(), **options)


@given(st.integers(0, 2**32), st.floats(0, 0.9), st.integers(1, 400), st.booleans())
@settings(deadline=None, max_examples=25)
def test_only_the_rows_that_raise_are_nan(seed, below, chunk, vectorized):
    x = PRIOR.sample(300, np.random.default_rng(seed))
    y = evaluate(problem(picky(below), vectorized=vectorized), x, chunk=chunk)
    bad = x[:, 1] < below
    assert np.array_equal(np.isnan(y[:, 0]), bad)
    assert np.array_equal(y[~bad, 0], x[~bad, 0] * x[~bad, 1])


@given(st.sets(st.integers(0, 2047), min_size=1, max_size=6), st.integers(0, 100))
@settings(deadline=None, max_examples=15)
def test_noise_where_a_block_failed_belongs_to_the_rows_that_failed_alone(rows, seed):
    x = np.stack([np.arange(2048.0), np.ones(2048)], axis=1)

    def noisy(x, rng):
        if np.isin(x[:, 0], list(rows)).any():
            raise ValueError("one of these")
        return x[:, :1] + rng.normal(size=(len(x), 1))

    clean = Problem(lambda x, rng: x[:, :1] + rng.normal(size=(len(x), 1)), PRIOR, [[0.0]],
                    stochastic=True, question="posterior")  # fmt: skip
    broken = Problem(noisy, PRIOR, [[0.0]], stochastic=True, question="posterior")
    whole, y, again = (evaluate(p, x, seed=seed) for p in (clean, broken, broken))
    assert np.array_equal(y, again, equal_nan=True)
    assert np.flatnonzero(np.isnan(y)).tolist() == sorted(rows)
    for block in range(2):
        here = slice(1024 * block, 1024 * (block + 1))
        if not any(here.start <= row < here.stop for row in rows):
            assert np.array_equal(y[here], whole[here])
    left = (y[:, 0] - x[:, 0])[~np.isnan(y[:, 0])]
    assert len(np.unique(left)) == len(left)


def test_few_calls_are_wasted_on_a_row_that_raises():
    calls = []

    def model(x):
        calls.append(len(x))
        if (x[:, 0] == 77).any():
            raise ValueError("77")
        return x[:, 0]

    x = np.stack([np.arange(8192.0), np.zeros(8192)], axis=1)
    evaluate(problem(model), x)
    # One trial row, then two halves at each level.
    assert len(calls) == 1 + 1 + 2 * 13


def test_every_failure_is_recorded():
    run = simulate(problem(picky(0.1)), 1000, max_failures=0.2)
    whole = simulate(problem(picky(-1)), 1000)
    bad = whole.x[:, 1] < 0.1
    assert np.array_equal(run.failed, whole.x[bad])
    assert np.array_equal(run.x, whole.x[~bad])
    assert np.array_equal(run.y, whole.y[~bad])
    assert set(run.failures["kind"]) == {"raised"}
    for x, message in zip(run.failed, run.failures["message"], strict=True):
        assert message.startswith(f"FloatingPointError: no solution for b of {x[1]:.3f} (line ")
        assert message.endswith(" of test_failures.py)")
    assert (run.failures["seconds"] >= 0).all()
    assert run.info["not_finite"] == bad.sum()


def test_an_error_that_says_what_kind_it_is_is_believed():
    class LateError(Exception):
        kind = "timed out"

    def model(x):
        if x[1] < 0.1:
            raise LateError("the program took 3 s")
        return x[0]

    run = simulate(problem(model, vectorized=False), 500, max_failures=0.3)
    assert set(run.failures["kind"]) == {"timed out"}


def test_a_model_that_leaves_the_interpreter_fails_that_row_alone():
    def model(x):
        if x[1] < 0.1:
            raise SystemExit(2)
        return x[0]

    run = simulate(problem(model, vectorized=False), 500, max_failures=0.3)
    assert set(run.failures["message"]) <= {
        m for m in run.failures["message"] if m.startswith("SystemExit: 2 (line")
    }
    assert 20 < len(run.failed) < 90


def test_long_messages_are_cut_to_a_line():
    def model(x):
        if x[1] < 0.1:
            raise ValueError("many\nlines " * 100)
        return x[0]

    run = simulate(problem(model, vectorized=False), 300, max_failures=0.5)
    assert all(len(m) < 200 and "\n" not in m for m in run.failures["message"])


def test_mixed_failures_beyond_the_limit_are_counted_by_kind():
    def model(x):
        if (x[:, 1] < 0.1).any():
            raise ValueError("cold")
        return np.where(x[:, 1] < 0.15, np.nan, x[:, 0])

    with pytest.raises(ModelError) as caught:
        simulate(problem(model), 1000)
    text = str(caught.value)
    assert "of 1000 simulations failed, " in text
    assert " raised, " in text
    assert " not finite (first: x = {a: " in text
    assert "max_failures=0.1" in text


def test_a_run_stops_once_too_many_have_failed():
    calls = []

    def model(x):
        calls.append(len(x))
        return np.where(x[:, 1] < 0.3, np.nan, x[:, 0])

    with pytest.raises(ModelError, match=r"of 2000 simulations were not finite .*max_failures=0.3"):
        simulate(problem(model), 10_000, chunk=1000)
    assert calls == [1000, 1000]


@pytest.mark.parametrize("n", [20, 5000])
def test_a_model_that_always_raises_is_refused_at_once(n):
    calls = []

    def model(x):
        calls.append(len(x))
        raise ZeroDivisionError("too cold")

    with pytest.raises(ModelError, match=r"the model raised ZeroDivisionError: too cold \(line"):
        simulate(problem(model), n)
    assert len(calls) <= 66


def test_one_by_one_too():
    calls = []

    def model(x):
        calls.append(x)
        raise ZeroDivisionError("too cold")

    with pytest.raises(ModelError, match=r"ZeroDivisionError: too cold \(line \d+ of .*called wi"):
        simulate(problem(model, vectorized=False), 5000, chunk=64)
    assert len(calls) == 64


def test_a_chain_s_few_proposals_may_all_fail():
    model = problem(picky(0.5))
    low = np.full((19, 2), 0.1)
    assert np.isnan(run_model(model, low)).all()
    with pytest.raises(ModelError, match="no solution"):
        run_model(model, np.full((20, 2), 0.1))


def test_the_answer_s_draws_that_fail_are_dropped():
    ones = np.ones(300)
    samples = Samples(X, None, ones, PRIOR.names, ("y",))
    pushed = push_forward(problem(picky(0.2)), samples)
    assert len(pushed) == (X[:, 1] >= 0.2).sum()
    assert pushed.info["not_finite"] == (X[:, 1] < 0.2).sum()


def planted(chance, n=4000, seed=0, kind="raised"):
    """Simulations of which a row fails with a chance that depends on x (n, 2)."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    bad = rng.random(n) < chance(x)
    records = failure_records([(kind, f"too cold {i % 2}", 0.1) for i in range(bad.sum())])
    return Simulations(x[~bad], x[~bad, :1], ("a", "b"), ("y",), x[bad], {}, records)


def test_where_failures_are_is_found():
    table = failure_table(planted(lambda x: np.where(x[:, 1] > 0.8, 0.3, 0.01)))
    assert table.telling == "b"
    assert table.p < 1e-6
    worst = max(table.regions["b"], key=lambda region: region.share)
    assert (worst.low, worst.high) == pytest.approx((0.8, 1), abs=0.03)
    assert worst.share == pytest.approx(0.3, abs=0.06)
    assert f"b between {worst.low:.4g} and {worst.high:.4g}" in table.sentence
    assert "the prior behind this answer is the given one times the chance" in table.sentence
    for regions in table.regions.values():
        assert sum(region.runs for region in regions) == 4000
        assert sum(region.failed for region in regions) == table.kinds[0].count


def test_failures_everywhere_are_not_said_to_be_somewhere():
    tables = [failure_table(planted(lambda x: 0.05, seed=seed, n=1000)) for seed in range(100)]
    assert sum(table.telling is not None for table in tables) <= 5
    assert "as often everywhere in the prior" in tables[0].sentence


def test_kinds_are_counted_the_commonest_first():
    x = np.random.default_rng(0).random((20, 1))
    records = failure_records(
        [("not finite", "", 0.0)] * 2 + [("raised", "b", 1.0)] * 3 + [("raised", "a", 1.0)] * 5
    )
    table = failure_table(Simulations(x, x, ("a",), ("y",), x[:10], {}, records))
    assert [(k.kind, k.count, k.message) for k in table.kinds] == [
        ("raised", 8, "a"), ("not finite", 2, ""),
    ]  # fmt: skip
    assert table.runs == 30
    assert table.sentence.startswith("10 of 30 simulations failed (8 raised, 2 not finite), about")


def test_nothing_failed_is_no_table():
    assert failure_table(planted(lambda x: 0.0)) is None


@given(st.integers(1, 30), st.integers(0, 30), st.sampled_from(KINDS), st.booleans())
@settings(deadline=None, max_examples=40)
def test_any_failures_make_a_table(failed, good, kind, equal):
    rng = np.random.default_rng(failed)
    x = np.ones((failed + good, 2)) if equal else rng.random((failed + good, 2))
    records = failure_records([(kind, "", 0.0)] * failed)
    run = Simulations(x[failed:], x[failed:, :1], ("a", "b"), ("y",), x[:failed], {}, records)
    table = failure_table(run)
    assert table.kinds[0].count == failed
    assert 0 <= table.p <= 1
    assert table.sentence
