"""The local engine: several workers of one study on this machine, and the parent that starts them and shows what they do.

Each worker is a process of its own, the first one too: the kernel's out-of-memory killer, or a crash in a library, takes one
run's process and not the study. The parent trains nothing. Each worker asks the database for its work and records it there
itself. One whose parent is gone ends at once.
"""

import contextlib
import multiprocessing as mp
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import MappingProxyType
from typing import Any

from study.database.connection import Place, passing, see_in_place
from study.database.store import Database, open_database
from study.engines.base import TUNABLES, Engine, Job
from study.records import Result
from study.search.events import Rows, Watcher
from tasnet_core.errors import UserError
from tasnet_core.records import Cost, Epoch, Variant
from tasnet_core.training.trainer import Paused

# From the third on, each worker would load them for itself, in 3 s of processor time and 50 MB: with its first curve, its first
# optimizer, and when it opens a study. The last one keeps all these from being copied.
# Not "__main__": a script without a guard would end the server instead of a worker, which can say so.
PRELOADED = ["study.__main__", "study.search.runner", "scipy.special", "torch._dynamo", "optuna.storages._rdb.storage",
             "alembic.command", "study.engines.freeze_gc"]
# How a worker ends: input that cannot be used; asked to pause (sysexits' EX_TEMPFAIL); before it began, as the script it has
# to import would begin the study again.
REFUSED, PAUSED, UNGUARDED = 2, 75, 76


class Sender:
    """A watcher that tells another process."""

    def __init__(self, pipe: Connection):
        self.pipe = pipe

    def tell(self, name: str, *facts: Any) -> None:
        with contextlib.suppress(OSError):      # nobody listens any more
            self.pipe.send((name, facts))

    def says(self, text: str) -> None:
        self.tell("says", text)

    def trial_begins(self, trial: int, seed: int, variant: Variant, cost: Cost, epochs: int) -> None:
        self.tell("trial_begins", trial, seed, variant, cost, epochs)

    def epoch_ends(self, trial: int, seed: int, epoch: Epoch) -> None:
        self.tell("epoch_ends", trial, seed, epoch)

    def mixture_scored(self, trial: int, seed: int, done: int, total: int) -> None:
        self.tell("mixture_scored", trial, seed, done, total)

    def trial_ends(self, trial: int, seed: int, variant: Variant, result: Result) -> None:
        self.tell("trial_ends", trial, seed, variant, replace(result, mixtures=()))

    def front_is(self, front: Rows) -> None:
        """The parent looks for itself."""


def work(job: Job, number: int, pipe: Connection) -> None:
    """A worker process, from its start to its exit status."""
    asked = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):    # before anything else: Ctrl-C reaches every process of a terminal
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: asked.set())
    threading.Thread(target=end_with_parent, daemon=True).start()
    import torch

    from study.search.runner import Runner
    torch.set_num_threads(job.plan.settings.threads)
    gpus = torch.cuda.device_count() if job.plan.device == "cuda" else 0
    plan = replace(job.plan, device=f"cuda:{number % gpus}") if gpus > 1 else job.plan
    sender = Sender(pipe)
    try:
        with open_again(job.storage, asked, job.held) as database:
            Runner(plan, database, plan.open_corpus(), sender, asked).run(job.trials)
    except Paused:
        sys.exit(PAUSED)
    except UserError as error:
        sender.tell("refused", str(error))
        sys.exit(REFUSED)


def open_again(storage: str, asked: threading.Event, held: Mapping[Path, Place] = MappingProxyType({})) -> Database:
    """Open the database that the parent has open: a server that is gone comes back, a file that is gone is not made anew.

    Raises:
        Paused: when `asked` was set meanwhile.
        Misplaced: a file of the study is not what the parent `held`.
    """
    while True:
        see_in_place(held)
        try:
            return open_database(storage, read_only=False)
        except UserError as error:
            if not passing(error):
                raise
        if asked.wait(0.5):
            raise Paused


def context() -> Any:
    """How processes are started: a process that was never used forks them, so that libraries are loaded once, and no thread
    or GPU is in the way."""
    for name, value in TUNABLES.items():
        os.environ.setdefault(name, value)
    method = "forkserver" if "forkserver" in mp.get_all_start_methods() else "spawn"
    found: Any = mp.get_context(method)
    if method == "forkserver":
        found.set_forkserver_preload(PRELOADED)
    return found


def end_with_parent() -> None:
    parent = mp.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)     # like kill -9, which everything survives: nobody is left to be told


def end_if_imported() -> None:
    """End a worker that is only about to begin, whose script begins a study where it is imported."""
    if getattr(mp.current_process(), "_inheriting", False):     # as multiprocessing itself asks
        os._exit(UNGUARDED)


def unguarded() -> str:
    """What is wrong where a worker has ended so."""
    script = getattr(sys.modules["__main__"], "__file__", "the script")
    return (f"{script}: begins a study where it is imported, and every worker process imports it; put what it does under: "
            'if __name__ == "__main__":')


class Workers(Engine):
    """The parent's side."""

    def __init__(self, job: Job, database: Database, watcher: Watcher):
        super().__init__(job, database, watcher)
        self.count = job.plan.workers or 1
        self.context = context()
        self.processes: dict[Any, tuple[int, Connection]] = {}      # by process: its number, and what it says
        self.heard: dict[int, bool] = {}                            # by number: whether it has said anything
        self.oom_kills = _oom_kills()

    def begin(self) -> None:
        for number in range(self.count):
            self.start(number)

    def busy(self) -> bool:
        return bool(self.processes)

    def start(self, number: int) -> None:
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=work, args=(self.job, number, theirs), name=f"worker {number + 1}")
        while not _forked(process):
            self.stillborn += 1
            if self.give_up_on_stillborn(self.count, "killed before they began"):
                return
        theirs.close()
        self.processes[process], self.heard[number] = (number, ours), False
        if self.why:        # a signal came meanwhile
            process.terminate()

    def listen(self) -> None:
        pipes: dict[Any, tuple[Any, int]] = {pipe: (process, number) for process, (number, pipe) in self.processes.items()}
        ready: Any
        for ready in wait(list(pipes), 0.5):
            process, number = pipes[ready]
            try:
                name, facts = ready.recv()
            except (EOFError, OSError):
                process.join()
                del self.processes[process]
                self.ended(process, number)
                continue
            self.heard[number], self.stillborn = True, 0
            if name == "refused":
                self.refusal = self.refusal or facts[0]
            else:
                getattr(self.watcher, name)(*facts)
                if name == "trial_ends":
                    self.show_front()

    def ended(self, process: Any, number: int) -> None:
        status = process.exitcode
        if status == REFUSED:
            self.ask("refused")
        if status == UNGUARDED:
            self.refuse(unguarded())
        if self.why or status == 0:
            return
        if status != PAUSED:
            self.stillborn += not self.heard[number]
            died = f"signal {-status}" if status < 0 else f"status {status}"
            if status == -signal.SIGKILL and _oom_kills() > self.oom_kills:
                self.oom_kills, died = _oom_kills(), "killed by the kernel: out of memory"
                with self.if_it_can():
                    self.database.note_out_of_memory(self.job.plan.name, process.pid)
            if self.give_up_on_stillborn(self.count, died):
                return
            self.watcher.says(f"{process.name} died ({died}); another takes its place and goes on from what is saved")
        self.start(number)

    def pause(self) -> None:
        for process in self.processes:
            process.terminate()

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()
        self.processes.clear()


def _forked(process: Any) -> bool:
    """Start it, unless the server that forks was killed meanwhile, which the next start begins anew."""
    try:
        process.start()
    except (EOFError, ConnectionError):
        time.sleep(0.1)     # one that has closed its ends may not be dead yet
        return False
    return True


def _oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since the machine was started."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
