"""Make survey.csv: one rock that nobody knows, as a survey with errors of 0.1 sees it."""

from pathlib import Path

import numpy as np
from model import survey

import invgan as ig


def main() -> None:
    rng = np.random.default_rng(11)
    rock = ig.GaussianField((16, 16), length=5).sample(1, rng)
    seen = survey(rock.reshape(1, 1, 16, 16)).ravel() + 0.1 * rng.standard_normal(16)
    names = ",".join(f"block_{i}_{j}" for i in range(4) for j in range(4))
    values = ",".join(f"{value:.4f}" for value in seen)
    Path(__file__).with_name("survey.csv").write_text(f"{names}\n{values}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
