"""How fast a training step is on this machine: the fast twins of fast.py against the plain layers, pair by pair.

    python benchmarks/speed.py
"""

import statistics
import time
from collections.abc import Callable

import torch

from study.presets import QUICK
from tasnet_core.fused import speed_up
from tasnet_core.loss import pit_loss
from tasnet_core.model import ConvTasNet, seeded
from tasnet_core.records import Variant

PAIRS = 7


def stepper(network: ConvTasNet, batch: int, samples: int) -> Callable[[], float]:
    """A whole training step on random sound: returns its seconds."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    sources = torch.randn(batch, network.variant.C, samples)

    def step() -> float:
        start = time.perf_counter()
        loss = pit_loss(sources, network(sources.sum(1)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        return time.perf_counter() - start
    return step


def main() -> None:
    print(f"{torch.get_num_threads()} threads; seconds of sound per second, medians of {PAIRS} pairs, float32")
    print("| network | batch × s | plain | fast | ratio |\n|---|---|---|---|---|")
    cases: list[tuple[str, Variant, int, float]] = [
        ("quick reference", QUICK.reference, 4, 1.0), ("quick reference", QUICK.reference, 4, 4.0),
        ("quick, smallest", next(QUICK.variants()), 4, 1.0), ("the paper's best", Variant(), 2, 4.0)]
    for name, variant, batch, seconds in cases:
        steps = [stepper(network, batch, round(8000 * seconds)) for network in (seeded(variant, 0), speed_up(seeded(variant, 0)))]
        pairs = [[step() for step in steps] for _ in range(PAIRS + 1)][1:]      # the first warms up
        plain, fast = (batch * seconds / statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        print(f"| {name} | {batch} × {seconds:g} | {plain:.1f} | {fast:.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
