"""The draws of each code of a finished run, and which branch they are on.

    python examples/branches/codes.py runs/branches

It prints what each code draws, and leaves the draws in codes.csv beside the run's other files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import invgan as ig
from invgan.config import build_problem, load_config

HERE = Path(__file__).parent
DRAWS, STEEP = 5000, 45.0  # degrees: above it a throw is steep


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of `invgan solve`")
    args = parser.parse_args()
    inverse = ig.Inverse.load(args.run / "inverse")
    seen = build_problem(load_config(HERE / "config.yml"), HERE).observations
    landed = seen.representative(DRAWS, np.random.default_rng(0))
    rows = []
    for code in range(inverse.config.codes):
        x = inverse.draw(landed, code=code)
        steep = (x[:, 1] > STEEP).mean()
        print(f"code {code}: {steep:.1%} steep, mean speed {x[:, 0].mean():.2f} m/s, "
              f"mean angle {x[:, 1].mean():.1f} degrees")  # fmt: skip
        rows.append(np.column_stack([np.full(len(x), code), x]))
    header = ",".join(["code", *inverse.names])
    np.savetxt(
        args.run / "codes.csv", np.concatenate(rows), "%.8g", ",", header=header, comments=""
    )


if __name__ == "__main__":
    main()
