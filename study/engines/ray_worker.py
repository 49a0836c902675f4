"""The worker's side of the engine `ray`: an actor that trains one task after the other.

It has a folder of its own, and sends what changes there together with each event.
"""

import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from study.engines.base import Job, Refused
from study.records import Result
from study.search.environment import environment
from study.search.evaluate import Hooks, Task, one_line
from study.search.events import Message, MixtureScored, Progress
from tasnet_core.cost import count as cost
from tasnet_core.errors import Abandoned, Damaged, DiskFull, Foreign, UserError
from tasnet_core.files import write_atomically
from tasnet_core.training.trainer import Paused

SCORED_S = 1.0          # between two events that mixtures are scored

Files = dict[str, bytes | None]     # by path from the checkpoint's folder; None: deleted


@dataclass(frozen=True)
class Ready:
    """The corpus is open, and there is no work."""

    environment: Mapping[str, Any]


@dataclass(frozen=True)
class Unusable:
    """A checkpoint is damaged or, where it says `how`, another training's."""

    name: str
    how: str


@dataclass(frozen=True)
class Interrupted:
    """The training has stopped with everything saved."""


@dataclass(frozen=True)
class Finished:
    """The training has ended with a result."""

    result: Result


End = Unusable | Interrupted | Finished | Refused


class Report(NamedTuple):
    """What a worker sends, and the files that have changed since its last report."""

    event: Progress | End | Ready
    files: Files


class Trainer:
    """The actor. `go_on` and `pause` are called by different threads."""

    def __init__(self, job: Job, folder: str):
        self.job, self.folder = job, folder
        self.asked = threading.Event()
        self.events: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ready(self) -> Report:
        """Open the corpus, and describe this machine."""
        import torch
        with suppress(OSError):
            os.chdir(self.folder)       # where nodes share a folder, paths mean the same everywhere
        torch.set_num_threads(self.job.plan.settings.threads)
        try:
            self.corpus = self.job.plan.open_corpus()
            return Report(Ready(environment(self.job.plan.device)), {})
        except UserError as error:
            return Report(Refused(str(error)), {})

    def begin(self, task: Task, files: Files) -> Report:
        """Begin a task, or go on with it from its files, and run to its first event."""
        threading.Thread(target=self._train, args=(task, files), daemon=True).start()
        return self.events.get()

    def go_on(self, answer: str | None) -> Report:
        """Answer the last event, None to give up, and run to the next."""
        self.answers.put(answer)
        return self.events.get()

    def rest(self, seconds: float) -> Report:
        """Do nothing for a while, and ask for work again."""
        self.asked.wait(seconds)
        return Report(Ready(environment(self.job.plan.device)), {})

    def pause(self) -> None:
        """Save what is trained, at the next step, and end."""
        self.asked.set()

    def _train(self, task: Task, files: Files) -> None:
        import torch
        torch.set_num_threads(self.job.plan.settings.threads)     # each thread has its own number
        try:
            with tempfile.TemporaryDirectory(prefix="tasnet-study-") as scratch:
                folder = Path(scratch)
                write_files(folder, files)
                changes = Changes(folder)
                here = replace(task, checkpoint=folder / task.checkpoint.name,
                               lineage=task.lineage.moved(folder))
                end = self._end_of(here, changes)
                self.events.put(Report(end, changes()))
        except Exception as error:      # a defect of ours: a row too, or every start meets it
            failed = Result("failed", one_line(error), "error", cost.exact(task.variant))
            self.events.put(Report(Finished(failed), {}))

    def _end_of(self, task: Task, changes: Callable[[], Files]) -> End:
        scored_s = 0.0

        def send(event: Progress) -> str:
            self.events.put(Report(event, changes()))
            answer = self.answers.get()
            if answer is None:
                raise Paused
            return answer

        def on_event(event: Progress) -> str:
            nonlocal scored_s
            if not isinstance(event, MixtureScored):
                return send(event)
            if event.done == event.total or time.monotonic() - scored_s > SCORED_S:
                scored_s = time.monotonic()
                send(event)
            if self.asked.is_set():
                raise Paused
            return ""

        def wait(error: DiskFull) -> None:
            send(Message(f"trial {task.trial}: waiting: {error}"))
            if self.asked.wait(60):
                raise Paused

        try:
            hooks = Hooks(on_event, self.asked.is_set, wait)
            return Finished(self.job.evaluate(task, self.corpus, hooks))
        except (Damaged, Foreign) as error:
            return Unusable(error.path.name, getattr(error, "how", ""))
        except Abandoned:
            return Interrupted()
        except UserError as error:
            return Refused(str(error))


class Changes:
    """What has changed in a folder since the last call: files that are new, others or deleted."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.known = self._now()

    def __call__(self) -> Files:
        before, self.known = self.known, self._now()
        changed = [name for name, state in self.known.items() if state != before.get(name)]
        deleted = before.keys() - self.known.keys()
        return {**{name: (self.folder / name).read_bytes() for name in changed},
                **dict.fromkeys(deleted)}

    def _now(self) -> dict[str, tuple[int, int]]:
        states = {}
        for path in self.folder.rglob("*"):
            if path.is_file() and path.suffix != ".tmp":
                state = path.stat()
                states[str(path.relative_to(self.folder))] = (state.st_mtime_ns, state.st_size)
        return states


def write_files(folder: Path, files: Files) -> None:
    """Make the changes that were found elsewhere in a folder."""
    for name, content in files.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            write_atomically(folder / name, partial(_write, content))


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)
