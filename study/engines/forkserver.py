"""The server that forks worker processes, so that libraries are loaded once for all of them.

It does nothing else, so no thread or GPU is in the way. Imports nothing of weight: a command begins
it first of all, and both load their libraries at the same time.
"""

import multiprocessing as mp
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Loaded once, before workers are forked. From the third on, each worker would load them for itself,
# in 3 s of processor time and 50 MB: with its first curve, its first model of the scores, its first
# optimizer, and when it opens a study. The last one keeps all these from being copied. Not
# "__main__": a script without a guard would end the server instead of a worker, which can say so.
PRELOADED = ["study.__main__", "study.search.runner", "scipy.special", "scipy.stats",
             "torch._dynamo", "optuna.storages._rdb.storage", "alembic.command",
             "study.engines.freeze_gc"]
# For worker processes. Signals of some megabytes come and go with every step: in large pages a step
# takes a tenth less time (benchmarks/RESULTS.md). glibc reads it when a program begins, so it is
# set before that; what the user has set counts.
TUNABLES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# Exit status of a worker before it began: the script it has to import would begin the study again.
UNGUARDED = 76


def context() -> Any:
    """The way processes are started: by this server, or spawned where there can be none."""
    for name, value in TUNABLES.items():
        os.environ.setdefault(name, value)
    method = "forkserver" if "forkserver" in mp.get_all_start_methods() else "spawn"
    found: Any = mp.get_context(method)
    if method == "forkserver":
        found.set_forkserver_preload(PRELOADED)
    return found


def begin() -> None:
    """Let the server load its libraries while this process loads its own."""
    if context().get_start_method() == "forkserver":
        from multiprocessing import forkserver
        with _deaf():
            forkserver.ensure_running()


@contextmanager
def _deaf() -> Iterator[None]:
    """What is started here has no ear for Ctrl-C while it loads, which is this process's to answer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_if_imported() -> None:
    """End a worker whose script begins a study where it is imported."""
    if getattr(mp.current_process(), "_inheriting", False):     # as multiprocessing itself asks
        os._exit(UNGUARDED)


def unguarded() -> str:
    """The error message where a worker has ended so."""
    script = getattr(sys.modules["__main__"], "__file__", "the script")
    return (f"{script}: begins a study where it is imported, and every worker process imports it; "
            'put what it does under: if __name__ == "__main__":')
