"""The engine `ray`: trainings on the nodes of a Ray cluster. This process, the driver, alone touches the database and Optuna.

A worker is an actor with its share of a node, which trains in a folder of its own. It is asked for one event after the other:
each brings the files that have changed since the last one, checkpoints above all, and waits for an answer. So the driver has
every epoch's checkpoint before its row, decides about stopping as a local worker does, and lets another actor go on where a
lost one was. Nodes need the project installed, and no folder in common.
"""

import errno
import logging
import os
import queue
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from study.database.store import Database, LeaseLost
from study.engines.base import TUNABLES, Engine, Job
from study.records import Result
from study.search.environment import environment
from study.search.evaluate import Hooks, one_line
from study.search.events import Watcher
from study.search.runner import Runner, Task, carry_out
from tasnet_core.checkpoints.training_files import files_of
from tasnet_core.cost import count as cost
from tasnet_core.errors import Abandoned, Damaged, DiskFull, Foreign, UserError
from tasnet_core.files import write_atomically
from tasnet_core.records import Variant
from tasnet_core.training.trainer import Paused

SCORED_S = 1.0          # how often a worker says how many mixtures are scored
LOOK_S = 1.0            # how often the driver looks whether there is room for more workers
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"     # 0: no process of Ray is reached from another machine
REST_S = 2.0            # how long who has nothing to do until the reference is trained waits

Files = dict[str, bytes | None]             # by their path from the checkpoint's folder; None: it is no more
Event = tuple[str, tuple[Any, ...], Files]  # what is told, as a hook of `Hooks` or an end; its facts; files that have changed


class Trainer:
    """A worker's side: trains one task after the other. `go_on` and `pause` are called by different threads."""

    def __init__(self, job: Job, folder: str):
        self.job, self.folder = job, folder
        self.asked = threading.Event()
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ready(self) -> Event:
        """Open the corpus, and say what machine this is."""
        import torch
        with suppress(OSError):
            os.chdir(self.folder)       # where there is one folder for all, paths mean the same everywhere
        torch.set_num_threads(self.job.plan.settings.threads)
        try:
            self.corpus = self.job.plan.open_corpus()
            return "ready", (environment(self.job.plan.device),), {}
        except UserError as error:
            return "refused", (str(error),), {}

    def begin(self, task: Task, files: Files) -> Event:
        """Begin a task, or go on with it from its files, and run to its first event."""
        threading.Thread(target=self._train, args=(task, files), daemon=True).start()
        return self.events.get()

    def go_on(self, answer: Any) -> Event:
        """Answer the last event, None to give up, and run to the next."""
        self.answers.put(answer)
        return self.events.get()

    def rest(self, seconds: float) -> Event:
        """Do nothing for a while, and ask again."""
        self.asked.wait(seconds)
        return "rested", (), {}

    def pause(self) -> None:
        """Save what is trained, at the next step, and end."""
        self.asked.set()

    def _train(self, task: Task, files: Files) -> None:
        import torch
        torch.set_num_threads(self.job.plan.settings.threads)     # each thread has its own number
        try:
            with tempfile.TemporaryDirectory(prefix="tasnet-study-") as scratch:
                put(Path(scratch), files)
                changed = Changes(Path(scratch))
                kin = replace(task.kin, teacher=task.kin.teacher and Path(scratch, task.kin.teacher.name))
                name, facts = self._end_of(replace(task, checkpoint=Path(scratch, task.checkpoint.name), kin=kin), changed)
                self.events.put((name, facts, changed()))
        except Exception as error:      # of ours: a row all the same, or it would be met again and again
            self.events.put(("result", (Result("failed", one_line(error), "error", cost.exact(task.variant)),), {}))

    def _end_of(self, task: Task, changed: Callable[[], Files]) -> tuple[str, tuple[Any, ...]]:
        said_s = 0.0

        def tell(name: str, *facts: Any) -> Any:
            self.events.put((name, facts, changed()))
            answer = self.answers.get()
            if answer is None:
                raise Paused
            return answer

        def scored(done: int, total: int) -> None:
            nonlocal said_s
            if done == total or time.monotonic() - said_s > SCORED_S:
                said_s = time.monotonic()
                tell("scored", done, total)
            if self.asked.is_set():
                raise Paused

        def wait(error: DiskFull) -> None:
            tell("say", f"waiting: {error}")
            if self.asked.wait(60):
                raise Paused
        try:
            return "result", (carry_out(task, self.corpus, Hooks(
                partial(tell, "tell"), scored, self.asked.is_set, wait, partial(tell, "say"), partial(tell, "measured"))),)
        except (Damaged, Foreign) as error:
            return "unusable", (error.path.name, getattr(error, "how", ""))
        except Abandoned:
            return "paused", ()
        except UserError as error:
            return "refused", (str(error),)


class Changes:
    """What has changed in a folder since this was last asked: files that are new or others, None for those that are gone."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.known = self._now()

    def __call__(self) -> Files:
        before, self.known = self.known, self._now()
        return {**{name: (self.folder / name).read_bytes() for name, state in self.known.items() if state != before.get(name)},
                **dict.fromkeys(before.keys() - self.known.keys())}

    def _now(self) -> dict[str, tuple[int, int]]:
        found = ((path, path.stat()) for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".tmp")
        return {str(path.relative_to(self.folder)): (state.st_mtime_ns, state.st_size) for path, state in found}


def put(folder: Path, files: Files) -> None:
    """Make changes that were found elsewhere in a folder of one's own."""
    for name, content in files.items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            write_atomically(folder / name, partial(_write, content))


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)


@dataclass
class Worker:
    """The driver's side of an actor."""

    actor: Any
    environment: Mapping[str, Any] | None = None
    run: Mapping[str, Any] | None = None        # what it trains
    variant: Variant | None = None
    hooks: Hooks | None = None


class Ray(Engine):
    """Trainings as Ray actors.

    Without a count there are as many as the cluster has room for, at any moment: nodes that are added are used.

    Raises:
        UserError: Ray is not installed, or its cluster cannot be reached.
    """

    def __init__(self, job: Job, database: Database, watcher: Watcher):
        super().__init__(job, database, watcher)
        self.ray, self.ours = _connected()
        self.stop = threading.Event()
        self.runner = Runner(job.plan, database, None, watcher, self.stop)
        self.database = self.runner.database
        self.workers: dict[Any, Worker] = {}        # by the event that is waited for
        self.exhausted, self.told, self.looked_s = False, False, 0.0
        tuned = {name: os.environ.get(name, value) for name, value in TUNABLES.items()}     # a node's own counts for less
        self.threads, self.gpus = job.plan.settings.threads, job.plan.gpus_per_trial       # of each training
        self.actors = self.ray.remote(Trainer).options(num_cpus=self.threads, num_gpus=self.gpus, max_concurrency=2,
                                                       runtime_env={"env_vars": tuned})

    def begin(self) -> None:
        self._fill_up()

    def busy(self) -> bool:
        return any(worker.run for worker in self.workers.values()) or not (self.exhausted or self.why)

    def pause(self) -> None:
        self.stop.set()     # the rest is done by `listen`: Ray is not to be called from a signal

    def kill(self) -> None:
        for worker in self.workers.values():
            self._end(worker)
            if worker.run:
                with self.if_it_can():
                    self.runner.give_back(worker.run)
        self.workers.clear()
        if self.ours and self.ray.is_initialized():
            self.ray.shutdown()

    def listen(self) -> None:
        if self.why and not self.told:
            self.told = True
            for worker in self.workers.values():
                worker.actor.pause.remote()
        if not self.why and time.monotonic() - self.looked_s > LOOK_S:
            self._fill_up()
        if self.workers:
            self.ray.wait(list(self.workers), timeout=0.5)
            for event in self.ray.wait(list(self.workers), num_returns=len(self.workers), timeout=0)[0]:
                self._hear(self.workers.pop(event), event)
        else:
            self.stop.wait(0.2)
        for worker in self.workers.values():
            self._renew(worker)

    def _fill_up(self) -> None:
        """Start workers where there is room, as long as there is work."""
        self.looked_s = time.monotonic()
        found = self.ray.cluster_resources()
        room = int(found.get("CPU", 0) // self.threads)
        if self.gpus:
            room = min(room, int(found.get("GPU", 0) / self.gpus + 1e-9))
        if not room and not self.workers:
            gpus = f" and {self.gpus:g} GPUs" * bool(self.gpus)
            with suppress(Paused):
                self.runner.rest(f"no node of the cluster has {self.threads} CPUs{gpus} for a training")
        for _ in range(len(self.workers), self.job.plan.workers or room):      # more than room asks a cluster to grow
            if not self.exhausted:
                worker = Worker(self.actors.remote(replace(self.job, storage=""), os.getcwd()))     # no password leaves us
                self.workers[worker.actor.ready.remote()] = worker

    def _hear(self, worker: Worker, event: Any) -> None:
        """Record an event of a worker, and answer it."""
        try:
            name, facts, files = self.ray.get(event)
        except self.ray.exceptions.RayError as error:
            return self._lost(worker, error)
        self.stillborn = 0
        try:
            self._keep(worker, files)
            if hook := getattr(worker.hooks, name, None):
                try:
                    answer = hook(*facts) or ""
                except LeaseLost:
                    self._taken_over(worker)
                    answer = None
                self._wait_for(worker, worker.actor.go_on.remote(answer))
            else:
                self._ended(worker, name, facts)
        except Paused:
            self._retire(worker)
        except UserError as error:
            self._retire(worker)
            self.refuse(str(error))

    def _ended(self, worker: Worker, name: str, facts: tuple[Any, ...]) -> None:
        """A worker has nothing to do: what came of what it did, and what is next."""
        if name == "ready":
            worker.environment, = facts
        elif name == "refused":
            raise UserError(facts[0])
        elif worker.run and name == "unusable":
            self.runner.set_aside(worker.run, self.runner.checkpoints / facts[0], facts[1])
            return self._begin(worker, worker.run)
        elif worker.run and name == "paused":
            self.runner.give_back(worker.run)
            self._done(worker)
        elif worker.run:
            self._finish(worker, facts[0])
        self._hand_out(worker)

    def _finish(self, worker: Worker, result: Result) -> None:
        assert worker.run is not None
        assert worker.variant is not None
        try:
            self.database.finish(worker.run["id"], result)
        except LeaseLost:
            return self._taken_over(worker)
        run, variant = worker.run, worker.variant
        self._done(worker)
        self.runner.ends(run, variant, result)
        self.show_front()

    def _hand_out(self, worker: Worker) -> None:
        """Give a worker the next run, or let it go."""
        self.runner.environment = worker.environment
        run = self.database.retry(lambda: self.runner.next_run(self.job.trials))
        if run is not None:
            return self._begin(worker, run)
        if self.runner.teacher_state() == "running":        # whoever trains it
            return self._wait_for(worker, worker.actor.rest.remote(REST_S))
        self.exhausted = True
        self._retire(worker)

    def _begin(self, worker: Worker, run: Mapping[str, Any]) -> None:
        worker.run, worker.variant, worker.hooks = run, self.runner.begins(run), self.runner.hooks(run)
        self.runner.at_work.add(run["id"])
        if failed := self.runner.given_up(run, worker.variant):
            self._finish(worker, failed)
            return self._hand_out(worker)
        task = self.runner.task(run, worker.variant)
        # By their names: to look through the folder would take longer with every trial that has left its files there.
        needed = [path for path in files_of(task.checkpoint) if path.exists()]
        if task.recipe.init == "inherit" and task.kin.teacher and task.kin.teacher.exists():
            needed.append(task.kin.teacher)
        files: Files = {path.name: path.read_bytes() for path in needed}
        self._wait_for(worker, worker.actor.begin.remote(task, files))

    def _wait_for(self, worker: Worker, event: Any) -> None:
        self.workers[event] = worker
        if self.told:
            worker.actor.pause.remote()     # it had begun meanwhile

    def _taken_over(self, worker: Worker) -> None:
        """Somebody else has taken the run over, as after hours of a driver's sleep: its worker is to give it up."""
        assert worker.run is not None
        self.watcher.says(f"trial {worker.run['trial']}: another worker has taken it over")
        self._done(worker)

    def _done(self, worker: Worker) -> None:
        if worker.run:
            self.runner.at_work.discard(worker.run["id"])
        worker.run = None

    def _retire(self, worker: Worker) -> None:
        self._end(worker)
        if worker.run:
            self.runner.give_back(worker.run)
        self._done(worker)

    def _end(self, worker: Worker) -> None:
        self.ray.kill(worker.actor)

    def _lost(self, worker: Worker, error: Exception) -> None:
        """A worker's process, or its node, is gone: whoever asks next goes on with its run."""
        reason = one_line(error)
        if worker.run is None:
            self.stillborn += 1
            self.give_up_on_stillborn(len(self.workers), reason)
            return
        self.watcher.says(f"trial {worker.run['trial']}: its worker is lost; another goes on from what is saved")
        # Not "OOM": Ray names that among the reasons there may be for any death.
        out_of_memory = isinstance(error, self.ray.exceptions.OutOfMemoryError) or "NODE_OUT_OF_MEMORY" in str(error)
        with suppress(Paused):
            self.database.note_death(worker.run["id"], "out-of-memory" if out_of_memory else "")
        self._done(worker)
        self.exhausted = False

    def _keep(self, worker: Worker, files: Files) -> None:
        """Write what has changed beside the checkpoint, however long a full disk takes."""
        while worker.run and files:
            try:
                return put(self.runner.checkpoints, files)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise UserError(f"{self.runner.checkpoints}: no checkpoint can be written ({error.strerror or error}); "
                                    "make it a folder that can be written, then run again: all before is saved") from error
                self.runner.rest(f"{self.runner.checkpoints}: {error.strerror}; free some space", 5.0)

    def _renew(self, worker: Worker) -> None:
        if worker.run and worker.hooks:
            try:
                worker.hooks.pulse()
            except LeaseLost:
                self._taken_over(worker)
                self._end(worker)
            except Paused:
                pass


def _begin_own(ray: Any) -> None:
    """Begin a cluster that ends with this process and is this user's alone: it listens on loopback, and asks for a token.

    Who wants other machines in it begins it with `ray start`. Ray itself listens on every address of a machine but where
    this variable says 0, as it does on other systems by default; then all its processes take 127.0.0.1 for their own.

    Raises:
        UserError: this version of Ray knows no token.
    """
    from ray._private import ray_constants
    kept = ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(LOOPBACK)
    ray_constants.ENABLE_RAY_CLUSTER = os.environ.setdefault(LOOPBACK, "0") == "1"
    os.environ.pop("RAY_AUTH_MODE", None)       # "disabled" would be all that keeps Ray from asking for a token
    if not os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ["RAY_AUTH_TOKEN"] = os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)
    try:
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = kept[0]
        if kept[1] is None:
            del os.environ[LOOPBACK]
    if os.environ.get("RAY_AUTH_MODE") != "token":
        ray.shutdown()
        raise UserError(f"--engine ray: Ray {ray.__version__} begins clusters that ask for no token; wanted 2.59 or later: "
                        "pip install -U 'tasnet-study[ray]'")


def _connected() -> tuple[Any, bool]:
    """Ray, connected to the cluster that RAY_ADDRESS names, or that runs here, or else to a new one here; whether we did that."""
    try:
        import ray
        import ray.exceptions
        from ray._private import services
    except ImportError as error:
        raise UserError("--engine ray: Ray is not installed; it comes with: pip install 'tasnet-study[ray]'") from error
    if ray.is_initialized():
        return ray, False
    try:
        if os.environ.get("RAY_ADDRESS", "local") in ("", "local") and services.find_bootstrap_address(None) is None:
            _begin_own(ray)
        else:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(f"--engine ray: no cluster can be reached ({one_line(error)}); wanted one that RAY_ADDRESS names, or one "
                        "that 'ray start' has begun here; see: ray status") from error
    return ray, True
