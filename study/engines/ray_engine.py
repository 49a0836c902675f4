"""The engine `ray`: trainings on the nodes of a Ray cluster.

This process, the driver, alone touches the database and Optuna. A worker is an actor with its share
of a node, which trains in a folder of its own (`ray_worker`). It is asked for one event after the
other: each brings the files that have changed since the last one, checkpoints above all, and waits
for an answer. So the driver has every epoch's checkpoint before its row, decides about stopping as
a local worker does, and lets another actor go on where a lost one was. Nodes need the project
installed, and no folder in common.
"""

import errno
import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, assert_never

from study.database.store import Database, LeaseLost
from study.engines.base import Engine, Job, Refused
from study.engines.forkserver import TUNABLES
from study.engines.ray_worker import (
    Files,
    Finished,
    Interrupted,
    Ready,
    Report,
    Trainer,
    Unusable,
    write_files,
)
from study.records import Result
from study.search.evaluate import Hooks, one_line
from study.search.events import CostMeasured, EpochEnded, Message, MixtureScored, OnEvent
from study.search.run_executor import Run
from study.search.runner import Runner
from tasnet_core.checkpoints.training_files import files_of
from tasnet_core.errors import UserError
from tasnet_core.records import Variant
from tasnet_core.training.trainer import Paused

LOOK_S = 1.0            # between two looks for nodes with room for more workers
REST_S = 2.0            # of a worker without work, until the reference is trained
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"     # 0: no process of Ray is reached from elsewhere


@dataclass
class Worker:
    """The driver's side of an actor."""

    actor: Any
    environment: Mapping[str, Any] | None = None
    run: Run | None = None              # in training
    variant: Variant | None = None
    hooks: Hooks | None = None


class Ray(Engine):
    """Trainings as Ray actors.

    Without a count there are as many as the cluster has room for, at any moment: nodes that are
    added are used.

    Raises:
        UserError: Ray is not installed, or its cluster cannot be reached.
    """

    def __init__(self, job: Job, database: Database, on_event: OnEvent):
        self.ray, self.ours = connected()
        self.stop = threading.Event()
        self.runner = Runner(job.plan, database, None, on_event, self.stop)
        super().__init__(job, self.runner.database, on_event)
        self.scheduler, self.executor = self.runner.scheduler, self.runner.executor
        self.workers: dict[Any, Worker] = {}        # by the report that is waited for
        self.exhausted, self.pausing, self.looked_s = False, False, 0.0
        # A node's own variables count for less.
        tuned = {name: os.environ.get(name, value) for name, value in TUNABLES.items()}
        self.threads, self.gpus = job.plan.settings.threads, job.plan.gpus_per_trial
        self.actors = self.ray.remote(Trainer).options(
            num_cpus=self.threads, num_gpus=self.gpus, max_concurrency=2,
            runtime_env={"env_vars": tuned})

    def begin(self) -> None:
        self._fill_up()

    def busy(self) -> bool:
        training = any(worker.run for worker in self.workers.values())
        return training or not (self.exhausted or self.why)

    def pause(self) -> None:
        self.stop.set()     # the rest is done by `listen`: Ray is not to be called from a signal

    def kill(self) -> None:
        for worker in self.workers.values():
            self._end(worker)
            if worker.run:
                with self.unless_refused():
                    self.executor.give_back(worker.run)
        self.workers.clear()
        if self.ours and self.ray.is_initialized():
            self.ray.shutdown()

    def listen(self) -> None:
        if self.why and not self.pausing:
            self.pausing = True
            for worker in self.workers.values():
                worker.actor.pause.remote()
        if not self.why and time.monotonic() - self.looked_s > LOOK_S:
            self._fill_up()
        if self.workers:
            self.ray.wait(list(self.workers), timeout=0.5)
            reports, _ = self.ray.wait(list(self.workers), num_returns=len(self.workers), timeout=0)
            for report in reports:
                self._receive(self.workers.pop(report), report)
        else:
            self.stop.wait(0.2)
        for worker in self.workers.values():
            self._renew(worker)

    # ── workers ─────────────────────────────────────────────────────────────────────────────

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
                self.runner.waiting.wait(f"no node of the cluster has {self.threads} CPUs"
                                         f"{gpus} for a training")
        if self.exhausted:
            return
        # More workers than there is room for ask a cluster to grow.
        for _ in range(len(self.workers), self.job.plan.workers or room):
            job = replace(self.job, storage="")     # no password leaves this process
            worker = Worker(self.actors.remote(job, os.getcwd()))
            self.workers[worker.actor.ready.remote()] = worker

    def _receive(self, worker: Worker, reference: Any) -> None:
        """Handle a report of a worker, and give it an answer or more work."""
        try:
            report: Report = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return self._lost(worker, error)
        self.early_deaths = 0
        try:
            self._keep(worker, report.files)
            self._handle(worker, report)
        except Paused:
            self._retire(worker)
        except UserError as error:
            self._retire(worker)
            self.refuse(str(error))

    def _handle(self, worker: Worker, report: Report) -> None:
        match report.event:
            case CostMeasured() | EpochEnded() | MixtureScored() | Message() as progress:
                assert worker.hooks is not None
                try:
                    answer: str | None = worker.hooks.on_event(progress)
                except LeaseLost:
                    self._taken_over(worker)
                    answer = None
                return self._wait_for(worker, worker.actor.go_on.remote(answer))
            case Refused(reason):
                raise UserError(reason)
            case Unusable(name, how) if worker.run:
                self.executor.set_aside(worker.run, self.executor.checkpoints / name, how)
                return self._begin(worker, worker.run)
            case Interrupted() if worker.run:
                self.executor.give_back(worker.run)
                worker.run = None
            case Finished(result) if worker.run:
                self._finish(worker, result)
            case Ready(environment):
                worker.environment = environment
            case Unusable() | Interrupted() | Finished():
                pass        # the run is another process's by now
            case _:
                assert_never(report.event)
        self._hand_out(worker)

    def _finish(self, worker: Worker, result: Result) -> None:
        assert worker.run is not None
        assert worker.variant is not None
        try:
            self.database.finish(worker.run["id"], result)
        except LeaseLost:
            return self._taken_over(worker)
        run, worker.run = worker.run, None
        self.runner.ended(run, worker.variant, result)
        self.show_front()

    def _hand_out(self, worker: Worker) -> None:
        """Give a worker the next run, or end it."""
        at_work = {one.run["id"] for one in self.workers.values() if one.run}
        run = self.scheduler.next_run(self.job.trials, worker.environment or {}, at_work)
        if run is not None:
            return self._begin(worker, run)
        if self.scheduler.teacher_state() == "running":
            return self._wait_for(worker, worker.actor.rest.remote(REST_S))
        self.exhausted = True
        self._retire(worker)

    def _begin(self, worker: Worker, run: Run) -> None:
        worker.run, worker.variant = run, self.executor.start(run)
        worker.hooks = self.executor.hooks(run)
        if failed := self.executor.given_up(run, worker.variant):
            self._finish(worker, failed)
            return self._hand_out(worker)
        task = self.executor.task(run, worker.variant)
        # By name: a look through the folder takes longer with every trial that has files there.
        wanted = [*files_of(task.checkpoint), *task.lineage.files]
        needed = [path for path in wanted if path.exists()]
        files: Files = {path.name: path.read_bytes() for path in needed}
        self._wait_for(worker, worker.actor.begin.remote(task, files))

    def _wait_for(self, worker: Worker, reference: Any) -> None:
        self.workers[reference] = worker
        if self.pausing:
            worker.actor.pause.remote()     # it had begun meanwhile

    def _taken_over(self, worker: Worker) -> None:
        """Leave a run to another driver that has it now, as after hours of this one's sleep."""
        assert worker.run is not None
        self.on_event(Message(f"trial {worker.run['trial']}: another worker has taken it over"))
        worker.run = None

    def _retire(self, worker: Worker) -> None:
        self._end(worker)
        if worker.run:
            self.executor.give_back(worker.run)
        worker.run = None

    def _end(self, worker: Worker) -> None:
        self.ray.kill(worker.actor)

    def _lost(self, worker: Worker, error: Exception) -> None:
        """Free the run of a worker whose process or node is gone: the next worker takes it up."""
        reason = one_line(error)
        if worker.run is None:
            self.early_deaths += 1
            self.abort_after_early_deaths(len(self.workers), reason)
            return
        self.on_event(Message(f"trial {worker.run['trial']}: its worker is lost; another goes on "
                              "from what is saved"))
        # Not "OOM": Ray names that among the reasons there may be for any death.
        out_of_memory = (isinstance(error, self.ray.exceptions.OutOfMemoryError)
                         or "NODE_OUT_OF_MEMORY" in str(error))
        with suppress(Paused):
            self.database.note_death(worker.run["id"], "out-of-memory" if out_of_memory else "")
        worker.run = None
        self.exhausted = False

    def _keep(self, worker: Worker, files: Files) -> None:
        """Write what has changed beside the checkpoint, however long a full disk takes."""
        folder = self.executor.checkpoints
        while worker.run and files:
            try:
                return write_files(folder, files)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise UserError(
                        f"{folder}: no checkpoint can be written ({error.strerror or error}); make "
                        "it a folder that can be written, then run again: all before is saved"
                    ) from error
                self.runner.waiting.wait(f"{folder}: {error.strerror}; free some space", 5.0)

    def _renew(self, worker: Worker) -> None:
        if worker.run and worker.hooks:
            try:
                worker.hooks.should_pause()
            except LeaseLost:
                self._taken_over(worker)
                self._end(worker)
            except Paused:
                pass


def _begin_own(ray: Any) -> None:
    """Begin a cluster that ends with this process and is this user's alone: it listens on loopback,
    and asks for a token.

    A cluster for other machines is begun with `ray start`. Ray itself listens on every address of a
    machine but where this variable says 0, as it does on other systems by default; then all its
    processes take 127.0.0.1 for their own.

    Raises:
        UserError: this version of Ray knows no token.
    """
    from ray._private import ray_constants
    kept = ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(LOOPBACK)
    ray_constants.ENABLE_RAY_CLUSTER = os.environ.setdefault(LOOPBACK, "0") == "1"
    os.environ.pop("RAY_AUTH_MODE", None)       # "disabled" alone keeps Ray from asking for a token
    if not os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ["RAY_AUTH_TOKEN"] = os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)
    try:
        ray.init(address="local", include_dashboard=False, log_to_driver=False,
                 logging_level=logging.ERROR)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = kept[0]
        if kept[1] is None:
            del os.environ[LOOPBACK]
    if os.environ.get("RAY_AUTH_MODE") != "token":
        ray.shutdown()
        raise UserError(f"--engine ray: Ray {ray.__version__} begins clusters that ask for no "
                        "token; wanted 2.59 or later: pip install -U 'tasnet-study[ray]'")


def connected() -> tuple[Any, bool]:
    """Ray, connected to the cluster that RAY_ADDRESS names, or that runs here, or else to a new one
    here; and whether this process has connected it."""
    try:
        import ray
        import ray.exceptions
        from ray._private import services
    except ImportError as error:
        raise UserError("--engine ray: Ray is not installed; "
                        "it comes with: pip install 'tasnet-study[ray]'") from error
    if ray.is_initialized():
        return ray, False
    try:
        elsewhere = os.environ.get("RAY_ADDRESS", "local") not in ("", "local")
        if not elsewhere and services.find_bootstrap_address(None) is None:
            _begin_own(ray)
        else:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(f"--engine ray: no cluster can be reached ({one_line(error)}); wanted one "
                        "that RAY_ADDRESS names, or one that 'ray start' has begun here; "
                        "see: ray status") from error
    return ray, True
