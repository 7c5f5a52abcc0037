"""The health monitor: failures told from planted figures, and what must not change a verdict."""

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from invgan.errors import InputError
from invgan.gan.evidence import evidence
from invgan.gan.judge import divergence
from invgan.gan.recovery import play_with_recovery, remedy
from invgan.gan.stage import Pairs
from invgan.health import (
    FAILURES,
    Evidence,
    Health,
    Name,
    diagnose,
    diagnose_kept,
    diagnosis,
    standing,
    summary,
)
from invgan.health.trace import best_wins
from invgan.settings import SimulateConfig, TrainConfig

EVALUATIONS = 9
SETTLED = {
    "heldout": np.geomspace(0.3, 0.005, EVALUATIONS).clip(0.008),
    "wins_training": 0.55,
    "wins_heldout": 0.54,
    "by_heart": 0.51,
    "probe_1": 0.02,
    "probe_2": np.linspace(0.5, 0.0, EVALUATIONS),
    "probe_3": -0.01,
    "compared": 1500.0,
    "compared_training": 2000.0,
    "reach": 1.0,
    "narrowest": np.linspace(1.3, 0.95, EVALUATIONS),
    "coverage": np.linspace(0.5, 0.95, EVALUATIONS),
    "precision": 0.95,
    "critic_loss": 0.69,
    "generator_loss": 0.7,
    "critic_real": 0.1,
    "critic_fake": 0.05,
    "gradient_penalty": 0.2,
    "critic_grad_norm": 0.3,
    "generator_grad_norm": 0.2,
}
WRONG = {"heldout": 0.4, "coverage": 0.2, "precision": 0.15, "narrowest": 1.1}
PLANTED: dict[Name, list[dict[str, Any]]] = {
    "healthy": [{}, {"wins_heldout": 0.8, "wins_training": 0.81}],
    "blown up": [
        {"critic_loss": [0.7] * 8 + [math.nan]},
        {"heldout": [0.3] * 8 + [math.inf]},
        {"critic_grad_norm": np.geomspace(0.3, 1e9, EVALUATIONS)},
        {"reach": np.geomspace(1, 1e5, EVALUATIONS)},
    ],
    "over-fitting of the critic": [
        {"wins_training": np.linspace(0.5, 0.8, EVALUATIONS)},
        {**WRONG, "wins_training": 0.99, "wins_heldout": 0.85},
        {**WRONG, "wins_training": 0.95, "wins_heldout": 0.95, "by_heart": 0.7},
    ],
    "generator wins": [
        {**WRONG, "wins_training": 0.02, "wins_heldout": 0.02, "reach": 30.0},
        {**WRONG, "heldout": np.linspace(0.05, 0.4, EVALUATIONS), "coverage": 0.5},
        {
            **WRONG,
            "wins_training": 0.01,
            "wins_heldout": 0.01,
            "narrowest": np.linspace(1.0, 0.1, EVALUATIONS),
        },
    ],
    "mode collapse": [
        {**WRONG, "narrowest": np.linspace(1.0, 0.1, EVALUATIONS)},
        {**WRONG, "coverage": 0.4, "precision": np.linspace(0.3, 0.9, EVALUATIONS)},
        {**WRONG, "coverage": np.linspace(0.5, 0.2, EVALUATIONS), "precision": 0.3},
    ],
    "both vanish": [
        {
            **WRONG,
            "wins_training": 1.0,
            "wins_heldout": 1.0,
            "critic_grad_norm": np.geomspace(1, 1e-5, EVALUATIONS),
            "generator_grad_norm": np.geomspace(1, 1e-5, EVALUATIONS),
        }
    ],
    "critic wins": [{**WRONG, "wins_training": 0.97, "wins_heldout": 0.96}],
    "oscillation": [
        {**WRONG, "probe_3": 0.4 * (-1.0) ** np.arange(EVALUATIONS)},
        {"heldout": 0.2 + 0.15 * (-1.0) ** np.arange(EVALUATIONS)},
    ],
    "not yet trained": [
        {"heldout": np.linspace(0.6, 0.07, EVALUATIONS), "coverage": 0.8},
        {**WRONG, "wins_training": 0.6, "wins_heldout": 0.6},
    ],
}
CASES = [(name, case) for name, cases in PLANTED.items() for case in cases]


def history(**figures: Any) -> list[dict[str, Any]]:
    """Evaluations of a healthy game, but for the figures given: one number, or one for each."""
    columns = {
        name: np.broadcast_to(np.asarray(value, float), EVALUATIONS)
        for name, value in {**SETTLED, **figures}.items()
    }
    return [
        {"phase": "gan", "step": 50 * i, **{name: float(v[i]) for name, v in columns.items()}}
        for i in range(EVALUATIONS)
    ]


@pytest.mark.parametrize(("name", "figures"), CASES)
def test_a_planted_failure_is_named(name: Name, figures: dict[str, Any]) -> None:
    health = diagnose(history(**figures))
    assert health.name == name, summary(health)
    assert health.healthy == (name == "healthy")
    assert health.evidence


def test_the_page_says_what_the_rules_ask() -> None:
    text = (Path(__file__).parents[1] / "docs" / "health.md").read_text(encoding="utf-8")
    text = " ".join(text.split())
    for sentence in (
        f"exceeds {diagnosis._RIGHT} nats or fewer than {100 * diagnosis._COVERED:.0f} % of real",
        f"by {diagnosis._GAP} and one and a half standard errors",
        f"or {diagnosis._WEAK} fewer than it could",
        f"go to and fro by {diagnosis._SWING}, or the divergence rises by a factor of "
        f"{math.exp(diagnosis._UPS):.1f}, and exceeds {diagnosis._DOUBTFUL} nats",
        f"exceeds {diagnosis._WRONG} nats or coverage is low; or it fell by "
        f"{100 * diagnosis._STILL:.0f} % over the last third and exceeds {diagnosis._DOUBTFUL}",
    ):
        assert sentence in text, sentence
    assert (diagnosis._ERRORS, diagnosis._ASTRAY, diagnosis._BEATEN) == (1.5, 1.2, 0.25)
    assert (diagnosis._GROWN, diagnosis._OUT, diagnosis._GONE) == (1e6, 1e3, 0.01)
    assert (diagnosis._NARROW, diagnosis._SHRUNK, diagnosis._STRONG) == (0.5, 0.75, 0.75)
    assert (diagnosis._FEWEST, round(1 / diagnosis._BLIND, -1)) == (4, 30)
    for name in FAILURES:
        assert f"| *{name}* |" in text


def test_every_name_is_planted() -> None:
    assert set(PLANTED) == set(get_args(Name)) == {*FAILURES, "healthy"}


@pytest.mark.parametrize(("name", "figures"), CASES)
def test_the_scale_of_the_loss_does_not_matter(name: Name, figures: dict[str, Any]) -> None:
    rows = history(**figures)
    scaled = ("_loss", "_norm", "critic_real", "critic_fake", "_penalty")
    for row in rows:
        row.update({k: 1e3 * v for k, v in row.items() if k.endswith(scaled)})
    before, after = diagnose(history(**figures)), diagnose(rows)
    assert after.name == before.name
    assert after.evidence == pytest.approx(before.evidence, nan_ok=True)


def test_a_winding_road_to_the_answer_is_healthy() -> None:
    swings = 0.4 * (-1.0) ** np.arange(EVALUATIONS)
    assert diagnose(history(probe_1=swings, wins_heldout=0.55 + swings / 2)).healthy


def test_rows_of_heads_count_only_where_they_are_not_finite() -> None:
    head = [{"phase": "head", "step": s, "train_nll": 3.0, "heldout": 9.0} for s in (10, 20)]
    assert diagnose([*head, *history()]) == diagnose(history())
    broken = diagnose([{**head[0], "heldout": math.nan}, *history()])
    assert broken.name == "blown up"
    assert math.isnan(broken.evidence["heldout"])


def test_a_history_read_back_from_json_says_the_same() -> None:
    rows = history(**PLANTED["mode collapse"][0])
    assert diagnose(json.loads(json.dumps(rows))) == diagnose(rows)
    rows[-1]["generator_loss"] = None
    assert diagnose(rows).name == "blown up"


def test_evidence_given_apart_stands_for_the_last_evaluation() -> None:
    rows = history()
    bare = [*rows[:-1], {"phase": "gan", "step": 400}]
    named = set(Evidence.__dataclass_fields__)
    given = Evidence(**{name: value for name, value in rows[-1].items() if name in named})
    assert diagnose([*bare[:-1], {**bare[-1], "heldout": 0.008}], given) == diagnose(rows)
    assert diagnose([], Evidence(heldout=0.3)).name == "not yet trained"
    assert diagnose([], Evidence(wins_training=0.9, wins_heldout=0.6)).name.startswith("over-fit")


@pytest.mark.parametrize(
    ("critic", "generator", "name"),
    [(1e-3, 8.0, "critic wins"), (3.0, 1e-3, "generator wins"), (1e-3, 1e-3, "both vanish")],
)
def test_the_loss_curves_alone_tell_who_has_won(
    critic: float, generator: float, name: Name
) -> None:
    rows = [
        {"phase": "gan", "step": i, "critic_loss": c, "generator_loss": g}
        for i, (c, g) in enumerate(
            zip(np.geomspace(0.7, critic, 30), np.geomspace(0.7, generator, 30), strict=True)
        )
    ]
    assert diagnose(rows).name == name
    assert diagnose([{**row, "critic_loss": 0.69, "generator_loss": 0.7} for row in rows]).healthy
    assert diagnose([*rows, {"phase": "gan", "step": 31, "heldout": 0.001}]).healthy


def test_the_beginning_of_a_game_is_no_failure() -> None:
    rows = history(heldout=np.geomspace(0.4, 0.005, EVALUATIONS))
    for count in range(EVALUATIONS + 1):
        assert diagnose(rows[:count]).name in ("not yet trained", "healthy")
    assert diagnose([]).healthy
    assert diagnose(rows[:1]).name == "not yet trained"


def kept_at(number: int, **figures: Any) -> list[dict[str, Any]]:
    """A history of which one evaluation is kept; the untrained generator was before it."""
    rows = history(**figures)
    for row in rows:
        row["kept"] = row["step"] in (0, 50 * number)
    return rows


HEAD = [{"phase": "head", "step": 100, "training": 1.2, "heldout": 1.3, "kept": True}]
FALLEN = {"narrowest": [1.0, 0.95, 0.95, 0.95, 0.3, 0.1, 0.1, 0.1, 0.1],
          "heldout": [0.3, 0.05, 0.02, 0.01, 0.2, 0.4, 0.4, 0.4, 0.4],
          "coverage": [0.5, 0.9, 0.94, 0.95, 0.4, 0.2, 0.2, 0.2, 0.2]}  # fmt: skip


def test_what_was_kept_answers_for_what_came_before_it() -> None:
    """A game that collapsed after its fourth evaluation, and was kept there or at its end."""
    assert diagnose(history(**FALLEN)).name == "mode collapse"
    early, late = (diagnose_kept(HEAD + kept_at(number, **FALLEN)) for number in (3, 8))
    assert early is not None
    assert early.healthy
    assert late is not None
    assert late.name == "mode collapse"


def test_a_failed_game_is_no_matter_where_the_head_is_kept() -> None:
    assert diagnose_kept(HEAD + kept_at(0, **FALLEN)) is None
    alone = diagnose_kept(kept_at(0, **FALLEN))
    assert alone is not None
    assert alone.name == "mode collapse"


def test_what_is_no_history_is_refused() -> None:
    with pytest.raises(InputError, match="rows of figures by name"):
        diagnose_kept(["loss"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="rows of figures by name"):
        diagnose(["row"])  # type: ignore[list-item]


@pytest.mark.parametrize(("name", "figures"), CASES)
def test_the_summary_is_one_line_with_name_figures_and_remedy(
    name: Name, figures: dict[str, Any]
) -> None:
    health = diagnose(history(**figures))
    line = summary(health)
    assert name in line
    assert "\n" not in line
    assert health.healthy or FAILURES[name] in line
    assert "{" not in line
    assert ("convergence failure" in line) == (
        name in ("critic wins", "generator wins", "both vanish")
    )


@pytest.mark.parametrize(("name", "figures"), CASES)
def test_a_bar_is_told_step_losses_and_health(name: Name, figures: dict[str, Any]) -> None:
    rows = history(**{**figures, "critic_loss": 0.693, "generator_loss": 0.7012})
    more = {"phase": "gan", "step": 999, "critic_loss": 0.5}
    said = diagnose(rows).name
    assert standing([*HEAD, *rows, more]) == f"game 400: critic 0.693, generator 0.701, {said}"


def test_a_bar_is_told_of_heads_too_and_of_nothing_at_first() -> None:
    assert standing([]) == ""
    assert standing([{"phase": "gan", "step": 20, "critic_loss": 0.7}]) == ""
    assert standing(HEAD) == "head 100: held-out 1.3"


def test_remedies_name_settings_that_exist() -> None:
    sections = {"train": TrainConfig.model_fields, "simulate": SimulateConfig.model_fields}
    for text in FAILURES.values():
        named = re.findall(r"\b(train|simulate)\.(\w+)", text)
        assert named
        for section, setting in named:
            assert setting in sections[section], setting


def test_a_health_is_frozen_and_plain() -> None:
    health = diagnose(history())
    with pytest.raises(dataclasses.FrozenInstanceError):
        health.name = "blown up"  # type: ignore[misc]
    assert json.loads(json.dumps(health.to_dict()))["name"] == "healthy"
    broken = diagnose(history(critic_loss=math.nan)).to_dict()
    assert json.loads(json.dumps(broken, allow_nan=False))["evidence"] == {"critic_loss": None}


def test_a_health_survives_json() -> None:
    for figures in ({}, PLANTED["blown up"][0], *PLANTED["mode collapse"]):
        health = diagnose(history(**figures))
        again = Health.from_dict(json.loads(json.dumps(health.to_dict())))
        assert summary(again) == summary(health)
        assert again.to_dict() == health.to_dict()


def test_the_best_critic_wins_as_often_as_its_entropy_allows() -> None:
    for p in (0.5, 0.6, 0.8, 0.95):
        entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
        assert best_wins(math.log(2) - entropy) == pytest.approx(p, abs=2e-3)
    assert best_wins(-0.01) == pytest.approx(0.5)
    assert best_wins(0.8) > 0.99


class Sampler:
    """Draws by a function of noise and y."""

    def __init__(self, law: Any, features: int = 2) -> None:
        self.law, self.features = law, features

    def draw(self, y: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        drawn: torch.Tensor = self.law(torch.randn(len(y), self.features, generator=rng), y)
        return drawn


def exact(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return y[:, :1] + z


def pairs_of(law: Any, features: int, n: int, seed: int, outputs: int = 1) -> Pairs:
    rng = torch.Generator().manual_seed(seed)
    y = torch.randn(n, outputs, generator=rng)
    return Pairs(Sampler(law, features).draw(y, rng), y)


def found_of(law: Any, critic: Any = None, features: int = 2, **others: Any) -> dict[str, float]:
    """Evidence of draws by one law against pairs of the exact one."""
    sides = [pairs_of(exact, features, n, seed, **others) for n, seed in ((4000, 1), (2500, 2))]
    sampler = Sampler(law, features)
    return evidence(sampler, sampler, critic or (lambda u, y: u.sum(dim=1, keepdim=True)), *sides)


@pytest.mark.parametrize(("features", "outputs"), [(1, 1), (2, 1), (5, 3), (30, 10)])
def test_an_exact_generator_looks_exact_in_any_dimension(features: int, outputs: int) -> None:
    found = found_of(exact, features=features, outputs=outputs)
    n, k = 1024, 5
    share = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    assert found["coverage"] == pytest.approx(share, abs=0.03)
    assert found["narrowest"] == pytest.approx(1, abs=0.12)
    assert found["reach"] == pytest.approx(1, abs=0.1)
    assert found["precision"] > 0.85
    assert found["wins_heldout"] == pytest.approx(0.5, abs=0.05)
    assert found["by_heart"] == pytest.approx(0.5, abs=0.04)
    assert all(abs(found[f"probe_{k}"]) < 0.1 for k in (1, 2, 3))
    assert (found["compared"], found["compared_training"]) == (2048, 2048)


def test_draws_that_crowd_together_are_narrow_and_cover_little() -> None:
    half = found_of(lambda z, y: exact(z.abs(), y))
    point = found_of(lambda z, y: exact(0 * z, y))
    assert half["narrowest"] == pytest.approx(math.sqrt(1 - 2 / math.pi), abs=0.06)
    assert half["coverage"] < 0.45
    assert half["precision"] > 0.9
    assert point["narrowest"] < 0.1
    assert point["coverage"] < half["coverage"]
    assert point["precision"] > 0.9


def test_draws_far_out_are_reported_as_far() -> None:
    found = found_of(lambda z, y: exact(z, y) + 100)
    assert found["reach"] == pytest.approx(100 / math.sqrt(2), rel=0.05)
    assert found["coverage"] == found["precision"] == 0
    assert abs(found["probe_1"]) > 1


def test_probes_see_what_depends_on_the_outputs_and_are_the_same_at_every_evaluation() -> None:
    """Draws that are too high for large y and too low for small ones have the right mean."""
    slanted = found_of(lambda z, y: exact(z, y) + 2 * y[:, :1].sign())
    assert abs(slanted["probe_1"]) < 0.2
    assert max(abs(slanted["probe_2"]), abs(slanted["probe_3"])) > 0.5
    near, far = (found_of(lambda z, y, s=s: exact(z, y) + s)["probe_1"] for s in (0.0, 1.0))
    twice = found_of(lambda z, y: exact(z, y) + 2.0)["probe_1"]
    assert twice - far == pytest.approx(far - near, abs=1e-4)


def test_wins_count_order_alone() -> None:
    """A critic's wins are the same for any increasing function of it, and any function of y."""

    def score(u: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -(u - y[:, :1]).square().sum(dim=1, keepdim=True)

    wide = lambda z, y: exact(2 * z, y)  # noqa: E731
    wins = [
        found_of(wide, critic)["wins_heldout"]
        for critic in (
            score,
            lambda u, y: torch.exp(score(u, y) / 50),
            lambda u, y: 1e3 * score(u, y) + 7 * y[:, :1],
            lambda u, y: 0 * score(u, y),
        )
    ]
    assert wins[0] == pytest.approx(0.8, abs=0.03)  # of chi-squared ones with two degrees: 4 / 5
    assert wins[1] == pytest.approx(wins[0], abs=1e-3)
    assert wins[2] == pytest.approx(wins[0], abs=1e-3)
    assert wins[3] == 0.5


def test_a_critic_that_knows_its_pairs_by_heart_gives_itself_away() -> None:
    training, heldout = pairs_of(exact, 2, 200, 1), pairs_of(exact, 2, 2000, 2)

    def by_heart(u: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -torch.cdist(u, training.u).amin(dim=1, keepdim=True)

    sampler = Sampler(exact)
    found = evidence(sampler, sampler, by_heart, training, heldout)
    assert found["wins_training"] == 1
    assert found["wins_heldout"] == pytest.approx(0.5, abs=0.06)
    assert found["by_heart"] == 1
    assert diagnose([found | {"heldout": 0.0}]).name == "over-fitting of the critic"
    honest = evidence(sampler, sampler, lambda u, y: u[:, :1], training, heldout)
    assert diagnose([honest | {"heldout": 0.0}]).healthy


@pytest.mark.parametrize("outputs", [0, 1])
def test_outputs_that_never_change_or_are_none_are_no_trouble(outputs: int) -> None:
    rng = torch.Generator().manual_seed(0)
    sides = [Pairs(torch.randn(n, 2, generator=rng), torch.zeros(n, outputs)) for n in (900, 800)]
    sampler = Sampler(lambda z, y: z)
    found = evidence(sampler, sampler, lambda u, y: u[:, :1], *sides)
    assert found["narrowest"] == pytest.approx(1, abs=0.1)
    assert found["coverage"] == pytest.approx(0.97, abs=0.03)
    assert all(math.isfinite(value) for value in found.values())


def test_fields_are_looked_at_as_rows() -> None:
    rng = torch.Generator().manual_seed(0)
    sides = [
        Pairs(torch.randn(n, 1, 6, 6, generator=rng), torch.zeros(n, 1, 3)) for n in (700, 600)
    ]

    class Field(Sampler):
        def draw(self, y: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
            return torch.randn(len(y), 1, 6, 6, generator=rng)

    sampler = Field(None)
    found = evidence(sampler, sampler, lambda u, y: u.flatten(1)[:, :1], *sides)
    assert found["coverage"] == pytest.approx(0.97, abs=0.04)
    assert found["narrowest"] == pytest.approx(0.95, abs=0.1)


def test_looking_changes_nothing() -> None:
    """Neither running statistics nor the mode of a network, nor any generator but its own."""
    critic = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)
    )
    critic.train()
    before = {name: value.clone() for name, value in critic.state_dict().items()}

    class Score(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = critic

        def forward(self, u: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.inner(torch.cat([u, y], dim=1))
            return scores

    state = torch.get_rng_state()
    first, second = found_of(exact, Score()), found_of(exact, Score())
    assert first == second
    assert critic.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in critic.state_dict().items())


def test_draws_that_are_not_finite_are_blown_up() -> None:
    found = found_of(lambda z, y: z / 0)
    assert diagnose([{**found, "heldout": 0.3}]).name == "blown up"


@pytest.mark.usefixtures("whole_classifier")
@pytest.mark.parametrize("far", [5.0, 1e6, 1e30])
def test_draws_that_have_left_every_scale_are_told_from_real_ones(far: float) -> None:
    """A classifier that they blind would make them the best of all."""
    rng, blown = torch.Generator().manual_seed(0), Sampler(lambda z, y: far * z)
    training, heldout = (
        Pairs(torch.randn(n, 2, generator=rng), torch.randn(n, 1, generator=rng))
        for n in (4000, 1000)
    )
    found = divergence(blown, training, heldout, 16)  # type: ignore[arg-type]
    assert 0.4 < found < math.log(2)


def health(name: Name) -> Health:
    return Health(name, {}, FAILURES.get(name, ""), name == "healthy")


@pytest.mark.parametrize("name", ["healthy", "not yet trained", "generator wins"])
def test_where_no_rule_is_sound_nothing_is_tried(name: Name) -> None:
    assert remedy(health(name), TrainConfig()) is None


def test_every_other_failure_has_gentler_settings() -> None:
    for name in set(FAILURES) - {"not yet trained", "generator wins"}:
        for given in (
            TrainConfig(),
            TrainConfig(gamma=0.0),
            TrainConfig(loss="wasserstein", critic_rate=1e-3),
            TrainConfig(loss="hinge", penalty="none"),
        ):
            found = remedy(health(name), given)
            assert found is not None
            slower = found.learning_rate < given.learning_rate or found.generator_rate is not None
            held = found.gamma > given.gamma or found.lipschitz > given.lipschitz
            assert slower or held or (given.penalty, found.penalty) == ("none", "auto")
            assert found.steps == given.steps


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("critic wins", {"generator_rate": 1e-5}),
        ("both vanish", {"critic_rate": 1e-2}),
        ("generator wins", {"critic_rate": 1e-5}),
        ("mode collapse", {"critic_rate": 1e-3, "generator_rate": 4e-3}),
    ],
)
def test_a_side_that_won_with_the_higher_rate_plays_on_with_the_same(
    name: Name, rates: dict[str, float]
) -> None:
    found = remedy(health(name), TrainConfig(**rates))
    assert found is not None
    assert (found.generator_rate, found.critic_rate) == (None, None)
    swapped = {
        "generator_rate": rates.get("critic_rate"),
        "critic_rate": rates.get("generator_rate"),
    }
    other = remedy(health(name), TrainConfig(**swapped))
    if name == "generator wins":
        assert other is None
    else:
        assert other is not None
        assert (other.generator_rate, other.critic_rate) != (None, None)


class Story:
    """A play whose games end as they are told to."""

    def __init__(self, *endings: tuple[float, dict[str, Any]]) -> None:
        self.endings, self.calls = endings, []

    def __call__(self, config: TrainConfig, start: str | None, attempt: int, /) -> Any:
        self.calls.append((config, start))
        figure, figures = self.endings[attempt]
        rows = history(**figures)
        rows[0]["kept"], rows[-1]["kept"] = True, True
        rows[-1]["heldout"] = figure
        return f"game {attempt}", rows


COLLAPSED = PLANTED["mode collapse"][0]


def test_a_healthy_game_is_played_once() -> None:
    story = Story((0.01, {}))
    result = play_with_recovery(story, TrainConfig())
    assert (result.kept, result.restarts, len(story.calls)) == ("game 0", (), 1)
    assert result.health.healthy
    assert result.untrained == pytest.approx(0.3)


def test_a_game_that_failed_is_played_again_from_its_best() -> None:
    story = Story((0.3, COLLAPSED), (0.01, {}))
    result = play_with_recovery(story, TrainConfig())
    assert (result.kept, len(story.calls)) == ("game 1", 2)
    assert story.calls[1][1] == "game 0"
    assert story.calls[1][0].gamma > TrainConfig().gamma
    (record,) = result.restarts
    assert record["failure"] == "mode collapse"
    assert record["changed"]["gamma"] == [0.05, 0.5]
    assert record["heldout"] == [0.3, 0.01]
    assert json.dumps(record)


def test_restarts_are_bounded_and_the_best_attempt_is_kept() -> None:
    story = Story((0.3, COLLAPSED), (0.2, COLLAPSED), (0.25, COLLAPSED), (0.01, {}))
    result = play_with_recovery(story, TrainConfig(), restarts=2)
    assert (result.kept, len(story.calls), len(result.restarts)) == ("game 1", 3, 2)
    assert [call[0].gamma for call in story.calls] == pytest.approx([0.05, 0.5, 5.0])
    assert [call[1] for call in story.calls] == [None, "game 0", "game 1"]
    assert len(play_with_recovery(Story((0.3, COLLAPSED)), TrainConfig(), restarts=0).restarts) == 0


def test_a_game_that_never_bettered_its_start_begins_anew() -> None:
    class Lost(Story):
        def __call__(self, config: TrainConfig, start: str | None, attempt: int, /) -> Any:
            kept, rows = super().__call__(config, start, attempt)
            rows[-1].update({"kept": False, "critic_loss": math.nan})
            return kept, rows

    story = Lost((0.3, {}), (0.3, {}), (0.3, {}))
    result = play_with_recovery(story, TrainConfig())
    assert [call[1] for call in story.calls] == [None, None, None]
    assert [call[0].learning_rate for call in story.calls] == pytest.approx([2e-3, 2e-4, 2e-5])
    assert result.health.name == "blown up"
