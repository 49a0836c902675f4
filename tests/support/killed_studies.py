"""A study under fire: processes killed at random moments, and what must be true afterwards.

`command` is `python -m study` with a made-up training of known curves (FAULTS=fake) or with real trainings of tiny networks
(FAULTS=real). The made-up one says when it meets a variant that another process is training at that moment.
"""

import fcntl
import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partialmethod
from pathlib import Path

import optuna
import sqlalchemy as sa

from study.__main__ import main
from study.database.store import open_database
from study.engines import base
from study.records import TRAINED, Result, Selection
from study.search.events import EpochEnded
from study.space.presets import SPACES
from study.space.space import Grid
from tasnet_core.corpora.registry import CORPORA
from tasnet_core.cost import count
from tasnet_core.records import Epoch, MixtureScore, Scores, Variant
from tasnet_core.training.trainer import Paused
from tests.support import tiny_study
from tests.support.processes import Started
from tests.support.tiny import RECIPE

EPOCHS = 5
# 8,192 variants: no study here uses them up.
SPACES["wide"] = Grid(
    "wide", Variant(N=32, L=4, B=16, H=32, Sc=16, X=4, R=2),
    {"N": range(2, 33, 2), "H": range(2, 33, 2), "B": range(4, 17, 4), "X": range(1, 5), "R": range(1, 3)}, RECIPE,
    metrics=("si_snr",))


def score_of(variant, epoch=EPOCHS):
    """The known curve of a variant."""
    return count.exact(variant).parameters ** 0.3 + int(variant.key, 16) % 97 / 300 - 5 / epoch


def fake(task, corpus, hooks):
    """A training that takes a second and knows its curve; it is saved epoch by epoch and goes on from there."""
    variant, checkpoint, measured = task.variant, task.checkpoint, count.exact(task.variant)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    log = Path(os.environ["FAULTS_LOG"])
    with open(log.parent / f"{variant.key}.held", "w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _note(log, "twice", variant, 0)
        curve = []
        done = json.loads(checkpoint.read_text()) if checkpoint.exists() else 0
        for number in range(1, EPOCHS + 1):
            if number > done:
                for _ in range(4):
                    time.sleep(float(os.environ.get("FAULTS_STEP_S", "0.04")))
                    if hooks.should_pause():
                        raise Paused
                scratch = checkpoint.with_suffix(f".{os.getpid()}.tmp")
                scratch.write_text(json.dumps(number))
                os.replace(scratch, checkpoint)
                _note(log, "epoch", variant, number)
            curve.append(Epoch(number, -score_of(variant, number), score_of(variant, number), 1e-3, 0.3 * number, 0.1))
            if reason := hooks.on_event(EpochEnded(task.trial, task.recipe.seed, curve[-1])):
                return Result("stopped", reason, cost=measured, curve=tuple(curve))
    score = score_of(variant)
    tested = tuple(MixtureScore(f"test/{i:03}", "a+b", "FM", 1.0, 0.0, score, score) for i in range(2))
    return Result("complete", cost=measured, curve=tuple(curve), mixtures=tested, seconds=1.0,
                  scores=Scores(si_snr_db=score, si_snri_db=score, mixtures=2), selection=Selection(score))


def _note(log, what, variant, number):
    with open(log, "a") as lines:       # appended in one write: lines of several processes do not mix
        lines.write(f"{what} {variant.key} {number}\n")


def die_once_at(place):
    """Let this process die like by kill -9 at a place, if no other has died there yet."""
    def die():
        try:
            (Path(os.environ["FAULTS_LOG"]).parent / f"died-{place}").touch(exist_ok=False)
        except FileExistsError:
            return
        os._exit(9)

    if place == "checkpoint":           # written, not in place yet
        real = os.replace
        os.replace = lambda source, target: (die() if str(target).endswith(".pt") else None, real(source, target))[1]
    if place == "result":               # all rows are there, but for the commit
        def seen(connection, cursor, statement, *_):
            if statement.startswith("INSERT INTO mixtures"):
                connection.info["result"] = True
        sa.event.listen(sa.Engine, "before_cursor_execute", seen)
        sa.event.listen(sa.Engine, "commit", lambda connection: connection.info.pop("result", None) and die())
    if place == "tell":
        tell = optuna.Study.tell
        optuna.Study.tell = lambda *arguments, **named: (die(), tell(*arguments, **named))[1]


def command(arguments):
    """`python -m study` in a process that was told by its environment what is made up, and where it dies."""
    CORPORA["tiny"] = open_tiny
    prepare()
    if os.environ["FAULTS"] == "fake":
        base.Job.__init__ = partialmethod(base.Job.__init__, evaluate=fake)
    return main(arguments)


def open_tiny(*arguments):
    """What a worker opens its corpus by; nothing that is made up comes before."""
    prepare()
    return tiny_study.open_tiny(*arguments)


def prepare():
    for place in os.environ.get("FAULTS_DIE", "").split():
        die_once_at(place)


@dataclass
class Case:
    """One study and what is done to it."""

    folder: Path
    workers: int
    kills: int
    trials: int = 0             # in all; 0: as many as it takes until all kills are done
    kind: str = "fake"
    url: str = ""               # SQLite in the folder
    seed: int = 0
    options: tuple[str, ...] = ("--stop-margin", "0.5")
    die: str = ""               # places: the first process that comes to one dies there
    mean_s: float = 1.5         # between two kills, after the first result of a start
    said: list[str] = field(default_factory=list)

    @property
    def storage(self):
        return self.url or str(self.folder / "study.db")

    def start(self, trials):
        environment = {"FAULTS": self.kind, "FAULTS_LOG": str(self.folder / "log"), "FAULTS_DIE": self.die}
        space = ("--space", "wide") if self.kind == "fake" else ("--space", "tiny", "--epochs", "4", "--epoch-segments", "40")
        self.folder.mkdir(parents=True, exist_ok=True)
        return Started(command, ("run", "--corpus", "tiny", *space, "--device", "cpu", "--study", "s", "--storage", self.storage,
                                 "--trials", trials, "--workers", self.workers, *self.options),
                       self.folder, self.folder / "said", environment)

    def results(self):
        """Every finished run as it must stay for ever."""
        with open_database(self.storage) as database:
            return {(row["trial"], row["seed"]): (row["state"], row["variant"], row["si_snri_db"], row["reason"])
                    for row in database.results("s") if row["state"] != "running"}


def children(process):
    """The processes of the workers: those below the parent that are neither the server that forks nor a tracker."""
    found, below = [], [process]
    while below:
        one = below.pop()
        try:
            kids = [int(pid) for task in Path(f"/proc/{one}/task").iterdir() for pid in (task / "children").read_text().split()]
        except OSError:
            continue
        below += kids
        found += [kid for kid in kids if not _children_of(kid) and "tracker" not in _command(kid)]
    return found


def _children_of(process):
    try:
        return [pid for task in Path(f"/proc/{process}/task").iterdir() for pid in (task / "children").read_text().split()]
    except OSError:
        return []


def _command(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return "tracker"


def fire(case):
    """Run a study, kill processes until all kills are done, let it finish; counts of faults, by who and how."""
    chance, faults, known = random.Random(case.seed), Counter(), {}
    case.folder.mkdir(parents=True, exist_ok=True)
    trials, process = case.trials or 4 * case.workers, None
    while sum(faults.values()) < case.kills:
        if process is None:
            process = case.start(trials)
            while not (case.folder / "said").stat().st_size and process.poll() is None:
                time.sleep(0.05)        # until something has begun
        time.sleep(chance.expovariate(1 / case.mean_s))
        if process.poll() is not None:
            if process.poll() not in (0, 130):
                raise AssertionError(f"ended with {process.poll()}: {(case.folder / 'said').read_text()}")
            process, trials = None, (trials if case.trials else trials + 4 * case.workers)
            if case.trials and len(case.results()) >= trials:
                break
            continue
        how = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        workers = children(process.pid)
        whom = "parent" if chance.random() < 0.25 or not workers else "worker"
        known = check_kept(case, known)
        try:
            os.kill(process.pid if whom == "parent" else chance.choice(workers), how)
        except ProcessLookupError:
            continue
        faults[whom, how.name] += 1
        if whom == "parent":
            began = time.monotonic()
            try:
                process.wait(30)
            except TimeoutError:
                raise AssertionError(f"{how.name} has not ended it in 30 s") from None
            if time.monotonic() - began > 12:
                case.said.append(f"{how.name}: {time.monotonic() - began:.0f} s to end")
            process = None
    assert (process or case.start(trials)).wait(600) == 0, (case.folder / "said").read_text()
    check_kept(case, known)
    return faults, trials


def check_kept(case, known):
    """What was finished once is finished as it was."""
    try:
        now = case.results()
    except Exception:       # not made yet
        return known
    lost = {key: (row, now.get(key)) for key, row in known.items() if now.get(key) != row}
    assert not lost, f"lost or changed: {lost}"
    return now


def verdict(case, trials):
    """Count what is wrong with a study that has finished; nothing should be."""
    wrong = Counter()
    with open_database(case.storage) as database:
        runs, epochs, mixtures = database.runs("s"), database.epochs("s"), database.mixtures("s")
        variants = {run["variant"]: database.variant(run["variant"]) for run in runs}
        if database.is_sqlite:
            with sqlite3.connect(case.storage) as plain:
                wrong["integrity_check"] += plain.execute("pragma integrity_check").fetchone() != ("ok",)
            plain.close()
        url = database.optuna_url
    trained = [run for run in runs if run["state"] in TRAINED]
    wrong["finished trials missing or too many"] = abs(len(trained) - trials)
    wrong["runs unfinished"] = sum(run["state"] == "running" or run["owner"] is not None for run in runs)
    wrong["trained twice"] = len(trained) - len({(run["variant"], run["seed"]) for run in trained})
    wrong["failed"] = sum(run["state"] == "failed" for run in runs)
    for run in runs:
        numbers = [epoch["number"] for epoch in epochs if epoch["trial"] == run["trial"]]
        wrong["curves with gaps"] += numbers != list(range(1, len(numbers) + 1)) or (
            run["state"] == "complete" and len(numbers) != run["epochs"])
        wrong["mixtures missing"] += run["state"] == "complete" and run["mixtures"] != sum(
            mixture["trial"] == run["trial"] for mixture in mixtures)
        if case.kind == "fake" and run["state"] == "complete":
            wrong["wrong score"] += abs(run["si_snri_db"] - score_of(variants[run["variant"]])) > 1e-12
    study = optuna.load_study(study_name="s", storage=optuna.storages.RDBStorage(
        url, engine_kwargs={"poolclass": sa.pool.NullPool}))
    told = {trial.number: trial.state.name for trial in study.get_trials()}
    words = {"complete": "COMPLETE", "failed": "FAIL"}
    wrong["untold to Optuna"] = sum(told.get(run["trial"]) != words.get(run["state"], "PRUNED") for run in runs)
    wrong["zombies in Optuna"] = sum(state == "RUNNING" for state in told.values())
    lines = (case.folder / "log").read_text().splitlines() if (case.folder / "log").exists() else []
    wrong["trained by two at once"] = sum(line.startswith("twice") for line in lines)
    again = len([line for line in lines if line.startswith("epoch")]) - len(set(lines))
    return wrong, again
