"""Speed of the flows of the heads against the same flows as the library zuko evaluates them.

    python benchmarks/flows.py

The same weights, rows and one thread, in turn, the fastest of three: a step of likelihood on 256
rows, the density of 8,192 rows and as many draws. A ratio of two says twice as fast. The largest
difference of the answers stands beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
import zuko
from torch import Tensor

from invgan.gan.heads import FlowHead, build_head

_SIZES = ((2, 2), (5, 8), (13, 9), (25, 25))
_BATCH, _ROWS, _TIMES = 256, 8_192, 3


def measure(features: int, outputs: int) -> Iterator[str]:
    """A line for each of the three."""
    ours = _head(features, outputs)
    theirs = _head(features, outputs)
    for transform in theirs.flow.transform.transforms:
        transform.univariate = zuko.transforms.MonotonicRQSTransform
        transform.shapes = ((8,), (8,), (7,))
    rng = torch.Generator().manual_seed(1)
    e, y = (torch.randn(_ROWS, width, generator=rng) for width in (features, outputs))
    pair = e[:_BATCH], y[:_BATCH]
    yield _line("a step", features, lambda: _step(ours, *pair), lambda: _step(theirs, *pair), 20)
    with torch.no_grad():
        yield _line("density", features, lambda: ours(e, y)[1], lambda: theirs(e, y)[1])
        yield _line(
            "draws", features, lambda: ours.inverse(e, y), lambda: theirs.flow(y).transform.inv(e)
        )


def _head(features: int, outputs: int) -> FlowHead:
    rng = torch.Generator().manual_seed(0)
    head = build_head("flow", features, outputs, hidden=128, transforms=5, rng=rng)
    if not isinstance(head, FlowHead):
        raise TypeError(f"the flow is a {type(head).__name__}")
    return head


def _step(head: FlowHead, e: Tensor, y: Tensor) -> Tensor:
    head.zero_grad()
    u, ladj = head(e, y)
    (u.square().sum() / 2 - ladj.sum()).backward()
    return torch.cat([p.grad.flatten() for p in head.parameters() if p.grad is not None]) / len(e)


def _line(
    name: str, features: int, ours: Callable[[], Tensor], theirs: Callable[[], Tensor],
    repeats: int = 1,
) -> str:  # fmt: skip
    apart = float((ours() - theirs()).abs().max())
    times = [(_seconds(theirs, repeats), _seconds(ours, repeats)) for _ in range(_TIMES)]
    slow, fast = (min(column) for column in zip(*times, strict=True))
    return f"| {features} | {name} | {slow / fast:.1f} | {apart:.0e} |"


def _seconds(run: Callable[[], Tensor], repeats: int) -> float:
    """Of the processor, since machines are shared."""
    started = time.process_time()
    for _ in range(repeats):
        run()
    return time.process_time() - started


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| parameters | of | ratio | largest difference |")
    print("|---|---|---|---|")
    for features, outputs in _SIZES:
        for line in measure(features, outputs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
