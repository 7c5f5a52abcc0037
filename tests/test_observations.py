"""Observations: every form that is understood, and a sentence for every one that is not."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from invgan.errors import InputError
from invgan.observations import Law, Table, as_observations, known_by
from invgan.priors import MultivariateNormal

ROWS = np.array([[1.0, 2.5], [3.0, -4e10], [5.0, 1e-300]])
COV = [[1.0, 0.9], [0.9, 2.0]]


class Ring:
    """A joint law of one's own: a circle with a little noise."""

    names = ("u", "v")

    def sample(self, n, rng):
        angle = rng.uniform(0, 2 * np.pi, n)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.1, (n, 2))

    def log_prob(self, y):
        r = np.hypot(*y.T)
        return np.log(special.i0e(100 * r)) - 50 * np.square(r - 1)


def rng(seed=0):
    return np.random.default_rng(seed)


def csv(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "seen.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "source",
    [ROWS, ROWS.tolist(), tuple(map(tuple, ROWS)), np.asfortranarray(ROWS), np.ma.array(ROWS)],
)
def test_tables_in_every_form(source):
    seen = as_observations(source)
    assert isinstance(seen, Table)
    assert (seen.width, seen.names) == (2, None)
    assert np.array_equal(seen.rows, ROWS)
    assert as_observations(seen) is seen


@pytest.mark.parametrize("source", [[1, 2, 3], np.arange(1, 4), [[1], [2], [3]], range(1, 4)])
def test_one_output_may_come_as_a_vector(source):
    assert np.array_equal(as_observations(source).rows, [[1.0], [2.0], [3.0]])


def test_a_table_does_not_change_with_the_array_it_came_from():
    mine = ROWS.copy()
    seen = as_observations(mine)
    mine[:] = 0
    assert np.array_equal(seen.rows, ROWS)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ([stats.norm(1, 2), stats.gamma(3)], None),
        ((stats.norm(1, 2), stats.gamma(3)), None),
        ({"peak": stats.norm(1, 2), "day": stats.gamma(3)}, ("peak", "day")),
    ],
)
def test_one_law_for_each_output(source, names):
    seen = as_observations(source)
    assert isinstance(seen, Law)
    assert (seen.width, seen.names) == (2, names)
    y = seen.sample(4000, rng())
    assert stats.kstest(y[:, 0], stats.norm(1, 2).cdf).pvalue > 0.01
    assert stats.kstest(y[:, 1], stats.gamma(3).cdf).pvalue > 0.01
    expected = stats.norm(1, 2).logpdf(y[:, 0]) + stats.gamma(3).logpdf(y[:, 1])
    assert seen.log_prob(y) == pytest.approx(expected)


def test_a_single_law_is_one_output():
    seen = as_observations(stats.truncnorm(-3, 3, loc=350, scale=50))
    assert (seen.width, seen.names) == (1, None)
    assert seen.sample(3, rng()).shape == (3, 1)
    assert np.isinf(seen.log_prob(np.array([[350.0], [501.0]]))).tolist() == [False, True]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (stats.multivariate_normal([1, 2], COV), None),
        (MultivariateNormal([1, 2], COV, ["u", "v"]), ("u", "v")),
    ],
)
def test_joint_laws_of_scipy_and_of_the_house(source, names):
    seen = as_observations(source)
    assert (seen.width, seen.names) == (2, names)
    y = seen.sample(20_000, rng())
    assert np.abs(np.cov(y.T) - COV).max() < 0.06
    assert seen.log_prob(y) == pytest.approx(stats.multivariate_normal([1, 2], COV).logpdf(y))
    assert np.abs(np.cov(seen.representative(20_000, rng()).T) - COV).max() < 0.06


def test_a_joint_law_of_ones_own():
    seen = as_observations(Ring())
    assert (seen.width, seen.names) == (2, ("u", "v"))
    y = np.array([[1.0, 0.0], [3.0, 0.0]])
    assert np.array_equal(seen.log_prob(y), Ring().log_prob(y))
    # Far from the middle log I0(k) is k - log(2 pi k) / 2.
    k = np.array([100.0, 300.0])
    exact = -0.5 * np.log(2 * np.pi * k) - [0, 200]
    assert seen.log_prob(y) == pytest.approx(exact, abs=2e-3)


def test_a_csv_with_a_mark_spaces_quotes_blank_lines_and_crlf(tmp_path):
    text = '\ufeff peak ,"day, of year"\r\n\r\n1,2\r\n , \r\n"3", 4e0 \r\n\r\n'
    seen = as_observations(str(csv(tmp_path, text)))
    assert seen.names == ("peak", "day, of year")
    assert np.array_equal(seen.rows, [[1, 2], [3, 4]])


@given(hnp.arrays(float, (4, 2), elements=st.floats(allow_nan=False, allow_infinity=False)))
@settings(max_examples=25, deadline=None)
def test_files_hold_every_digit(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    lines = ["a,b", *(f"{a!r},{b!r}" for a, b in rows.tolist())]
    assert np.array_equal(as_observations(csv(folder, "\n".join(lines))).rows, rows)
    np.save(folder / "seen.npy", rows)
    assert np.array_equal(as_observations(folder / "seen.npy").rows, rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs a header line and at least one row"),
        ("a,b\n", "needs a header line and at least one row"),
        ("\n\n", "needs a header line and at least one row"),
        ("1,2\n3,4\n", "starts with numbers; its first line must name"),
        ("a,a\n1,2\n", r"a different name; got \['a', 'a'\]"),
        ("a,\n1,2\n", r"column 2 has no name: .*index=False"),
        ("a,a\n1,2\n", r"a different name; got \['a', 'a'\]"),
        (
            "a;b\n1,5;2,5\n",
            r"line 2: 3 values for 1 columns \['a;b'\]: values are separated by comm",
        ),
        ("a\tb\n1\t2\n", r"'1\\t2' is not a number; values are separated by commas"),
        ("a,b\n1,\n", r"'' is not a number; leave out rows that lack a value"),
        ("a,b\n1,2\n3\n", "line 3: 1 values for 2 columns"),
        ("a,b\n\n\n1,2,3\n", "line 4: 3 values for 2 columns"),
        ("a,b\n1,2\n\n3,four\n", "line 4, column 'b': 'four' is not a number"),
        ("a,b\n1,\n", "line 2, column 'b': '' is not a number"),
        ("a;b\n1;2\n", "line 2, column 'a;b': '1;2' is not a number"),
        ("a,b\n1,2\n3,nan\n", r"1 of 4 values are not finite \(first: row 2, column b\)"),
        ("a,b\ninf,2\n3,nan\n", r"2 of 4 values are not finite \(first: row 1, column a\)"),
    ],
)
def test_a_csv_that_is_no_table(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        as_observations(csv(tmp_path, text))


def test_a_csv_of_another_encoding(tmp_path):
    with pytest.raises(InputError, match="not a text table"):
        as_observations(csv(tmp_path, "höhe\n1\n", "latin-1"))


class Trap:
    def __reduce__(self):
        return (Path("/nonexistent/sprung").touch, ())


@pytest.mark.parametrize("how", ["pickle", "objects", "archive", "cut", "empty", "words"])
def test_a_npy_that_is_no_table(tmp_path, how):
    path = tmp_path / "seen.npy"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    elif how == "archive":
        with path.open("wb") as file:
            np.savez(file, rows=ROWS)
    else:
        values = {"objects": np.array([Trap()]), "words": np.array(["a", "b"])}.get(how, ROWS)
        np.save(path, values, allow_pickle=True)
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[:-5], "empty": b""}.get(how, whole))
    with pytest.raises(InputError, match=r"not a \.npy file of numbers|must be numbers"):
        as_observations(path)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("lost.csv", "there is no file 'lost.csv'"),
        (Path(__file__), r"come from a \.csv or a \.npy file"),
        (None, r"must have shape \(N, L\).* got \(\)"),
        (3.0, r"must have shape \(N, L\)"),
        ([], r"must hold rows of numbers; it has none, the shape \(0, 1\)"),
        (np.ones((2, 2, 2, 2, 2)), r"got \(2, 2, 2, 2, 2\)"),
        (np.ones((3, 0)), r"it has none, the shape \(3, 0\)"),
        ([[1, 2], [3]], "must be numbers .*got list"),
        (["a"], "must be numbers"),
        (object(), "must be numbers .*got object"),
        (np.array([1 + 1j]), "must be numbers"),
        ([1, np.nan], r"1 of 2 values are not finite \(first: row 2, column 1\); leave such rows"),
        (np.ma.array([1e20, 2], mask=[True, False]), "1 of 2 values are not finite"),
        ({}, "hold no law"),
        ({"a": stats.norm(), "b": 3}, "observed law of 'b' must be a frozen law"),
        ([stats.norm(), 3], "observed law of 'output 2' must be a frozen law"),
        (stats.poisson(3), "discrete"),
        (stats.norm(0, -1), "define no law"),
        (stats.norm, "could not be sampled"),
        (stats.gaussian_kde(np.arange(5)), r"\(gaussian_kde\) could not be sampled"),
    ],
)
def test_what_is_no_observation_is_refused(source, said):
    with pytest.raises(InputError, match=said):
        as_observations(source)


@given(st.integers(1, 12), st.integers(0, 60), st.integers(0, 99))
@settings(deadline=None)
def test_a_representative_table_uses_rows_equally_often(rows, n, seed):
    table = Table(np.arange(rows, dtype=float)[:, None])
    y = table.representative(n, rng(seed))
    counts = np.bincount(y[:, 0].astype(int), minlength=rows)
    assert len(y) == n
    assert counts.max() - counts.min() <= 1


def test_sampling_a_table_is_with_replacement_and_in_no_order():
    table = Table(np.arange(50.0)[:, None])
    y = table.sample(50_000, rng())[:, 0]
    assert stats.chisquare(np.bincount(y.astype(int))).pvalue > 0.01
    assert len(np.unique(table.sample(50, rng()))) < 50
    for draws in (y, table.representative(50_000, rng())[:, 0]):
        assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.02
        assert abs(np.corrcoef(draws, np.arange(50_000))[0, 1]) < 0.02


def gaps(draw, law, n):
    """KS statistics of 200 calls of draw(n, rng) against the law."""
    return np.array([stats.kstest(draw(n, rng(s))[:, 0], law.cdf).statistic for s in range(200)])


def test_a_representative_law_is_more_even_than_independent_draws():
    law = stats.gamma(2)
    seen = as_observations(law)
    even, independent = gaps(seen.representative, law, 300), gaps(seen.sample, law, 300)
    assert even.mean() < 0.5 * independent.mean()
    assert independent.mean() == pytest.approx(0.8687 / np.sqrt(300), rel=0.1)


def test_a_representative_law_is_the_law():
    """Pooled over many seeds nothing but the law is left, in the columns and between them."""
    laws = (stats.gamma(2), stats.norm())
    seen = as_observations(laws)
    pooled = np.concatenate([seen.representative(5, rng(s)) for s in range(4000)])
    for column, law in zip(pooled.T, laws, strict=True):
        assert stats.kstest(column, law.cdf).statistic < 0.01
    assert abs(stats.spearmanr(*seen.representative(5000, rng()).T).statistic) < 0.04
    assert abs(np.corrcoef(np.arange(5000), seen.representative(5000, rng())[:, 0])[0, 1]) < 0.04


@pytest.mark.parametrize("source", [ROWS, stats.norm(), Ring()], ids=["table", "law", "joint"])
@pytest.mark.parametrize("how", ["sample", "representative"])
def test_draws_belong_to_the_seed(source, how):
    draw = getattr(as_observations(source), how)
    assert np.array_equal(draw(20, rng(1)), draw(20, rng(1)))
    assert not np.array_equal(draw(20, rng(1)), draw(20, rng(2)))


def test_every_row_of_a_table_tells_it_from_others():
    rows = np.random.default_rng(1).normal(size=(500, 2))
    for changed in (0, 137, 499):
        other = rows.copy()
        other[changed] += 1e-9
        assert not np.array_equal(known_by(as_observations(rows)), known_by(as_observations(other)))
    law = as_observations(stats.norm(1, 2))
    assert np.array_equal(known_by(law), known_by(as_observations(stats.norm(1, 2))))
    assert not np.array_equal(known_by(law), known_by(as_observations(stats.norm(1, 2.1))))
