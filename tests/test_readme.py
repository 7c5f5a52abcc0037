"""What README and documentation say is run: their Python, their YAML, their links and numbers.

The Python blocks run word for word. Only the default settings, which they leave alone, are
replaced by smaller ones, since the real ones train for minutes. The blocks of the tutorial's "Going
further" run among the slow tests; that they call what there is, as it is, is always checked.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import invgan as ig
from invgan.config import Config, Settings, load_config
from invgan.settings import McmcConfig, SampleConfig, SimulateConfig, TrainConfig

pytestmark = pytest.mark.usefixtures("road_alone")

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
SMALL = TrainConfig(
    head="linear", head_steps=60, steps=40, evaluations=1, hidden=32, members=1, likelihood=False
)


FURTHER = "\n## Going further\n"


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    return fenced((ROOT / page).read_text(encoding="utf-8"), language)


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def tutorial() -> tuple[list[str], list[str]]:
    """The Python of the tutorial, up to "Going further" and from there on."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    first, _, rest = text.partition(FURTHER)
    return fenced(first, "python"), fenced(rest, "python")


def small_train(**given: Any) -> TrainConfig:
    head = {"head": "gaussian"} if "embedding" in given else {}  # linear ones take no embedding
    return TrainConfig(**SMALL.model_dump() | head | given)


class AlwaysSmall(TrainConfig):
    """The small training, whoever asks for the default one."""

    def __new__(cls) -> Any:
        return SMALL


def small_settings(**given: Any) -> Settings:
    usual = {
        "simulate": SimulateConfig(n=2000),
        "train": SMALL,
        "sample": SampleConfig(n=500),
        "mcmc": McmcConfig(walkers=16, steps=60),
    }
    return Settings(**usual | given)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Smaller defaults, one core, and an empty folder to run in."""
    monkeypatch.setattr("invgan.pipeline.Settings", small_settings)
    monkeypatch.setattr("invgan.config.Settings", small_settings)
    monkeypatch.setattr("invgan.gan.training.TrainConfig", AlwaysSmall)
    monkeypatch.setattr("invgan.settings.TrainConfig", small_train)
    for room in ("pipeline", "gan.training"):  # these would not pass for what they stand for
        monkeypatch.setattr(f"invgan.{room}.check_kinds", lambda **_: None)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("small")
def test_the_python_of_the_readme_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("README.md", "python")
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    solution = names["solution"]
    assert solution.samples.x.shape == (500, 2)
    assert solution.samples.y.shape == (500, 1)
    assert capsys.readouterr().out.startswith(solution.validation.verdict)
    assert (tmp_path / "runs" / "readme" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_python_of_the_tutorial_runs(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    for block in tutorial()[0]:
        exec(compile(block, "docs/tutorial.md", "exec"), names)
    assert (tmp_path / "runs" / "throws" / "report.html").is_file()
    assert len(names["answer"]) == 2000
    assert names["again"].names == ("speed", "angle")
    assert names["posterior"].problem.question == "posterior"
    assert names["posterior"].baseline is None
    assert names["inverse"].knows(names["others"]).all()


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_tutorial_runs_to_its_end() -> None:
    names: dict[str, Any] = {}
    first, rest = tutorial()
    for block in [b for b in first if "ig.solve(" not in b and "inverse" not in b] + rest:
        exec(compile(block, "docs/tutorial.md", "exec"), names)
    assert names["one_throw"].baseline is not None
    assert len(names["one_throw"].inverse.each) == 3
    assert names["throwers"].samples.info["rounds"][0]["steps"] == 1
    assert len(names["narrow"].simulations.info["rounds"]) > 1
    assert names["flight"].inverse.embed(names["filmed"]).shape == (1, 16)
    assert names["of_two"].x.shape == (2000, 2)
    assert names["both"].samples.names == ("speed", "angle", "gain")


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_the_python_calls_what_there_is(page: str) -> None:
    calls = [call for block in blocks(page, "python") for call in calls_of_invgan(block)]
    assert len(calls) >= 3
    for name, keywords in calls:
        takes = inspect.signature(getattr(ig, name)).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in takes.values())
        unknown = [] if open_ended else [key for key in keywords if key not in takes]
        assert not unknown, f"{page}: ig.{name} has no {unknown}"


def calls_of_invgan(block: str) -> list[tuple[str, list[str]]]:
    """Each call of `ig.name` in a block, with the names of its keyword arguments."""
    return [
        (node.func.attr, [k.arg for k in node.keywords if k.arg])
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "ig"
    ]


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
    from invgan import correction, predictability
    from invgan.checks import consistency, levels, population, posterior
    from invgan.gan import course, heads, judge, pairing, training, weigher, weighing
    from invgan.intervention import projection
    from invgan.mixing import between, evidence, rounds, steps
    from invgan.rounds import budget, doubt

    free = ig.RganConfig()
    held = free.to_be_corrected()
    assert held.gamma == 10 * free.gamma  # "ten times `gamma`"
    text = " ".join((ROOT / "docs" / "method.md").read_text(encoding="utf-8").split())
    train = TrainConfig()
    for sentence in (
        f" = {train.gamma}`.",
        f"{train.learning_rate} along a cosine",
        f"running average ({train.averaging})",
        f"s(k) = {train.smoothing} * 0.05^min(1, k / (0.8 S))",
        "after five of twelve evaluations without improvement",
        f"The default, `head: {train.head}`",
        f"Out of {judge.CANDIDATES} candidates for one `y`",
        f"Below {correction._SMALLEST_SHARE} the generator has failed",
        f"for each output | {population._KS} |",
        f"in sd of the observed, for each output | {population._WASSERSTEIN} |",
        f"(Székely and Rizzo 2013) | {population._ENERGY} |",
        f"0.5 is guessing | {population._C2ST} |",
        f"| partings of the union of both clouds, {population._REPLICATES} of many rows and up to "
        f"{population._MOST_REPLICATES} of few",
        f"each beside one draw, for each parameter | floor + {population._KS} |",
        f"answer against simulations C2ST | {population._PAIRS} |",
        f"their parameters in distribution | floor + {consistency._KS} |",
        f"pairs (drawn `x`, `y`) against the held-out pairs | {consistency._PAIRS} |",
        f"draws anew for the same outputs | floor + {2 * consistency._KS} |",
        f"answer against inverse C2ST | {consistency._ANSWER} |",
        f"of {consistency._NEARBY} among the {3 * consistency._NEARBY // 2} nearest to the "
        f"observation and of {consistency._NEAREST} among the {3 * consistency._NEAREST // 2} "
        "nearest, which show a fault in a tail; "
        f"the others are points of reference | floor + {consistency._COVERAGE} |",
        f"how far from nominal | floor + {consistency._COVERAGE} |",
        f"coverage over all levels | floor + {consistency._COVERAGE} |",
        f"local C2ST | floor + {consistency._LOCAL} |",
        f"in sd, for each parameter | floor + {consistency._APART} |",
        f"inside the central `1 - {levels.LEVEL} / L` of",
        f"`1 - {levels.LEVEL / 2}` of them",
        f"| {population._KL} nats and a tenth of the outputs' |",
        f"90 % of the draws come within {posterior._RESIDUAL} of it",
        f"its mean within {steps._NO_MATTER:.4f} nats",
        f"worth less than {steps._SMALLEST_SHARE:.0%} of".replace("%", " %"),
        f"share `miss = {SimulateConfig().miss}` of",
        f"leave more than {budget._SMALLEST_CUT:.0%} of".replace("%", " %"),
        f"within {projection._TOLERANCE} nats of the best",
        f"fewer than {projection._FEWEST_EFFECTIVE} simulations are refused",
        f"`w` falls from {held.weight:g} to {held.last_weight:g}, by the same factor",
        f"`w` falls from {free.weight} to {free.last_weight}.",
        f"beyond all simulated values of a column | {predictability._LARGEST_SHARE:.0%} |".replace(
            "%", " %"
        ),
    ):
        assert sentence in text, sentence
    assert (train.patience, train.evaluations, train.focus) == (5, 12, 0.25)
    assert heads.MANY == 10  # "more than ten parameters"
    assert course._LEAD == 0.5  # "less than half the figure of the head alone"
    assert (course._WORSE, course._MISPLACED) == (1.1, 0.001)  # "0.001 nats and a tenth more"
    assert (evidence._BETWEEN, between.MOST_OUTPUTS) == (16, 6)  # "sixteen times as many rows"
    assert (steps._SMALL_PART, between._FAITHFUL) == (1 / 400, 0.05)  # "a four-hundredth"
    copies = pairing._MOST_COPIES, pairing._COPIED_ROWS, pairing._COPIED_VALUES // 10**6
    assert copies == (32, 262_144, 33)  # "up to 32 times", "262,144 pairs and 33 million numbers"
    assert judge._SIGNIFICANT == weighing._SIGNIFICANT == 2.0  # "two standard errors"
    most = weighing.MOST_PARAMETERS, weighing.MOST_OUTPUTS, weighing.MOST_REPEATS
    assert most == (50, 50, 20)  # "50 each at most", "up to 20"
    assert training._PRIOR_DRAWS == 100_000  # "from 100,000 draws"
    assert (weighing._TRIALS, weighing._FINALISTS) == (4, 2)  # "a quarter", "the two"
    assert (course._FASTER, weighing._PACES) == (2.0, (1.0, 4.0))  # "at twice", "four times that"
    assert weighing._CANDIDATES == 64  # "out of 64"
    assert (weigher._FEWEST, weigher._LEAST, weigher._MOST_FOR_ONE) == (16, 8, 64)  # "worth 8"
    assert (weigher._CROWD, weigher._SPARE, weigher._MOST_EACH) == (50, 1.5, 4)  # "50 draws"
    assert (weigher._MOST_FOR_CROWD, weigher._MOVES) == (2048, 20)  # "2048 for a crowd", "20 steps"
    mass = weigher._FEWEST_FOR_MASS, weigher._WORTH, weigher._MOST_FOR_MASS
    assert mass == (512, 400, 16_384)  # "512 for each `y`", "worth 400", "or are 16,384"
    assert doubt._REACH == 1.5  # "one and a half times"
    assert inspect.signature(rounds.iterate).parameters["rounds"].default == 5  # "at most five"
