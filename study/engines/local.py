"""The local engine: several workers of one study on this machine, and the parent that starts them.

Each worker is a process of its own, the first one too: the kernel's out-of-memory killer, or a
crash in a library, ends one run's process and not the study. The parent trains nothing. Each worker
asks the database for its work and stores it there itself. One whose parent is gone ends at once.
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
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import MappingProxyType
from typing import Any

from study.database.connection import Place, passing, see_in_place
from study.database.store import Database, open_database
from study.engines.base import Engine, Job, Refused
from study.engines.forkserver import UNGUARDED, context, unguarded
from study.search.evaluate import evaluate
from study.search.events import Event, Message, OnEvent, TrialEnded
from tasnet_core.cost.measure import begin_apart
from tasnet_core.errors import UserError
from tasnet_core.training.trainer import Paused

# Exit statuses of a worker: input that cannot be used; asked to pause (sysexits' EX_TEMPFAIL).
REFUSED, PAUSED = 2, 75


def send(pipe: Connection, event: Event | Refused) -> None:
    """Send an event to the parent, without what it does not show."""
    if isinstance(event, TrialEnded):
        event = replace(event, result=replace(event.result, mixtures=()))
    with contextlib.suppress(OSError):      # the parent is gone
        pipe.send(event)


def work(job: Job, number: int, pipe: Connection) -> None:
    """A worker process, from its start to its exit status."""
    asked = threading.Event()
    # Before anything else: Ctrl-C reaches every process of a terminal.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: asked.set())
    threading.Thread(target=end_with_parent, daemon=True).start()
    import torch

    from study.search.runner import Runner
    if job.evaluate is evaluate:
        begin_apart()
    torch.set_num_threads(job.plan.settings.threads)
    gpus = torch.cuda.device_count() if job.plan.device == "cuda" else 0
    plan = replace(job.plan, device=f"cuda:{number % gpus}") if gpus > 1 else job.plan
    try:
        with open_again(job.storage, asked, job.held) as database:
            runner = Runner(plan, database, plan.open_corpus(), partial(send, pipe), asked,
                            job.evaluate)
            runner.run(job.trials)
    except Paused:
        sys.exit(PAUSED)
    except UserError as error:
        send(pipe, Refused(str(error)))
        sys.exit(REFUSED)


def open_again(storage: str, asked: threading.Event,
               held: Mapping[Path, Place] = MappingProxyType({})) -> Database:
    """Open the database that the parent has open. A server that is gone is waited for; a file that
    is gone is not made anew.

    Raises:
        Paused: `asked` was set meanwhile.
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


def end_with_parent() -> None:
    parent = mp.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)     # like kill -9, which everything survives


def nothing(text: str) -> None:
    """Print nothing: the parent has printed it."""


class Workers(Engine):
    """The parent of worker processes."""

    def __init__(self, job: Job, database: Database, on_event: OnEvent):
        super().__init__(job, database, on_event)
        self.count = job.plan.workers or 1
        self.context = context()
        self.processes: dict[Any, tuple[int, Connection]] = {}      # number and events of each
        self.began: dict[int, bool] = {}        # by number: whether it has sent an event
        self.oom_kills = oom_kills()

    def begin(self) -> None:
        for number in range(self.count):
            self.start(number)

    def busy(self) -> bool:
        return bool(self.processes)

    def start(self, number: int) -> None:
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=work, args=(self.job, number, theirs),
                                       name=f"worker {number + 1}")
        while not _forked(process):
            self.early_deaths += 1
            if self.abort_after_early_deaths(self.count, "killed before they began"):
                return
        theirs.close()
        self.processes[process] = number, ours
        self.began[number] = False
        if self.why:        # a signal came meanwhile
            process.terminate()

    def listen(self) -> None:
        pipes: dict[Any, tuple[Any, int]] = {
            pipe: (process, number) for process, (number, pipe) in self.processes.items()}
        for ready in wait(list(pipes), 0.5):
            assert isinstance(ready, Connection)
            process, number = pipes[ready]
            try:
                event: Event | Refused = ready.recv()
            except (EOFError, OSError):
                process.join()
                del self.processes[process]
                self.ended(process, number)
                continue
            self.began[number], self.early_deaths = True, 0
            match event:
                case Refused(reason):
                    self.refusal = self.refusal or reason
                case TrialEnded():
                    self.on_event(event)
                    self.show_front()
                case _:
                    self.on_event(event)

    def ended(self, process: Any, number: int) -> None:
        status = process.exitcode
        if status == REFUSED:
            self.ask("refused")
        if status == UNGUARDED:
            self.refuse(unguarded())
        if self.why or status == 0:
            return
        if status != PAUSED:
            self.early_deaths += not self.began[number]
            death = f"signal {-status}" if status < 0 else f"status {status}"
            if status == -signal.SIGKILL and oom_kills() > self.oom_kills:
                self.oom_kills, death = oom_kills(), "killed by the kernel: out of memory"
                with self.unless_refused():
                    self.database.note_out_of_memory(self.job.plan.name, process.pid)
            if self.abort_after_early_deaths(self.count, death):
                return
            self.on_event(Message(f"{process.name} died ({death}); another takes its place and "
                                  "goes on from what is saved"))
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
    """Start a process; returns False where the server that forks was killed meanwhile, which the
    next start begins anew."""
    try:
        process.start()
    except (EOFError, ConnectionError):
        time.sleep(0.1)     # one that has closed its ends may not be dead yet
        return False
    return True


def oom_kills() -> int:
    """The number of processes killed for lack of memory since the machine was started."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
