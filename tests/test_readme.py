"""What README and documentation say is run: their Python, their YAML, their links and numbers.

The Python blocks run word for word. Only the default settings, which they leave alone, are
replaced by smaller ones, since the real ones train for two minutes.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from invgan.config import Config, Settings, load_config
from invgan.settings import McmcConfig, SampleConfig, SimulateConfig, TrainConfig

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
SMALL = TrainConfig(head_steps=60, steps=40, evaluations=1, hidden=32)


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def small_settings(**given: Any) -> Settings:
    usual = {
        "simulate": SimulateConfig(n=4000),
        "train": SMALL,
        "sample": SampleConfig(n=1000),
        "mcmc": McmcConfig(walkers=16, steps=60),
    }
    return Settings(**usual | given)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Smaller defaults, one core, and an empty folder to run in."""
    monkeypatch.setattr("invgan.pipeline.Settings", small_settings)
    monkeypatch.setattr("invgan.config.Settings", small_settings)
    monkeypatch.setattr("invgan.gan.training.TrainConfig", lambda: SMALL)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("small")
def test_the_python_of_the_readme_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("README.md", "python")
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    solution = names["solution"]
    assert solution.samples.x.shape == (1000, 2)
    assert solution.samples.y.shape == (1000, 1)
    assert capsys.readouterr().out.startswith(solution.validation.verdict)
    assert (tmp_path / "runs" / "readme" / "report.html").is_file()


@pytest.mark.usefixtures("small")
def test_the_python_of_the_tutorial_runs(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    for block in blocks("docs/tutorial.md", "python"):
        exec(compile(block, "docs/tutorial.md", "exec"), names)
    assert (tmp_path / "runs" / "throws" / "report.html").is_file()
    assert len(names["answer"]) == 2000
    assert names["again"].names == ("speed", "angle")
    assert names["posterior"].problem.question == "posterior"
    assert names["posterior"].baseline is None
    assert names["inverse"].knows(names["others"]).all()


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_the_configurations_load(page: str, tmp_path: Path) -> None:
    found = blocks(page, "yaml")
    assert found
    for block in found:
        (tmp_path / "config.yml").write_text(block, encoding="utf-8")
        config = load_config(tmp_path / "config.yml")
        assert isinstance(config, Config)


def test_the_two_ways_of_the_readme_ask_the_same(tmp_path: Path) -> None:
    (block,) = blocks("README.md", "yaml")
    (tmp_path / "config.yml").write_text(block, encoding="utf-8")
    example = load_config(ROOT / "examples" / "rosenbrock" / "config.yml")
    assert load_config(tmp_path / "config.yml").problem == example.problem


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file) if file else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """The names by which the headings of a page are linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_every_sentence_of_the_tutorial_is_one_that_invgan_says() -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8").partition("# What the")[2]
    quoted = re.findall(r"^\| `(.+?)` \|", text.partition("And in the reasons")[0], re.MULTILINE)
    assert len(quoted) > 10
    said = spoken()
    for sentence in quoted:
        # What stands between numbers, names in quotes, brackets and dots is the code's own text.
        pieces = re.split(
            r"\d[\d.]*%?|'\w+'|[(){};…]|ZeroDivisionError|a setting|train\.\w+", sentence
        )
        longest = max(pieces, key=len).strip()
        assert len(longest) >= 12, sentence
        assert longest in said, sentence


def spoken() -> str:
    """All text in the code, parts of one string joined."""
    found = []
    for file in (ROOT / "invgan").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_the_numbers_of_the_method_are_the_defaults() -> None:
    from invgan import checks, correction, predictability

    text = " ".join((ROOT / "docs" / "method.md").read_text(encoding="utf-8").split())
    train = TrainConfig()
    for sentence in (
        f" = {train.gamma}`.",
        f"{train.learning_rate} along a cosine",
        f"running average ({train.averaging})",
        f"s(k) = {train.smoothing} * 0.05^min(1, k / (0.8 S))",
        "after five of twelve evaluations without improvement",
        f"Below {correction._SMALLEST_SHARE} the generator has failed",
        f"for each output | {checks._KS} |",
        f"in sd of the observed, for each output | {checks._WASSERSTEIN} |",
        f"(Székely and Rizzo 2013) | {checks._ENERGY} |",
        f"0.5 is guessing | {checks._C2ST} |",
        f"pairs (drawn `x`, `y`) against the held-out pairs | {checks._PAIRS} |",
        f"| {checks._KL} nats and a tenth of the outputs' |",
        f"90 % of the draws come within {checks._RESIDUAL} of it",
        f"beyond all simulated values of a column | {predictability._LARGEST_SHARE:.0%} |".replace(
            "%", " %"
        ),
    ):
        assert sentence in text, sentence
    assert (train.patience, train.evaluations, train.focus) == (5, 12, 0.25)
