"""Engines under load, with simulated clusters of this machine. What is lost is counted; nothing should be.

    python benchmarks/engines.py nodes [TRIALS [tiny|quick]]        four nodes of Ray, one killed and one added on the way;
                                                                    the rows of the local engine, bit for bit
    python benchmarks/engines.py large ray|postgresql [TRIALS [SLOTS [FIGURE.png]]]
                                                                    made-up trainings: what the driver, or all workers, take
    python benchmarks/engines.py server [TRIALS]                    16 workers on PostgreSQL, whose server is restarted

PostgreSQL: TASNET_TEST_POSTGRESQL is the URL of a database beside which others may be made; for many slots it needs five
connections each (max_connections).
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from server import new_database

from study.database.store import open_database
from study.engines import ray_engine
from study.engines.base import Job
from study.engines.local import Workers
from study.records import Result, Selection, Settings, StopRule
from study.search.evaluate import evaluate
from study.search.events import EpochEnded, Message, TrialEnded, silent
from study.space.plan import StudyPlan
from study.space.toml import as_dict, space_named
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.cost import count as cost
from tasnet_core.records import Epoch, MixtureScore, Recipe, Scores
from tasnet_core.training.trainer import Paused
from tests.support import made_up_search, tiny_study
from tests.support.tiny import Tiny

SMALL = Settings(corpus="tiny", space="tiny", definition=as_dict(tiny_study.SPACE), sampler="grid", metrics=("si_snr",),
                 recipe=Recipe(epochs=4, epoch_segments=60, segment_s=0.05, batch_size=2, learning_rate=1e-2, schedule="decay"))
SHORT = Settings(sampler="qmc", metrics=("si_snr",), recipe=replace(space_named("quick").recipe, epochs=2, epoch_segments=40))
LARGE = Settings(corpus="tiny", space="full", recipe=space_named("full").recipe, stop=StopRule(), metrics=("si_snr",))
EPOCHS, MIXTURES = 8, 120
MEDIAN_S = 5.0      # of a made-up training; lognormal, as they are where sizes are spread evenly in log scale
SPREAD = 0.7        # of its logarithm: one in twenty takes three times as long
FAIL = 0.03         # of them diverge


UNTIMED = partial(evaluate, measure=cost.exact)     # the speed is another at each run


def voices():
    """The corpus of `quick`."""
    return open_corpus("voices", 2, 8000, say=print)


def fake(task, corpus, hooks):
    """A training of known length and curve, both functions of the variant. It is saved nowhere, so it begins anew."""
    measured = cost.exact(task.variant)
    chance = np.random.default_rng(int(task.variant.key, 16))
    length_s, fails = MEDIAN_S * float(np.exp(SPREAD * chance.normal())), chance.random() < FAIL
    best = 2 * np.log10(measured.parameters) + chance.normal(scale=0.3)
    curve = []
    for number in range(1, EPOCHS + 1):
        until = time.monotonic() + length_s / EPOCHS
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            if hooks.should_pause():
                raise Paused
        score = float(best - 4 / number)
        curve.append(Epoch(number, -score, score, 1e-3, 100.0 * number, length_s / EPOCHS))
        if reason := hooks.on_event(EpochEnded(task.trial, task.recipe.seed, curve[-1])):
            return Result("stopped", reason, cost=measured, curve=tuple(curve))
        if fails and number == EPOCHS // 2:
            return Result("failed", f"epoch {number}: training loss nan", "diverged", measured, curve=tuple(curve))
    tested = tuple(MixtureScore(f"test/{i:03}", "a+b", "FM", 4.0, 0.0, score, score) for i in range(MIXTURES))
    return Result("complete", cost=measured, curve=tuple(curve), mixtures=tested, seconds=length_s,
                  scores=Scores(si_snr_db=score, si_snri_db=score, mixtures=MIXTURES), selection=Selection(score))


def train(engine, storage, trials, slots, settings, open_corpus, evaluate=UNTIMED, on_event=silent):
    """See a study through by an engine; how long it took, in s."""
    with open_database(storage, read_only=False) as database:
        if not database.settings("s"):
            database.register("s", settings)
        began = time.monotonic()
        plan = replace(StudyPlan.of("s", settings, workers=slots), open_corpus=open_corpus)
        ended = engine(Job(storage, plan, trials, evaluate=evaluate), database, on_event).run()
        assert ended.finished
        return time.monotonic() - began


@contextmanager
def nodes(count, cpus):
    """A simulated cluster that this process is connected to; its head trains nothing."""
    import ray
    from ray.cluster_utils import Cluster
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.ours = [made.add_node(num_cpus=cpus) for _ in range(count)]
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


# ── a node that is killed, one that is added ─────────────────────────────────────────────────────────────


class Swaps:
    """Kills a node and adds another after a quarter of the trials."""

    def __init__(self, made, at):
        self.made, self.at, self.ended, self.lost = made, at, 0, 0

    def __call__(self, event):
        self.lost += isinstance(event, Message) and "is lost" in event.text
        if not isinstance(event, TrialEnded):
            return
        self.ended += 1
        if self.ended == self.at:
            self.made.remove_node(self.made.ours[0], allow_graceful=False)
            self.made.ours[0] = self.made.add_node(num_cpus=1)


def swapped_nodes(trials, settings, opener):
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, name) for name in ("local", "ray")]
        for place in places:
            place.mkdir()
        local_s = train(Workers, str(places[0] / "study.db"), trials, 2, settings, opener)
        with nodes(4, 1) as made:
            watcher = Swaps(made, trials // 4)
            ray_s = train(ray_engine.Ray, str(places[1] / "study.db"), trials, None, settings, opener, on_event=watcher)
        same = made_up_search.table(places[0]) == made_up_search.table(places[1])
        print(f"{trials} trainings: local with 2 workers {local_s:.0f} s; 4 nodes of Ray, one killed and one added: "
              f"{ray_s:.0f} s, {watcher.lost} trainings lost their worker; rows equal bit for bit: {same}")
        return 0 if same and watcher.ended == trials else 1


# ── many slots ───────────────────────────────────────────────────────────────────────────────────────────


class Host:
    """Many trainers in one process: 200 of them with torch each would take 50 GB."""

    def __init__(self):
        self.trainers = {}

    def call(self, number, name, *arguments):
        if name == "make":
            self.trainers[number] = ray_engine.Trainer(*arguments)
            return None
        return getattr(self.trainers[number], name)(*arguments)


class Slot:
    """What stands for an actor: a trainer of a host."""

    def __init__(self, host, number, *arguments):
        self.host, self.number = host, number
        host.call.remote(number, "make", *arguments)

    def __getattr__(self, name):
        return Method(self, name)


class Method:
    def __init__(self, slot, name):
        self.slot, self.name = slot, name

    def remote(self, *arguments):
        return self.slot.host.call.remote(self.slot.number, self.name, *arguments)


class Hosted(ray_engine.Ray):
    """The engine with one host on each of four nodes."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.hosts = [self.ray.remote(Host).options(num_cpus=1, max_concurrency=1000, scheduling_strategy="SPREAD").remote()
                      for _ in range(4)]
        self.made, self.actors = 0, self

    def remote(self, *arguments):
        self.made += 1
        return Slot(self.hosts[self.made % 4], self.made, *arguments)

    def _end(self, worker):
        pass


class Meter:
    """Notes on the way, and prints, what has been used."""

    def __init__(self, trials, size_of, processes):
        self.places = {100, 300, *(trials * tenth // 10 for tenth in range(1, 11))}
        self.size_of, self.processes = size_of, processes
        self.ended, self.began, self.rows = 0, time.monotonic(), []
        print("| trials | s | trials/s since the line before | CPU s | CPU ms a trial since | memory MB | database MB |\n"
              + "|---" * 7 + "|", flush=True)

    def __call__(self, event):
        if not isinstance(event, TrialEnded):
            return
        self.ended += 1
        if self.ended in self.places:
            cpu_s, memory = used(self.processes())
            row = self.ended, time.monotonic() - self.began, cpu_s, memory / 1e6, self.size_of() / 1e6
            before = self.rows[-1] if self.rows else (0,) * 5
            count, wall_s, spent_s = (row[place] - before[place] for place in range(3))
            self.rows.append(row)
            print(f"| {self.ended:,} | {row[1]:.0f} | {count / wall_s:.2f} | {cpu_s:.0f} | {1000 * spent_s / count:.0f} "
                  f"| {row[3]:.0f} | {row[4]:.1f} |", flush=True)


def used(processes):
    """Seconds of CPU and bytes of memory of processes; what forked ones share counts once."""
    cpu_s = memory = 0.0
    for process in processes:
        try:
            stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            rollup = dict(line.split(":") for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
        except (OSError, ValueError):       # ended meanwhile
            continue
        cpu_s += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        memory += 1024 * int(rollup["Pss"].split()[0])
    return cpu_s, memory


def descendants(process):
    found = [process]
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            found += [below for child in (task / "children").read_text().split() for below in descendants(child)]
        except OSError:
            continue
    return found


def large(kind, trials, slots, figure=None):
    print(f"{kind}, {slots} slots; {'the driver' if kind == 'ray' else 'the parent and all workers'}\n")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if kind == "ray":
            storage = str(Path(folder, "study.db"))
            meter = Meter(trials, lambda: sum(path.stat().st_size for path in Path(folder).glob("study.db*")),
                          lambda: [os.getpid()])
            with nodes(4, -(-slots // 4) + 1):
                train(Hosted, storage, trials, slots, LARGE, Tiny, fake, meter)
        else:
            storage = new_database("engines")
            engine = sa.create_engine(storage)

            def size():
                with engine.connect() as connection:
                    return connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar()
            meter = Meter(trials, size, lambda: descendants(os.getpid()))
            train(Workers, storage, trials, slots, LARGE, Tiny, fake, meter)
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "study", "report", "--storage", storage], check=True, stdout=subprocess.DEVNULL)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        print(f"report: {time.monotonic() - began:.0f} s, {peak:.0f} MB; {count_wrong(storage, trials)} lost or wrong")
        if figure:
            draw(meter.rows, figure)
    return 0


def count_wrong(storage, trials):
    """Trials too few or too many, runs that are unfinished or owned, curves with gaps, mixtures that are missing."""
    with open_database(storage) as database:
        runs = database.runs("s")
        epochs = {(row["trial"], row["seed"]): 0 for row in runs}
        for row in database.epochs("s"):
            epochs[row["trial"], row["seed"]] += 1
        mixtures = {(row["trial"], row["seed"]): 0 for row in runs}
        for row in database.mixtures("s"):
            mixtures[row["trial"], row["seed"]] += 1
    trained = [row for row in runs if row["state"] in ("complete", "stopped", "failed")]
    complete = [(row["trial"], row["seed"]) for row in runs if row["state"] == "complete"]
    return (abs(len(trained) - trials) + sum(row["state"] == "running" or row["owner"] is not None for row in runs)
            + len(trained) - len({(row["variant"], row["seed"]) for row in trained})
            + sum(epochs[key] != EPOCHS for key in complete) + sum(mixtures[key] != MIXTURES for key in complete))


def draw(rows, figure):
    from study.report.figures import style  # not above: each worker imports this file, and has no use for plotting
    with style.figure_style():
        page = style.new_figure(2.2, layout="constrained")
        axes = page.subplots(1, 3)
        numbers = [row[0] for row in rows]
        for place, column, title in zip(axes, (2, 3, 4), ("CPU (s)", "memory (MB)", "database (MB)"), strict=True):
            found = [row[column] for row in rows]
            place.plot(numbers, found, color=style.BLUE, linewidth=1.1)
            style.scatter(place, list(zip(numbers, found, strict=True)), (style.BLUE, "o", 14))
            place.set(xlabel="trials", ylabel=title, xlim=0, ylim=0)
            place.grid(axis="y")
        figure.write_bytes(style.files(page)[1])


# ── a server that is restarted ───────────────────────────────────────────────────────────────────────────


def restart(cluster_name, times, every_s, done):
    """Stop the server at once, as a power cut does, and start it again: that one alone, whatever other clusters Debian runs."""
    for _ in range(times):
        if done.wait(every_s):
            return
        for action in (["stop", "-m", "immediate"], ["start"]):
            subprocess.run(["pg_ctlcluster", *cluster_name.split("/"), *action], check=True, stdout=subprocess.DEVNULL)
            done.wait(4)


def restarted_server(trials, workers=16, times=3):
    storage, done = new_database("engines"), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with sa.create_engine(storage).connect() as connection:
            cluster_name = connection.execute(sa.text("SHOW cluster_name")).scalar()
        finger = threading.Thread(target=partial(restart, cluster_name, times, 2 * MEDIAN_S, done))
        finger.start()
        took_s = train(Workers, storage, trials, workers, LARGE, Tiny, fake)
        done.set()
        finger.join()
    wrong = count_wrong(storage, trials)
    print(f"{workers} workers on PostgreSQL, {trials} trainings in {took_s:.0f} s, its server killed up to {times} times: "
          f"{wrong} lost or wrong")
    return min(1, wrong)


def main(what="nodes", *given):
    if what == "nodes":
        return swapped_nodes(int(given[0]) if given else 64, *((SHORT, voices) if given[1:] == ("quick",) else (SMALL, Tiny)))
    if what == "large":
        kind, trials, slots, figure = (*given, *("ray", 10_000, 200, None)[len(given):])
        return large(kind, int(trials), int(slots), figure and Path(figure).resolve())
    if what == "server":
        return restarted_server(int(given[0]) if given else 64)
    raise SystemExit(__doc__)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
