"""The example of the normal law: losses and draws, quickly at a small size, slowly at its own."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "normal" / "learn.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("normal_example", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.usefixtures("whole_classifier")
def test_the_script_learns_the_normal_law(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--out", str(tmp_path), "--rows", "4000", "--epochs", "30", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", ["learn.py", *arguments])
    example.main()
    (found,) = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert (tmp_path / "history-0.png").read_bytes().startswith(b"\x89PNG")
    assert found["critic"] == pytest.approx(math.log(2), abs=0.05)
    assert found["generator"] == pytest.approx(math.log(2), abs=0.05)
    assert found["ks"] < 0.06


def test_the_example_has_the_sizes_of_the_slides(example: ModuleType) -> None:
    config = example.settings(example.ROWS, example.EPOCHS)
    assert (config.network.generator_hidden, config.network.critic_hidden) == (16, 64)
    assert (config.layers, config.network.slope) == (1, 0.0)
    assert config.steps * config.batch_size == example.EPOCHS * 0.9 * example.ROWS


@pytest.mark.slow
def test_the_losses_are_even_and_the_draws_normal(example: ModuleType) -> None:
    runs = [example.learn(example.ROWS, example.EPOCHS, seed)[0] for seed in range(5)]
    for run in runs:
        assert run["critic"] == pytest.approx(math.log(2), abs=0.05)
        assert run["generator"] == pytest.approx(math.log(2), abs=0.05)
    assert sum(run["p"] > 0.01 for run in runs) >= 4
