"""Speed of training and separation on this machine: compiled layers, plain ones, and Asteroid.

Whole training steps (mixture, forward, PIT loss, backward, clipping, Adam) and forward passes, some
of each in turn, in one process; medians and the median ratio. Asteroid takes part where the environment names
a folder with asteroid and asteroid_filterbanks in it; torch.compile where --compiled asks for it,
which takes minutes.

"fast, scipy" and the like are the fast steps by matrix products of another library than the usual
one.

"fast" is what `Training` does, with all that belongs to it but drawing. On a GPU trainings alone,
in the precision that is the default there.

    ASTEROID=FOLDER python benchmarks/speed.py [--compiled] [--device cpu|cuda]
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from asteroid_parity import asteroid_from
from torch import Tensor, nn

from study.space.presets import QUICK
from tasnet_core.backend import blas, build
from tasnet_core.backend.devices import device_of, precision_of
from tasnet_core.backend.fused import speed_up
from tasnet_core.corpora.mixture import Mixture
from tasnet_core.cost.count import macs
from tasnet_core.network.loss import pit_loss
from tasnet_core.network.model import frames_of, seeded
from tasnet_core.records import Recipe, Variant
from tasnet_core.training.trainer import Training

ROUNDS = 7
STRETCH_S = 0.25
WARM_UP = {"cpu": 2, "cuda": 6}      # a GPU's steps are recorded by then
SMALLEST = next(QUICK.variants())
TRAININGS = [("the paper's best", Variant(), 2, 4.0), ("quick reference", QUICK.reference, 4, 4.0),
             ("quick reference", QUICK.reference, 8, 1.0), ("smallest of quick", SMALLEST, 8, 1.0)]
CPU = torch.device("cpu")
Maker = Callable[[Variant], nn.Module]


@dataclass(frozen=True)
class Floors:
    """Measured limits of the hardware: operations of matrix products and bytes per second."""

    operations: float
    bytes: float

    def step_s(self, variant: Variant, batch: int, samples: int) -> tuple[float, float]:
        """Seconds that a training step's multiplications take alone, and its memory traffic.

        Three times the forward's MACs. Traffic: 16 passes over each block's two wide signals, 6
        over its narrow ones.
        """
        frames = batch * frames_of(variant, samples)
        values = frames * variant.X * variant.R * (16 * variant.H + 6 * (variant.B + variant.Sc))
        return 6 * batch * macs(variant, samples) / self.operations, 4 * values / self.bytes


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of work, with all that it began on the device."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def floors(device: torch.device, precision: str) -> Floors:
    """The limits of a device, in the precision that "fast" has there."""
    size, values = (8192, 2**28) if device.type == "cuda" else (2048, 2**25)
    a = torch.randn(
        size, size, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    wide = torch.randn(values, device=device)
    to = torch.empty_like(wide)
    product, copy = (
        min(seconds_of(work, device) for _ in range(10))
        for work in (lambda: a @ a, lambda: to.copy_(wide)))
    return Floors(2 * size**3 / product, 2 * 4 * values / copy)


def makers(compiled: bool, device: torch.device = CPU) -> dict[str, Maker]:
    """What is compared, by name."""
    found: dict[str, Maker] = {}
    if folder := os.environ.get("ASTEROID"):
        asteroid = asteroid_from(folder)
        found["Asteroid"] = lambda v: asteroid.ConvTasNet(
            v.C, n_filters=v.N, kernel_size=v.L, stride=v.hop, bn_chan=v.B, hid_chan=v.H,
            skip_chan=v.Sc, n_blocks=v.X, n_repeats=v.R)
    found["plain"] = lambda v: seeded(v, 0)
    if compiled:
        compile: Any = torch.compile
        found["plain, compiled"] = lambda v: compile(seeded(v, 0))
    found["fast bf16" if device.type == "cpu" else "plain bf16"] = lambda v: speed_up(
        seeded(v, 0), "bf16")
    found["fast"] = lambda v: speed_up(seeded(v, 0))
    return found


def trainer(network: nn.Module, sources: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        loss = pit_loss(sources, network(sources.sum(1)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
    return step


class Fixed:
    """A corpus whose training segments are always the same."""

    planned = None

    def __init__(self, sources: Tensor) -> None:
        self.sources = sources.numpy()

    def segment(self, seed: int, epoch: int, index: int, samples: int) -> Mixture:
        return Mixture("", self.sources[index % len(self.sources)], samples, (), ())


def training(
    variant: Variant, sources: Tensor, device: torch.device, precision: str
) -> Callable[[], None]:
    """A step as `Training` does it on a device, with all that belongs to it but drawing."""
    recipe = Recipe(
        epochs=1, epoch_segments=10**9, segment_s=sources.shape[-1] / variant.sample_rate_hz,
        batch_size=len(sources), precision=precision)
    steps = Training(variant, recipe, Fixed(sources), device).steps()       # type: ignore[arg-type]
    return lambda: next(steps)


def others() -> dict[str, blas.Routines]:
    """Matrix products of the libraries that are not the usual one."""
    found = {}
    for name, find in blas.SOURCES.items():
        with contextlib.suppress(blas.Unavailable):
            found[f"fast, {name}"] = find()
    return dict(list(found.items())[1:])


def by(routines: blas.Routines, step: Callable[[], None]) -> Callable[[], None]:
    """A step by other matrix products than the usual ones."""
    library, usual = build.compiled()[0], blas.routines()
    assert library is not None

    def switched() -> None:
        build.use(library, routines)
        step()
        build.use(library, usual)
    return switched


def separator(network: nn.Module, mixture: Tensor) -> Callable[[], None]:
    network.eval()

    def separate() -> None:
        with torch.inference_mode():
            network(mixture)
    return separate


def timed(
    steps: dict[str, Callable[[], None]], device: torch.device = CPU
) -> dict[str, list[float]]:
    """Seconds of one of each, after a warm-up.

    In turn, of each as many at a time as take STRETCH_S: a training's steps follow each other, so
    its own numbers are in the caches.
    """
    found: dict[str, list[float]] = {name: [] for name in steps}
    times = dict.fromkeys(steps, 1)
    for _ in range(WARM_UP[device.type] + ROUNDS):
        for name, step in steps.items():
            took = seconds_of(partial(repeated, step, times[name]), device) / times[name]
            found[name].append(took)
            times[name] = max(1, round(STRETCH_S / took))
    return {name: seconds[WARM_UP[device.type]:] for name, seconds in found.items()}


def repeated(step: Callable[[], None], times: int) -> None:
    for _ in range(times):
        step()


def row(name: str, sound_s: float, seconds: dict[str, list[float]], *more: str) -> str:
    """Seconds of audio per second of each, and the fast one's ratio to the first and the plain."""
    rates = [f"{sound_s / statistics.median(one):.3g}" for one in seconds.values()]
    times = [
        statistics.median(
            slow / fast for slow, fast in zip(seconds[peer], seconds["fast"], strict=True))
        for peer in dict.fromkeys((next(iter(seconds)), "plain"))
    ]
    return "| " + " | ".join([name, *rates, *(f"**{ratio:.2f}**" for ratio in times), *more]) + " |"


def header(first: str, names: list[str], *more: str) -> str:
    ratios = [f"fast / {peer}" for peer in dict.fromkeys((names[0], "plain"))]
    columns = [first, *names, *ratios, *more]
    return "| " + " | ".join(columns) + " |\n|" + "---|" * len(columns)


def preparation() -> tuple[float, float]:
    """Seconds to compile the layers on a new machine, and to load them in a later process."""
    script = (
        "import time, torch; from tasnet_core.backend import build; "
        "start = time.perf_counter(); build.why_not(); "
        "print(time.perf_counter() - start)")
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = {**os.environ, "TASNET_CACHE": folder}
        first, second = (
            float(subprocess.check_output([sys.executable, "-c", script], env=elsewhere))
            for _ in range(2))
    return first, second


def first_steps(make: Maker) -> str:
    """Seconds that the first step of a variant takes longer than its later ones."""
    sources = torch.randn(8, 2, 8000)
    late = []
    for variant in (QUICK.reference, SMALLEST, Variant(N=96, L=16, B=48, H=96, Sc=48, X=5, R=2)):
        step = trainer(make(variant), sources)
        seconds = [seconds_of(step, CPU) for _ in range(5)]
        late.append(seconds[0] - statistics.median(seconds[1:]))
    return ", ".join(f"{one:.2f}" for one in late)


def train_table(
    where: str, kinds: dict[str, Maker], device: torch.device, without: Variant | None = None
) -> None:
    """Print how fast each network trains on a device, all but one of them."""
    precision = precision_of("auto", "cuda") if device.type == "cuda" else "float32"
    limits = floors(device, precision)
    print(
        f"\n{where}: {limits.operations / 1e9:.0f} GFLOP/s {precision}, "
        f"{limits.bytes / 1e9:.0f} GB/s copy. "
        f"Seconds of sound trained per second, medians of {ROUNDS} rounds.\n")
    more = {} if device.type == "cuda" or build.why_not() else others()
    print(header("network, batch × s", [*kinds, *more], "floor, operations", "floor, bytes"))
    for name, variant, batch, seconds in TRAININGS:
        if variant == without:
            continue
        sources = torch.randn(batch, 2, round(8000 * seconds))
        work = {
            kind: trainer(make(variant).to(device), sources.to(device))
            for kind, make in kinds.items()}
        for kind, how in (("fast bf16", "bf16"), ("fast", precision)):
            if kind in work:
                work[kind] = training(variant, sources, device, how)
        for kind, routines in more.items():
            work[kind] = by(routines, training(variant, sources, device, precision))
        steps = timed(work, device)
        bounds = [
            f"{batch * seconds / one:.3g}"
            for one in limits.step_s(variant, batch, sources.shape[-1])]
        print(row(f"{name}, {batch} × {seconds:g}", batch * seconds, steps, *bounds), flush=True)


def main(compiled: bool, device: torch.device) -> None:
    warnings.simplefilter("ignore")     # Asteroid's imports
    kinds = makers(compiled, device)
    if device.type == "cuda":
        train_table(torch.cuda.get_device_name(device), kinds, device)
        return
    if reason := build.why_not():
        print(f"no fast layers here: {reason}")
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        torch.set_num_threads(threads)
        train_table(f"{threads} thread{'s' * (threads > 1)}", kinds, device,
                    without=Variant() if threads == 1 else None)        # minutes
    torch.set_num_threads(1)
    print("\nOne thread: seconds of sound separated per second, one mixture of 4 s.\n")
    print(header("network", list(kinds)))
    for name, variant in (
        ("the paper's best", Variant()), ("quick reference", QUICK.reference),
        ("smallest of quick", SMALLEST)):
        passes = timed(
            {kind: separator(make(variant), torch.randn(1, 32_000)) for kind, make in kinds.items()}
        )
        print(row(name, 4.0, passes), flush=True)
    first, later = preparation()
    print(
        f"\nPreparation: {first:.1f} s once per machine, {later:.2f} s in a later process; "
        "the first step of three "
        f"variants took {first_steps(kinds['fast'])} s longer than their later ones.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    given = parser.parse_args()
    main(given.compiled, device_of(given.device))
