"""The noise of the measurement: its laws against scipy's, its forms, and what is none."""

import numpy as np
import pytest
from scipy import stats

from invgan.errors import InputError
from invgan.noise import Noise, as_noise

S = np.array([0.3, 2.0])
Y = np.array([[1.5, -40.0], [0.2, 7.0], [12.0, -0.5]])
KINDS = {
    "normal": (Noise.normal(S), stats.norm),
    "student_t": (Noise.student_t(3, S), lambda y, s: stats.t(3, y, s)),
    "lognormal": (Noise.lognormal(S), lambda y, s: stats.lognorm(s, scale=y)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_is_that_of_scipy(kind):
    noise, law = KINDS[kind]
    y = np.abs(Y)
    observed = y * np.array([[1.1, 0.7], [0.9, 2.0], [3.0, 1.0]])
    expected = law(y, S).logpdf(observed).sum(axis=1)
    assert noise.log_prob(observed, y) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_draws_follow_the_density(kind):
    noise, law = KINDS[kind]
    y = np.tile([2.0, 3.0], (20_000, 1))
    draws = noise.sample(y, np.random.default_rng(1))
    for j in range(2):
        assert stats.kstest(draws[:, j], law(y[0, j], S[j]).cdf).pvalue > 0.001
        wider = law(y[0, j], 1.1 * S[j])
        assert stats.kstest(draws[:, j], wider.cdf).pvalue < 0.001
    assert abs(stats.spearmanr(draws).statistic) < 0.03


def test_multiplied_noise_keeps_the_sign():
    noise = Noise.lognormal(S)
    draws = noise.sample(Y, np.random.default_rng(2))
    assert np.array_equal(np.sign(draws), np.sign(Y))
    assert noise.log_prob(draws, Y) == pytest.approx(noise.log_prob(-draws, -Y))
    assert np.all(noise.log_prob(-draws, Y) == -np.inf)
    assert noise.sample(np.zeros((1, 2)), np.random.default_rng(3)).tolist() == [[0, 0]]


def test_every_row_under_every_output():
    rows, noise = Y[:2] + 0.1, Noise.normal(0.5)
    table = noise.log_prob(rows, Y[:, None])
    assert table.shape == (3, 2)
    for i, y in enumerate(Y):
        for r, row in enumerate(rows):
            assert table[i, r] == pytest.approx(stats.norm(y, 0.5).logpdf(row).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_that_are_no_numbers_explain_nothing(kind):
    y = np.array([[np.nan, 1.0], [np.inf, 1.0], [0.0, np.nan], [1e300, 1e-300]])
    noise = KINDS[kind][0]
    assert np.all(noise.log_prob(np.ones((4, 2)), y)[:3] == -np.inf)
    assert not np.isnan(noise.log_prob(np.ones((4, 2)), y)).any()
    assert np.all(noise.log_prob(np.ones(2), np.zeros((1, 2))) <= 0)


FORMS = [
    ({"normal": 0.1}, Noise.normal(0.1), 0.1),
    ({"normal": {"sd": 0.1}}, Noise.normal(0.1), 0.1),
    ({"normal": "1e-1"}, Noise.normal(0.1), 0.1),
    ({"normal": [1, 2]}, Noise.normal((1, 2)), (1, 2)),
    ({"normal": np.array([1, 2])}, Noise.normal([1.0, 2.0]), (1, 2)),
    ({"normal": {"b": 2, "a": 1}}, Noise.normal({"b": 2, "a": 1}), (1, 2)),
    ({"lognormal": 0.2}, Noise.lognormal(np.float64(0.2)), 0.2),
    ({"lognormal": {"sigma": 0.2}}, Noise.lognormal(0.2), 0.2),
    ({"student_t": {"df": 4, "sd": 0.1}}, Noise.student_t(4, 0.1), 0.1),
    (
        {"student_t": {"sd": {"a": 1, "b": 2}, "df": 4}},
        Noise.student_t(4, {"a": 1, "b": 2}),
        (1, 2),
    ),
]


@pytest.mark.parametrize(("mapping", "noise", "scale"), FORMS)
def test_a_mapping_says_what_the_class_says(mapping, noise, scale):
    assert as_noise(mapping) == as_noise(noise) == as_noise(noise.plain())
    assert noise.over(("a", "b")).scale == scale
    assert noise.over(("a", "b")).over(("a", "b")) == noise.over(("a", "b"))
    assert as_noise(mapping).df == (4 if "student_t" in mapping else None)


def test_noise_is_frozen_and_compares_by_value():
    noise = Noise.normal(0.1)
    with pytest.raises(AttributeError):
        noise.scale = 0.2
    assert noise == Noise("normal", 0.1) != Noise.normal(0.2)
    assert repr(Noise.normal([0.1])) == repr(Noise.normal((0.1,)))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (0.1, r"must be one law, such as \{normal: 0.1\}; got 0.1$"),
        ({}, r"must be one law, .*; got \{\}$"),
        ({"normal": 1, "lognormal": 1}, r"must be one law"),
        ({"nromal": 1}, r"^nromal is not a law of noise; did you mean normal\?$"),
        ({"zzz": 1}, r"^zzz is not a law of noise; known are normal, lognormal, student_t$"),
        ({"normal": 0}, r"^normal must be a number above 0; got 0$"),
        ({"normal": -1.5}, r"^normal must be a number above 0; got -1.5$"),
        ({"normal": True}, r"^normal must be a number; got true$"),
        ({"normal": float("nan")}, r"^normal must be a number above 0; got nan$"),
        ({"normal": float("inf")}, r"^normal must be a number above 0; got inf$"),
        ({"normal": 10**400}, r"^normal must be a number above 0; got 1000"),
        ({"normal": "wide"}, r"^normal must be a number above 0; got 'wide'$"),
        ({"normal": None}, r"^normal must be a number above 0; got None$"),
        ({"normal": []}, r"^normal must be a number above 0; got \[\]$"),
        ({"normal": [1, -1]}, r"^normal.1 must be a number above 0; got -1$"),
        ({"normal": [[1, 2]]}, r"^normal.0 must be a number above 0; got \[1, 2\]$"),
        ({"normal": {"peak": 0}}, r"^normal.peak must be a number above 0; got 0$"),
        ({"student_t": 0.1}, r"^student_t must hold df and sd by name, .*; got 0.1$"),
        ({"student_t": {"sd": 1}}, r"^student_t.df is missing$"),
        ({"student_t": {"df": 1}}, r"^student_t.sd is missing$"),
        ({"student_t": {"df": 0, "sd": 1}}, r"^student_t.df must be a number above 0; got 0$"),
        ({"student_t": {"df": 1, "sd": -1}}, r"^student_t.sd must be a number above 0; got -1$"),
        (
            {"student_t": {"df": 1, "s": 1}},
            r"^student_t.s is not a setting; did you mean .*\.sd\?$",
        ),
    ],
)
def test_what_is_no_noise_is_one_sentence(source, said):
    with pytest.raises(InputError, match=said):
        as_noise(source)


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (Noise.normal([1, 2, 3]), "normal must have one number for each of the 2 outputs; got 3"),
        (Noise.normal([1]), "normal must have one number for each of the 2 outputs; got 1"),
        (Noise.normal({"peek": 1, "day": 1}), r"did you mean normal.peak\?"),
        (Noise.normal({"day": 1}), "normal.peak is missing: each output needs a number"),
        (Noise.student_t(2, {"peak": 1}), "student_t.sd.day is missing"),
    ],
)
def test_scales_must_fit_the_outputs(noise, said):
    with pytest.raises(InputError, match=said):
        noise.over(("peak", "day"))


def test_the_class_refuses_what_the_mapping_refuses():
    with pytest.raises(InputError, match="nromal is not a law of noise"):
        Noise("nromal", 1)
    with pytest.raises(InputError, match="normal takes no degrees of freedom; got 3"):
        Noise("normal", 1, 3)
    with pytest.raises(InputError, match=r"student_t.df must be a number above 0; got None"):
        Noise("student_t", 1)
