"""What changes a game from outside its loss: each trick is shown by what it does."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from invgan.config import load_config
from invgan.errors import InputError
from invgan.gan import Inverse, TableGenerator, fit_generator, load_generator, train
from invgan.gan.checkpoint import load_state, save_state
from invgan.gan.game import GameStage
from invgan.gan.losses import LOSSES, jensen_shannon
from invgan.gan.networks import Critic, initialise
from invgan.gan.packing import packed
from invgan.gan.players import OPTIMISERS
from invgan.gan.rules import weigh_gradients
from invgan.gan.stage import Pairs
from invgan.priors import Prior
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.settings import NetworkConfig, TrainConfig
from invgan.simulation import simulate

SMALL = {"hidden": 16, "layers": 2, "batch_size": 64, "steps": 1000}
PLAIN = {**SMALL, "optimiser": "sgd", "learning_rate": 0.1, "loss": "minimax", "gamma": 0.0}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(shift: float = 1.0) -> Pairs:
    y = torch.randn(500, 1, generator=rng(2))
    return Pairs(shift + torch.randn(500, 2, generator=rng(1)), y)


def stage(**settings: object) -> GameStage:
    return GameStage(pairs(), pairs(), TrainConfig(**{**SMALL, **settings}), rng(3))


def flat(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def first_step(number: int = 0, **settings: object) -> Tensor:
    """How the critic's first step moves its weights, in gradients: plain descent."""
    game = stage(**{**PLAIN, **settings})
    before = flat(game._critic)
    game._critic_step(1.0, number, False)
    return (before - flat(game._critic)) / (game._config.critic_rate or 0.1)


def test_the_two_parts_are_weighed() -> None:
    real, fake = first_step(fake_weight=0), first_step(real_weight=0)
    assert torch.allclose(first_step(), real + fake, atol=1e-5)
    both = first_step(real_weight=2, fake_weight=3)
    assert torch.allclose(both, 2 * real + 3 * fake, atol=1e-5)


def test_adaptive_weights_are_those_of_the_two_gradients() -> None:
    real, fake = first_step(fake_weight=0), first_step(real_weight=0)
    found = first_step(adaptive_weights=True)
    # A new critic says about one half of everything: weak, or even.
    options = [
        weigh_gradients(real, fake, torch.tensor(high), torch.tensor(0.5)) for high in (0.49, 0.51)
    ]
    assert any(torch.allclose(found, r * real + f * fake, rtol=1e-3, atol=1e-4) for r, f in options)


def test_a_lazy_penalty_is_as_much_heavier_as_it_is_rarer() -> None:
    without, heavy = first_step(gamma=0.0), first_step(gamma=6.0)
    lazy = [first_step(number, gamma=2.0, penalty_every=3) for number in (0, 1, 2, 3)]
    assert not torch.allclose(without, heavy, atol=1e-3)
    for number, expected in enumerate((heavy, without, without, heavy)):
        assert torch.allclose(lazy[number], expected, atol=1e-5)


def test_the_record_of_a_penalty_does_not_change_the_step() -> None:
    game, quiet = (stage(**{**PLAIN, "penalty_every": 3, "gamma": 2.0}) for _ in range(2))
    shown = game._critic_step(1.0, 1, True)
    quiet._critic_step(1.0, 1, False)
    assert shown[3].item() > 0
    assert torch.allclose(flat(game._critic), flat(quiet._critic), atol=1e-7)


def test_a_long_gradient_is_shortened_to_the_clip() -> None:
    whole, cut = first_step(), first_step(clip=0.01)
    assert whole.norm().item() > 0.02
    assert cut.norm().item() == pytest.approx(0.01, rel=1e-3)
    assert torch.allclose(cut / cut.norm(), whole / whole.norm(), atol=1e-4)
    assert torch.allclose(first_step(clip=100.0), whole)


def test_each_side_has_its_own_rate() -> None:
    before = stage(**PLAIN)
    moves = {}
    for name, rates in {
        "even": {}, "slow generator": {"generator_rate": 0.01}, "fast critic": {"critic_rate": 0.2}
    }.items():  # fmt: skip
        game = stage(**{**PLAIN, **rates})
        game._critic_step(1.0, 0, False)
        critic = flat(game._critic) - flat(before._critic)
        game = stage(**{**PLAIN, **rates})
        game._generator_step(1.0)
        moves[name] = (flat(game._generator) - flat(before._generator), critic)
    even, slow, fast = moves.values()
    assert torch.allclose(slow[0], even[0] / 10, atol=1e-7)
    assert torch.equal(slow[1], even[1])
    assert torch.equal(fast[0], even[0])
    assert torch.allclose(fast[1], 2 * even[1], atol=1e-6)


@pytest.mark.parametrize(("kind", "expected"), [("sgd", 0.3), ("adam", 0.1), ("rmsprop", 1.0)])
def test_the_first_step_of_an_optimiser(kind: str, expected: float) -> None:
    """At rate 0.1 and gradient 3: rate x gradient; rate x sign; rate x sign / sqrt(1 - 0.99)."""
    weight = nn.Parameter(torch.zeros(1))
    optimiser = OPTIMISERS[kind]([weight], 0.1, True)
    (3 * weight).backward()
    optimiser.step()
    assert -weight.item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_every_optimiser_plays(kind: str) -> None:
    game = stage(optimiser=kind, learning_rate={"sgd": 0.05}.get(kind, 2e-3))
    start = game._generator.draw(pairs().y, rng(4)).mean().item()
    figures = torch.stack([game.step(k, True) for k in range(120)])
    assert figures.isfinite().all()
    assert game._generator.draw(pairs().y, rng(4)).mean().item() > start + 0.15


@pytest.mark.parametrize("steps", [1, 4])
def test_the_critic_takes_its_steps(steps: int) -> None:
    game = stage(critic_steps=steps)
    for k in range(3):
        game.step(k, False)
    counts = [
        {int(slots["step"]) for slots in optimiser.state_dict()["state"].values()}
        for optimiser in (game._of_critic, game._of_generator)
    ]
    assert counts == [{3 * steps}, {3}]


def test_the_average_lags_behind_the_weights() -> None:
    fast, slow = stage(averaging=0.0), stage(averaging=0.999)
    for game in (fast, slow):
        for k in range(20):
            game.step(k, False)
    assert torch.allclose(flat(fast.kept), flat(fast._generator))
    start = flat(stage()._generator)
    ahead, behind = flat(slow._generator) - start, flat(slow.kept) - start
    assert 0 < behind.norm() < 0.95 * ahead.norm()


def test_a_smoothed_label_holds_the_critic_back() -> None:
    """Where real and generated pairs are far apart it is led to 0.9, and without to one."""
    found = []
    for label in (1.0, 0.9):
        settings = TrainConfig(
            **{**SMALL, "loss": "minimax", "real_label": label, "gamma": 0.0},
            learning_rate=5e-3,
        )
        game = GameStage(pairs(6.0), pairs(6.0), settings, rng(3))
        for k in range(150):
            game._critic_step(1.0, k, False)
        u, y, _, _ = game._round()
        found.append(game._critic(u, y).sigmoid().mean().item())
    assert found[0] > 0.98
    assert found[1] == pytest.approx(0.9, abs=0.03)


def test_packs_are_neighbours_and_keep_their_own_outputs() -> None:
    y = torch.randn(101, 1, generator=rng())
    u = torch.cat([2 * y, y**2], dim=1)
    a, b = packed(u, y, 2, rng(1))
    assert a.shape == (100, 2)
    assert torch.equal(a, torch.cat([2 * b, b**2], dim=1))
    gaps = (b[::2] - b[1::2]).abs()
    assert gaps.mean().item() < 0.1 * (y[:50] - y[50:100]).abs().mean().item()
    assert torch.equal(packed(u, y, 1, rng(1))[0], u)
    assert packed(u, y[:, :0], 4, rng(1))[0].shape == (100, 2)


def found(packing: int) -> float:
    """The divergence that a critic finds where one of two equal modes is missing."""
    critic, draws = Critic(1, 0, 24, 2, packing=packing), rng(3)
    initialise(critic, rng(4))
    optimiser = torch.optim.Adam(critic.parameters(), 5e-3, (0.0, 0.99))

    def loss(n: int) -> Tensor:
        u = 0.5 * torch.randn(2 * n, 1, generator=draws) + 2
        u[:n] *= 2 * torch.randint(2, (n, 1), generator=draws) - 1
        return sum(LOSSES["minimax"].critic(*critic(u, u[:, :0]).chunk(2), 1.0))

    for _ in range(250):
        optimiser.zero_grad()
        loss(1200).backward()
        optimiser.step()
    with torch.no_grad():
        return jensen_shannon(loss(120_000).item())


def test_a_lost_mode_shows_more_in_packs() -> None:
    """Generated packs have 2^m times the density of real ones, on 2^-m of these: a closed form."""
    for m in (2,):
        share, odds = 2.0**-m, 2.0**m
        exact = (1 - share) * math.log(2) + share * math.log(2 / (1 + odds))
        exact = 0.5 * (exact + math.log(2 * odds / (1 + odds)))
        assert found(m) == pytest.approx(exact, rel=0.1)


def test_a_packed_game_is_played() -> None:
    game = stage(packing=3)
    start = game._generator.draw(pairs().y, rng(4)).mean().item()
    figures = torch.stack([game.step(k, True) for k in range(120)])
    assert figures.isfinite().all()
    assert game._generator.draw(pairs().y, rng(4)).mean().item() > start + 0.3


FOLD = {"head": "none", "steps": 500, "hidden": 32, "layers": 2, "evaluations": 1, "codes": 2}


def folded(**settings: object) -> Inverse:
    """x ~ N(0, 1), y = x^2: two branches, x = sqrt(y) and x = -sqrt(y)."""
    problem = Problem(lambda x: x**2, Prior(x=stats.norm()), stats.uniform(0.3, 1.5))
    config = TrainConfig(**{**FOLD, **settings})
    return train(problem, simulate(problem, 8000, seed=1), config, seed=0, device="cpu")


@pytest.fixture(scope="module")
def two_branches() -> Inverse:
    return folded()


Y = np.random.default_rng(5).uniform(0.3, 1.8, (3000, 1))


def test_a_code_is_one_branch(two_branches: Inverse) -> None:
    shares = sorted((two_branches.draw(Y, seed=3, code=k) > 0).mean() for k in (0, 1))
    assert shares[0] < 0.05
    assert shares[1] > 0.95
    x = two_branches.draw(Y, seed=4)
    assert (x > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert np.abs(x**2 - Y).mean() < 0.15


def test_without_its_weight_a_code_says_nothing() -> None:
    ignored = folded(code_weight=0.0, steps=150)
    shares = [(ignored.draw(Y, seed=3, code=k) > 0).mean() for k in (0, 1)]
    assert shares == pytest.approx([0.5, 0.5], abs=0.1)


def test_the_bound_is_recorded_and_reaches_the_most_it_can(two_branches: Inverse) -> None:
    rows = [row for row in two_branches.history if "code_loss" in row]
    assert rows[0]["code_loss"] == pytest.approx(math.log(2), abs=0.1)
    assert rows[-1]["code_loss"] < 0.05


def test_codes_survive_saving(two_branches: Inverse, tmp_path: Path) -> None:
    two_branches.save(tmp_path / "inverse")
    again = Inverse.load(tmp_path / "inverse", device="cpu")
    for code in (None, 1):
        assert np.array_equal(
            again.draw(Y, seed=4, code=code), two_branches.draw(Y, seed=4, code=code)
        )


def test_a_code_that_nobody_knows_is_refused(two_branches: Inverse) -> None:
    for code in (2, -1):
        with pytest.raises(
            InputError, match=f"code must be a whole number from 0 to 1; got {code}"
        ):
            two_branches.draw(Y, code=code)


def test_a_code_is_refused_where_no_game_was_kept(
    sum_problem: Problem, sum_simulations: Simulations
) -> None:
    """The head's draws have no kinds, whatever was asked for."""
    settings = TrainConfig(head="gaussian", head_steps=20, steps=0, hidden=16, codes=2)
    found = train(sum_problem, sum_simulations, settings, seed=1, device="cpu")
    with pytest.raises(InputError, match="its game was not kept"):
        found.draw(np.ones((5, 1)), code=1)
    assert found.draw(np.ones((5, 1))).shape == (5, 2)


def test_a_game_with_every_trick_is_taken_up_where_it_was(tmp_path: Path) -> None:
    settings = {
        "codes": 3, "optimiser": "rmsprop", "packing": 2, "loss": "hinge", "penalty_every": 4,
        "network": NetworkConfig(norm="virtual", critic_norm="spectral", dropout=0.2),
    }  # fmt: skip
    whole, first, second = (stage(**settings) for _ in range(3))
    for k in range(12):
        whole.step(k, False)
    for k in range(6):
        first.step(k, False)
    save_state(tmp_path / "c", "gan", "", first.state)
    assert load_state(tmp_path / "c", "gan", "", second.state)
    for k in range(6, 12):
        second.step(k, False)
    for name, module in whole.state.modules.items():
        again = second.state.modules[name].state_dict()
        assert all(torch.equal(again[key], value) for key, value in module.state_dict().items())


def test_a_table_is_learnt_without_conditions() -> None:
    """A skew column far from the origin, and one that follows it."""
    draws = np.random.default_rng(0)
    first = 50 + 3 * draws.exponential(size=4000)
    table = np.stack([first, 100 * first + 100 * draws.normal(size=4000)], axis=1)
    config = TrainConfig(**{**SMALL, "hidden": 32, "steps": 400, "batch_size": 256}, evaluations=1)
    generator = fit_generator(table, config, seed=3, device="cpu")
    rows = generator.draw(4000, seed=1)
    assert np.array_equal(rows, generator.draw(4000, seed=1))
    assert not np.array_equal(rows, generator.draw(4000, seed=2))
    normal = stats.norm(table[:, 0].mean(), table[:, 0].std())
    assert stats.kstest(table[:, 0], normal.cdf).statistic > 0.15
    assert stats.ks_2samp(rows[:, 0], table[:, 0]).statistic < 0.08
    assert np.corrcoef(rows.T)[0, 1] == pytest.approx(np.corrcoef(table.T)[0, 1], abs=0.03)
    assert generator.info["divergence"] < 0.05


@pytest.mark.usefixtures("whole_classifier")
@pytest.mark.slow
def test_a_seed_is_a_table_s_generator() -> None:
    """A law so unlike the noise that no untrained generator, which is the noise, is kept."""
    table = np.random.default_rng(0).choice([-1.0, 1.0], 300)
    config = TrainConfig(**{**SMALL, "hidden": 8, "steps": 60}, evaluations=1)
    first, again, other = (
        fit_generator(table, config, seed=seed, device="cpu").draw(9) for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.fixture(scope="module")
def small_generator() -> TableGenerator:
    """Two columns, three codes, virtual batch normalisation."""
    table = np.random.default_rng(0).normal([5.0, -1.0], [2.0, 0.1], (300, 2))
    config = TrainConfig(
        **{**SMALL, "steps": 6}, evaluations=2, codes=3, network=NetworkConfig(norm="virtual")
    )
    return fit_generator(table, config, seed=3, device="cpu")


def test_a_table_s_generator_survives_its_files(
    small_generator: TableGenerator, tmp_path: Path
) -> None:
    small_generator.save(tmp_path / "deep" / "table")
    again = load_generator(tmp_path / "deep" / "table", device="cpu")
    for code in (None, 2):
        first, second = (g.draw(50, seed=4, code=code) for g in (small_generator, again))
        assert np.array_equal(first, second)
    assert again.config == small_generator.config
    assert again.history == small_generator.history
    assert again.info == small_generator.info
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"table.json", "table.safetensors"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "rgan"}, "describes another kind of network, no generator of a table"),
        ({"method": None}, "describes another kind of network"),
        ({"format": 2}, "was written by a later invgan"),
        ({"centre": [0.0]}, "is no generator of a table that invgan wrote, or is damaged"),
        ({"centre": [0.0] * 3, "spread": [1.0] * 3}, "or is damaged"),
        ({"noise": -1}, "or is damaged"),
        ({"config": []}, "or is damaged"),
    ],
)
def test_files_of_another_kind_are_refused(
    change: dict, said: str, small_generator: TableGenerator, tmp_path: Path
) -> None:
    stem = tmp_path / "table"
    small_generator.save(stem)
    text = stem.with_suffix(".json")
    found = json.loads(text.read_text(encoding="utf-8")) | change
    text.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load_generator(stem, device="cpu")


def test_damaged_files_and_none_are_refused(
    small_generator: TableGenerator, two_branches: Inverse, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"no trained generator of a table at .*; fit and"):
        load_generator(tmp_path, device="cpu")
    two_branches.save(tmp_path / "inverse")
    with pytest.raises(InputError, match="another kind of network"):
        load_generator(tmp_path / "inverse", device="cpu")
    stem = tmp_path / "table"
    small_generator.save(stem)
    with pytest.raises(InputError, match="another kind of network, no inverse"):
        Inverse.load(stem, device="cpu")
    whole = stem.with_suffix(".safetensors").read_bytes()
    for damaged in (whole[:-9], b"", b"\x80\x04K\x00."):
        stem.with_suffix(".safetensors").write_bytes(damaged)
        with pytest.raises(InputError, match="or is damaged"):
            load_generator(stem, device="cpu")
    for text in ("", "[]", "{}", '"table"'):
        stem.with_suffix(".json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError):
            load_generator(stem, device="cpu")


def test_a_generator_without_codes_says_so() -> None:
    table = np.random.default_rng(0).normal(size=300)
    config = TrainConfig(**{**SMALL, "hidden": 8, "steps": 0}, evaluations=1)
    generator = fit_generator(table, config, device="cpu")
    with pytest.raises(InputError, match="trained without codes"):
        generator.draw(5, code=0)
    with pytest.raises(InputError, match="n must be a whole number, 1 or more; got -1"):
        generator.draw(-1)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (np.zeros((5, 2)), "100 or more rows"),
        (np.zeros((200, 2)), "column 0 of the table is constant"),
        (
            np.where(np.arange(200) == 7, np.nan, np.arange(200.0)),
            "row 7 of the table is not finite",
        ),
        (np.zeros((200, 2, 2)), r"got shape \(200, 2, 2\)"),
    ],
)
def test_a_table_that_cannot_be_learnt_is_refused(table: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit_generator(table)


def test_every_setting_of_the_game_is_reached_from_a_file(tmp_path: Path) -> None:
    text = """\
problem: {model: "gallery:rosenbrock"}
train:
  loss: hinge
  adaptive_weights: true
  penalty: r1
  penalty_over: pair
  penalty_every: 4
  network: {kind: dcgan, norm: virtual, noise: uniform, noise_size: 100, output: tanh}
  packing: 2
  codes: 3
  optimiser: rmsprop
  critic_rate: 4e-3
  clip: 1
  mixed_precision: true
"""
    (tmp_path / "config.yml").write_text(text, encoding="utf-8")
    found = load_config(tmp_path / "config.yml").train
    assert found == TrainConfig(
        loss="hinge", adaptive_weights=True, penalty="r1", penalty_over="pair", penalty_every=4,
        network=NetworkConfig(
            kind="dcgan", norm="virtual", noise="uniform", noise_size=100, output="tanh"
        ),
        packing=2, codes=3, optimiser="rmsprop", critic_rate=4e-3, clip=1.0, mixed_precision=True,
    )  # fmt: skip
    (tmp_path / "config.yml").write_text(text.replace("dcgan", "dcgam"), encoding="utf-8")
    with pytest.raises(InputError, match=r"network\.kind must be 'mlp', 'dcgan', 'conv1d' or"):
        load_config(tmp_path / "config.yml")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_half_precision_is_for_the_layers_alone() -> None:
    """Products in bfloat16; weights, losses and what is kept in single precision; same course."""
    device, seen = torch.device("cuda"), []
    ours = Pairs(pairs().u.to(device), pairs().y.to(device))
    means = []
    for half in (False, True):
        settings = TrainConfig(**SMALL, mixed_precision=half)
        game = GameStage(ours, ours, settings, torch.Generator(device).manual_seed(3))
        game._critic.network[0].register_forward_hook(lambda *call: seen.append(call[2].dtype))
        figures = torch.stack([game.step(k, True) for k in range(100)])
        assert figures.isfinite().all()
        assert figures.dtype == torch.float32
        assert {p.dtype for p in game._generator.parameters()} == {torch.float32}
        draws = torch.Generator(device).manual_seed(4)
        means.append(game._generator.draw(ours.y, draws).mean().item())
    assert set(seen) == {torch.float32, torch.bfloat16}
    assert means[0] == pytest.approx(means[1], abs=0.2)


def test_a_table_of_something_else_is_refused() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 2))
    masked = np.ma.masked_array(rows, np.arange(800).reshape(400, 2) == 9)
    for table, said in (
        (masked, "row 4 of the table is not finite"),
        (rows + 1j, "got complex ones"),
        ([["a", "b"]] * 200, "rows of numbers"),
        (np.full((1000, 1), 0.1), "column 0 of the table is constant"),
    ):
        with pytest.raises(InputError, match=said):
            fit_generator(table, TrainConfig())
