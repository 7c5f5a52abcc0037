"""How much sooner heads and likelihoods are fitted side by side (`train.workers`), as a ratio.

    python benchmarks/workers.py --workers 1 2 --head-steps 2000

One training of a posterior (two_moons' model, four members), after the other, without the game; the
draws of all must be the same. Start of the processes included.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import sbibm_tasks
import torch

import invgan as ig


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--head-steps", type=int, default=2000)
    parser.add_argument("--n", type=int, default=5000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = sbibm_tasks.get("two_moons")
    problem = task.problem(1)
    simulations = ig.simulate(problem, options.n, seed=1)
    rows, first = np.repeat(task.observation(1), 100, axis=0), 0.0
    draws: list[np.ndarray] = []
    for workers in options.workers:
        config = ig.TrainConfig(head_steps=options.head_steps, steps=0, workers=workers)
        started = time.perf_counter()
        inverse = ig.train(problem, simulations, config, seed=1, device="cpu")
        seconds = time.perf_counter() - started
        first = first or seconds
        draws.append(inverse.draw(rows, seed=2))
        same = np.array_equal(draws[0], draws[-1])
        print(f"{workers} workers: {first / seconds:.2f} as fast, the same draws: {same}")


if __name__ == "__main__":
    main()
