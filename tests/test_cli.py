"""The command line, over a pipeline that does nothing but what each test asks of it."""

from __future__ import annotations

import errno
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from invgan.cli import main
from invgan.cli.screen import duration, progress
from invgan.config import Settings, load_config, to_yaml
from invgan.errors import CorrectionError, InputError
from invgan.samples import Samples, Simulations
from invgan.validation import Measure, Validation

CONFIG = """\
seed: 5
problem:
  model: model.py:total
  prior: {a: {uniform: [0, 1]}, b: {uniform: [0, 1]}}
  observations: {uniform: [0.5, 1.5]}
simulate: {n: 2000}
"""
MODEL = "def total(x):\n    return x.sum(axis=1)\n"

GOOD = Validation(
    "consistent",
    ("the push-forward agrees with the observations",),
    (
        Measure("KS", "peak", 0.004, 0.01, True),
        Measure("KS", "day", 0.008, 0.01, True),
        Measure("C2ST", None, 0.501, 0.52, True),
    ),
)
BAD = Validation(
    "not consistent",
    ("the draws miss the upper tail of day",),
    (Measure("KS", "day", 0.3, 0.01, False), Measure("KS", "peak", 0.004, 0.5, True)),
)


class FakeRun:
    """A pipeline whose stages record that they were called and do what a test planted."""

    made: ClassVar[list[FakeRun]] = []
    validation: ClassVar[Validation] = GOOD
    failure: ClassVar[BaseException | None] = None
    baseline: ClassVar[bool] = True
    converged: ClassVar[bool] = True

    def __init__(
        self,
        problem: Any,
        settings: Settings,
        out: Path,
        *,
        seed: int = 0,
        device: str = "auto",
        overwrite: bool = False,
        progress: Any = None,
        resolved: Any = None,
        simulations: Any = None,
    ) -> None:
        self.problem, self.settings, self.out = problem, settings, out
        self.seed, self.device, self.overwrite = seed, device, overwrite
        self.progress, self.resolved = progress, resolved
        self.stages: list[str] = []
        FakeRun.made.append(self)

    def _stage(self, name: str) -> None:
        self.stages.append(name)
        shown: AbstractContextManager[Any] = nullcontext(lambda done, total: None)
        with self.progress(name) if self.progress else shown as advance:
            advance(1, 2)
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / "config.yml").write_text("", encoding="utf-8")
            if FakeRun.failure is not None:
                raise FakeRun.failure

    def _samples(self) -> Samples:
        info = {"converged": FakeRun.converged, "message": "walk for longer"}
        return Samples(np.ones((3, 2)), None, np.ones(3), ("a", "b"), ("y",), info)

    def simulate(self) -> Simulations:
        self._stage("simulate")
        x = np.ones((4, 2))
        return Simulations(x, np.ones((4, 1)), ("a", "b"), ("y",), x[:1])

    def train(self) -> None:
        self._stage("train")

    def sample(self) -> Samples:
        self._stage("sample")
        return self._samples()

    def mcmc(self) -> Samples | None:
        self._stage("mcmc")
        return self._samples() if FakeRun.baseline else None

    def validate(self) -> Validation:
        self._stage("validate")
        return FakeRun.validation

    def report(self) -> Path:
        self._stage("report")
        return self.out / "report.html"

    def solve(self) -> Any:
        self._stage("solve")
        return SimpleNamespace(
            validation=FakeRun.validation,
            samples=self._samples(),
            baseline=self._samples(),
            report=self.out / "report.html",
        )


@pytest.fixture(autouse=True)
def pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("invgan.pipeline")
    module.Run = FakeRun  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "invgan.pipeline", module)
    monkeypatch.setattr(FakeRun, "made", [])
    monkeypatch.setattr(FakeRun, "validation", GOOD)
    monkeypatch.setattr(FakeRun, "failure", None)
    monkeypatch.setattr(FakeRun, "baseline", True)
    monkeypatch.setattr(FakeRun, "converged", True)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    path = tmp_path / "config.yml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def invgan(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def solve(config: Path, *more: str) -> Result:
    return invgan("solve", config, "--out", config.parent / "runs", *more)


def failing(monkeypatch: pytest.MonkeyPatch, config: Path, error: BaseException, *more: str) -> Any:
    monkeypatch.setattr(FakeRun, "failure", error)
    return solve(config, "--quiet", *more)


# What a run gets --------------------------------------------------------------------------------


def test_solve_hands_the_configuration_to_the_pipeline(config: Path) -> None:
    result = solve(config)
    assert result.exit_code == 0, result.output
    (run,) = FakeRun.made
    assert run.stages == ["solve"]
    assert run.problem.prior.names == ("a", "b")
    assert run.settings == load_config(config)
    assert (run.seed, run.device, run.overwrite) == (5, "auto", False)
    assert run.out == config.parent / "runs"


def test_the_command_line_goes_before_the_file(config: Path) -> None:
    assert solve(config, "--seed", "7", "--device", "cpu", "--overwrite").exit_code == 0
    (run,) = FakeRun.made
    assert (run.seed, run.device, run.overwrite) == (7, "cpu", True)
    assert (run.resolved["seed"], run.resolved["device"]) == (7, "cpu")
    assert run.settings.simulate.n == 2000


def test_the_resolved_configuration_can_be_solved_from_the_run_folder(config: Path) -> None:
    solve(config)
    (run,) = FakeRun.made
    assert run.resolved["problem"]["model"] == "../model.py:total"
    again = run.out / "config.yml"
    again.write_text(to_yaml(run.resolved), encoding="utf-8")
    assert invgan("simulate", again, "--out", config.parent / "two").exit_code == 0


STAGES = {
    "simulate": "4 simulations, 1 failed",
    "train": "the generator is trained",
    "sample": "3 draws of a, b",
    "mcmc": "3 draws by MCMC",
    "validate": "verdict: consistent",
    "report": "report.html",
}


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_alone(config: Path, stage: str) -> None:
    result = invgan(stage, config, "--out", config.parent / "runs")
    assert result.exit_code == 0, result.output
    assert FakeRun.made[0].stages == [stage]
    assert STAGES[stage] in result.stdout
    assert result.stderr.startswith(f"{stage} ... ")


def test_a_baseline_that_is_off_is_said(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeRun, "baseline", False)
    assert "switched off (mcmc.enabled)" in invgan("mcmc", config, "--out", "runs").stdout


@pytest.mark.parametrize("command", ["solve", "mcmc"])
def test_a_baseline_that_is_not_to_be_trusted_is_said(
    config: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    said = "MCMC: walk for longer"
    out = config.parent / "runs"
    assert said not in invgan(command, config, "--out", out).stdout
    monkeypatch.setattr(FakeRun, "converged", False)
    assert said in invgan(command, config, "--out", out).stdout


# What the user sees -----------------------------------------------------------------------------


def test_the_end_of_a_run_is_its_verdict(config: Path) -> None:
    lines = solve(config).stdout.splitlines()
    assert lines[0] == "verdict: consistent"
    assert lines[1].strip() == "the push-forward agrees with the observations"
    assert lines[2].split() == ["KS", "0.008", "(passed,", "limit", "0.01)", "in", "day"]
    assert lines[3].split() == ["C2ST", "0.501", "(passed,", "limit", "0.52)"]
    assert lines[4] == f"report: {config.parent / 'runs' / 'report.html'}"


@pytest.mark.parametrize("command", ["solve", "validate"])
def test_an_answer_that_is_not_consistent_has_its_own_code(
    config: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(FakeRun, "validation", BAD)
    result = invgan(command, config, "--out", config.parent / "runs")
    assert result.exit_code == 3
    assert "verdict: not consistent\n  the draws miss the upper tail of day" in result.stdout
    assert "0.3 (not passed, limit 0.01) in day" in result.stdout


def test_quiet_says_nothing_but_the_result(config: Path) -> None:
    result = solve(config, "--quiet")
    assert result.stderr == ""
    assert "verdict" in result.stdout
    assert FakeRun.made[0].progress is None


def test_a_terminal_gets_a_bar_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("train") as advance:
        advance(300, 600)
        advance.tell("game 300: critic 1.39, [bold]healthy")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "train" in shown.err
    assert "300/600" in shown.err
    assert "critic 1.39," in "".join(shown.err.split("\n"))


def test_elsewhere_a_line_ends_with_what_was_told_last(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train") as advance:
        advance.tell("game 50: not yet trained")
        advance.tell("game 100: healthy")
    with progress("simulate") as advance:
        advance(1, 2)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("train ... ")
    assert first.endswith(" seconds (game 100: healthy)")
    assert second.endswith(" seconds")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.25, "0.2 seconds"), (70, "70 seconds"), (600, "10 minutes"), (7300, "2 hours")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# What goes wrong --------------------------------------------------------------------------------


def one_sentence(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("invgan: ")
    return line.removeprefix("invgan: ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("simulate: {n", "simulate: {m", "simulate.m is not a setting; known are n, chunk"),
        ("model.py:total", "model.py:totl", "did you mean model.py:total?"),
        ("model.py:total", "lost.py:total", "there is no file"),
        ("[0.5, 1.5]", "[1.5, 0.5]", "problem.observations.uniform must have low < high"),
    ],
)
def test_bad_input_is_one_sentence(config: Path, old: str, new: str, said: str) -> None:
    config.write_text(CONFIG.replace(old, new), encoding="utf-8")
    assert said in one_sentence(solve(config), 2)
    assert not FakeRun.made
    assert not (config.parent / "runs").exists()


def test_no_configuration(tmp_path: Path) -> None:
    said = one_sentence(invgan("solve", tmp_path / "no.yml", "--out", tmp_path / "runs"), 2)
    assert said.startswith("there is no config file")


@pytest.mark.parametrize("words", [["solve"], ["solve", "c.yml"], ["slove", "c.yml"], ["--nope"]])
def test_a_wrong_command_line_is_a_usage_error(words: list[str]) -> None:
    result = invgan(*words)
    assert result.exit_code == 2
    assert "Error: " in result.output
    assert "Traceback" not in result.output


def test_a_device_that_is_none(config: Path) -> None:
    assert one_sentence(solve(config, "--device", "gpu"), 2).startswith("device must be auto")


def test_errors_of_the_pipeline(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = InputError("there are no simulations; run `invgan simulate` first")
    assert one_sentence(failing(monkeypatch, config, missing), 2) == str(missing)
    refused = CorrectionError("the effective share is 0.01")
    assert one_sentence(failing(monkeypatch, config, refused), 3) == str(refused)


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = one_sentence(failing(monkeypatch, config, KeyboardInterrupt()), 130)
    assert said.startswith("stopped; config.yml kept in ")
    assert said.endswith("the same command (without --overwrite) goes on from there")


def test_a_full_disk(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "runs/simulations.npz")
    said = one_sentence(failing(monkeypatch, config, full), 2)
    assert said.startswith("no space left on device (runs/simulations.npz); config.yml kept in ")


def test_a_run_folder_that_cannot_be_one(config: Path) -> None:
    (config.parent / "runs").write_text("a file", encoding="utf-8")
    assert "; nothing is kept in " in one_sentence(solve(config, "--quiet"), 2)


@pytest.mark.parametrize("name", ["MemoryError", "OutOfMemoryError"])
def test_too_little_memory(config: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    error = MemoryError() if name == "MemoryError" else type(name, (RuntimeError,), {})("CUDA")
    said = one_sentence(failing(monkeypatch, config, error), 2)
    assert said.startswith("out of memory: ask for less (simulate.n, ")
    assert "config.yml kept in " in said


def test_a_bug_is_not_dressed_up(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing(monkeypatch, config, RuntimeError("a bug"))
    assert result.exit_code == 1
    assert isinstance(result.exception, RuntimeError)


def test_a_closed_pipe_is_no_full_disk(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = failing(monkeypatch, config, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert result.exit_code == 1
    assert result.stderr == ""


def test_debug_shows_where_an_error_came_from(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = failing(monkeypatch, config, InputError("wrong"), "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("invgan: wrong\n")


def test_a_failed_stage_ends_its_line(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeRun, "failure", InputError("wrong"))
    assert solve(config).stderr == "solve ... stopped\ninvgan: wrong\n"


# The rest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["solve", "train"])
def test_a_rehearsal_writes_nothing(config: Path, command: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in config.parent.iterdir()}
    result = invgan(command, config, "--out", config.parent / "runs", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "parameters  a, b" in result.stdout
    assert "output      y: 0." in result.stdout
    assert "simulate    2000 runs of the model" in result.stdout
    assert "20000 draws, corrected: 30000 runs of the model, 100000 at most" in result.stdout
    assert f"`{command}` would write to " in result.stdout
    assert not FakeRun.made
    after = {path: path.stat().st_mtime_ns for path in config.parent.iterdir()}
    assert after == before


def test_a_rehearsal_counts_the_rows_of_a_table(config: Path) -> None:
    x = np.random.default_rng(0).random((300, 2))
    rows = "".join(f"{a!r},{b!r},{a + b!r}\n" for a, b in x.tolist())
    (config.parent / "made.csv").write_text("a,b,y\n" + rows, encoding="utf-8")
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("problem:\n", "problem:\n  table: made.csv\n"), encoding="utf-8")
    said = solve(config, "--dry-run").stdout
    assert "simulate    none, 300 rows of made.csv are there" in said


def test_a_rehearsal_finds_a_model_that_fails(config: Path) -> None:
    (config.parent / "model.py").write_text("def total(x):\n    return x\n", encoding="utf-8")
    said = one_sentence(solve(config, "--dry-run"), 2)
    assert said.startswith("the model turned (20, 2) parameters into outputs of shape (20, 2)")
    text = "def total(x):\n    y = x.sum(axis=1)\n    y[:5] = float('nan')\n    return y\n"
    (config.parent / "model.py").write_text(text, encoding="utf-8")
    assert "failures    5 of 20 runs" in solve(config, "--dry-run").stdout


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"embedding": {"kind": "conv1d", "shape": [1, 3]}}, "shape [1, 3] has 3 entries"),
        ({"network": {"kind": "srgan"}}, "a srgan needs to know what field"),
        ({"network": {"kind": "conv1d", "channels": 3}}, "channels"),
    ],
)
def test_a_rehearsal_finds_a_training_that_does_not_fit(
    config: Path, train: dict[str, Any], said: str
) -> None:
    """Before a model that may be dear has run a hundred thousand times."""
    data = yaml.safe_load(config.read_text(encoding="utf-8")) | {"train": train}
    config.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert said in one_sentence(solve(config, "--dry-run"), 2)


def test_a_rehearsal_finds_too_few_simulations_to_train_on(config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("n: 2000", "n: 50"), encoding="utf-8")
    assert "50 simulations are too few to train on" in one_sentence(solve(config, "--dry-run"), 2)
    simulated = invgan("simulate", config, "--out", config.parent / "runs", "--dry-run")
    assert simulated.exit_code == 0


def test_a_rehearsal_finds_a_file_in_the_place_of_the_folder(config: Path) -> None:
    said = one_sentence(invgan("solve", config, "--out", config, "--dry-run"), 2)
    assert "is a file; name a folder (--out) for the run" in said


def test_a_rehearsal_promises_no_stage_that_would_not_run(tmp_path: Path) -> None:
    example = Path(__file__).parents[1] / "examples" / "superresolution" / "config.yml"
    result = invgan("solve", example, "--out", tmp_path / "run", "--dry-run")
    assert result.exit_code == 0, result.output
    said = result.stdout
    assert "log k[0,15], ... (256)" in said
    assert "5000 draws, not corrected" in said
    assert "mcmc        no\n" in said


def test_init_writes_a_problem_that_can_be_solved(tmp_path: Path) -> None:
    result = invgan("init", tmp_path / "mine")
    assert result.exit_code == 0
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == ["config.yml", "model.py"]
    assert f"next: invgan solve {tmp_path / 'mine' / 'config.yml'}" in result.stdout
    rehearsal = solve(tmp_path / "mine" / "config.yml", "--dry-run")
    assert rehearsal.exit_code == 0, rehearsal.output
    assert "parameters  speed, angle" in rehearsal.stdout


@pytest.mark.parametrize("name", ["config.yml", "model.py"])
def test_init_overwrites_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    assert f"{name} is there already" in one_sentence(invgan("init", tmp_path), 2)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "mine")]


def test_the_observations_of_the_starter_are_within_its_prior(tmp_path: Path) -> None:
    from invgan.config import build_problem
    from invgan.simulation import simulate

    invgan("init", tmp_path)
    problem = build_problem(load_config(tmp_path / "config.yml"), tmp_path)
    y = simulate(problem, 2000, seed=0).y[:, 0]
    seen = problem.observations.sample(2000, np.random.default_rng(0))
    share = np.mean((y > seen.min()) & (y < seen.max()))
    assert share > 0.2
    assert y.min() < seen.min() < seen.max() < y.max()


def test_the_gallery_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = ModuleType("invgan.gallery")
    gallery.PROBLEMS = {"a": None, "longer": None}  # type: ignore[attr-defined]
    gallery.get = lambda name: SimpleNamespace(title=f"about {name}")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "invgan.gallery", gallery)
    lines = invgan("gallery").stdout.splitlines()
    assert lines == ["gallery:a       about a", "gallery:longer  about longer"]


def test_commands_stand_in_the_order_of_the_work() -> None:
    commands = list(main.commands)
    assert commands == [
        *("solve", "simulate", "train", "sample", "mcmc", "validate", "report"),
        *("sweep", "init", "gallery"),
    ]
    listed = [
        line.split()[0] for line in invgan("--help").stdout.split("Commands:")[1].split("\n  ")[1:]
    ]
    assert listed == commands


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from invgan.cli import main\n"
        "for words in (['--help'], ['--version'], ['solve', '--help'], ['sweep', '--help']):\n"
        "    main(words, standalone_mode=False)\n"
        "heavy = {'torch', 'scipy', 'numpy', 'pydantic', 'rich', 'matplotlib', 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout
    assert "version 0." in done.stdout
