"""What restarts win: games made to fail, played once, again by the rules, and again as they were.

    python benchmarks/recovery.py --out recovery.jsonl
    python benchmarks/recovery.py --table recovery.jsonl

The games are those of health.py, of the failures that have a rule. Each is played three ways: once
(`restarts: 0`); with two restarts as `train` makes them; and with two restarts under the settings
of the first game, with other seeds, which shows what is won by mere repetition. All begin with the
same game, and held-out pairs choose what is kept. What came of it is measured on pairs that no game
has seen. Seconds are of processor time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from health import STRIDE, Game, apart, games, recovered

KINDS = (
    "blown up", "over-fitting of the critic", "mode collapse", "both vanish", "critic wins",
    "oscillation",
)  # fmt: skip
WAYS = {"once": (0, True), "by the rules": (2, True), "as it was": (2, False)}


def row_of(game: Game, seed: int) -> dict[str, Any]:
    """One game, played in every way."""
    row = {"kind": game.kind, "law": game.law, "settings": game.settings, "seed": seed}
    for way, (restarts, mended) in WAYS.items():
        started = time.process_time()
        result = recovered(game, seed, restarts, mended=mended)
        row[way] = {
            "health": result.health.name,
            "restarts": [record["failure"] for record in result.restarts],
            "heldout": result.restarts[0]["heldout"][0] if result.restarts else None,
            "apart": apart(result.kept, game, seed),
            "seconds": time.process_time() - started,
        }
    return row


def table(path: Path) -> str:
    """Medians over the games of each kind that were played again, in markdown."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [
        "| made | played again | divergence once | by the rules | as it was | healthy by the rules "
        "| as it was | worse than once by the rules |",
        "|---" * 8 + "|",
    ]
    for kind in KINDS:
        again = [r for r in rows if r["kind"] == kind and r["by the rules"]["restarts"]]
        played = sum(r["kind"] == kind for r in rows)
        if not again:
            continue
        medians = [f"{statistics.median(r[way]['apart'] for r in again):.3f}" for way in WAYS]
        well = [
            Counter(r[way]["health"] for r in again)["healthy"]
            for way in ("by the rules", "as it was")
        ]
        worse = sum(r["by the rules"]["apart"] > r["once"]["apart"] + 0.01 for r in again)
        cells = [kind, f"{len(again)} of {played}", *medians, *well, worse]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, help="games of each kind")
    parser.add_argument("--first", type=int, default=3000, help="first seed")
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--out", type=Path, default=Path("recovery.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of a file and stop")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
        return
    for kind in args.kind or KINDS:
        made = games(kind)
        for number in range(args.runs):
            row = row_of(made[STRIDE * number % len(made)], args.first + number)
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    print(table(args.out))


if __name__ == "__main__":
    main()
