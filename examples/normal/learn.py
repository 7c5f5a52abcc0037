"""A GAN learns the standard normal law from draws of it: 16 hidden units against 64, 600 epochs.

    python examples/normal/learn.py --out runs/normal

The generator has one layer of 16 rectified units between four uniform numbers and its draw, the
critic one of 64, and they play the non-saturating game with its halved costs and no penalty. Where
neither wins, the cross-entropy that each minimises is log 2 = 0.693: the critic's is its loss, the
generator's, -E log D(G(z)), twice its loss. Five thousand draws are tested against N(0, 1) by
Kolmogorov and Smirnov; the noise is uniform, so nothing about them is normal before training.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from invgan import TrainConfig, plots
from invgan.gan import fit_generator
from invgan.settings import NetworkConfig

ROWS, EPOCHS, SEEDS = 20_000, 600, 5
BATCHES = 10  # of an epoch; a tenth of the rows is held out
DRAWS = 5000
LAST = 0.1  # share of the steps over which the losses are averaged


def settings(rows: int, epochs: int) -> TrainConfig:
    network = NetworkConfig(
        generator_hidden=16, critic_hidden=64, slope=0.0, noise="uniform", output="linear"
    )
    return TrainConfig(
        loss="nonsaturating",
        penalty="none",
        network=network,
        layers=1,
        steps=epochs * BATCHES,
        batch_size=rows * 9 // 10 // BATCHES,
        evaluations=6,
    )


def learn(rows: int, epochs: int, seed: int) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Losses over the last steps and the test of the draws; the history of the training."""
    table = np.random.default_rng(seed).normal(size=rows)
    generator = fit_generator(table, settings(rows, epochs), seed=seed, device="cpu")
    played = [row for row in generator.history if "critic_loss" in row]
    last = [row for row in played if row["step"] >= (1 - LAST) * played[-1]["step"]]
    draws = generator.draw(DRAWS, seed=seed + 1000)[:, 0]
    test = stats.kstest(draws, "norm")
    figures = {
        "seed": seed,
        "critic": float(np.mean([row["critic_loss"] for row in last])),
        "generator": float(np.mean([2 * row["generator_loss"] for row in last])),
        "mean": float(draws.mean()),
        "sd": float(draws.std()),
        "ks": float(test.statistic),
        "p": float(test.pvalue),
    }
    return figures, generator.history


def shown(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The history without the penalty that there is none of."""
    return [{k: v for k, v in row.items() if k != "gradient_penalty"} for row in history]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/normal"))
    for name, value in {"rows": ROWS, "epochs": EPOCHS, "seeds": SEEDS}.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    print(f"log 2 = {math.log(2):.4f}")
    results = []
    for seed in range(args.seeds):
        figures, history = learn(args.rows, args.epochs, seed)
        results.append(figures)
        print("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
        plots.save_png(plots.plot_history(shown(history)), args.out / f"history-{seed}.png")
    text = json.dumps(results, indent=2)
    (args.out / "results.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
