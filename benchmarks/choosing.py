"""Which loss, penalty, network and size for which problem: sweeps over the gallery.

    python benchmarks/choosing.py --out runs/choosing --workers 2
    python benchmarks/choosing.py --out runs/choosing --study loss --problem rosenbrock
    python benchmarks/choosing.py --table runs/choosing
    python benchmarks/choosing.py --every runs/every.jsonl

Each study varies one thing of a plain conditional GAN (no head start, so that the game has all the
work to do), with five seeds a cell, and is scored by the yardstick of `invgan sweep`: the
divergence of pairs (drawn x, y) from held-out pairs by one classifier, in nats, 0 for an exact
conditional and log 2 = 0.693 for a useless one. docs/choosing.md holds the tables.

``--every`` trains every loss with every network on every problem for a few steps: what trains, and
what is refused in which sentence.

Every finished run is a small file in the folder; the command can be stopped and given again.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invgan import gallery
from invgan.config import Settings
from invgan.errors import InvganError
from invgan.gan.device import few_threads, generator_on, to_tensor
from invgan.gan.game import GameStage
from invgan.gan.networks import check_networks, fitted
from invgan.gan.stage import Pairs
from invgan.problem import Problem
from invgan.samples import Simulations
from invgan.scaling import OutputScaling, ParameterScaling
from invgan.settings import NetworkConfig, SettingError, SimulateConfig, TrainConfig
from invgan.simulation import simulate
from invgan.study import SweepPlan, processes, sweep
from invgan.study.changes import changed

LOSSES = ["relativistic", "minimax", "nonsaturating", "wasserstein", "least_squares", "hinge"]
NETWORKS = ["mlp", "dcgan", "conv1d", "srgan"]
FIVE = ["rosenbrock", "root-ratio", "linear-gaussian", "oscillator", "two-branches"]
TWO = ["rosenbrock", "linear-gaussian"]

START = {
    "train.head": "none",
    "train.members": 1,
    "train.judge": False,
    "train.restarts": 0,
    "train.layers": 2,
    "train.hidden": 64,
    "train.evaluations": 3,
}
STUDIES: dict[str, tuple[list[str], dict[str, list[Any]]]] = {
    "loss": (FIVE, {"train.loss": LOSSES}),
    "penalty": (TWO, {"train.penalty": ["none", "r1", "r2", "both"], "train.gamma": [0.05, 0.5]}),
    "norm": (TWO, {"train.network.norm": ["none", "batch", "layer", "spectral", "virtual"]}),
    "size": (TWO, {"train.hidden": [32, 128], "train.layers": [2, 3]}),
}
"""Problems, and what varies from `START`."""


def run(args: argparse.Namespace) -> None:
    sizes = {"train.steps": args.steps, "train.batch_size": args.batch_size}
    start = changed(Settings(simulate=SimulateConfig(n=args.rows)), {**START, **sizes})
    with processes(args.workers) if args.workers > 1 else nullcontext() as executor:
        for study in args.study:
            problems, vary = STUDIES[study]
            plan = SweepPlan(vary=vary, seeds=tuple(range(args.seeds)), push_forward=False)
            for name in args.problem or problems:
                out = args.out / study / name
                problem = gallery.get(name).problem
                found = sweep(problem, start, plan, out, executor=executor, device="cpu")
                print(f"{out}: {len(found.rows)} runs, {len(found.failed)} failed", flush=True)


def table(out: Path) -> str:
    """A table for each study, a column for each problem: mean ± sd over the seeds, and health."""
    parts = []
    for study, (_, vary) in STUDIES.items():
        cells: dict[str, dict[str, str]] = {}
        problems = [name for name in FIVE if (out / study / name).is_dir()]
        for name in problems:
            for said, cell in _cells(out / study / name):
                cells.setdefault(said, {})[name] = cell
        if not cells:
            continue
        lines = [[", ".join(key.removeprefix("train.") for key in vary), *problems]]
        lines.append(["---"] * len(lines[0]))
        lines += [[said, *(row.get(name, "") for name in problems)] for said, row in cells.items()]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"### {study}\n\n{text}")
    return "\n\n".join(parts)


def _cells(folder: Path) -> Iterator[tuple[str, str]]:
    rows = [json.loads(file.read_text()) for file in sorted(folder.glob("runs/*.json"))]
    for number in sorted({row["number"] for row in rows}):
        same = [row for row in rows if row["number"] == number]
        values = [row["figures"]["heldout"] for row in same if not row["failure"]]
        said = ", ".join(str(value) for value in same[0]["settings"].values())
        if not values:
            yield said, "failed"
            continue
        ill = Counter(row["health"] for row in same if row["health"] not in (None, "healthy"))
        told = "; ".join(f"{count} {name}" for name, count in ill.items())
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        yield said, f"{np.mean(values):.3f}{spread}" + (f" ({told})" if told else "")


def every(out: Path) -> None:
    """Each loss with each network on each problem: a few steps, or the sentence that refuses."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in gallery.PROBLEMS:
        problem = gallery.get(name).problem
        simulations = simulate(problem, 400, seed=1)
        for kind, loss in product(NETWORKS, LOSSES):
            said = _attempt(problem, simulations, kind, loss)
            with out.open("a", encoding="utf-8") as file:
                row = {"problem": name, "network": kind, "loss": loss, "said": said}
                file.write(json.dumps(row) + "\n")
        print(name, flush=True)


def _attempt(problem: Problem, simulations: Simulations, kind: str, loss: str) -> str:
    """Four steps of the game itself; its held-out evaluations would take most of the time."""
    small = {"head": "none", "hidden": 8, "steps": 4, "batch_size": 16, "loss": loss}
    try:
        config = TrainConfig(**small, network=NetworkConfig(kind=kind))
        config = fitted(config, problem.field, problem.output_shape)
        parameters = ParameterScaling.fit(problem.prior, np.random.default_rng(0))
        check_networks(config, parameters.dimension, simulations.y.shape[1])
    except (InvganError, SettingError) as error:
        return str(error)
    cpu = torch.device("cpu")
    e = to_tensor(parameters.to_network(simulations.x), cpu)
    pairs = Pairs(e, to_tensor(OutputScaling.fit(simulations.y).to_network(simulations.y), cpu))
    game = GameStage(pairs, pairs, config, generator_on(cpu, 1))
    with few_threads():
        figures = [game.step(step, True) for step in range(4)]
    good = all(row is not None and bool(torch.isfinite(row).all()) for row in figures)
    return "trains" if good else "not finite"


def every_table(path: Path) -> str:
    """How many of the losses train, for each problem and network, and the refusals once."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    said: dict[str, list[str]] = {}
    lines = [["problem", *NETWORKS], ["---"] * (len(NETWORKS) + 1)]
    for name in dict.fromkeys(row["problem"] for row in rows):
        line = [name]
        for kind in NETWORKS:
            here = [r["said"] for r in rows if (r["problem"], r["network"]) == (name, kind)]
            trained = here.count("trains")
            line.append(f"{trained} of {len(here)}" if trained else "refused")
            for text in set(here) - {"trains"}:
                said.setdefault(text, []).append(f"{name} ({kind})")
        lines.append(line)
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return text + "\n\n" + "\n".join(f"- {text}: {', '.join(set(at))}" for text, at in said.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/choosing"))
    parser.add_argument("--study", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--problem", nargs="+", choices=list(gallery.PROBLEMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", type=Path, help="print the tables of a folder, and run nothing")
    parser.add_argument("--every", type=Path, help="every loss, network and problem, briefly")
    args = parser.parse_args()
    if args.table:
        print(table(args.table) if args.table.is_dir() else every_table(args.table))
    elif args.every:
        every(args.every)
    else:
        run(args)


if __name__ == "__main__":
    main()
