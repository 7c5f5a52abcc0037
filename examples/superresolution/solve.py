"""Fine fields from a coarse survey: the game alone, the default, and the exact posterior.

    python examples/superresolution/solve.py --out runs/superresolution-script

The posterior is Gaussian and known: x | y ~ N(B y, K - B A K) with B = K A' (A K A' + s^2 I)^-1, K
the covariance of the field, A the means over blocks and s the error of the survey. Printed is how
far mean and standard deviation of the draws are from it, in relative L2 over the cells, and the
largest deviation of their power spectrum.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from model import survey

import invgan as ig
from invgan.fields import spectrum

HERE = Path(__file__).parent
NOISE = 0.1
SRGAN = {"kind": "srgan", "coarse": (1, 4, 4), "critic_hidden": 64}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/superresolution-script"))
    parser.add_argument("--n", type=int, default=20_000, help="simulations")
    parser.add_argument("--steps", type=int, default=2000, help="of the game")
    parser.add_argument("--evaluations", type=int, default=4)
    parser.add_argument("--draws", type=int, default=5000)
    args = parser.parse_args()

    prior = ig.GaussianField((16, 16), length=5, name="log k")
    model = ig.torch_model(survey)
    problem = ig.Problem(
        model, prior, HERE / "survey.csv", question="posterior", noise={"normal": NOISE}
    )
    game = ig.TrainConfig(
        head="none", members=1, judge=False, network=SRGAN, batch_size=128, steps=args.steps,
        evaluations=args.evaluations,
    )  # fmt: skip
    roads = {"srgan alone": game, "regression": ig.TrainConfig(steps=0, members=1, judge=False)}
    exact = exact_draws(prior, problem.observations.rows[0], args.draws)
    for name, train in roads.items():
        settings = ig.Settings(
            simulate=ig.SimulateConfig(n=args.n), train=train, sample=ig.SampleConfig(n=args.draws)
        )
        solution = ig.solve(problem, args.out / name.split()[0], settings=settings, seed=0)
        mean, sd, power = errors(solution.samples.x, exact, prior.field)
        print(f"{name}: {solution.validation.verdict}, report {solution.report}")
        print(f"  mean {mean:.3f}  sd {sd:.3f}  spectrum {power:.3f}")


def exact_draws(prior: ig.GaussianField, y: np.ndarray, n: int) -> np.ndarray:
    """Draws (n, 256) of the exact posterior."""
    k = prior.covariance
    a = survey(np.eye(len(k)).reshape(-1, 1, 16, 16)).reshape(len(k), -1).T
    gain = np.linalg.solve(a @ k @ a.T + NOISE**2 * np.eye(len(a)), a @ k).T
    return np.random.default_rng(1).multivariate_normal(gain @ y, k - gain @ a @ k, n)


def errors(x: np.ndarray, exact: np.ndarray, shape: tuple[int, int, int]) -> tuple[float, ...]:
    """Of mean and sd in relative L2, and the largest of the spectrum in relative terms."""
    found = [
        np.linalg.norm(of(x, axis=0) - of(exact, axis=0)) / np.linalg.norm(of(exact, axis=0))
        for of in (np.mean, np.std)
    ]
    power, right = (spectrum(cloud, shape)[1] for cloud in (x, exact))
    return (*found, float(np.abs(power / right - 1).max()))


if __name__ == "__main__":
    main()
