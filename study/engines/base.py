"""An engine: what trains a study's variants, several at a time, until it has as many as are wanted.

It starts workers, replaces those that die, and asks all of them to pause when a signal, a deadline or an error asks for it.
What a worker is, and where, is the engine's own: `workers.py` has processes of this machine, `cluster.py` those of Ray's nodes.
"""

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from study.analysis.replicates import per_trial
from study.analysis.trials import front
from study.database.connection import Place, passing, see_in_place
from study.database.store import Database
from study.search.events import Watcher
from study.space.plan import StudyPlan
from tasnet_core.errors import UserError

GRACE_S = 10.0          # between asking a worker to pause and killing it: only what is not saved yet is done again
# Of a worker's process. Signals of some megabytes come and go with every step: in large pages a step takes a tenth less time
# (benchmarks/RESULTS.md). glibc reads it when a program begins, so it is set before that; what the user has set counts.
TUNABLES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
STILLBORN = 5           # workers in a row, beside all at once, that die before they say anything: then it is not the runs


@dataclass(frozen=True)
class Job:
    """What a worker has to know."""

    storage: str
    plan: StudyPlan
    trials: int
    held: Mapping[Path, Place] = field(default_factory=dict)    # files of the study, for who opens them anew


class Outcome(NamedTuple):
    """How the workers ended: by themselves, or why they were asked to."""

    finished: bool
    why: str = ""       # "time", "signal"


class Engine:
    """Everything that engines share; an engine says what `begin`, `busy`, `listen`, `pause` and `kill` do."""

    def __init__(self, job: Job, database: Database, watcher: Watcher):
        self.job, self.database, self.watcher = job, database, watcher
        self.refusal, self.why, self.asked_s = "", "", 0.0
        self.stillborn, self.front_s = 0, (0.0, 0.0)

    def begin(self) -> None:
        """Start workers."""
        raise NotImplementedError

    def busy(self) -> bool:
        """Whether there is anything to wait for."""
        raise NotImplementedError

    def listen(self) -> None:
        """Pass on what is said, and see to who has ended; half a second at most."""
        raise NotImplementedError

    def pause(self) -> None:
        """Ask all workers to save what they do and end. Signals call this at any moment."""
        raise NotImplementedError

    def kill(self) -> None:
        """End all workers, if there are any left."""
        raise NotImplementedError

    def run(self, timeout_s: float | None = None) -> Outcome:
        """See the workers through to their end.

        Raises:
            UserError: when a worker could not use what it was given, or none can be started.
        """
        deadline = time.monotonic() + timeout_s if timeout_s else float("inf")
        with self.signals():
            try:
                self.begin()
                while self.busy():
                    self.listen()
                    if time.monotonic() > deadline and not self.why:
                        self.ask("time")
                    if self.why and time.monotonic() - self.asked_s > GRACE_S:
                        self.kill()
            finally:
                self.kill()
        if self.refusal:
            raise UserError(self.refusal)
        return Outcome(not self.why, self.why)

    def ask(self, why: str) -> None:
        """Ask all workers to pause."""
        self.why, self.asked_s = why, time.monotonic()
        self.pause()

    def refuse(self, reason: str) -> None:
        """End it all with an error; of several the first."""
        self.refusal = self.refusal or reason
        self.ask("refused")

    def give_up_on_stillborn(self, at_once: int, died: str) -> bool:
        """Whether workers die at their start, one after the other: then no more of them are started."""
        if self.stillborn < STILLBORN + at_once:
            return False
        see_in_place(self.job.held)
        self.refuse(f"{self.stillborn} workers in a row died at their start ({died}); nothing of the study is lost")
        return True

    def show_front(self) -> None:
        """Show the front, as long as working it out takes a hundredth of the time at most."""
        last, took = self.front_s
        start = time.monotonic()
        if start - last < 100 * took:
            return
        with self.if_it_can():
            self.watcher.front_is(front(per_trial(self.database.results(self.job.plan.name))))
        self.front_s = start, time.monotonic() - start

    @contextmanager
    def if_it_can(self) -> Iterator[None]:
        """Do without what the database refuses for now: there are others to listen to."""
        try:
            yield
        except Exception as error:
            if not passing(error):
                raise

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM and the end of the terminal ask for a pause; a second one does not wait for it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def heard(*_: object) -> None:
            if self.why:
                self.asked_s = 0.0
            else:
                self.ask("signal")
        names = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {name: signal.signal(name, heard) for name in names}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)
