"""Seconds and memory of trainings on this machine, from short ones of three variants.

They are a small, a middle and a large variant. Processes that train side by side share memory's
bandwidth and the processor's power, so as many measure at once as there will be workers.
"""

import contextlib
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from study.engines.forkserver import UNGUARDED, context, unguarded
from study.engines.local import end_with_parent
from tasnet_core.corpora.registry import Corpus, Mixture
from tasnet_core.cost.formulas import exact
from tasnet_core.errors import UserError
from tasnet_core.records import Recipe, Variant

ROUNDS_S, ROUNDS = 10.0, 25     # rounds begin for so long, so many at most; there is one at least
STEPS, MIXTURES = 2, 2          # of a training, and of each fixed split, in one round
EPOCHS = 1_000                  # more than are timed: the place in the schedule costs no time


@dataclass(frozen=True)
class Plan:
    """What is to be measured. Other processes receive it, so it has how to open the corpus."""

    cases: tuple[tuple[Variant, Recipe], ...]       # the cheapest first, the reference last
    metrics: tuple[str, ...]
    device: str
    threads: int
    open_corpus: Callable[[], Corpus]


class Timing(NamedTuple):
    """Seconds measured at a few numbers of MACs; elsewhere they follow a power of the MACs."""

    macs: tuple[float, ...]         # increasing
    seconds: tuple[float, ...]

    def __call__(self, macs: float) -> float:
        x, y = np.log(self.macs), np.log(self.seconds)
        if len(x) == 1:
            return self.seconds[0] * macs / self.macs[0]
        place = int(np.clip(np.searchsorted(x, np.log(macs)), 1, len(x) - 1))
        slope = (y[place] - y[place - 1]) / (x[place] - x[place - 1])
        return float(np.exp(y[place] + slope * (np.log(macs) - x[place])))


class Speeds(NamedTuple):
    """What one process measured, or all of them on average."""

    step: Timing            # of a training step, by the MACs of its batch
    separation: Timing      # of a second of validated or tested audio, by MACs per second
    spread: float           # standard deviation of a variant's steps, as a share of their mean
    slow_s: float           # for each test mixture: metrics beside SI-SNR
    overhead_s: float       # for each trial: its measured cost, checkpoints, audio examples
    startup_s: float        # of a worker, once
    memory_bytes: int       # that the process took at most, training the reference
    environment: str        # the key of this machine and software


def step_macs(variant: Variant, recipe: Recipe) -> float:
    """MACs of the forward pass of one full batch."""
    return exact(variant).macs_per_s * recipe.batch_size * recipe.segment_s


def measure_together(plan: Plan, processes: int) -> Speeds:
    """Measure in so many processes at once.

    Raises:
        UserError: when one of them could not, or died.
    """
    method, found, running = context(), [], []
    try:
        for _ in range(processes):
            ours, theirs = method.Pipe(duplex=False)
            process = method.Process(target=_answer, args=(plan, time.time(), theirs))
            process.start()
            theirs.close()
            running.append((process, ours))
        for process, pipe in running:
            try:
                answer = pipe.recv()
            except (EOFError, OSError):
                process.join()
                if process.exitcode == UNGUARDED:
                    raise UserError(unguarded()) from None
                raise UserError(
                    f"dry run: a process that measured died (status {process.exitcode}), perhaps "
                    f"for lack of memory; {processes} ran at once: try fewer --workers") from None
            if isinstance(answer, str):
                raise UserError(answer)
            found.append(answer)
    finally:
        for process, _ in running:
            process.kill()
            process.join()
    return mean_of(found)


def mean_of(found: Sequence[Speeds]) -> Speeds:
    """The mean of what several processes measured; of their memory the most."""
    def mean(*values: Any) -> Any:
        if isinstance(values[0], Timing):
            seconds = np.mean([one.seconds for one in values], axis=0)
            return Timing(values[0].macs, tuple(seconds.tolist()))
        return values[0] if isinstance(values[0], str) else statistics.fmean(values)
    return Speeds(*map(mean, *found))._replace(memory_bytes=max(one.memory_bytes for one in found))


def _answer(plan: Plan, started_s: float, pipe: Connection) -> None:
    """Run one process, from its start to its answer: a Speeds, or why there is none."""
    for name in ("SIGINT", "SIGHUP"):       # Ctrl-C is the parent's to answer
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):
        try:
            pipe.send(measure(plan, started_s))
        except UserError as error:
            pipe.send(str(error))


def measure(plan: Plan, started_s: float) -> Speeds:
    """Measure every case of a plan in this process."""
    import torch

    from study.database.store import described
    from study.search.environment import environment
    from tasnet_core.backend.devices import device_of
    torch.set_num_threads(plan.threads)
    corpus, device = plan.open_corpus(), device_of(plan.device)
    startup_s = time.time() - started_s
    # The first starts a process, as a worker's first does.
    overheads = [_overhead_s(plan, corpus) for _ in range(2)]
    timed = [Timed(variant, recipe, corpus, device) for variant, recipe in plan.cases]
    for one in reversed(timed):
        one.round(warm=False)
        if one is timed[-1]:    # the reference before others leave memory between their tensors
            on_gpu = device.type == "cuda"
            memory_bytes = torch.cuda.max_memory_allocated(device) if on_gpu else _peak_bytes()
    deadline = time.monotonic() + ROUNDS_S
    for _ in range(ROUNDS):
        for one in timed:
            one.round()
        if time.monotonic() > deadline:
            break
    mean = statistics.fmean     # not the median: a study takes the slow steps as well
    batches = tuple(step_macs(*case) for case in plan.cases)
    sizes = tuple(exact(variant).macs_per_s for variant, _ in plan.cases)
    return Speeds(
        step=Timing(batches, tuple(mean(one.step_s) for one in timed)),
        separation=Timing(sizes, tuple(mean(one.separation_s) for one in timed)),
        spread=mean(statistics.pstdev(one.step_s) / mean(one.step_s) for one in timed),
        slow_s=slow_seconds(corpus, plan.metrics),
        overhead_s=overheads[1],
        startup_s=startup_s + max(0.0, overheads[0] - overheads[1]),
        memory_bytes=memory_bytes,
        environment=described(environment(plan.device))[0])


class _Excerpt:
    """A corpus of which few fixed mixtures are left, evenly chosen."""

    def __init__(self, corpus: Corpus, mixtures: int):
        self.corpus, self.mixtures = corpus, mixtures

    def __getattr__(self, name: str) -> Any:
        return getattr(self.corpus, name)

    def count(self, split: str) -> int:
        return min(self.mixtures, self.corpus.count(split))

    def mixture(self, split: str, index: int) -> Mixture:
        whole = self.corpus.count(split)
        return self.corpus.mixture(split, index * whole // self.count(split))


def excerpt(corpus: Corpus, mixtures: int = MIXTURES) -> Corpus:
    """The corpus with so many mixtures in each fixed split."""
    return cast(Corpus, _Excerpt(corpus, mixtures))


def mean_length_s(corpus: Corpus, split: str) -> float:
    """Seconds of audio in a mixture of a split; 0 where it has none."""
    lengths = [corpus.mixture(split, index).length for index in range(corpus.count(split))]
    return statistics.fmean(lengths or [0]) / corpus.sample_rate_hz


class Timed:
    """One training whose steps and validations are timed, round after round."""

    def __init__(self, variant: Variant, recipe: Recipe, corpus: Corpus, device: Any,
                 steps: int = STEPS):
        from tasnet_core.training.trainer import Training
        short = replace(recipe, epochs=EPOCHS, epoch_segments=steps * recipe.batch_size)
        self.training = Training(variant, short, excerpt(corpus), device)
        self.device, self.steps = device, steps
        self.validated_s = MIXTURES * mean_length_s(self.training.corpus, "valid")
        self.step_s: list[float] = []
        self.separation_s: list[float] = []     # for a second of audio

    def round(self, warm: bool = True) -> None:
        """Time some steps and a validation; a round that is not `warm` is the first and does not
        count."""
        if not warm and self.training.stepper.captured:
            self.epoch()        # more steps, so that a GPU has recorded them when others count
        times = self.epoch()
        if warm:
            self.step_s += times[:self.steps]
            self.separation_s.append(sum(times[self.steps:]) / self.validated_s)

    def epoch(self) -> list[float]:
        """Seconds from each stop of a short epoch to the next: its steps, then its validated
        mixtures."""
        times, start = [], time.perf_counter()
        for _ in self.training.steps():
            if self.device.type != "cpu":       # where work is only begun when a call returns
                import torch
                torch.accelerator.synchronize(self.device)
            now = time.perf_counter()
            times.append(now - start)
            start = now
        return times


def slow_seconds(corpus: Corpus, metrics: tuple[str, ...]) -> float:
    """Seconds of one core for what one test mixture takes beside the network and SI-SNR."""
    from tasnet_core.evaluation.metrics import score
    few = excerpt(corpus)
    if set(metrics) == {"si_snr"} or not few.count("test"):
        return 0.0
    times = []
    for index in (0, *range(few.count("test"))):        # the first loads the libraries
        mixture = few.mixture("test", index)
        start = time.perf_counter()
        score(mixture, mixture.mixture[None].repeat(few.C, 0), few.sample_rate_hz, metrics)
        times.append(time.perf_counter() - start)
    return statistics.fmean(times[1:])


def _overhead_s(plan: Plan, corpus: Corpus) -> float:
    """Seconds of a trial beside its steps, validations and scorings: those of the smallest case
    with hardly any of these, on as many test mixtures as are kept as audio examples."""
    from study.search.evaluate import Task, evaluate
    from tasnet_core.inference.examples import MIXTURES as KEPT
    variant, recipe = plan.cases[0]
    short = replace(recipe, epochs=2, epoch_segments=1, segment_s=min(recipe.segment_s, 0.5))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        task = Task(variant, short, Path(folder) / "trial.pt", plan.device)
        result = evaluate(task, excerpt(corpus, KEPT))
        if result.state == "failed" and result.kind != "diverged":
            raise UserError(f"dry run: {variant} cannot be trained: {result.reason}")
        return time.perf_counter() - start


def _peak_bytes() -> int:
    """The most memory this process has had; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def load_average() -> float | None:
    """Processes that wanted a core during the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
