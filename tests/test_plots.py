"""Figures: every shape can be drawn, and what is drawn is what was given."""

import io
import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import StepPatch

from invgan import plots
from invgan.plots.columns import bin_edges, heights


def _drawn(figure):
    """Render a figure, which is where most of matplotlib's complaints come from."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    assert buffer.getvalue().startswith(b"\x89PNG")
    return figure


def _cloud(n, width, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width))


def _names(width, stem="x"):
    return tuple(f"{stem}{j + 1}" for j in range(width))


def _paraboloid(n=4000):
    x = np.random.default_rng(1).uniform(-1, 1, (n, 2))
    return x, x[:, 0] ** 2 + 2 * x[:, 1]


@pytest.mark.parametrize("width", [1, 2, 5, 12])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("n", [1, 400])
def test_both_panels_can_be_drawn_for_every_shape(width, outputs, n):
    x, y, seen = _cloud(n, width), _cloud(n, outputs, 1), _cloud(50, outputs, 2)
    figure = plots.plot_figure6(
        x, y, seen, _names(width), _names(outputs, "y"), prior_x=_cloud(60, width, 3), baseline_y=y
    )
    a1, a2 = _drawn(figure).subfigs
    assert len(a1.axes) == 1
    assert [axes.get_xlabel() for axes in a2.axes] == list(_names(outputs, "y"))


@pytest.mark.parametrize(
    ("width", "n"), [(1, 1), (1, 700), (2, 1), (2, 8), (2, 700), (5, 8), (5, 700), (12, 5)]
)
def test_corner_has_one_panel_for_each_pair_and_names_both_roads(width, n):
    figure = plots.plot_corner(_cloud(n, width), _cloud(n, width, 1), _names(width))
    assert len(_drawn(figure).axes) == min(width, plots.MAX_CORNER) ** 2
    assert [text.get_text() for text in figure.legends[0].texts] == ["cGAN", "MCMC"]


@pytest.mark.parametrize(("steps", "walkers", "width"), [(1, 4, 1), (40, 8, 2), (900, 80, 7)])
def test_walkers_have_a_panel_for_each_parameter_and_one_for_the_density(steps, walkers, width):
    chain = np.random.default_rng(0).normal(size=(steps, walkers, width))
    log_prob = -(chain**2).sum(axis=2)
    log_prob[0, 0] = -np.inf
    figure = plots.plot_chain(chain, log_prob, _names(width), burn_in=100, thin=3)
    *panels, density = _drawn(figure).axes
    assert len(panels) == min(width, plots.MAX_TRACES)
    assert density.get_ylabel() == "log-density"
    assert np.isfinite(density.get_ylim()).all()
    first, mean = panels[0].lines[0], panels[0].lines[-1]
    step = first.get_xdata()
    assert (step[0], step[-1]) == (100, 100 + 3 * (steps - 1))
    assert len(step) == min(steps, 300)
    assert np.array_equal(first.get_ydata(), chain[(step.astype(int) - 100) // 3, 0, 0])
    assert mean.get_ydata()[0] == pytest.approx(chain[0, :, 0].mean())


def test_corner_without_mcmc_and_with_the_truth():
    figure = _drawn(plots.plot_corner(_cloud(300, 2), None, _names(2), truth=[0.1, 0.2]))
    assert [text.get_text() for text in figure.legends[0].texts] == ["cGAN", "truth"]


def test_long_names_stay_within_their_panels():
    names = ["rate constant of the second reaction", "a_name_of_one_word_without_an_end_$x"]
    figure = plots.plot_corner(_cloud(200, 2), None, names)
    below = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    assert below == [
        "rate constant of\nthe second\nreaction",
        "a_name_of_one_word\n_without_an_end_\\$x",
    ]


@pytest.mark.parametrize("repeated", [1, 3])
def test_draws_that_coincide_can_be_drawn(repeated):
    x = np.repeat(_cloud(repeated, 2), 100, axis=0)
    _drawn(plots.plot_corner(x, x, _names(2)))
    _drawn(plots.plot_figure6(x, x, x, _names(2), _names(2, "y"), prior_x=x))


def test_one_heavy_draw_among_many_can_be_drawn():
    x = np.concatenate([np.zeros((5000, 2)), _cloud(300, 2)])
    _drawn(plots.plot_corner(x, _cloud(5000, 2), _names(2)))


def test_figures_are_not_kept_by_pyplot(tmp_path):
    plots.save_png(plots.plot_corner(_cloud(100, 2), _cloud(100, 2), _names(2)), tmp_path / "c.png")
    assert plt.get_fignums() == []
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]


def test_no_display_is_asked_for(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from invgan import plots\n"
        "plots.save_png(plots.plot_corner(np.eye(3), None, ('a', 'b', 'c')), sys.argv[1])\n"
        "assert 'tkinter' not in sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    environment["MPLBACKEND"] = "tkagg"
    target = tmp_path / "c.png"
    subprocess.run([sys.executable, "-c", code, str(target)], check=True, env=environment)
    assert target.is_file()


def test_the_same_figure_gives_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        plots.save_png(plots.plot_corner(_cloud(100, 2), None, _names(2)), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("moved", [(0, 1), (2, 4), (3, 1)])
def test_the_pair_that_moved_most_is_drawn(moved):
    prior, x = _cloud(2000, 5), _cloud(2000, 5, 1)
    x[:, moved] = 0.1 * x[:, moved] + 1
    assert plots.strongest(x, prior, 2) == sorted(moved)
    axes = plots.plot_answer(x, _names(5), prior_x=prior).axes[0]
    low, high = (_names(5)[j] for j in sorted(moved))
    assert (axes.get_xlabel(), axes.get_ylabel()) == (low, high)


def test_without_prior_draws_the_first_pair_is_drawn():
    assert plots.strongest(_cloud(10, 5), None, 2) == [0, 1]
    assert plots.strongest(_cloud(10, 1), None, 2) == [0]


def test_histograms_have_area_one_and_follow_the_draws():
    y, seen = _cloud(20_000, 1), _cloud(20_000, 1, 1) + 2
    axes = plots.plot_pushforward(y, seen, ("y",)).axes[0]
    drawn = {patch.get_label(): patch.get_data() for patch in axes.patches}
    for label, centre in (("observed", 2), ("model at cGAN draws", 0)):
        values, edges, _ = drawn[label]
        middle, area = (edges[1:] + edges[:-1]) / 2, values * np.diff(edges)
        assert area.sum() == pytest.approx(1, abs=0.01)
        assert (middle * area).sum() == pytest.approx(centre, abs=0.05)


@pytest.mark.parametrize("step", [1.0, 0.1, 250.0])
@pytest.mark.parametrize("mean", [1, 9, 300, 20_000])
def test_bins_of_counts_hold_equally_many_of_them(mean, step):
    counts = np.random.default_rng(0).poisson(mean, (2, 8_000))
    columns = [step * (7 + row) for row in counts]
    edges = bin_edges(*columns)
    points = np.arange(round(edges[0] / step) - 1, round(edges[-1] / step) + 2) * step
    held, _ = np.histogram(points, edges)
    assert len(set(held)) == 1
    assert len(held) <= 41
    for column in columns:
        assert edges[0] <= np.quantile(column, 0.01)
        assert np.quantile(column, 0.99) <= edges[-1]
        assert (heights(column, edges) * np.diff(edges)).sum() == pytest.approx(1, abs=0.01)


def test_values_that_repeat_off_a_lattice_have_even_bins_from_end_to_end():
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    edges = bin_edges(values)
    assert (edges[0], edges[-1]) == (values.min(), values.max())
    assert np.allclose(np.diff(edges), np.ptp(edges) / (len(edges) - 1))


def test_one_experiment_is_lines_where_it_was_observed():
    axes = plots.plot_pushforward(
        _cloud(500, 1), np.array([[0.2], [0.4]]), ("y",), single=True
    ).axes[0]
    lines = [line.get_xdata()[0] for line in axes.lines]
    assert lines == [0.2, 0.4]
    assert "observed" not in [p.get_label() for p in axes.patches if isinstance(p, StepPatch)]


def test_outputs_beyond_the_twelfth_are_counted_in_words():
    y = _cloud(40, 15)
    figure = _drawn(plots.plot_pushforward(y, y, _names(15, "y")))
    assert len(figure.axes) == plots.MAX_OUTPUTS
    words = [text.get_text() for text in figure.legends[0].texts]
    assert "(3 more outputs are not drawn)" in words


def test_a_surface_is_the_model_between_its_simulations():
    x, y = _paraboloid()
    surface = plots.interpolate(x, y, "y", (0.5, 0.5, 0.1))
    truth = surface.x1[None, :] ** 2 + 2 * surface.x2[:, None]
    inside = (np.abs(surface.x1) < 0.9)[None, :] & (np.abs(surface.x2) < 0.9)[:, None]
    assert np.abs(surface.y - truth)[inside].max() < 0.01
    assert np.nanmax(np.abs(surface.y - truth)) < 0.2
    assert surface.marks == (0.1, 0.5)


@pytest.mark.parametrize(
    "x",
    [
        np.stack([np.linspace(0, 1, 50), 1 - np.linspace(0, 1, 50)], axis=1),
        np.zeros((50, 2)),
        np.zeros((2, 2)),
    ],
    ids=["on a line", "at a point", "too few"],
)
def test_pairs_without_an_area_have_no_surface(x):
    assert plots.interpolate(x, x[:, 0], "y") is None


def test_contours_are_drawn_with_the_observed_marks():
    x, y = _paraboloid()
    surface = plots.interpolate(x, y, "out", (0.5, 99.0))
    figure = _drawn(plots.plot_answer(x[:100], _names(2), surface, x))
    words = [text.get_text() for text in figure.legends[0].texts]
    assert "out = 0.5" in words, "99 lies outside the model's range and has no contour"


@pytest.mark.parametrize("size", [1e-300, 250.0, 1e300])
def test_contours_of_outputs_of_any_size(size):
    x, y = _paraboloid()
    surface = plots.interpolate(x, y * size, "y", (0.5 * size,))
    surface.y[:3, :3] = 1e6 * size
    figure = _drawn(plots.plot_answer(x[:100], _names(2), surface, x))
    told = {float(text.get_text()) / size for text in figure.axes[0].texts}
    assert told
    assert np.abs(list(told)).max() <= np.quantile(y, 0.95)


def test_contours_of_outputs_that_differ_by_little():
    x, y = _paraboloid()
    surface = plots.interpolate(x, 300 + 1e-3 * y, "kelvin", (300.0005,))
    figure = _drawn(plots.plot_answer(x[:100], _names(2), surface, x))
    told = {text.get_text() for text in figure.axes[0].texts}
    assert len(told) > 1
    assert max(map(len, told)) > 5
    assert "kelvin = 300" in [text.get_text() for text in figure.legends[0].texts]


def test_a_constant_output_has_no_contours_but_is_drawn():
    x, y = _paraboloid()
    _drawn(plots.plot_answer(x, _names(2), plots.interpolate(x, 0 * y, "y"), x))


@pytest.mark.parametrize("name", ["$a$", "a$\\frac$", "x_1^2", "<b>", "n" * 200, ""])
def test_names_are_plain_text(name):
    figure = _drawn(plots.plot_corner(_cloud(50, 2), None, (name, "y")))
    _drawn(plots.plot_answer(_cloud(50, 2), (name, "y")))
    assert len(figure.axes[2].get_xlabel()) <= 42


LEVELS = np.linspace(0.05, 0.95, 19)
BAND = LEVELS - 0.04, LEVELS + 0.04


def _calibration(ranks, names, coverage=LEVELS):
    curves = {"densest": np.asarray(coverage), "TARP": LEVELS + 0.01}
    figure = _drawn(plots.plot_calibration(LEVELS, curves, ranks, names, BAND))
    left, right = figure.subfigs
    return left.axes[0], right.axes


@pytest.mark.parametrize("width", [1, 2, 7, 12])
def test_calibration_is_drawn_as_coverage_and_as_gaps_of_the_ranks(width):
    gaps = 0.01 * np.arange(1, width + 1)[:, None] * np.sin(np.pi * LEVELS)
    coverage, ranks = _calibration(LEVELS + gaps, _names(width), LEVELS**2)
    lines = {line.get_label(): line.get_xydata() for line in coverage.lines}
    np.testing.assert_allclose(lines["densest"], np.stack([LEVELS, LEVELS**2], axis=1))
    np.testing.assert_allclose(lines["TARP"][:, 1], LEVELS + 0.01)
    assert [axes.get_title(loc="left") for axes in ranks] == list(_names(width))
    for axes, gap in zip(ranks, gaps, strict=True):
        np.testing.assert_allclose(axes.lines[-1].get_ydata(), gap, atol=1e-12)
        (band,) = axes.collections
        ends = band.get_paths()[0].vertices[:, 1]
        assert (ends.min(), ends.max()) == pytest.approx((-0.04, 0.04))
        assert axes.get_ylim() == ranks[0].get_ylim(), "gaps are seen on one scale"


def test_of_many_ranks_those_that_stray_most_are_drawn():
    gaps = 0.001 * np.arange(15)[::-1, None] * np.ones_like(LEVELS)
    gaps[14] = -0.2
    _, ranks = _calibration(LEVELS + gaps, _names(15))
    kept = [axes.get_title(loc="left") for axes in ranks]
    assert kept == [*_names(11), "x15"]
    assert len(kept) == plots.MAX_RANKS


@pytest.mark.parametrize("name", ["$a$", "a\\frac$", "<b>", "n" * 200])
def test_names_of_ranks_are_plain_text(name):
    _calibration(np.stack([LEVELS]), (name,))


def _history(steps=300):
    rng = np.random.default_rng(0)
    keys = (
        "critic_loss", "generator_loss", "critic_real", "critic_fake", "gradient_penalty",
        "critic_grad_norm", "generator_grad_norm",
    )  # fmt: skip
    head = [{"phase": "head", "step": i, "train_nll": 1 / (i + 1)} for i in range(20)]
    head[9] |= {"heldout": -0.1, "kept": True}
    head[19] |= {"heldout": 0.2, "kept": False}
    game = [
        {"phase": "gan", "step": i, **dict(zip(keys, rng.uniform(0.1, 1, 7), strict=True))}
        for i in range(steps)
    ]
    for i in range(0, steps, 50):
        game[i] |= {"heldout": 0.2 / (1 + i), "kept": i <= 150}
    return [*head, *game]


HEAD, DIVERGENCE = "head: negative log-likelihood (nats)", "held-out divergence (nats)"


def _panels(history):
    axes = _drawn(plots.plot_history(history)).axes
    return {panel.get_title(loc="left"): panel for panel in axes}


def _lines(panel):
    return {line.get_label(): line.get_xydata().tolist() for line in panel.lines}


def test_history_has_a_panel_for_whatever_was_recorded():
    assert len(_panels(_history())) == 6
    assert list(_panels([row for row in _history() if row["phase"] == "head"])) == [HEAD]
    older = [{k: v for k, v in row.items() if k != "gradient_penalty"} for row in _history()]
    assert len(_panels(older)) == 5


def test_history_may_be_empty_or_hold_nothing_finite():
    assert _panels([]) == {}
    assert _panels([{"phase": "gan", "step": 1, "critic_loss": float("nan")}, {}]) == {}
    evaluated = [{"phase": "gan", "step": 1, "critic_loss": None, "heldout": 0.1}]
    assert list(_panels(evaluated)) == [DIVERGENCE]


def test_history_marks_what_was_kept_of_either_phase():
    panels = _panels(_history())
    head, game = _lines(panels[HEAD]), _lines(panels[DIVERGENCE])
    assert head["held out"] == [[9, -0.1], [19, 0.2]]
    assert head["kept (step 9)"] == [[9, -0.1]]
    assert game["generator"] == [[i, 0.2 / (1 + i)] for i in range(0, 300, 50)]
    assert game["kept (step 150)"] == [[150, 0.2 / 151]]


def test_the_divergence_is_logarithmic_and_never_falls_off_its_axis():
    rows = [
        {"phase": "gan", "step": i, "heldout": value, "kept": value == -0.002}
        for i, value in enumerate((0.2, -0.002, 3e-5, 0.01))
    ]
    panel = _panels(rows)[DIVERGENCE]
    least = plots.LEAST_DIVERGENCE
    assert panel.get_yscale() == "log"
    assert _lines(panel)["generator"] == [[0, 0.2], [1, least], [2, least], [3, 0.01]]
    assert _lines(panel)["kept (step 1)"] == [[1, least]]


def test_the_losses_show_where_neither_side_wins():
    lines = _lines(_panels(_history())["losses of the game"])
    assert lines["even (0.69)"][0][1] == pytest.approx(np.log(2))
