"""The games: their values and gradients in closed form, penalties, weights, and divergences."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from invgan.errors import InputError
from invgan.gan.losses import LOSSES, jensen_shannon, squared_slopes
from invgan.gan.networks import Critic, initialise
from invgan.gan.rules import PENALTIES, adaptive_weights, build_rules, weigh_gradients
from invgan.settings import LABELLED, PAIRED, TrainConfig

LOG2 = math.log(2)
SUMS = [name for name in LOSSES if name not in PAIRED]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logistic(t: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-t))


def test_the_minimax_game_is_log_two_in_each_part_where_the_two_agree() -> None:
    nothing = torch.zeros(100, 1)
    real, fake = LOSSES["minimax"].critic(nothing, nothing, 1.0)
    assert real.item() == pytest.approx(LOG2)
    assert fake.item() == pytest.approx(LOG2)
    assert -(real + fake).item() == pytest.approx(-math.log(4))
    assert jensen_shannon((real + fake).item()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_neither_wins_against_a_critic_that_sees_no_difference(name: str) -> None:
    """Of all constant critics the best one for itself has the loss called even."""
    loss = LOSSES[name]
    constants = torch.linspace(-4, 4, 801)
    losses = torch.stack(
        [sum(loss.critic(c.reshape(1, 1), c.reshape(1, 1), 1.0)) for c in constants]
    )
    assert losses.min().item() == pytest.approx(loss.even[0], abs=1e-4)
    best = constants[losses <= losses.min() + 1e-6]
    chosen = best[best.abs().argmin()].reshape(1, 1)
    assert loss.generator(chosen, chosen).item() == pytest.approx(loss.even[1], abs=1e-4)


def test_the_nonsaturating_costs_are_halved() -> None:
    a, b = torch.randn(50, 1, generator=rng()), torch.randn(50, 1, generator=rng(1))
    halves = LOSSES["nonsaturating"].critic(a, b, 1.0)
    wholes = LOSSES["minimax"].critic(a, b, 1.0)
    assert torch.allclose(2 * torch.stack(halves), torch.stack(wholes))
    cost = -logistic(b).log().mean() / 2
    assert LOSSES["nonsaturating"].generator(a, b).item() == pytest.approx(cost.item())


# Derivatives of each loss in one output: of the critic in a and in b, of the generator in b.
SLOPES = {
    "relativistic": (
        lambda a, b: -logistic(b - a), lambda a, b: logistic(b - a), lambda a, b: -logistic(a - b),
    ),
    "minimax": (
        lambda a, b: -logistic(-a), lambda a, b: logistic(b), lambda a, b: -logistic(b),
    ),
    "nonsaturating": (
        lambda a, b: -logistic(-a) / 2, lambda a, b: logistic(b) / 2,
        lambda a, b: -logistic(-b) / 2,
    ),
    "wasserstein": (
        lambda a, b: -torch.ones_like(a), lambda a, b: torch.ones_like(b),
        lambda a, b: -torch.ones_like(b),
    ),
    "least_squares": (lambda a, b: a - 1, lambda a, b: b, lambda a, b: b - 1),
    "hinge": (
        lambda a, b: -(a < 1).double(), lambda a, b: (b > -1).double(),
        lambda a, b: -torch.ones_like(b),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_for_a_linear_critic(name: str) -> None:
    """With D(x) = w.x the gradient in w is a mean of inputs, and that in a draw is along w."""
    loss, n = LOSSES[name], 200
    real, fake = (torch.randn(n, 3, generator=rng(s), dtype=torch.float64) for s in (1, 2))
    w = torch.tensor([[0.7], [-1.1], [0.4]], dtype=torch.float64, requires_grad=True)
    fake.requires_grad_()
    a, b = real @ w, fake @ w
    (found,) = torch.autograd.grad(sum(loss.critic(a, b, 1.0)), w, retain_graph=True)
    (pull,) = torch.autograd.grad(loss.generator(a, b), fake)
    in_a, in_b, of_generator = (slope(a.detach(), b.detach()) for slope in SLOPES[name])
    exact = (in_a * real + in_b * fake.detach()).mean(dim=0)
    assert torch.allclose(found[:, 0], exact, atol=1e-10)
    assert torch.allclose(pull, of_generator @ w.detach().T / n, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_differences(name: str) -> None:
    loss = LOSSES[name]
    a, b = (torch.randn(20, 1, generator=rng(s), dtype=torch.float64) for s in (1, 2))

    def value(t: Tensor) -> Tensor:
        return sum(loss.critic(t, b, 1.0)) + 3 * loss.generator(a, t)

    assert torch.autograd.gradcheck(value, (torch.full((20, 1), 0.3).double().requires_grad_(),))


@pytest.mark.parametrize("name", LABELLED)
def test_a_smoothed_label_is_what_the_critic_is_led_to(name: str) -> None:
    """On real pairs alone it comes to rest at the label, and without smoothing beyond it."""
    at_rest = 0.9 if name == "least_squares" else math.log(0.9 / 0.1)
    for label, resting in ((0.9, True), (1.0, False)):
        a = torch.full((5, 1), at_rest, requires_grad=True)
        real, fake = LOSSES[name].critic(a, a.detach(), label)
        (slope,) = torch.autograd.grad(real, a)
        assert (slope.abs().max().item() < 1e-6) is resting
        assert fake.item() == LOSSES[name].critic(a, a, 1.0)[1].item()  # one side only


def test_the_settings_know_which_losses_have_labels_and_parts() -> None:
    kinds = get_args(TrainConfig.model_fields["loss"].annotation)
    assert set(kinds) == set(LOSSES)
    assert set(get_args(TrainConfig.model_fields["penalty"].annotation)) == {"auto", *PENALTIES}
    a, b = torch.randn(10, 1, generator=rng()), torch.randn(10, 1, generator=rng(1))
    for name, loss in LOSSES.items():
        told = [torch.stack(loss.critic(a, b, label)) for label in (1.0, 0.9)]
        assert torch.equal(*told) is (name not in LABELLED)
        assert (len(told[0]) == 1) is (name in PAIRED)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"real_weight": 2.0}, "real_weight weighs .* relativistic loss is no sum"),
        ({"adaptive_weights": True}, "adaptive_weights weighs .* choose another loss"),
        (
            {"loss": "hinge", "adaptive_weights": True, "fake_weight": 0.5},
            "adaptive_weights chooses the weights; leave real_weight and fake_weight out",
        ),
        ({"loss": "wasserstein", "real_label": 0.9}, "wasserstein loss, which knows no labels"),
        ({"codes": 1}, "codes must be 2 or more kinds, or 0"),
        ({"network": {"noise": "uniform"}}, "network.noise uniform is no start for a correction"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        TrainConfig(**settings)


def linear(u: Tensor, y: Tensor) -> Tensor:
    """A critic of slope 5 in u (n, 2) and 12 in y (n, 1)."""
    return u @ torch.tensor([[3.0], [4.0]]) + 12 * y


@pytest.mark.parametrize(
    ("kind", "over", "value"),
    [
        ("both", "x", 50), ("r1", "x", 25), ("r2", "x", 25), ("interpolated", "x", 16),
        ("both", "pair", 338), ("r1", "pair", 169), ("interpolated", "pair", 144), ("none", "x", 0),
    ],
)  # fmt: skip
def test_penalties_of_a_linear_critic(kind: str, over: str, value: float) -> None:
    u = torch.randn(40, 2, generator=rng(), requires_grad=True)
    y = torch.randn(40, 1, generator=rng(1), requires_grad=over == "pair")
    found = PENALTIES[kind](linear, u, y, linear(u, y), rng(2))
    assert found.item() == pytest.approx(value, rel=1e-5)


def test_slopes_below_one_are_free_between_the_pairs() -> None:
    u, y = torch.randn(40, 2, generator=rng(), requires_grad=True), torch.zeros(40, 1)
    found = [
        PENALTIES["interpolated"](lambda u, y, s=s: s * u[:, :1], u, y, u, rng(2)).item()
        for s in (0.5, 1.0, -1.0, 1.5)
    ]
    assert found == pytest.approx([0, 0, 0, 0.25], abs=1e-6)


def test_r1_looks_at_real_pairs_and_r2_at_generated_ones() -> None:
    """The slope of u^2 / 2 is u."""
    u = torch.cat([torch.full((10, 1), 2.0), torch.full((10, 1), 3.0)]).requires_grad_()
    y = torch.zeros(20, 0)
    scores = u.square() / 2
    found = {
        kind: PENALTIES[kind](lambda u, y: u.square() / 2, u, y, scores, rng()).item()
        for kind in ("r1", "r2", "both")
    }
    assert found == pytest.approx({"r1": 4, "r2": 9, "both": 13})


def test_a_penalty_of_packs_is_that_of_the_pack_as_one_input() -> None:
    u, y = torch.randn(12, 2, generator=rng(), requires_grad=True), torch.zeros(12, 1)
    weights = torch.arange(1.0, 7.0)[:, None]
    slopes = squared_slopes(u.reshape(4, 6) @ weights, u, y)
    assert slopes.tolist() == pytest.approx([91.0] * 4)  # 1 + 4 + ... + 36


@pytest.mark.parametrize(("real", "fake"), [((1.0, 0.0), (-0.6, 0.8)), ((2.0, 1.0), (-3.0, 1.0))])
def test_a_weak_critic_goes_where_no_fake_loss_is_lost(real: tuple, fake: tuple) -> None:
    """Zadorozhnyy, Cheng and Ye 2021: but for 0.05 the step is across the other gradient."""
    r, f = torch.tensor(real), torch.tensor(fake)
    for high, low, across, along in ((0.4, 0.3, f, r), (0.6, 0.7, f, r), (0.9, 0.1, r, f)):
        of_real, of_fake = weigh_gradients(r, f, torch.tensor(high), torch.tensor(low))
        step = (of_real - 0.05) * r + (of_fake - 0.05) * f
        assert step.dot(across).item() == pytest.approx(0, abs=1e-6)
        assert step.dot(along).item() > 0
        forward = of_real if along is r else of_fake
        assert forward.item() == pytest.approx(1 / along.norm().item() + 0.05)


def test_gradients_that_agree_need_no_share_of_each_other() -> None:
    r, f = torch.tensor([1.0, 0.0]), torch.tensor([3.0, 4.0])
    weak = weigh_gradients(r, f, torch.tensor(0.2), torch.tensor(0.1))
    strong = weigh_gradients(r, f, torch.tensor(0.8), torch.tensor(0.1))
    even = weigh_gradients(r, f, torch.tensor(0.6), torch.tensor(0.1))
    assert [float(w) for w in weak] == pytest.approx([1.05, 0.05])
    assert [float(w) for w in strong] == pytest.approx([0.05, 0.25])
    assert [float(w) for w in even] == pytest.approx([1.05, 0.25])


def test_adaptive_weights_come_from_the_parts_gradients() -> None:
    critic = torch.nn.Linear(2, 1, bias=False, device="meta").to_empty(device="cpu")
    critic.weight.data = torch.tensor([[0.3, -0.2]])
    real, fake = torch.randn(50, 2, generator=rng()) + 1, torch.randn(50, 2, generator=rng(1))
    a, b = critic(real), critic(fake)
    parts = LOSSES["wasserstein"].critic(a, b, 1.0)
    expected = weigh_gradients(
        -real.mean(dim=0), fake.mean(dim=0), logistic(a).mean(), logistic(b).mean()
    )
    assert torch.allclose(
        torch.stack([*adaptive_weights(parts, a, b, critic)]), torch.stack([*expected])
    )


def trained(name: str, steps: int, **settings: object) -> float:
    """The loss of a critic trained between N(0, 1) and N(1, 1), on fresh draws of both."""
    rules = build_rules(TrainConfig(loss=name, **settings))
    critic, draws = Critic(1, 0, 24, 2), rng(3)
    initialise(critic, rng(4))
    optimiser = torch.optim.Adam(critic.parameters(), 5e-3, (0.0, 0.99))

    def parts(n: int) -> tuple[tuple[Tensor, ...], Tensor]:
        u = torch.randn(2 * n, 1, generator=draws)
        u[n:] += 1
        u.requires_grad_()
        y = u[:, :0]
        scores = critic(u, y)
        penalty = rules.penalty(critic, u, y, scores, draws)
        return rules.loss.critic(*scores.chunk(2), 1.0), penalty

    for step in range(steps):
        found, penalty = parts(1024)
        optimiser.zero_grad()
        (sum(found) + rules.weight * penalty).backward()
        optimiser.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
        optimiser.step()
    return sum(part.item() for part in parts(400_000)[0])


def test_a_trained_minimax_critic_tells_the_jensen_shannon_divergence() -> None:
    grid = np.linspace(-9, 10, 20_001)
    p, q = stats.norm.pdf(grid), stats.norm.pdf(grid, 1)
    middle = (p + q) / 2
    exact = 0.5 * np.trapezoid(p * np.log(p / middle) + q * np.log(q / middle), grid)
    assert jensen_shannon(trained("minimax", 250, penalty="none")) == pytest.approx(exact, rel=0.05)


def test_a_trained_wasserstein_critic_tells_the_distance() -> None:
    """Moving N(0, 1) to N(1, 1) costs one; without the penalty no critic is steep enough."""
    assert -trained("wasserstein", 250) == pytest.approx(1, rel=0.1)
    assert -trained("wasserstein", 250, penalty="none") > 2
