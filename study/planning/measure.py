"""What trainings of a study take on this machine, from short real ones: as many at once as there will be workers.

Processes that train side by side share memory's bandwidth and the processor's power, so one measured alone would
promise too much. Every process measures all cases in rounds, until all of them end at about the same time.
"""

import contextlib
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from study.engines.local import UNGUARDED, context, end_with_parent, unguarded
from study.planning.cost_model import Growth, Work, fit
from tasnet_core.corpora.registry import Corpus
from tasnet_core.errors import UserError
from tasnet_core.records import Recipe, Variant

ROUNDS_S, ROUNDS = 10.0, 25      # rounds begin for so long, so many at most; there is one at least


@dataclass(frozen=True)
class Plan:
    """What is to be measured. It goes to other processes, so the corpus goes as how to open it."""

    cases: tuple[tuple[Variant, Recipe], ...]
    metrics: tuple[str, ...]
    device: str
    threads: int
    open_corpus: Callable[[], Corpus]


class Measured(NamedTuple):
    """What one process found."""

    steps: list[tuple[Work, float]]         # for each case its work and mean seconds
    validations: list[tuple[Work, float]]   # likewise
    scorings: list[tuple[Work, float]]      # for each case and round
    slow_s: float           # for each test mixture: metrics beside SI-SNR
    overhead_s: float       # for each trial: its measured cost, checkpoints, sounds
    startup_s: float        # of a worker, once
    memory_bytes: int       # that the process took at most, training the reference
    environment: str        # the key of this machine and software


class Speeds(NamedTuple):
    """What predicts a study."""

    step: Growth
    validation: Growth
    scoring: Growth
    slow_s: float
    overhead_s: float
    startup_s: float
    memory_bytes: int
    environment: str


def rehearse(plan: Plan, processes: int) -> Speeds:
    """Measure in so many processes at once.

    Raises:
        UserError: when one of them could not, or died.
    """
    method, found, running = context(), [], []
    try:
        for _ in range(processes):
            ours, theirs = method.Pipe(duplex=False)
            process = method.Process(target=_measure, args=(plan, time.time(), theirs))
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
                raise UserError(f"dry run: a process that measured died (status {process.exitcode}), perhaps for lack of memory; "
                                f"{processes} ran at once: try fewer --workers") from None
            if isinstance(answer, str):
                raise UserError(answer)
            found.append(answer)
    finally:
        for process, _ in running:
            process.kill()
            process.join()
    return together(found)


def together(found: list[Measured]) -> Speeds:
    """What all processes found, as one."""
    def fitted(name: str) -> Growth:
        rows = [row for one in found for row in getattr(one, name)]
        return fit([work for work, _ in rows], [seconds for _, seconds in rows])

    def mean(name: str) -> float:
        return statistics.fmean(getattr(one, name) for one in found)

    return Speeds(fitted("steps"), fitted("validations"), fitted("scorings"), mean("slow_s"), mean("overhead_s"),
                  mean("startup_s"), max(one.memory_bytes for one in found), found[0].environment)


def _measure(plan: Plan, started_s: float, pipe: Connection) -> None:
    """One process, from its start to its answer: a Measured, or why there is none."""
    for name in ("SIGINT", "SIGHUP"):       # Ctrl-C is the parent's to answer
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):
        try:
            pipe.send(measure(plan, started_s))
        except UserError as error:
            pipe.send(str(error))


def measure(plan: Plan, started_s: float) -> Measured:
    """Measure every case of a plan in this process."""
    import torch

    from study.database.store import described
    from study.planning.timing import Timed, slow_seconds
    from study.search.environment import environment
    from tasnet_core.backend.devices import device_of
    torch.set_num_threads(plan.threads)
    corpus, device = plan.open_corpus(), device_of(plan.device)
    startup_s = time.time() - started_s
    overheads = [_overhead_s(plan, corpus) for _ in range(2)]     # the first starts a process, as a worker's first does
    timed = [Timed(variant, recipe, corpus, device) for variant, recipe in plan.cases]
    timed[-1].round(warm=False)      # the reference first: what other sizes leave between their tensors is not its memory
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _peak_bytes()
    for one in timed[:-1]:
        one.round(warm=False)
    deadline = time.monotonic() + ROUNDS_S
    for _ in range(ROUNDS):
        for one in timed:
            one.round()
        if time.monotonic() > deadline:
            break

    def rows(place: int, name: str) -> list[tuple[Work, float]]:
        # The mean: a study takes the slow steps as well.
        return [(one.works[place], statistics.fmean(getattr(one, name))) for one in timed]
    return Measured(rows(0, "step_s"), rows(1, "valid_s"), [row for one in timed for row in one.scored],
                    slow_seconds(corpus, plan.metrics), overheads[1], startup_s + max(0.0, overheads[0] - overheads[1]),
                    peak, described(environment(plan.device))[0])


def _overhead_s(plan: Plan, corpus: Corpus) -> float:
    """What a trial takes beside its steps, validations and scorings: that of the smallest case with hardly any of these,
    on as many test mixtures as are kept as sounds."""
    from study.planning.timing import Excerpt
    from study.search.evaluate import Task, evaluate
    from tasnet_core.inference.examples import MIXTURES
    variant, recipe = plan.cases[0]
    short = replace(recipe, epochs=2, epoch_segments=1, segment_s=min(recipe.segment_s, 0.5))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = evaluate(Task(variant, short, Path(folder) / "trial.pt", plan.device), Excerpt(corpus, MIXTURES))
        if result.state == "failed" and result.kind != "diverged":
            raise UserError(f"dry run: {variant} cannot be trained: {result.reason}")
        return time.perf_counter() - start


def _peak_bytes() -> int:
    """The most memory this process has had; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def load_average() -> float | None:
    """Processes that wanted a core during the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
