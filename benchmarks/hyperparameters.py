"""How hyperparameters change a plain GAN: the study of Sabiri, El Asri and Rhanoui on small laws.

    python benchmarks/hyperparameters.py --out runs/hyperparameters --workers 2
    python benchmarks/hyperparameters.py --out runs/hyperparameters --study weights --problem normal
    python benchmarks/hyperparameters.py --out runs/few --study scenario-2 --steps 300 --seeds 1
    python benchmarks/hyperparameters.py --table runs/hyperparameters

Two problems stand for the images of that study: the Rosenbrock inverse problem of the gallery, a
conditional law of two numbers, and N(0, 1), the one law of its own that is no image. Six studies
change a few settings each, everything else as there: no head start, the non-saturating loss, one
critic step, no gradient penalty. docs/hyperparameters.md describes them and holds the table.

Every finished run is a small file in the folder; the command can be stopped and given again.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, as_completed
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from invgan import gallery
from invgan.config import Settings, plain
from invgan.gan import fit_generator
from invgan.health import diagnose
from invgan.settings import SampleConfig, SimulateConfig
from invgan.study import Row, SweepPlan, processes, sweep
from invgan.study.changes import Choice, changed
from invgan.study.runs import one_thread
from invgan.study.search import search_of
from invgan.study.store import Store

ROWS = 20_000  # simulations of Rosenbrock, and rows of the normal table
DRAWS = 5_000
EXACT = 5_000

PLAIN = {
    "train.head": "none",
    "train.loss": "nonsaturating",
    "train.penalty": "none",
    "train.critic_steps": 1,
    "train.layers": 2,
    "train.hidden": 64,
    "train.network.slope": 0.0,
    "train.network.output": "linear",
    "train.optimiser": "adam",
    "train.learning_rate": 1e-3,
    "train.evaluations": 4,
}
"""What the studies start from."""

SCENARIOS: dict[str, dict[str, Any]] = {
    "1 (faces)": {
        "train.layers": 1,
        "train.network.generator_hidden": 16,
        "train.network.critic_hidden": 64,
        "train.network.output": "tanh",
        "train.network.noise_size": 100,
        "train.network.dropout": 0.2,
        "train.optimiser": "rmsprop",
    },
    "2 (celebrities)": {
        "train.network.kind": "dcgan",
        "train.network.norm": "batch",
        "train.network.slope": 0.2,
        "train.network.noise_size": 100,
    },
    "3 (small faces)": {
        "train.network.kind": "dcgan",
        "train.network.norm": "batch",
        "train.network.slope": 0.2,
        "train.network.output": "tanh",
        "train.network.noise_size": 128,
    },
    "4 (normal law)": {
        "train.layers": 1,
        "train.network.generator_hidden": 16,
        "train.network.critic_hidden": 64,
    },
}
"""The settings of its four scenarios that mean something for vectors."""

STUDIES: dict[str, dict[str, list[Any]]] = {
    "weights": {"train.real_weight": [0.5, 1.0, 2.0], "train.fake_weight": [0.5, 1.0, 2.0]},
    "adaptive": {"train.adaptive_weights": [False, True], "train.penalty": ["none", "both"]},
    "k": {"train.critic_steps": [1, 2, 5]},
    "optimiser": {
        "train.optimiser": ["adam", "rmsprop", "sgd"],
        "train.learning_rate": [1e-4, 1e-3, 1e-2],
    },
    "architecture": {
        "train.network.kind": ["mlp", "dcgan"],
        "train.network.norm": ["none", "batch"],
    },
    "width": {"train.hidden": [16, 64, 128], "train.layers": [1, 3]},
}
"""What each further study varies, from `PLAIN`."""

Study = tuple[str, dict[str, Any], dict[str, list[Any]]]


def studies(wanted: list[str]) -> Iterator[Study]:
    """Name, starting settings and what varies; every scenario is one, with and without weights."""
    for name, settings in SCENARIOS.items():
        if "scenarios" in wanted or f"scenario-{name[0]}" in wanted:
            yield f"scenario {name}", settings, {"train.adaptive_weights": [False, True]}
    for name, vary in STUDIES.items():
        if name in wanted:
            yield name, {}, vary


def base(changes: Mapping[str, Any], args: argparse.Namespace) -> Settings:
    """The settings that a study starts from."""
    start = Settings(simulate=SimulateConfig(n=args.rows), sample=SampleConfig(n=DRAWS))
    sizes = {"train.steps": args.steps, "train.batch_size": args.batch_size}
    return changed(start, {**PLAIN, **sizes, **changes})


def on_rosenbrock(
    settings: Settings, plan: SweepPlan, out: Path, executor: Executor | None
) -> None:
    ready = gallery.get("rosenbrock")
    exact = None if ready.exact is None else ready.exact(EXACT, 12_345)
    found = sweep(ready.problem, settings, plan, out, executor=executor, exact=exact, device="cpu")
    print(f"{out}: {len(found.rows)} runs, {len(found.failed)} failed", flush=True)


def on_normal(settings: Settings, plan: SweepPlan, out: Path, executor: Executor | None) -> None:
    """The same for a table of N(0, 1), which has no outputs to condition on."""
    store = Store(out, settings.model_dump_json(), plan, plain(settings))
    store.open()
    known = store.rows()
    todo = [
        (number, seed, choice, settings)
        for number, choice in enumerate(search_of(plan, 0).ask())
        for seed in plan.seeds or (0,)
        if (number, seed) not in known
    ]
    if executor is None:
        for task in todo:
            store.keep(normal_run(*task))
    else:
        for future in as_completed([executor.submit(normal_run, *task) for task in todo]):
            store.keep(future.result())
    print(f"{out}: {len(store.rows())} runs", flush=True)


def normal_run(number: int, seed: int, choice: Choice, settings: Settings) -> Row:
    """Train on draws of N(0, 1), and hold 5,000 of the generator's against the law."""
    try:
        config = changed(settings, choice).train
        table = np.random.default_rng(seed).normal(size=settings.simulate.n)
        with one_thread():
            generator = fit_generator(table, config, seed=seed, device="cpu")
        draws = generator.draw(DRAWS, seed=seed + 1000)[:, 0]
        game = [row for row in generator.history if "critic_loss" in row]
        last = game[-max(1, len(game) // 10) :]
        figures = {
            **{n: mean([row[n] for row in last]) for n in ("critic_loss", "generator_loss")},
            "divergence": generator.info["divergence"],
            "ks": float(stats.kstest(draws, "norm").statistic),
            "ks_p": float(stats.kstest(draws, "norm").pvalue),
        }
        bad = [name for name, value in figures.items() if not np.isfinite(value)]
        failure = f"{bad[0]} is not finite" if bad else None
        kept = {name: None if name in bad else value for name, value in figures.items()}
        health = diagnose(generator.history).name
        return Row(number, seed, choice, kept, health, generator.info["seconds"], failure)
    except Exception as error:
        return Row(number, seed, choice, failure=f"{type(error).__name__}: {error}")


def mean(values: list[float]) -> float:
    return float(np.mean(values))


PROBLEMS = {"rosenbrock": on_rosenbrock, "normal": on_normal}
COLUMNS = {
    "rosenbrock": ("critic_loss", "generator_loss", "heldout", "pushforward_raw", "exact"),
    "normal": ("critic_loss", "generator_loss", "divergence", "ks"),
}


def table(out: Path) -> str:
    """All rows as markdown: mean and standard deviation over the seeds."""
    parts = []
    for problem, columns in COLUMNS.items():
        head = ["study", "settings", "seeds", *columns, "health"]
        lines = [head, ["---"] * len(head)]
        for folder in sorted((out / problem).glob("*")):
            lines += list(_lines(folder, columns))
        if len(lines) > 2:
            text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
            parts.append(f"### {problem}\n\n{text}")
    return "\n\n".join(parts)


def _lines(folder: Path, columns: tuple[str, ...]) -> Iterator[list[str]]:
    rows = [json.loads(file.read_text()) for file in sorted(folder.glob("runs/*.json"))]
    for number in sorted({row["number"] for row in rows}):
        same = [row for row in rows if row["number"] == number]
        good = [row for row in same if not row["failure"]]
        said = ", ".join(f"{k.split('.')[-1]} {v}" for k, v in same[0]["settings"].items())
        cells = [_cell([row["figures"].get(name) for row in good]) for name in columns]
        health = Counter(row["health"] for row in good)
        health["failed"] = len(same) - len(good)
        told = ", ".join(f"{name} {count}" for name, count in health.items() if count)
        yield [folder.name, said, str(len(same)), *cells, told]


def _cell(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {np.std(known, ddof=1):.2g}" if len(known) > 1 else ""
    return f"{np.mean(known):.3g}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/hyperparameters"))
    parser.add_argument("--problem", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    everything = ["scenarios", *STUDIES]
    single = [f"scenario-{name[0]}" for name in SCENARIOS]
    choices = [*everything, *single]
    parser.add_argument("--study", nargs="+", choices=choices, default=everything)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", type=Path, help="print the table of a folder, and run nothing")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    with processes(args.workers) if args.workers > 1 else nullcontext() as executor:
        for problem in args.problem:
            for name, changes, vary in studies(args.study):
                plan = SweepPlan(vary=vary, seeds=tuple(range(args.seeds)))
                PROBLEMS[problem](base(changes, args), plan, args.out / problem / name, executor)
    print(table(args.out))


if __name__ == "__main__":
    main()
