"""An engine trains a study's variants, several at a time, until it has as many as are wanted.

It starts workers, replaces those that die, and asks all of them to pause when a signal, a deadline
or an error asks for it. A worker is a process of this machine (`local`) or an actor on a node of
Ray (`ray_engine`).
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
from study.search.evaluate import evaluate
from study.search.events import FrontChanged, OnEvent
from study.search.runner import Evaluate
from study.space.plan import StudyPlan
from tasnet_core.errors import UserError

GRACE_S = 10.0          # between asking a worker to pause and killing it
EARLY_DEATHS = 5        # of workers in a row, beside all at once: then it is not the runs


@dataclass(frozen=True)
class Job:
    """What a worker has to know, pickled for other processes."""

    storage: str
    plan: StudyPlan
    trials: int
    held: Mapping[Path, Place] = field(default_factory=dict)    # files of the study, as they are
    evaluate: Evaluate = evaluate


@dataclass(frozen=True)
class Refused:
    """The event of a worker that cannot use what it was given."""

    reason: str


class Outcome(NamedTuple):
    """How an engine ended: with all trials, or asked to for "time" or by a "signal"."""

    finished: bool
    why: str = ""


class Engine:
    """What engines share; each defines `begin`, `busy`, `listen`, `pause` and `kill`."""

    def __init__(self, job: Job, database: Database, on_event: OnEvent):
        self.job, self.database, self.on_event = job, database, on_event
        self.refusal, self.why, self.asked_s = "", "", 0.0
        self.early_deaths, self.front_s = 0, (0.0, 0.0)

    def begin(self) -> None:
        """Start workers."""
        raise NotImplementedError

    def busy(self) -> bool:
        """Whether there is anything to wait for."""
        raise NotImplementedError

    def listen(self) -> None:
        """Handle events and ends of workers, for half a second at most."""
        raise NotImplementedError

    def pause(self) -> None:
        """Ask all workers to save what they do and end. Signals call this at any moment."""
        raise NotImplementedError

    def kill(self) -> None:
        """End all workers, if there are any left."""
        raise NotImplementedError

    def run(self, timeout_s: float | None = None) -> Outcome:
        """Start workers and wait for their end.

        Raises:
            UserError: a worker could not use what it was given, or none can be started.
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
        """End it all with an error, the first of several."""
        self.refusal = self.refusal or reason
        self.ask("refused")

    def abort_after_early_deaths(self, at_once: int, death: str) -> bool:
        """End it all if worker after worker dies at its start; returns whether it does."""
        if self.early_deaths < EARLY_DEATHS + at_once:
            return False
        see_in_place(self.job.held)
        self.refuse(f"{self.early_deaths} workers in a row died at their start ({death}); "
                    "nothing of the study is lost")
        return True

    def show_front(self) -> None:
        """Send the Pareto front, as long as computing it takes a hundredth of the time at most."""
        last, took = self.front_s
        start = time.monotonic()
        if start - last < 100 * took:
            return
        with self.unless_refused():
            rows = per_trial(self.database.results(self.job.plan.name))
            self.on_event(FrontChanged(front(rows)))
        self.front_s = start, time.monotonic() - start

    @contextmanager
    def unless_refused(self) -> Iterator[None]:
        """Do without what the database refuses for now: workers are waiting."""
        try:
            yield
        except Exception as error:
            if not passing(error):
                raise

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM and the end of the terminal ask for a pause; a second one ends it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(*_: object) -> None:
            if self.why:
                self.asked_s = 0.0
            else:
                self.ask("signal")
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP")
                   if hasattr(signal, name)]
        before = {number: signal.signal(number, on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
