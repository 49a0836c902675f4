"""Memory and speed of a variant, measured in a process of its own with one thread.

What else the caller's process does, how many threads its torch has, how its memory lies: nothing of that is
in the numbers. The process is `python -m tasnet_core.cost.measure`, fed through pipes like the listeners, and not one
of multiprocessing: that would import the caller's main module, and a user's script without a guard would begin its
study a second time in there.
"""

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

from tasnet_core.cost import count
from tasnet_core.records import Cost, Variant

RUNS, SECONDS = 9, 0.5      # the median is of at least so many runs, which take at least so long together
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
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def ask(self, variant: Variant, runs: int, seconds: float) -> Measured:
        """What is measured there; nothing where the process cannot be started or dies."""
        with self.lock:
            try:
                process = self.process = self.process or _start()
                pickle.dump((variant, runs, seconds), _pipe(process.stdin))
                _pipe(process.stdin).flush()
                return Measured(*pickle.load(_pipe(process.stdout)))
            except (OSError, EOFError, pickle.UnpicklingError, MemoryError):
                self.end()
                return Measured()
            except BaseException:       # Ctrl-C: the answer would be taken for that to the next question
                self.end()
                raise

    def end(self) -> None:
        """End the process, if there is one. It keeps nothing."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):      # what was still to be written to the dead
                    _pipe(pipe).close()


_of_process: dict[int, Apart] = {}      # by pid: a forked child must not talk to its parent's


def measure_apart(variant: Variant, runs: int = RUNS, seconds: float = SECONDS) -> Cost:
    """The whole cost: the exact part computed here, memory and speed measured in a process of their own.

    One at a time on this machine, as far as that can be had within half a minute. What cannot be measured is None.
    """
    mine = _of_process.setdefault(os.getpid(), Apart())
    return replace(count.exact(variant), **mine.ask(variant, runs, seconds)._asdict())


@atexit.register
def _end() -> None:
    if os.getpid() in _of_process:
        _of_process[os.getpid()].end()


def _start() -> subprocess.Popen[bytes]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **one, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([sys.executable, "-P", "-m", "tasnet_core.cost.measure", str(os.getpid())], env=environment,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


@contextlib.contextmanager
def alone(path: Path, wait_s: float = WAIT_S) -> Iterator[bool]:
    """Be the only one on this machine that measures, or, after `wait_s` or without a lock file, one of several."""
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
    """End when the parent is gone, in the middle of a measurement, and where a process forked by it holds the pipe open."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main(parent: int) -> None:
    """Measure variants until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)       # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)       # whatever a library prints must not come between two answers
    jobs: Any = sys.stdin.buffer
    while True:
        try:
            variant, runs, seconds = pickle.load(jobs)
        except EOFError:
            return
        with alone(Path(tempfile.gettempdir()) / LOCK):
            found = count.measure(variant, runs, seconds)
        pickle.dump(tuple(getattr(found, name) for name in Measured._fields), answers)
        answers.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
