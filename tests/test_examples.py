"""The examples and the starter, at small size: everything runs and every file is written.

Whether the answers are right is for the benchmarks: a verdict after a minute's training on one
core would be the settings' merit or fault, so both verdicts of a solved problem are taken here.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from scipy import stats

from invgan.cli import main
from invgan.config import build_problem, load_config
from invgan.models import ode_model
from invgan.samples import Samples

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {
    "simulate": {"n": 1000},
    "train": {"head_steps": 60, "steps": 40, "evaluations": 1, "hidden": 32},
    "sample": {"n": 500},
    "mcmc": {"walkers": 16, "steps": 60},
}
SMALL_OPTIONS = [
    *("--n", "2000", "--head-steps", "60", "--steps", "40", "--evaluations", "1"),
    *("--draws", "500", "--mcmc-steps", "60"),
]
FEW = SMALL | {
    "simulate": {"n": 300},
    "train": SMALL["train"] | {"members": 1, "likelihood": False},
    "sample": {"n": 100},
    "mcmc": {"enabled": False},
}
FEW_OPTIONS = [
    *("--n", "300", "--head-steps", "40", "--steps", "20", "--evaluations", "1", "--draws", "100")
]
SOLVED = (0, 3)
INVGAN = [sys.executable, "-c", "from invgan.cli import main; main()"]


def solve_small(config: Path, tmp_path: Path, small: dict[str, Any] = SMALL) -> Path:
    """Run the command line on a small copy of a configuration beside copies of its neighbours."""
    folder, out = tmp_path / "small", tmp_path / "run"
    folder.mkdir()
    for file in config.parent.iterdir():
        if file.is_file() and file != config:
            (folder / file.name).write_bytes(file.read_bytes())
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    (folder / "config.yml").write_text(
        yaml.safe_dump(content | small, sort_keys=False), encoding="utf-8"
    )
    command = ["solve", str(folder / "config.yml"), "--out", str(out), "--device", "cpu"]
    result = CliRunner().invoke(main, [*command, "--quiet"])
    assert result.exit_code in SOLVED, result.output
    assert "verdict:" in result.output
    return out


def run_script(
    script: Path, tmp_path: Path, options: list[str] = SMALL_OPTIONS
) -> tuple[Path, str]:
    """Run a script of an example at small size, from another folder."""
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, str(script), "--out", str(out), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def module_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a file of an example, which may import its neighbours, and forget them again."""
    neighbours = [file.stem for file in path.parent.glob("*.py")]
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in neighbours:
        sys.modules.pop(name, None)
    return module


@pytest.mark.parametrize("name", ["rosenbrock", pytest.param("custom", marks=pytest.mark.slow)])
def test_an_example_runs_from_its_configuration(name: str, tmp_path: Path) -> None:
    out = solve_small(EXAMPLES / name / "config.yml", tmp_path)
    written = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    files = "config.yml simulations/zarr.json inverse.json inverse.safetensors history.jsonl"
    files += (
        " samples.npz samples-raw.npz samples-mcmc.npz validation.json results.json report.html"
    )
    assert written >= {*files.split(), "figures/figure6.png", "figures/corner.png"}
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["verdict"] in ("consistent", "not consistent")


@pytest.mark.usefixtures("road_alone")
def test_the_starter_runs(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["init", str(tmp_path / "mine")]).exit_code == 0
    out = solve_small(tmp_path / "mine" / "config.yml", tmp_path)
    assert (out / "report.html").is_file()


@pytest.mark.slow
def test_the_rosenbrock_script_draws_figure_6(tmp_path: Path) -> None:
    out, said = run_script(EXAMPLES / "rosenbrock" / "solve.py", tmp_path)
    assert "verdict:" in said
    assert (out / "figure6.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "samples.npz").is_file()


@pytest.mark.slow
def test_the_custom_script_prints_the_truth_beside_the_answer(tmp_path: Path) -> None:
    out, said = run_script(EXAMPLES / "custom" / "solve.py", tmp_path)
    assert (out / "report.html").is_file()
    for name in ("absorption", "volume", "vmax", "bioavailability"):
        assert f"{name:<16} truth" in said


def test_the_script_and_the_configuration_ask_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    path = EXAMPLES / "custom" / "config.yml"
    config = load_config(path)
    sizes = module_of(path.with_name("solve.py"), monkeypatch).SIZES
    assert config.simulate.n == sizes["n"]
    assert config.sample.n == sizes["draws"]
    assert config.mcmc.steps == sizes["mcmc-steps"]
    train = config.train
    steps = {"head-steps": train.head_steps, "steps": train.steps, "evaluations": train.evaluations}
    assert steps.items() <= sizes.items()


def test_the_committed_observations_are_what_the_script_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maker = EXAMPLES / "custom" / "make_observations.py"
    made = module_of(maker, monkeypatch)
    committed = maker.with_name("observations.csv").read_text(encoding="utf-8")
    assert committed == made.table()
    header, *rows = csv.reader(committed.splitlines())
    seen = np.array(rows, float)
    assert header == ["c1", "c4", "c10"]
    assert seen.shape == (made.PEOPLE, 3)
    assert made.table() != "\n".join([*committed.splitlines()[:-1], "1.0,1.0,1.0"])


needs_awk = pytest.mark.skipif(shutil.which("awk") is None, reason="needs awk")


@pytest.mark.usefixtures("road_alone")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("external", marks=needs_awk),
        pytest.param("ode", marks=pytest.mark.slow),
        pytest.param("cluster", marks=pytest.mark.slow),
    ],
)
def test_an_example_of_another_kind_of_model_runs(name: str, tmp_path: Path) -> None:
    out = solve_small(EXAMPLES / name / "config.yml", tmp_path, FEW)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["verdict"] in ("consistent", "not consistent")
    assert not (out / "failed-runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("external", "reaeration", marks=needs_awk),
        ("ode", "beta/gamma"),
        ("cluster", "decay"),
    ],
)
def test_their_scripts_print_the_truth(name: str, shown: str, tmp_path: Path) -> None:
    more = ["--mcmc-steps", "20"] if name == "ode" else []
    out, said = run_script(EXAMPLES / name / "solve.py", tmp_path, FEW_OPTIONS + more)
    assert (out / "report.html").is_file()
    assert f"  {shown} " in said
    assert "truth" in said


@pytest.mark.slow
def test_a_scheduler_is_named_by_its_address_and_changes_nothing(tmp_path: Path) -> None:
    from distributed import LocalCluster

    answers = []
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        for workers in (f"dask:{cluster.scheduler_address}", "serial"):
            small = FEW | {"simulate": {"n": 300, "workers": workers}}
            folder = tmp_path / workers[:4]
            folder.mkdir()
            out = solve_small(EXAMPLES / "cluster" / "config.yml", folder, small)
            answers.append(Samples.load(out / "samples.npz"))
    assert np.array_equal(answers[0].x, answers[1].x)
    assert np.array_equal(answers[0].y, answers[1].y)


def test_the_cells_molecules_follow_their_law(monkeypatch: pytest.MonkeyPatch) -> None:
    model = module_of(EXAMPLES / "cluster" / "model.py", monkeypatch)
    rng = np.random.default_rng(1)
    seen = [model.counts(np.array([2.0, 0.2]), rng) for _ in range(1500)]
    for minute in model.MINUTES:
        found = np.array([row[f"m{minute:g}"] for row in seen])
        mean = 10 * (1 - np.exp(-0.2 * minute))
        for wanted, chance in ((mean, True), (1.15 * mean, False)):
            edges = [0, *stats.poisson.ppf([0.25, 0.5, 0.75], mean) + 1, np.inf]
            expected = np.diff(stats.poisson.cdf(np.array(edges) - 1, wanted)) * len(found)
            p = stats.chisquare(np.histogram(found, edges)[0], expected).pvalue
            assert (p > 0.001) == chance


@pytest.mark.parametrize("name", ["external", "ode", "cluster"])
def test_their_committed_observations_are_what_the_scripts_make(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = EXAMPLES / name / "make_observations.py"
    committed = maker.with_name("observations.csv").read_text(encoding="utf-8")
    assert committed == module_of(maker, monkeypatch).table()


@needs_awk
def test_the_awk_program_gives_the_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    path = EXAMPLES / "external" / "config.yml"
    exact = module_of(path.with_name("make_observations.py"), monkeypatch).lowest
    problem = build_problem(load_config(path), path.parent)
    x = problem.prior.sample(20, np.random.default_rng(0))
    x[0, 1] = 8.0  # so much air that the oxygen never falls
    y = exact(x)
    assert y["day"][0] == 0
    for i, row in enumerate(x):
        found = problem.model(row)
        assert found["oxygen"] == pytest.approx(y["oxygen"][i], abs=1e-3)
        assert found["day"] == pytest.approx(y["day"][i], abs=1e-2)
    assert problem.model(x[1] * [1.1, 1, 1])["oxygen"] != pytest.approx(y["oxygen"][1], abs=1e-2)


def test_the_epidemic_keeps_its_pupils_and_its_final_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """log(S_end / S_0) = -R0 (1 - S_end / N), (Kermack and McKendrick 1927)."""
    model = module_of(EXAMPLES / "ode" / "model.py", monkeypatch)
    solve = ode_model(model.rates, model.begin, [5, 500], states=["S", "I", "R"])
    for beta, gamma, infected in ((1.65, 0.45, 2.0), (0.8, 0.5, 5.0)):
        end = solve([beta, gamma, infected])
        assert end["S_5"] + end["I_5"] + end["R_5"] == pytest.approx(model.PUPILS)
        left = end["S_500"] / model.PUPILS
        first = 1 - infected / model.PUPILS
        assert np.log(left / first) == pytest.approx(-beta / gamma * (1 - left), rel=1e-4)


def slow_elimination(x: Any, time: float) -> Any:
    """Concentration at far less than km, where elimination is linear (Bateman 1910)."""
    absorption, volume, vmax, bioavailability = x.T
    rate = vmax / volume / 4.0
    share = absorption / (absorption - rate)
    return (
        bioavailability * 300 / volume * share * (np.exp(-rate * time) - np.exp(-absorption * time))
    )


def test_the_concentrations_solve_the_equation(monkeypatch: pytest.MonkeyPatch) -> None:
    model = module_of(EXAMPLES / "custom" / "model.py", monkeypatch)
    rng = np.random.default_rng(0)
    x = np.stack(
        [rng.uniform(0.5, 2, 50), np.full(50, 1e5), rng.uniform(1e4, 4e4, 50), np.full(50, 0.8)],
        axis=1,
    )
    for name, time in model.TIMES.items():
        np.testing.assert_allclose(
            model.concentrations(x)[name], slow_elimination(x, time), rtol=2e-3
        )
    wrong = slow_elimination(x * [1.05, 1, 1, 1], 1.0)
    assert not np.allclose(model.concentrations(x)["c1"], wrong, rtol=2e-3)
    everyday = np.array([[1.0, 40.0, 30.0, 0.75]])
    coarse = model.concentrations(everyday)
    monkeypatch.setattr(model, "STEP", 0.025)
    fine = model.concentrations(everyday)
    for name in coarse:
        np.testing.assert_allclose(coarse[name], fine[name], rtol=1e-5)


@pytest.mark.slow
def test_each_code_of_the_branches_is_one_branch(tmp_path: Path) -> None:
    path = EXAMPLES / "branches" / "config.yml"
    own = yaml.safe_load(path.read_text(encoding="utf-8"))["train"]
    quick = {"steps": 400, "hidden": 32, "batch_size": 256, "evaluations": 1}
    out = solve_small(path, tmp_path, FEW | {"simulate": {"n": 4000}, "train": own | quick})
    done = subprocess.run(
        [sys.executable, str(path.with_name("codes.py")), str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    code, speed, angle = np.loadtxt(out / "codes.csv", delimiter=",", skiprows=1).T
    steep = [(angle[code == k] > 45).mean() for k in (0, 1)]
    assert min(steep) < 0.05
    assert max(steep) > 0.95
    for share, line in zip(steep, done.stdout.splitlines(), strict=True):
        assert f"{share:.1%} steep" in line
    landed = speed**2 * np.sin(np.radians(2 * angle)) / 9.81
    assert landed.mean() == pytest.approx(30, abs=1.5)


def test_every_configuration_builds_its_problem() -> None:
    for path in EXAMPLES.glob("*/config.yml"):
        problem = build_problem(load_config(path), path.parent)
        assert problem.question in ("population", "posterior")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rosenbrock", "custom", "branches"])
def test_an_example_is_consistent_at_its_own_settings(name: str, tmp_path: Path) -> None:
    config = EXAMPLES / name / "config.yml"
    done = subprocess.run(
        [*INVGAN, "solve", str(config), "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict: consistent" in done.stdout


@pytest.mark.slow
def test_a_field_is_resolved_by_the_network_of_the_example(tmp_path: Path) -> None:
    train = {"head": "none", "members": 1, "judge": False, "hidden": 16, "batch_size": 16,
             "steps": 6, "evaluations": 1,
             "network": {"kind": "srgan", "coarse": [1, 4, 4], "blocks": 1}}  # fmt: skip
    small = {"simulate": {"n": 400}, "train": train, "sample": {"n": 200}}
    config = EXAMPLES / "superresolution" / "config.yml"
    chosen = load_config(config).train
    assert (chosen.head, chosen.network.kind) == ("none", "srgan")
    out = solve_small(config, tmp_path, small)
    drawn = Samples.load(out / "samples.npz")
    assert drawn.x.shape == (200, 256)
    assert drawn.names[17] == "log k[1,1]"
    outputs = drawn.x.reshape(-1, 4, 4, 4, 4).mean((2, 4)).reshape(-1, 16)
    assert np.abs(outputs - drawn.y).max() < 1
    assert "mean, some, and standard deviation" in (out / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_the_field_script_prints_how_far_both_roads_are_from_the_exact_one(tmp_path: Path) -> None:
    options = ["--n", "20000", "--steps", "4", "--evaluations", "1", "--draws", "4000"]
    _, said = run_script(EXAMPLES / "superresolution" / "solve.py", tmp_path, options)
    figures = [line.split() for line in said.splitlines() if line.startswith("  mean")]
    untrained, regression = ([float(f[k]) for k in (1, 3, 5)] for f in figures)
    assert max(regression[:2]) < 0.05
    assert regression[2] < 0.1
    assert untrained[0] > 0.2
