"""Memory and speed of a variant, measured in a process of its own with one thread.

What else the caller's process does, how many threads its torch has, how its memory lies: nothing of
that is in the numbers. See `worker_process`.
"""

import atexit
import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tasnet_core.cost import count
from tasnet_core.records import Cost, Variant
from tasnet_core.worker_process import DIED, WorkerProcess, serve

# The median is of at least so many runs, which take at least so long together.
RUNS, SECONDS = 9, 0.25
MODULE = "tasnet_core.cost.measure"
LOCK = "tasnet-study-measuring.lock"
WAIT_S = 30.0               # then it is measured beside whoever is measuring


class Measured(NamedTuple):
    """The fields of a Cost that no formula gives."""

    peak_memory_bytes: int | None = None
    realtime_factor: float | None = None
    realtime_factor_spread: float | None = None


class Apart:
    """One process for one caller, started when it is first needed and anew when it has died."""

    def __init__(self) -> None:
        self.process: WorkerProcess | None = None
        self.lock = threading.Lock()

    def begin(self) -> None:
        """Let the process load what it needs while its caller has other things to do."""
        with self.lock, contextlib.suppress(*DIED):
            self.process = self.process or WorkerProcess(MODULE, str(os.getpid()))

    def ask(self, variant: Variant, runs: int, seconds: float) -> Measured:
        """What is measured there; nothing where the process cannot be started or dies."""
        with self.lock:
            try:
                self.process = self.process or WorkerProcess(MODULE, str(os.getpid()))
                return Measured(*self.process.ask((variant, runs, seconds)))
            except (*DIED, MemoryError):
                self.end()
                return Measured()
            # Ctrl-C: the answer would be taken for that to the next question.
            except BaseException:
                self.end()
                raise

    def end(self) -> None:
        """End the process, if there is one. It keeps nothing."""
        process, self.process = self.process, None
        if process is not None:
            process.end()


of_process: dict[int, Apart] = {}      # by pid: a forked child must not talk to its parent's


def begin_apart() -> None:
    """Start this process's measuring process, which `measure_apart` would wait a second for."""
    of_process.setdefault(os.getpid(), Apart()).begin()


def measure_apart(variant: Variant, runs: int = RUNS, seconds: float = SECONDS) -> Cost:
    """The whole cost: the exact part, and memory and speed measured in a process of their own.

    One at a time on this machine, as far as that can be had within half a minute. What cannot be
    measured is None.
    """
    mine = of_process.setdefault(os.getpid(), Apart())
    return replace(count.exact(variant), **mine.ask(variant, runs, seconds)._asdict())


@atexit.register
def _end() -> None:
    if os.getpid() in of_process:
        of_process[os.getpid()].end()


@contextlib.contextmanager
def alone(path: Path, wait_s: float = WAIT_S) -> Iterator[bool]:
    """Measure alone on this machine; after `wait_s`, or without a lock file, beside others."""
    import filelock
    lock = filelock.FileLock(path, timeout=wait_s, mode=0o666)
    try:
        lock.acquire()
    except (filelock.Timeout, OSError):     # another user's file, a full disk
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _end_with(parent: int) -> None:
    """End with the parent, also amid a measurement or while a fork of it holds the pipe open."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main(parent: int) -> None:
    """Measure variants until there are no more."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    serve(_measured)


def _measured(question: tuple[Variant, int, float]) -> tuple[float | None, ...]:
    with alone(Path(tempfile.gettempdir()) / LOCK):
        found = count.measure(*question)
    return tuple(getattr(found, name) for name in Measured._fields)


if __name__ == "__main__":
    main(int(sys.argv[1]))
