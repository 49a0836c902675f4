"""How many small trainings one device is best shared by: seconds of sound trained per second, summed over processes.

Each process trains as a worker of a study does, all for the same time. On a GPU kernels of several processes run side by side
only under MPS (`nvidia-cuda-mps-control -d`); without it they take turns.

    python benchmarks/packing.py [--device auto|cpu|cuda] [--seconds S] [--processes 1 2 4 8]
"""

import argparse
import multiprocessing as mp
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from study.space.presets import QUICK
from tasnet_core.backend.devices import device_of, precision_of
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.records import Recipe, Variant
from tasnet_core.training.trainer import Training

VARIANTS = {"quick reference": QUICK.reference, "smallest of quick": next(QUICK.variants())}
WARM_UP = 8         # steps, among them those before a GPU records


def train(variant: Variant, recipe: Recipe, corpus: str, device: torch.device, seconds: float,
          together: Any, answers: Any) -> None:
    """One process: train for so long, begun with the others, and answer with seconds of sound per second."""
    torch.set_num_threads(1)
    endless = replace(recipe, epochs=1, epoch_segments=10**9)
    steps = Training(variant, endless, open_corpus(corpus, variant.C, variant.sample_rate_hz), device).steps()

    def take(count: int) -> None:
        for _ in range(count):
            next(steps)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    take(WARM_UP)
    wait()
    together.wait()
    start, done = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        take(1)
        done += 1
    wait()
    answers.put(done * recipe.batch_size * recipe.segment_s / (time.perf_counter() - start))


def rates(variant: Variant, recipe: Recipe, corpus: str, device: torch.device, seconds: float, count: int) -> list[float]:
    """Seconds of sound per second of each of so many processes that train at once.

    Raises:
        RuntimeError: when one of them died.
    """
    context = mp.get_context("spawn")
    together, answers = context.Barrier(count, timeout=120), context.Queue()
    processes = [context.Process(target=train, args=(variant, recipe, corpus, device, seconds, together, answers))
                 for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if died := sum(process.exitcode != 0 for process in processes):
        raise RuntimeError(f"{died} of {count} processes died; see above")
    return [answers.get() for _ in processes]


def main(device: torch.device, seconds: float, counts: Sequence[int]) -> None:
    open_corpus("voices", say=print)        # made once, before all read it
    recipe = replace(QUICK.recipe, precision=precision_of("auto", device.type))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread each"
    print(f"{name}, {recipe.precision}, batches of {recipe.batch_size} × {recipe.segment_s:g} s: seconds of sound per second, "
          f"summed, and times that of one process\n")
    print("| network | " + " | ".join(f"{count} at once" for count in counts) + " |\n|" + "---|" * (1 + len(counts)))
    for label, variant in VARIANTS.items():
        sums = [sum(rates(variant, recipe, "voices", device, seconds, count)) for count in counts]
        alone = sums[0] / counts[0]
        print(f"| {label} | " + " | ".join(f"{one:.3g} (×{one / alone:.2f})" for one in sums) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    main(device_of(given.device), given.seconds, given.processes)
