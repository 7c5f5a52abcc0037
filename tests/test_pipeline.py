"""The whole run: its folder, resumption, refusals, and both questions."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from conftest import SMALL, add
from filelock import FileLock
from scipy import stats

import invgan as ig
from invgan.cli import main
from invgan.errors import InputError, ModelError, OutsideError
from invgan.execution import Execution
from invgan.fingerprints import fingerprints
from invgan.pipeline import Run
from invgan.settings import McmcConfig, SampleConfig, SimulateConfig
from invgan.stages import Work

pytestmark = pytest.mark.usefixtures("road_alone")

FILES = {
    "config.yml", "simulations", "simulations.json", "inverse.json", "inverse.safetensors",
    "history.jsonl", "samples.npz", "samples-raw.npz", "samples-mcmc.npz", "validation.json",
    "results.json",
    "report.html", "figures",
}  # fmt: skip


def settings(**train: Any) -> ig.Settings:
    return ig.Settings(
        simulate=SimulateConfig(n=2000),
        train=ig.TrainConfig(**{**SMALL.model_dump(), **train}),
        sample=SampleConfig(n=1000),
        mcmc=McmcConfig(walkers=16, steps=150),
    )


class Counted:
    """A model that counts the rows it was given, and can be made to fail."""

    def __init__(self) -> None:
        self.rows = 0
        self.broken: type[BaseException] | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.broken is not None:
            raise self.broken("on purpose")
        self.rows += len(x)
        return add(x)


def make_problem(model: Any) -> ig.Problem:
    return ig.Problem(model, ig.Prior(x1=stats.norm(), x2=stats.norm()), stats.norm(1, 0.5))


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def problem(counted: Counted) -> ig.Problem:
    return make_problem(counted)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ig.Solution, int]:
    """One run from beginning to end: its folder, what it found, and the rows of model runs."""
    model = Counted()
    out = tmp_path_factory.mktemp("whole") / "deep" / "run"
    solution = ig.solve(make_problem(model), out, settings=settings(), seed=1, device="cpu")
    return out, solution, model.rows


@pytest.fixture
def folder(whole: tuple[Path, ig.Solution, int], tmp_path: Path) -> Path:
    """A copy of the finished run's folder."""
    return Path(shutil.copytree(whole[0], tmp_path / "copy"))


TWICE = 6
"""Rows that are run to see whether the model is deterministic, as it is said to be."""


def run(problem: ig.Problem, out: Path | None, **more: Any) -> Run:
    chosen = more.pop("settings", settings())
    return Run(problem, chosen, out, seed=1, device="cpu", **more)


def stopping(title: str, after: int) -> Any:
    """A progress that presses Ctrl-C in a stage."""

    def advance(done: int, total: int) -> None:
        if done > after:
            raise KeyboardInterrupt

    def shown(stage: str) -> Any:
        return nullcontext(advance if stage == title else lambda done, total: None)

    return shown


def test_a_run_leaves_everything_in_its_folder(whole: tuple[Path, ig.Solution, int]) -> None:
    out, solution, rows = whole
    assert {path.name for path in out.iterdir()} == FILES
    assert solution.report == out / "report.html"
    assert len(solution.samples) == 1000
    assert np.allclose(solution.samples.y, add(solution.samples.x))
    assert solution.baseline is not None
    results = json.loads((out / "results.json").read_text())
    assert results["verdict"] == solution.validation.verdict
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert history == solution.inverse.history
    assert rows == TWICE + 2000 + 1500 + solution.baseline.info["model_evaluations"]
    assert results["key"]["model_evaluations"] == rows


def test_a_finished_run_is_taken_up_without_a_single_model_run(
    whole: tuple[Path, ig.Solution, int], folder: Path, problem: ig.Problem, counted: Counted
) -> None:
    again = run(problem, folder).solve()
    assert counted.rows == 0
    assert np.array_equal(whole[1].samples.x, again.samples.x)
    assert again.validation.verdict == whole[1].validation.verdict
    assert again.comparison == whole[1].comparison


def test_without_a_folder_nothing_is_written_and_the_answer_is_the_same(
    whole: tuple[Path, ig.Solution, int],
    problem: ig.Problem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    solution = run(problem, None).solve()
    assert solution.report is None
    assert not list(tmp_path.iterdir())
    assert np.array_equal(solution.samples.x, whole[1].samples.x)


LATER = {
    "simulate": ["inverse.json", "samples.npz", "samples-mcmc.npz", "validation.json"],
    "train": ["samples.npz", "samples-mcmc.npz", "validation.json"],
    "mcmc": ["validation.json"],
}


@pytest.mark.parametrize("after", LATER)
def test_a_run_stopped_after_any_stage_goes_on_from_there(
    after: str,
    whole: tuple[Path, ig.Solution, int],
    folder: Path,
    problem: ig.Problem,
    counted: Counted,
) -> None:
    for name in LATER[after]:
        (folder / name).unlink()
    resumed = run(problem, folder).solve()
    assert np.array_equal(resumed.samples.x, whole[1].samples.x)
    done = {"simulate": TWICE + 2000, "train": TWICE + 2000, "mcmc": whole[2]}[after]
    assert counted.rows == whole[2] - done


def test_ctrl_c_among_the_runs_of_the_draws_loses_none_of_them(
    whole: tuple[Path, ig.Solution, int], folder: Path, problem: ig.Problem, counted: Counted
) -> None:
    for name in LATER["train"]:
        (folder / name).unlink()
    piecewise = problem.on(Execution(chunk=100))
    with pytest.raises(KeyboardInterrupt):
        run(piecewise, folder, progress=stopping("sample", 700)).sample()
    assert counted.rows == 800
    found = run(piecewise, folder).sample()
    assert counted.rows == 1500
    assert np.array_equal(found.x, whole[1].samples.x)
    assert np.array_equal(found.y, whole[1].samples.y)
    assert not (folder / "draws").exists()


@pytest.mark.slow
def test_a_stage_that_is_made_anew_and_stopped_can_be_taken_up(
    folder: Path, problem: ig.Problem, counted: Counted
) -> None:
    """What rested on the old one is gone before the new one is begun."""
    longer = settings().model_copy(update={"simulate": SimulateConfig(n=2500)})
    broken = run(problem, folder, settings=longer, overwrite=True)
    counted.broken = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        broken.simulate()
    counted.broken = None
    assert not {name for names in LATER.values() for name in names} & {
        path.name for path in folder.iterdir()
    }
    assert run(problem, folder, settings=longer).solve().validation.verdict


def test_a_model_that_is_changed_in_between_is_another_and_one_that_counts_is_not(
    tmp_path: Path,
) -> None:
    """As in a notebook, where a constant is changed and the function is not defined anew."""
    counted = Counted()
    problem = make_problem(counted)
    assert run(problem, tmp_path).simulate().info["new_evaluations"] == 2000
    assert counted.rows > 0
    assert run(problem, tmp_path).simulate().info["new_evaluations"] == 0
    counted.broken = RuntimeError
    with pytest.raises(InputError, match="another model"):
        run(problem, tmp_path).simulate()


def test_a_baseline_that_is_switched_off_is_not_looked_for(
    folder: Path, problem: ig.Problem
) -> None:
    """The verdict rested on it, and is all that is made anew."""
    off = settings().model_copy(update={"mcmc": McmcConfig(enabled=False)})
    with pytest.raises(InputError, match=r"validation.json.*`invgan validate` with --overwrite"):
        run(problem, folder, settings=off).solve()
    run(problem, folder, settings=off, overwrite=True).validate()
    assert run(problem, folder, settings=off).solve().baseline is None


def test_a_store_that_another_process_writes_is_not_removed(
    folder: Path, problem: ig.Problem
) -> None:
    busy = pytest.raises(InputError, match="another process is writing")
    with FileLock(folder / "simulations" / ".lock"), busy:
        run(problem, folder, overwrite=True).simulate()
    assert run(problem, folder).simulate().info["new_evaluations"] == 0


def test_a_model_may_change_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()

    def moves(x: np.ndarray) -> np.ndarray:
        os.chdir(tmp_path / "elsewhere")
        return add(x)

    monkeypatch.chdir(tmp_path)
    run(make_problem(moves), Path("run")).simulate()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "run"]
    assert (tmp_path / "run" / "simulations").is_dir()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_ctrl_c_in_mid_training_keeps_what_is_done(
    whole: tuple[Path, ig.Solution, int], problem: ig.Problem, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(problem, tmp_path / "part", progress=stopping("train", 150)).solve()
    left = {path.name for path in (tmp_path / "part").iterdir()}
    assert {"simulations", "checkpoint-0-linear-1.safetensors"} <= left
    resumed = run(problem, tmp_path / "part")
    resumed.train()
    assert np.array_equal(resumed.sample().x, whole[1].samples.x)
    assert not list((tmp_path / "part").glob("checkpoint*"))


def test_a_folder_of_another_run_is_refused_and_kept(problem: ig.Problem, tmp_path: Path) -> None:
    before = run(problem, tmp_path).simulate().y
    other = ig.Problem(lambda x: 2 * add(x), problem.prior, stats.norm(1, 0.4))
    with pytest.raises(InputError, match="simulations of another model"):
        run(other, tmp_path).solve()
    assert np.array_equal(run(problem, tmp_path).simulate().y, before)
    assert not np.array_equal(run(other, tmp_path, overwrite=True).simulate().y, before)


def test_a_folder_keeps_the_configuration_that_its_results_were_made_with(
    folder: Path, problem: ig.Problem, counted: Counted
) -> None:
    def config() -> dict[str, Any]:
        return yaml.safe_load((folder / "config.yml").read_text(encoding="utf-8"))

    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    longer = ig.Settings(**{**dict(settings()), "mcmc": McmcConfig(walkers=16, steps=160)})
    told = r"samples-mcmc.npz was made .* \(mcmc.steps: 150 there, 160 now\): .*`invgan mcmc` with"
    with pytest.raises(InputError, match=told):
        run(problem, folder, settings=longer).solve()
    assert counted.rows == 0
    assert all((folder / name).read_bytes() == content for name, content in before.items())

    run(problem, folder, settings=longer, overwrite=True).mcmc()
    assert config()["mcmc"]["steps"] == 160
    assert not (folder / "validation.json").exists()
    rows = counted.rows
    solved = run(problem, folder, settings=longer).solve()
    assert counted.rows == rows
    assert solved.baseline is not None
    assert (folder / "inverse.json").read_bytes() == before["inverse.json"]


def test_a_model_with_hidden_noise_is_not_simulated(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    prior = ig.Prior(x1=stats.norm(), x2=stats.norm())
    hidden = ig.Problem(lambda x: add(x) + rng.normal(size=(len(x), 1)), prior, stats.norm())
    told = r"the model gave y = .* and then .*set stochastic=True"
    for out in (None, tmp_path / "out"):
        with pytest.raises(InputError, match=told):
            run(hidden, out).simulate()
    assert not (tmp_path / "out" / "simulations").exists()


def test_a_device_that_is_not_there_is_refused_before_the_model_runs(
    problem: ig.Problem, counted: Counted
) -> None:
    with pytest.raises(InputError, match="device 'cuda:99'"):
        Run(problem, settings(), None, device="cuda:99").solve()
    assert counted.rows == 0


def test_other_observations_share_the_simulations_and_nothing_else(
    folder: Path, problem: ig.Problem, counted: Counted
) -> None:
    other = ig.Problem(counted, problem.prior, stats.norm(1, 0.4))
    run(other, folder).simulate()
    assert counted.rows == 0
    with pytest.raises(InputError, match=r"another problem, seed or setting.*--overwrite"):
        run(other, folder).train()


def test_more_simulations_are_added_to_those_that_are_there(
    problem: ig.Problem, counted: Counted, tmp_path: Path
) -> None:
    def simulated(n: int) -> ig.Simulations:
        chosen = {**dict(settings()), "simulate": SimulateConfig(n=n, chunk=1000)}
        return run(problem, tmp_path, settings=ig.Settings(**chosen)).simulate()

    few, many = simulated(4000), simulated(5000)
    assert counted.rows == TWICE + 5000
    assert np.array_equal(many.x[:4000], few.x)
    assert many.info["seconds"] >= few.info["seconds"]


def test_a_later_setting_leaves_the_earlier_stages_standing(
    folder: Path, problem: ig.Problem, counted: Counted
) -> None:
    changed = settings(gamma=0.2)
    with pytest.raises(InputError, match=r"inverse\.json"):
        run(problem, folder, settings=changed).solve()
    run(problem, folder, settings=changed, overwrite=True).train()
    assert counted.rows == 0


def test_a_stage_alone_names_the_one_that_is_missing(problem: ig.Problem, tmp_path: Path) -> None:
    for stage, missing in (
        ("train", "simulate"),
        ("sample", "train"),
        ("mcmc", "simulate"),
        ("validate", "simulate"),
        ("report", "simulate"),
    ):
        with pytest.raises(InputError, match=f"invgan {missing}"):
            getattr(run(problem, tmp_path), stage)()


def test_a_failed_generator_is_not_papered_over(tmp_path: Path) -> None:
    """Untrained, the draws do not follow the observations: refused, said, and not consistent."""
    prior = ig.Prior(x1=stats.norm(), x2=stats.norm())
    problem = ig.Problem(add, prior, stats.norm(2.5, 0.02))
    untrained = ig.Settings(
        **{**dict(settings(head="none", steps=0)), "mcmc": McmcConfig(enabled=False)}
    )
    solution = run(problem, tmp_path, settings=untrained).solve()
    assert solution.validation.verdict == "not consistent"
    assert any("10 % are needed" in reason for reason in solution.validation.reasons)
    assert solution.baseline is None
    assert "not consistent" in (tmp_path / "report.html").read_text().lower()


@pytest.mark.slow
def test_a_game_that_failed_is_named_in_the_verdict(problem: ig.Problem, tmp_path: Path) -> None:
    """The critic wins against a generator that hardly learns; a head would have been kept."""
    lost = {"steps": 100, "head_steps": 100, "evaluations": 4, "restarts": 0, "critic_steps": 3,
            "generator_rate": 2e-6, "gamma": 0.001, "loss": "nonsaturating"}  # fmt: skip
    said = {}
    for head in ("none", "linear"):
        small = {"mcmc": McmcConfig(enabled=False), "sample": SampleConfig(n=500)}
        chosen = ig.Settings(**{**dict(settings(head=head, **lost)), **small})
        solution = run(problem, tmp_path / head, settings=chosen).solve()
        said[head] = [r for r in solution.validation.reasons if "the history of the game" in r]
    assert solution.inverse.info["kept_step"] == 0
    assert said["linear"] == []
    (reason,) = said["none"]
    assert "convergence failure, critic wins" in reason
    page = (tmp_path / "none" / "report.html").read_text(encoding="utf-8")
    assert "the history of the game that the generator was kept from says" in page


def test_too_few_simulations_are_refused_before_the_model_runs(
    problem: ig.Problem, counted: Counted, tmp_path: Path
) -> None:
    few = settings().model_copy(update={"simulate": SimulateConfig(n=60)})
    with pytest.raises(InputError, match="60 simulations are too few to train on; use 100"):
        run(problem, tmp_path, settings=few).solve()
    assert counted.rows == 0
    assert len(run(problem, tmp_path, settings=few).simulate()) == 60
    with pytest.raises(InputError, match="too few to train on"):
        run(problem, tmp_path, settings=few).train()


def test_too_few_walkers_are_refused_before_the_model_runs(
    problem: ig.Problem, tmp_path: Path
) -> None:
    chosen = ig.Settings(mcmc=McmcConfig(walkers=4))
    with pytest.raises(ig.InputError, match=r"6 or more; got 4: set walkers=6 \(mcmc.walkers\)"):
        run(problem, tmp_path, settings=chosen)
    assert not any(tmp_path.iterdir())


def test_unexplained_observations_are_refused_before_training(tmp_path: Path) -> None:
    prior = ig.Prior(x1=stats.uniform(0, 1), x2=stats.uniform(0, 1))
    problem = ig.Problem(add, prior, stats.norm(5, 0.5))
    with pytest.raises(OutsideError, match="outside the simulated outputs in column 'y'"):
        run(problem, tmp_path).solve()
    assert {p.name for p in tmp_path.iterdir()} == {
        "config.yml",
        "simulations",
        "simulations.json",
    }


def test_the_posterior_question_has_no_baseline_and_no_correction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invgan.gan.inverse._AT_ONCE", 1000)
    prior = ig.Prior(x1=stats.norm(), x2=stats.norm())
    problem = ig.Problem(add, prior, [1.0], question="posterior")
    told: dict[str, list[str]] = {}
    solution = run(problem, tmp_path, progress=lambda title: listening(title, told)).solve()
    assert solution.baseline is None
    assert any(re.fullmatch(r"1,000 of [\d,]+ draws", words) for words in told["validate"])
    assert told["validate"][-1] == ""
    assert solution.samples.x[:, 0].mean() == pytest.approx(0.5, abs=0.15)
    assert solution.samples.x.sum(axis=1).mean() == pytest.approx(1, abs=0.15)
    assert (tmp_path / "report.html").is_file()


@contextmanager
def listening(title: str, told: dict[str, list[str]]) -> Iterator[Any]:
    """A bar that keeps the words that it is told."""

    def advance(done: int, total: int) -> None:
        assert 0 <= done <= total

    advance.tell = told.setdefault(title, []).append
    yield advance


CONFIG = """
seed: 1
device: cpu
problem:
  model: model.py:f
  prior: {x1: {normal: [0, 1]}, x2: {normal: [0, 1]}}
  observations: OBSERVED
simulate: {n: 2000}
train: {head: linear, head_steps: 100, steps: 30, hidden: 32, layers: 2, evaluations: 3,
        batch_size: 256}
sample: {n: 1000}
mcmc: {walkers: 16, steps: 100}
"""
LAW = "{normal: {mean: 1, sd: 0.5}}"


def solve_by_command(folder: Path, model: str, observed: str = LAW, *more: str) -> Any:
    (folder / "model.py").write_text(f"import numpy as np\n\n\n{model}\n")
    (folder / "config.yml").write_text(CONFIG.replace("OBSERVED", observed))
    command = ["solve", str(folder / "config.yml"), "--out", str(folder / "out"), "--quiet", *more]
    return CliRunner().invoke(main, command)


def test_the_command_solves_and_its_folder_can_be_solved_again(tmp_path: Path) -> None:
    good = "def f(x):\n    return x.sum(axis=1)"
    first = solve_by_command(tmp_path, good)
    assert first.exit_code in (0, 3), first.output
    assert "verdict" in first.output
    again = CliRunner().invoke(
        main, ["solve", str(tmp_path / "out/config.yml"), "--out", str(tmp_path / "two")]
    )
    assert again.exit_code == first.exit_code, again.output
    assert re.search(r"train \.\.\. .*seconds \(game \d+: critic .*, generator .*\)", again.stderr)
    results = [json.loads((tmp_path / d / "results.json").read_text()) for d in ("out", "two")]
    assert results[0]["quantiles"] == results[1]["quantiles"]


@pytest.mark.parametrize(
    ("model", "observed", "sentence"),
    [
        ("def f(x):\n    raise ValueError('no such drug')", LAW, "the model raised ValueError"),
        ("def f(x):\n    return x[:, 0][:5]", LAW, "expected (6, 1)"),
        ("def f(x):\n    return x[:, 0] * np.nan", LAW, "none of the 2000 simulations was finite"),
        ("def f(x):\n    return np.where(x[:, 0] > 0, np.nan, 1)", LAW, "allow more with"),
        ("def f(x):\n    return x[:, 0]", "{normal: {mean: 100, sd: 1}}", "outside the simulated"),
        ("def g(x):\n    return x[:, 0]", LAW, "'f'"),
        ("def f(x):\n    return x[:, 0", LAW, "model.py"),
        ("def f(x):\n    return x[:, 0]", "[1.0]", "one observed row is no population"),
    ],
)
def test_what_bad_input_gets_is_one_sentence_and_exit_code_two(
    model: str, observed: str, sentence: str, tmp_path: Path
) -> None:
    found = solve_by_command(tmp_path, model, observed)
    assert found.exit_code == 2, found.output
    assert sentence in found.output
    assert "Traceback" not in found.output


def test_a_model_that_raises_is_a_model_error(problem: ig.Problem, counted: Counted) -> None:
    counted.broken = ZeroDivisionError
    with pytest.raises(ModelError, match="ZeroDivisionError: on purpose"):
        run(problem, None).solve()


def test_a_model_with_noise_is_iterated_and_taken_up_again(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(0.5, 1.0, (200, 1))
    noisy = ig.Problem(add, ig.Prior(x1=stats.norm(), x2=stats.norm()), rows,
                       noise={"normal": 0.5})  # fmt: skip
    chosen = settings(head="gaussian", head_steps=200, members=1, judge=False)
    first = ig.solve(noisy, tmp_path, settings=chosen)
    assert first.samples.info["method"] == "cgan-iterated"
    assert first.samples.info["rounds"][0]["round"] == 0
    assert first.baseline is None
    again = ig.solve(noisy, tmp_path, settings=chosen)
    assert np.array_equal(again.samples.x, first.samples.x)


@pytest.mark.slow
def test_rounds_of_simulation_are_taken_up_again(tmp_path: Path) -> None:
    narrow = ig.Problem(lambda x: x, ig.Prior(x1=stats.norm(), x2=stats.norm()),
                        np.array([[0.5, -0.5]]), noise={"normal": 0.05},
                        question="posterior")  # fmt: skip
    plain = settings(head="linear", head_steps=40, steps=0, members=1, likelihood=True)
    simulating = SimulateConfig(n=2000, rounds=2)
    chosen = ig.Settings(**{**dict(plain), "simulate": simulating})
    first = ig.solve(narrow, tmp_path, settings=chosen)
    assert [row["round"] for row in first.simulations.info["rounds"]] == [1, 2]
    assert first.simulations.info["rounds"][1]["prior_mass"] < 0.7
    assert first.baseline is not None
    assert "gain" in first.inverse.info["likelihood"]
    again = ig.solve(narrow, tmp_path, settings=chosen)
    assert np.array_equal(again.samples.x, first.samples.x)


def test_the_regularised_generator_answers_by_the_same_road(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Work.regularised.fget
    brief = property(lambda work: replace(usual(work), surrogate_steps=300))
    monkeypatch.setattr(Work, "regularised", brief)
    problem = ig.Problem(add, ig.Prior(x1=stats.norm(), x2=stats.norm()), stats.norm(0.5, 0.8))
    chosen = settings(method="rgan")
    first = ig.solve(problem, tmp_path, settings=chosen)
    assert first.raw.info["method"] == "rgan"
    again = ig.solve(problem, tmp_path, settings=chosen)
    assert np.array_equal(again.samples.x, first.samples.x)


def test_the_regularised_generator_knows_whether_its_draws_will_be_corrected() -> None:
    """What holds it to the prior costs outputs that only a correction mends."""
    problem = ig.Problem(add, ig.Prior(x1=stats.norm(), x2=stats.norm()), stats.norm(0.5, 0.8))
    quick = settings(method="rgan", steps=2)
    left = ig.Settings(**{**dict(quick), "sample": SampleConfig(n=100, correct=False)})
    noisy = ig.Problem(
        add, problem.prior, stats.norm(0.5, 0.8), noise={"normal": 0.1}, question="population"
    )
    assert fingerprints(problem, quick, 1)["train"] != fingerprints(problem, left, 1)["train"]
    configs = [
        Work(posed, chosen, "cpu", None).regularised
        for posed, chosen in ((problem, quick), (problem, left), (noisy, quick))
    ]
    assert [round(c.weight, 6) for c in configs] == [10.0, 0.3, 0.3]
    assert [round(c.last_weight, 6) for c in configs] == [0.1, 0.003, 0.003]


def test_how_many_simulations_to_make_is_no_part_of_a_table(
    sum_problem: ig.Problem, sum_simulations: ig.Simulations
) -> None:
    """A finished run on a table was refused for a number that nothing had come of."""
    more = ig.Settings(simulate=SimulateConfig(n=5000))
    less = ig.Settings(simulate=SimulateConfig(n=700))
    made = [fingerprints(sum_problem, chosen, 1, sum_simulations) for chosen in (more, less)]
    assert made[0] == made[1]
    assert fingerprints(sum_problem, more, 1) != fingerprints(sum_problem, less, 1)


def test_another_density_of_the_same_draws_is_another_prior() -> None:
    class Square:
        names, support = ("x1", "x2"), ig.Box(np.zeros(2), np.ones(2))

        def __init__(self, level: float) -> None:
            self.level = level

        def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
            return rng.random((n, 2))

        def log_prob(self, x: np.ndarray) -> np.ndarray:
            return self.level * x[:, 0]

    first, again, other = (
        fingerprints(ig.Problem(add, Square(level), stats.norm(1, 0.2)), settings(), 1)
        for level in (0, 0, 1)
    )
    assert first == again
    assert first["mcmc"] != other["mcmc"]


def test_a_table_of_which_one_row_changed_is_another_problem() -> None:
    """Once only 64 of the rows were looked at, and the old answer came back for the new table."""
    prior = ig.Prior(x1=stats.norm(), x2=stats.norm())
    rows = np.random.default_rng(1).normal(1, 0.5, (500, 1))

    def known(seen: np.ndarray) -> dict[str, str]:
        return fingerprints(ig.Problem(add, prior, seen), settings(), 1)

    for changed in (3, 256, 499):
        other = rows.copy()
        other[changed] += 0.1
        assert not set(known(rows).values()) & set(known(other).values())
    assert known(rows) == known(rows.copy())
