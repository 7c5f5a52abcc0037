"""Outputs with missing values: what is let in, what is refused, and that answers know the gaps.

The case with a closed form: a straight line ``level + 2 trend t`` seen at 3 to 24 times with noise,
level and trend standard normal before. Whatever the times, the posterior is normal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import invgan as ig
from invgan import plots
from invgan.calibration import calibrate, local_c2st
from invgan.checks import validate
from invgan.config import build_problem, load_config, to_yaml
from invgan.errors import InputError, OutsideError
from invgan.gallery import get
from invgan.gallery.images import SIDE, blob
from invgan.metrics import c2st, energy_distance, kl_divergence, kolmogorov_smirnov, wasserstein
from invgan.observations import Table, as_observations
from invgan.plots.pushforward import plot_pushforward
from invgan.predictability import check_predictability, explained
from invgan.problem import Problem
from invgan.report.page import _measure_rows
from invgan.samples import Samples
from invgan.scaling import OutputScaling, scored
from invgan.settings import EmbeddingConfig, SampleConfig, SimulateConfig, TrainConfig
from invgan.simulation import simulate
from invgan.structure import filled, pad_row

NAN = np.nan
LENGTH, NOISE = 24, 0.8
DESIGN = np.stack([np.ones(LENGTH), 2 * np.linspace(0, 1, LENGTH)], axis=1)
PRIOR = ig.Prior(level=stats.norm(), trend=stats.norm())
TRUTH = np.array([[0.5, -0.8]])


def line(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The line at 24 times, or at fewer: a series may end after any time from the third on."""
    y = x @ DESIGN.T + NOISE * rng.normal(size=(len(x), LENGTH))
    return np.where(np.arange(LENGTH) < rng.integers(3, LENGTH + 1, (len(x), 1)), y, NAN)


def line_problem(row: np.ndarray, model=line) -> Problem:
    return Problem(model, PRIOR, row, stochastic=True, question="posterior", missing=True)


def record(length: int, seed: int = 5) -> np.ndarray:
    """One observed series of this length, padded, (1, 24)."""
    rng = np.random.default_rng(seed)
    full = TRUTH @ DESIGN.T + NOISE * rng.normal(size=(1, LENGTH))
    return pad_row(full[:, :length], (1, LENGTH))


def posterior(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (2,) and covariance (2, 2) given a row (24,), from what is there of it."""
    seen = ~np.isnan(row)
    a = DESIGN[seen]
    cov = np.linalg.inv(np.eye(2) + a.T @ a / NOISE**2)
    return cov @ a.T @ row[seen] / NOISE**2, cov


@dataclass(frozen=True)
class Exact:
    """Draws of the exact posterior; or of that of rows whose gaps are taken for zeros."""

    gaps_are_zeros: bool = False

    def draw(self, y: np.ndarray, *, seed: int = 0) -> np.ndarray:
        z = np.random.default_rng(seed).normal(size=(len(y), 2))
        y = np.nan_to_num(y) if self.gaps_are_zeros else y
        kinds, which = np.unique(np.isnan(y), axis=0, return_inverse=True)
        x = np.empty((len(y), 2))
        for k, gaps in enumerate(kinds):
            rows = which.ravel() == k
            a = DESIGN[~gaps]
            cov = np.linalg.inv(np.eye(2) + a.T @ a / NOISE**2)
            x[rows] = y[rows][:, ~gaps] @ a @ cov / NOISE**2 + z[rows] @ np.linalg.cholesky(cov).T
        return x

    def knows(self, y: np.ndarray) -> np.ndarray:
        return np.ones(len(y), bool)


@pytest.fixture(scope="module")
def lines():
    return simulate(line_problem(record(10)), 6000, seed=1)


def answer(drawer, row: np.ndarray, n: int = 1500, seed: int = 2) -> Samples:
    x = drawer.draw(np.repeat(row, n, axis=0), seed=seed)
    return Samples(x, None, np.ones(n), ("level", "trend"), line_problem(row).outputs)


# What is let in.


def test_rows_with_some_values_are_usable_only_where_gaps_are_meant():
    y = np.array([[1, 2.0], [1, NAN], [NAN, NAN], [np.inf, 1], [np.inf, NAN]])
    model = lambda x: x  # noqa: E731
    whole = Problem(model, PRIOR, [[1, 2.0]], question="posterior")
    gaps = Problem(model, PRIOR, [[1, NAN]], question="posterior", missing=True)
    assert whole.usable(y).tolist() == [True, False, False, False, False]
    assert gaps.usable(y).tolist() == [True, True, False, False, False]
    assert replace(gaps, prior=PRIOR).missing


def test_simulations_with_gaps_are_kept_and_empty_ones_fail(lines):
    assert len(lines) == 6000
    length = (~np.isnan(lines.y)).sum(axis=1)
    assert set(length) == set(range(3, LENGTH + 1))

    def often_empty(x, rng):
        return np.where(rng.random((len(x), 1)) < 0.02, NAN, line(x, rng))

    some = simulate(line_problem(record(10), often_empty), 2000, seed=1)
    assert 10 < len(some.failed) < 90
    assert len(some) + len(some.failed) == 2000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"observations": [[1, NAN]], "question": "posterior"},
            r"1 of 2 values are not finite .*leave such rows out, or say missing=True where NaN",
        ),
        (
            {"observations": Table(np.array([[1, NAN]])), "question": "posterior"},
            "the observations hold NaN: leave such rows out, or say missing=True",
        ),
        (
            {"observations": [[1, np.inf]], "question": "posterior", "missing": True},
            r"1 of 2 values are not finite \(first: row 1, column 2\); leave such rows out$",
        ),
        (
            {"observations": [[NAN, NAN]], "question": "posterior", "missing": True},
            "row 1 holds no value at all; leave it out",
        ),
        (
            {"observations": [[1, 2.0], [3, NAN]], "missing": True},
            "missing=True is for question='posterior'",
        ),
        ({"observations": stats.norm(), "missing": True}, "missing=True is for question='post"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_door(given, said):
    with pytest.raises(InputError, match=said):
        Problem(lambda x: x, PRIOR, **given)


def test_only_a_stated_likelihood_gives_mcmc_a_density():
    given = {"question": "posterior", "noise": {"normal": 0.1}, "missing": True}
    assert not Problem(lambda x: x, PRIOR, [[1, NAN]], **given).has_density
    known = Problem(lambda x: x, PRIOR, [[1, NAN]], log_likelihood=lambda x, y: x[:, 0], **given)
    assert known.has_density


def test_tables_with_gaps_come_from_files(tmp_path):
    (tmp_path / "seen.csv").write_text("a,b,c\n1,,3\nnan,2, \n", encoding="utf-8")
    np.save(tmp_path / "seen.npy", [[1, NAN, 3], [NAN, 2, NAN]])
    for name in ("seen.csv", "seen.npy"):
        rows = as_observations(tmp_path / name, missing=True).rows
        assert np.array_equal(rows, [[1, NAN, 3], [NAN, 2, NAN]], equal_nan=True)
        with pytest.raises(InputError, match=r"is not a number|values are not finite"):
            as_observations(tmp_path / name)
    masked = np.ma.array([[1.0, 2.0]], mask=[[False, True]])
    assert np.isnan(as_observations(masked, missing=True).rows[0, 1])


YAML = """
problem:
  model: model.py:line
  prior: {{level: {{normal: [0, 1]}}}}
  observations: {seen}
  question: posterior
  stochastic: true
  {missing}
train: {{embedding: {{kind: {kind}}}}}
"""
MODEL = """
import numpy as np

def line(x, rng):
    y = x + 0.5 * rng.normal(size=(len(x), 6))
    return np.where(np.arange(6) < rng.integers(1, 7, (len(x), 1)), y, np.nan)
"""


def written(folder: Path, seen: str, missing: str = "missing: true", kind: str = "mlp") -> Path:
    (folder / "model.py").write_text(MODEL, encoding="utf-8")
    text = YAML.format(seen=seen, missing=missing, kind=kind)
    (folder / "config.yml").write_text(text, encoding="utf-8")
    return folder / "config.yml"


def test_a_configuration_says_the_same(tmp_path):
    config = load_config(written(tmp_path, "[[1, 2, .nan, null, 5, 6]]"))
    built = build_problem(config, tmp_path)
    assert built.missing
    assert np.array_equal(built.observations.rows, [[1, 2, NAN, NAN, 5, 6]], equal_nan=True)
    (tmp_path / "config.yml").write_text(to_yaml(config), encoding="utf-8")
    again = build_problem(load_config(tmp_path / "config.yml"), tmp_path)
    assert np.array_equal(again.observations.rows, built.observations.rows, equal_nan=True)
    (tmp_path / "seen.csv").write_text("a,b,c,d,e,f\n1,2,,,5,6\n", encoding="utf-8")
    from_file = build_problem(load_config(written(tmp_path, "seen.csv")), tmp_path)
    assert np.array_equal(from_file.observations.rows, built.observations.rows, equal_nan=True)


@pytest.mark.parametrize(
    ("seen", "missing", "kind", "said"),
    [
        ("[[1, null]]", "", "mlp", r"got nan in row 1; say missing: true where it means not obs"),
        ("[[1, true]]", "missing: true", "mlp", r"must be finite numbers .*; got True in row 1"),
        ("[[1, null]]", "missing: true", "none", r"^train.embedding.kind none cannot tell a miss"),
    ],
)
def test_configurations_that_contradict_themselves_are_refused(tmp_path, seen, missing, kind, said):
    with pytest.raises(InputError, match=said):
        load_config(written(tmp_path, seen, missing, kind))


# Distances between rows with gaps.


def test_rows_without_gaps_are_left_as_they_are():
    a, b = np.random.default_rng(0).normal(size=(2, 50, 3))
    assert filled(a, b)[0] is a
    t, u = scored(a, a, b)
    scale = OutputScaling.fit(a)
    assert np.array_equal(t, scale.to_network(a))
    assert np.array_equal(u, scale.to_network(b))


def test_gaps_become_zeros_and_columns_of_what_was_seen():
    a, b = np.array([[1, NAN, 3], [4, 5, 6]]), np.array([[7, 8, NAN]])
    one, two = filled(a, b)
    assert one.tolist() == [[1, 0, 3, 0, 1], [4, 5, 6, 1, 1]]
    assert two.tolist() == [[7, 8, 0, 1, 0]]


def test_a_column_that_was_never_seen_counts_as_seen_or_not():
    y = np.random.default_rng(0).normal(size=(50, 3))
    y[:, 1] = NAN
    at = np.array([[0.0, 1e6, 0.0], [0.0, NAN, 0.0]])
    _, u = scored(y, y, at)
    assert np.all(u[:, 1] == 0)
    assert u[:, 3].tolist() == [1, 0]
    assert scored(np.full((4, 2), NAN), at[:, :2])[0].shape == (2, 3)


def test_metrics_see_the_values_and_the_gaps():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 1500, 4))
    early, late = a.copy(), b.copy()
    early[:750, 2:], late[750:, 2:] = NAN, NAN
    for distance in (kolmogorov_smirnov, wasserstein):
        found = distance(early, late)
        assert np.array_equal(found[2:], distance(a[750:, 2:], b[:750, 2:]))
    assert c2st(early, late) < 0.54
    assert energy_distance(early, late) < 0.01
    more = b.copy()
    more[150:, 2:] = NAN
    assert c2st(early, more) > 0.6
    assert energy_distance(early, more) > 0.05
    with pytest.raises(InputError, match="takes rows without NaN"):
        kl_divergence(early, late)
    with pytest.raises(InputError, match="column 1 holds 0 and 1500 values"):
        wasserstein(np.full((9, 4), NAN), b)


# Checks before and after.


def test_an_observation_with_gaps_like_the_simulations_is_explained(lines):
    for length in (3, 10, LENGTH):
        problem = line_problem(record(length))
        check_predictability(problem, lines)
        assert all(m.passed for m in explained(problem, lines))


@pytest.mark.parametrize(
    ("model", "length", "said"),
    [
        (
            lambda x, rng: np.where(np.arange(24) < 12, line(x, rng), NAN),
            24,
            "and no simulation has it",
        ),
        (
            lambda x, rng: np.nan_to_num(line(x, rng)),
            10,
            "'y11' is missing .* every simulation has it",
        ),
    ],
    ids=["never simulated", "never missing"],
)
def test_gaps_that_no_simulation_has_are_refused(model, length, said):
    problem = line_problem(record(length), model)
    simulations = simulate(problem, 500, seed=1)
    with pytest.raises(OutsideError, match=said):
        check_predictability(problem, simulations)
    samples = answer(Exact(), record(length))
    found = validate(problem, samples, simulations=simulations)
    assert found.verdict == "not answerable"
    assert any("missing otherwise" in reason for reason in found.reasons)


def test_a_value_out_of_range_is_found_among_gaps(lines):
    row = record(10)
    row[0, 4] = 40
    with pytest.raises(OutsideError, match=r"column 'y5' \(simulated .* observed 40 to 40\)"):
        check_predictability(line_problem(row), lines)


def test_a_pattern_of_gaps_that_no_simulation_has_is_far_out(lines):
    """Series end; none is interrupted."""
    row = record(LENGTH)
    row[0, 5:15] = NAN
    usual = validate(line_problem(record(LENGTH)), answer(Exact(), row), simulations=lines)
    assert usual["prior predictive gaps"] < 0.99
    found = validate(line_problem(row), answer(Exact(), row), simulations=lines)
    assert found["prior predictive gaps"] > 0.999
    assert found.verdict == "not answerable"


def test_an_exact_answer_passes_and_one_that_takes_gaps_for_zeros_does_not(lines):
    row = record(8)
    problem = line_problem(row)
    found = {}
    for lie in (False, True):
        drawer = Exact(gaps_are_zeros=lie)
        found[lie] = validate(
            problem, answer(drawer, row), simulations=lines, inverse=drawer, seed=3
        )
    assert found[False].verdict == "consistent", found[False].reasons
    assert found[True].verdict == "not consistent"
    assert any("ranks" in reason for reason in found[True].reasons)


def test_calibration_and_the_local_test_hold_for_rows_with_gaps(lines):
    x, y = lines.x[:1500], lines.y[:1500]
    right, wrong = (calibrate(Exact(z), x, y, draws=40, seed=1) for z in (False, True))
    assert abs(right.coverage(0.8) - 0.8) < 0.05
    assert wrong.coverage(0.8) < 0.6
    at = record(8)
    right, wrong = (
        local_c2st(Exact(z), x, y, at, pairs=400, swaps=200, points=200) for z in (False, True)
    )
    assert right.p_value > 0.01
    assert wrong.p_value < 0.01


def test_predicted_gaps_are_held_against_the_observed_ones():
    """A model whose series are never longer than ten, judged without simulations."""
    row = record(LENGTH)
    short = line_problem(row, lambda x, rng: np.where(np.arange(24) < 10, line(x, rng), NAN))
    found = validate(short, answer(Exact(), row))
    assert found.verdict == "not consistent"
    assert found["posterior predictive gaps"] == 1
    fine = validate(line_problem(row), answer(Exact(), row))
    assert fine.verdict == "consistent", fine.reasons


def test_residuals_count_a_draw_without_the_value_as_far():
    """Deterministic: y1 = a, and y2 = b where a is positive."""

    def model(x):
        return np.stack([x[:, 0], np.where(x[:, 0] > 0, x[:, 1], NAN)], axis=1)

    def judged(row, x):
        problem = Problem(model, PRIOR, [row], question="posterior", missing=True)
        samples = Samples(x, None, np.ones(len(x)), PRIOR.names, problem.outputs)
        return validate(problem, samples, simulations=simulate(problem, 2000, seed=0))

    rng = np.random.default_rng(0)
    free = np.column_stack([np.full(1200, -0.5), rng.normal(size=1200)])
    assert judged([-0.5, NAN], free).verdict == "consistent"
    held = np.column_stack([np.full(1200, 0.5), np.full(1200, 0.3)])
    assert judged([0.5, 0.3], held).verdict == "consistent"
    held[:240, 0] = -1e-3
    assert judged([1e-3, 0.3], held)["residual"] == np.inf


# Pictures.


def test_a_long_observation_is_drawn_in_one_panel_with_its_gaps(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(60, 20))
    y[:, 7] = NAN
    y[30:, 15:] = NAN
    seen = rng.normal(size=(1, 20))
    seen[0, 15:] = NAN
    names = tuple(f"y{j + 1}" for j in range(20))
    figure = plot_pushforward(y, seen, names, y[:10], single=True)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "output (y1 to y20)"
    (dots,) = [line for line in axes.lines if line.get_label() == "observed"]
    assert np.array_equal(dots.get_ydata(), seen[0], equal_nan=True)
    plots.save_png(figure, tmp_path / "row.png")


def test_few_outputs_are_drawn_by_the_values_that_are_there(tmp_path):
    y = np.array([[1, NAN, NAN], [2, 3, NAN], [1.5, 4, NAN]])
    figure = plot_pushforward(y, np.array([[1.2, NAN, 3.0]]), ("a", "b", "c"), y, single=True)
    assert [len(axes.texts) for axes in figure.axes] == [0, 0, 1]
    assert len(figure.axes[1].lines) == 0
    plots.save_png(figure, tmp_path / "few.png")


def test_of_very_many_outputs_the_page_shows_the_worst_and_counts_the_others():
    figures = np.random.default_rng(0).permutation(40) / 40
    cells = [
        {"name": "residual", "output": f"y{j}", "value": v, "passed": j != 7, "floor": 1.0}
        for j, v in enumerate(figures)
    ]
    rows = _measure_rows({"cgan": [*cells, {**cells[0], "name": "C2ST", "output": None}]})
    assert [row["output"] for row in rows[-2:]] == ["and 25 others (results.json)", None]
    assert rows[0]["output"] == "y7"
    assert [row["cells"]["cgan"]["value"] for row in rows[1:4]] == [39 / 40, 38 / 40, 37 / 40]
    few = _measure_rows({"cgan": cells[:16]})
    assert [row["output"] for row in few] == [f"y{j}" for j in range(16)]


# The image of the gallery.


def test_the_blob_is_a_source_blurred_by_a_pixel():
    """Its light is the brightness, its middle the place, its second moment width and blur."""
    image = blob(np.array([[6.3, 8.8, 1.2, 30]])).reshape(SIDE, SIDE)
    i, j = np.mgrid[:SIDE, :SIDE]
    assert image.sum() == pytest.approx(30, rel=1e-3)
    assert (i * image).sum() / 30 == pytest.approx(6.3, rel=1e-3)
    assert (j * image).sum() / 30 == pytest.approx(8.8, rel=1e-3)
    assert ((i - 6.3) ** 2 * image).sum() / 30 == pytest.approx(1.2**2 + 1, rel=0.01)


def test_the_exact_answer_of_the_blob_is_that_of_importance_sampling():
    """Draws of a wide law, weighed by prior and likelihood as the problem itself states them."""
    ready = get("blob")
    problem, x = ready.problem, ready.exact(20_000, 1)
    law = stats.multivariate_t(x.mean(axis=0), 2 * np.cov(x.T), df=5)
    z = law.rvs(60_000, random_state=np.random.default_rng(2))
    z = z[problem.prior.support.contains(z)]
    log_w = problem.prior.log_prob(z) - law.logpdf(z)
    log_w += problem.noise.log_prob(problem.observations.rows, problem.model(z))
    w = np.exp(log_w - log_w.max())
    w /= w.sum()
    count = 1 / np.square(w).sum()
    assert count > 10_000
    error = x.std(axis=0) * np.sqrt(1 / 20_000 + 1 / count)
    assert np.all(np.abs(w @ z - x.mean(axis=0)) < 4 * error)
    assert np.sqrt(w @ np.square(z - w @ z)) == pytest.approx(x.std(axis=0), rel=0.04)
    assert np.all(np.abs(ready.truth - x.mean(axis=0)) < 4 * x.std(axis=0))


# From the problem to the answer.


SMALL = TrainConfig(
    head="gaussian", head_steps=400, steps=0, evaluations=2, batch_size=256, hidden=32,
    judge=False, members=1,
)  # fmt: skip


def trained_on(kind: str, **given) -> TrainConfig:
    embedding = EmbeddingConfig(kind=kind, hidden=32, features=8, layers=1, **given)
    return SMALL.model_copy(update={"embedding": embedding})


@pytest.mark.parametrize(
    "kind",
    [
        "mlp",
        pytest.param("conv1d", marks=pytest.mark.slow),
        pytest.param("recurrent", marks=pytest.mark.slow),
        pytest.param("transformer", marks=pytest.mark.slow),
    ],
)
def test_an_inverse_follows_series_of_every_length(lines, kind):
    """Its mean follows the exact one, and its spread falls with the length as the exact one's."""
    inverse = ig.train(line_problem(record(10)), lines, trained_on(kind), seed=2, device="cpu")
    rng, n, m = np.random.default_rng(9), 150, 60
    x, spreads = rng.normal(size=(n, 2)), {}
    for length in (4, 12, LENGTH):
        y = x @ DESIGN.T + NOISE * rng.normal(size=(n, LENGTH))
        y[:, length:] = NAN
        assert inverse.knows(y).mean() > 0.9
        draws = inverse.draw(np.repeat(y, m, axis=0), seed=4).reshape(n, m, 2)
        means = np.array([posterior(row)[0] for row in y])
        sd = np.sqrt(np.diag(posterior(y[0])[1]))
        spreads[length] = draws.std(axis=1).mean(axis=0)[1]
        if length < LENGTH:
            gap = np.sqrt(np.square(draws.mean(axis=1) - means).mean(axis=0)) / sd
            assert np.all(gap < 0.7), (length, gap)
    assert spreads[LENGTH] < 0.55 * spreads[4]


def test_an_inverse_without_an_embedding_is_refused(lines):
    with pytest.raises(InputError, match="cannot tell a missing output from a measured one"):
        ig.train(line_problem(record(10)), lines, SMALL, seed=2, device="cpu")


def test_another_series_may_have_gaps_too(lines):
    config = trained_on("mlp").model_copy(update={"head_steps": 20})
    inverse = ig.train(line_problem(record(10)), lines, config, seed=2, device="cpu")
    row = record(15)
    draws = ig.sample(inverse, row, 500, seed=1)
    assert np.array_equal(draws.x, ig.sample(inverse, Table(row), 500, seed=1).x)


def test_a_configuration_is_solved_from_end_to_end(tmp_path):
    config = load_config(written(tmp_path, "[[1.1, 0.6, 0.9, null, null, null]]"))
    problem = build_problem(config, tmp_path)
    settings = ig.Settings(
        simulate=SimulateConfig(n=3000), train=trained_on("mlp"), sample=SampleConfig(n=1000)
    )
    out = tmp_path / "run"
    solution = ig.solve(problem, out, settings=settings, seed=0, device="cpu")
    exact = 2.6 / (3 + 0.25)
    assert solution.samples.x.mean() == pytest.approx(exact, abs=0.2)
    assert solution.baseline is None
    assert np.isnan(solution.samples.y).any()
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert found["observed"] == "one experiment, 3 of 6 values"
    assert "missing values only the user can give the likelihood" in found["no_baseline"]
    assert (out / "figures" / "figure6.png").is_file()
    assert "posterior predictive gaps" in (out / "report.html").read_text(encoding="utf-8")
    again = ig.solve(problem, out, settings=settings, seed=0, device="cpu")
    assert np.array_equal(again.samples.x, solution.samples.x)


def dead_pixels(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The blob by a camera whose corners are dark, and of whose pixels others fail at random."""
    y = blob(x) + 0.5 * rng.normal(size=(len(x), SIDE**2))
    i, j = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    dark = (i**2 + j**2 > 100).ravel()
    return np.where(dark | (rng.random(y.shape) < rng.uniform(0, 0.4, (len(x), 1))), NAN, y)


@pytest.mark.slow
def test_an_image_with_masked_pixels_gives_its_place():
    base = get("blob").problem
    truth = np.array([[6.3, 8.8, 1.2, 40]])
    row = dead_pixels(truth, np.random.default_rng(8))
    problem = Problem(
        dead_pixels, base.prior, row, outputs=base.outputs, stochastic=True,
        question="posterior", missing=True,
    )  # fmt: skip
    simulations = simulate(problem, 4000, seed=1)
    check_predictability(problem, simulations)
    config = trained_on("conv2d", shape=(1, SIDE, SIDE))
    inverse = ig.train(problem, simulations, config, seed=2, device="cpu")
    x = simulate(problem, 300, seed=5)
    draws = inverse.draw(np.repeat(x.y, 20, axis=0), seed=3).reshape(300, 20, 4).mean(axis=1)
    for j in (0, 1, 3):
        assert np.corrcoef(draws[:, j], x.x[:, j])[0, 1] > (0.7 if j == 3 else 0.9), j
    there = ig.sample(inverse, problem.observations, 1000, seed=4).x
    assert np.all(np.abs(there.mean(axis=0) - truth)[0, :2] < 1)


@pytest.mark.slow
def test_the_blob_is_answered_like_its_exact_answer():
    ready = get("blob")
    settings = ig.Settings(
        simulate=SimulateConfig(n=15_000),
        train=TrainConfig(
            head="small", head_steps=1500, steps=0, judge=False, members=1, batch_size=256,
            embedding=EmbeddingConfig(kind="conv2d", shape=(1, SIDE, SIDE), hidden=32),
        ),
        sample=SampleConfig(n=2000),
        mcmc=ig.McmcConfig(walkers=16, steps=1000),
    )  # fmt: skip
    solution = ig.solve(ready.problem, settings=settings, seed=0, device="cpu")
    exact = ready.exact(2000, 1)
    sd = exact.std(axis=0)
    assert np.all(np.abs(solution.samples.x.mean(axis=0) - exact.mean(axis=0)) < 0.9 * sd)
    assert np.all(np.abs(np.log(solution.samples.x.std(axis=0) / sd)) < 0.4)
    assert c2st(solution.baseline.x, exact) < 0.56


@pytest.mark.slow
def test_a_sweep_compares_settings_for_outputs_that_may_be_missing() -> None:
    train = TrainConfig(
        head="gaussian", head_steps=60, steps=20, evaluations=1, hidden=16, members=1,
        likelihood=False, embedding=EmbeddingConfig(kind="mlp", features=4, hidden=16),
    )  # fmt: skip
    settings = ig.Settings(simulate=SimulateConfig(n=1200), train=train, sample=SampleConfig(n=200))
    plan = {"vary": {"train.gamma": [0.1, 1.0]}}
    rows = ig.sweep(line_problem(record(12)), settings, plan, device="cpu").rows
    assert [row.failure for row in rows] == [None, None]
    assert all(-0.05 < row.figures["divergence"] < np.log(2) for row in rows)


def test_gaps_that_are_rare_are_judged_as_others_are() -> None:
    """A batch without any was narrower than the rest, and the classifier fell over it."""
    train = TrainConfig(
        head="gaussian", head_steps=5, steps=0, hidden=8, members=1, likelihood=False,
        embedding=EmbeddingConfig(kind="mlp", features=2, hidden=8),
    )  # fmt: skip

    def hardly(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        y = np.hstack([x, x]) + rng.normal(size=(len(x), 4))
        y[rng.random(len(x)) < 0.004, 1] = NAN
        return y

    problem = Problem(
        hardly, PRIOR, np.zeros((1, 4)), stochastic=True, question="posterior", missing=True
    )
    settings = ig.Settings(simulate=SimulateConfig(n=1500), train=train, sample=SampleConfig(n=200))
    (row,) = ig.sweep(problem, settings, {"vary": {"train.gamma": [0.1]}}, device="cpu").rows
    assert row.failure is None
    assert row.figures["heldout"] is not None
