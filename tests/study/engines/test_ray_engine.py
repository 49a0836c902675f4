"""What holds of every engine: the same study by each, workers that die, time that is up, what cannot be used.

`driver` is the engine `ray` with actors that are threads (`fake_ray.py`). That of Ray itself has a cluster of three simulated
nodes of this machine, a head that trains nothing and two with a core each; it takes seconds to start, so it has few tests.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from study.__main__ import main
from study.database.store import open_database
from study.engines import ray_engine
from study.engines.base import Job, Outcome
from study.engines.local import Workers
from study.engines.ray_engine import Ray
from study.engines.ray_worker import Changes, write_files
from study.records import Settings, StopRule
from study.search.events import EpochEnded, Message, TrialEnded
from study.search.runner import Runner
from study.space.plan import StudyPlan
from study.space.toml import as_dict
from tasnet_core.checkpoints.checkpoint import Origin
from tasnet_core.errors import UserError
from tasnet_core.records import Recipe
from tasnet_core.training.slimmable import Lineage
from tasnet_core.training.trainer import train
from tests.support import ROOT, tiny_study
from tests.support.fake_ray import FakeRay, OutOfMemoryError
from tests.support.made_up_search import table, untimed
from tests.support.tiny import Tiny

pytestmark = pytest.mark.long

RECIPE = Recipe(epochs=4, epoch_segments=6, segment_s=0.05, batch_size=2, learning_rate=1e-2, schedule="decay")
SETTINGS = Settings(corpus="tiny", space="tiny", definition=as_dict(tiny_study.SPACE), recipe=RECIPE, sampler="grid",
                    metrics=("si_snr",))
STOPPING = replace(SETTINGS, stop=StopRule(margin_db=0.0, warm_up=0.0, patience=0.25))
INHERITING = replace(SETTINGS, recipe=replace(RECIPE, init="inherit"))
TRIALS = 5


@pytest.fixture(params=["local", "driver"])
def kind(request, monkeypatch):
    if request.param == "local":
        return Workers
    monkeypatch.setattr(ray_engine, "connected", lambda: (FakeRay(2), False))
    return Ray


class Slow(Tiny):
    """A corpus that takes its time, for who wants to come between."""

    def segment(self, *arguments):
        time.sleep(0.05)
        return super().segment(*arguments)


def gone():
    raise UserError("speech: gone")


class Heard:
    """What was said, the trials that have ended, and what a test wants to do at each epoch until it is True."""

    def __init__(self):
        self.lines, self.ended, self.at_epoch = [], [], None

    def __call__(self, event):
        match event:
            case Message(text):
                self.lines.append(text)
            case EpochEnded() if self.at_epoch and self.at_epoch():
                self.at_epoch = None
            case TrialEnded():
                self.ended.append(event.trial)


@contextmanager
def engine(kind, folder, open_corpus=Tiny, settings=SETTINGS, count=2, trials=TRIALS):
    storage = str(folder / "study.db")
    with open_database(storage, read_only=False) as database:
        database.register("s", settings)
        plan = replace(StudyPlan.of("s", settings, workers=count), open_corpus=open_corpus)
        yield kind(Job(storage, plan, trials, evaluate=untimed), database, Heard())


def alone(folder, settings, trials=TRIALS):
    """What one process without any engine measures."""
    with open_database(str(folder / "study.db"), read_only=False) as database:
        database.register("s", settings)
        Runner(StudyPlan.of("s", settings), database, Tiny(), evaluate=untimed).run(trials)
    return table(folder)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return alone(tmp_path_factory.mktemp("untouched"), SETTINGS)


def test_all_engines_measure_the_same_bit_for_bit(kind, tmp_path, untouched):
    with engine(kind, tmp_path) as one:
        assert one.run() == Outcome(True)
        assert sorted(one.on_event.ended) == [row["trial"] for row in untouched[0]]
    assert table(tmp_path) == untouched


def test_a_hopeless_training_is_stopped_at_the_same_epoch(kind, tmp_path):
    (tmp_path / "alone").mkdir()
    expected = alone(tmp_path / "alone", STOPPING, 8)
    assert {row["state"] for row in expected[0]} == {"complete", "stopped"}
    with engine(kind, tmp_path, settings=STOPPING, count=1, trials=8) as one:     # who can stop whom follows from their order
        assert one.run() == Outcome(True)
    assert table(tmp_path) == expected


@pytest.fixture(scope="module")
def inherited(tmp_path_factory):
    return alone(tmp_path_factory.mktemp("inherited"), INHERITING)


def test_who_inherits_has_the_teacher_wherever_he_trains(kind, tmp_path, inherited):
    assert [row["init"] for row in inherited[0]] == ["teacher", *["inherit"] * (TRIALS - 1)]
    with engine(kind, tmp_path, settings=INHERITING) as one:
        assert one.run() == Outcome(True)
    assert table(tmp_path) == inherited


def lose(one):
    """Let one worker die at once, with all it has not saved."""
    if isinstance(one, Workers):
        next(iter(one.processes)).kill()
        return True
    busy = [worker for worker in one.workers.values() if worker.run]        # beside the one that is heard now
    if busy:
        one.ray.kill(busy[0].actor)
    return bool(busy)


def test_a_worker_that_is_lost_is_replaced_and_changes_nothing(kind, tmp_path, untouched):
    with engine(kind, tmp_path, open_corpus=Slow) as one:
        one.on_event.at_epoch = lambda: lose(one)
        assert one.run() == Outcome(True)
        assert len([line for line in one.on_event.lines if "another" in line]) == 1
        assert sorted(one.on_event.ended) == [row["trial"] for row in untouched[0]]
    assert table(tmp_path) == untouched


def test_who_is_asked_to_pause_saves_within_the_epoch_and_goes_on_from_there(kind, tmp_path, untouched):
    with engine(kind, tmp_path, open_corpus=Slow) as one:
        one.on_event.at_epoch = lambda: one.ask("time") or True
        assert one.run() == Outcome(False, "time")
        assert len(one.on_event.ended) < TRIALS
        assert not any(run["owner"] for run in one.database.runs("s"))
        assert list(one.database.checkpoints("s").glob("*.within-epoch.pt"))
    with engine(kind, tmp_path) as one:
        assert one.run() == Outcome(True)
        assert {run["deaths"] for run in one.database.runs("s")} == {0}
        assert not list(one.database.checkpoints("s").glob("*.within-epoch.pt"))
    assert table(tmp_path) == untouched


def test_input_that_workers_cannot_use_is_an_error_of_one_line(kind, tmp_path):
    with engine(kind, tmp_path, open_corpus=gone) as one, pytest.raises(UserError, match=r"^speech: gone$"):
        one.run()


# ── the driver of Ray ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def driver(monkeypatch):
    """The cluster that the next engine will find."""
    found = FakeRay(2)
    monkeypatch.setattr(ray_engine, "connected", lambda: (found, False))
    return found


def test_an_actor_has_its_share_of_a_node_large_pages_and_no_password(driver, tmp_path, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    with engine(Ray, tmp_path, trials=1) as one:
        one.job = replace(one.job, storage="postgresql://ann:secret@db/studies")
        assert one.run() == Outcome(True)
    assert driver.asked == [{"num_cpus": 1, "num_gpus": 0.0, "max_concurrency": 2,
                             "runtime_env": {"env_vars": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}}}]


def test_nodes_that_are_added_are_used(driver, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "LOOK_S", 0.0)
    driver.cpus, most = 1, []

    def grow():
        driver.cpus = 3
        most.append(len(one.workers) + 1)       # and the one that is heard
        return False
    with engine(Ray, tmp_path, open_corpus=Slow, count=None) as one:
        one.on_event.at_epoch = grow
        assert one.run() == Outcome(True)
    assert most[0] == 1
    assert max(most) == 3


def test_a_run_that_another_driver_has_taken_over_is_left_to_it(driver, tmp_path):
    with engine(Ray, tmp_path, open_corpus=Slow) as one:
        def take_over():
            with one.database.engine.begin() as connection:
                connection.exec_driver_sql("update runs set owner = 'elsewhere:1:1:1', lease_until_s = ? where trial = 0",
                                           (time.time() + 100,))
            return True
        one.on_event.at_epoch = take_over
        assert one.run() == Outcome(True)
        assert "trial 0: another worker has taken it over" in one.on_event.lines
        assert [run["state"] for run in one.database.runs("s")] == ["running", *["complete"] * (TRIALS - 1)]


def test_a_damaged_checkpoint_is_set_aside_and_its_training_done_again(driver, tmp_path, untouched):
    with engine(Ray, tmp_path) as one:
        (one.database.settle("s") / "trial-0000.pt").write_bytes(b"damaged")
        assert one.run() == Outcome(True)
        assert (one.database.checkpoints("s") / "trial-0000.pt.damaged-1").read_bytes() == b"damaged"
    assert table(tmp_path) == untouched


def test_a_checkpoint_of_another_study_is_set_aside_and_not_gone_on_with(kind, tmp_path, untouched):
    with engine(kind, tmp_path) as one:
        path = one.database.settle("s") / "trial-0000.pt"
        list(train(tiny_study.SPACE.reference, replace(RECIPE, seed=1), Tiny(), path,
                   lineage=Lineage(origin=Origin(study="another"))))
        foreign = path.read_bytes()
        assert one.run() == Outcome(True)
        assert path.with_name("trial-0000.pt.foreign-1").read_bytes() == foreign
        assert sum("its checkpoint was of another study and is " in line for line in one.on_event.lines) == 1
    assert table(tmp_path) == untouched


@pytest.mark.parametrize(("error", "kind"), [(None, ""), (OutOfMemoryError("low on memory"), "out-of-memory")])
def test_a_death_is_counted_and_one_for_lack_of_memory_known(driver, tmp_path, error, kind):
    seen = []
    with engine(Ray, tmp_path, open_corpus=Slow, trials=2) as one:
        def kill():
            busy = [worker for worker in one.workers.values() if worker.run]
            if busy:
                driver.kill(busy[0].actor, error)
                seen.append(busy[0].run["id"])
            return bool(busy)
        one.on_event.at_epoch = kill
        noted = one.database.note_death
        one.database.note_death = lambda run, kind: seen.append(kind) or noted(run, kind)
        assert one.run() == Outcome(True)
    assert seen[1] == kind


def test_changes_of_a_folder_are_those_since_it_was_asked_and_make_another_the_same(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "sounds").mkdir(parents=True)
    (here / "a.pt").write_bytes(b"1")
    changed = Changes(here)
    assert changed() == {}
    (here / "a.pt").write_bytes(b"22")
    (here / "a.within-epoch.pt").write_bytes(b"3")
    (here / "sounds/a-1.flac").write_bytes(b"4")
    first = changed()
    assert first == {"a.pt": b"22", "a.within-epoch.pt": b"3", "sounds/a-1.flac": b"4"}
    (here / "a.within-epoch.pt").unlink()
    second = changed()
    assert second == {"a.within-epoch.pt": None}
    for files in (first, second):
        write_files(there, files)
    assert {path.relative_to(there): path.read_bytes() for path in there.rglob("*") if path.is_file()} == {
        path.relative_to(here): path.read_bytes() for path in here.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("options", "words"), [
    (("--gpus-per-trial", "0.5"), "only --engine ray shares GPUs out"), (("--engine", "dask"), "'dask'"),
    (("--engine", "ray", "--device", "mps"), "only --engine local"), (("--device", "mps"), "finds no GPU of Apple's")])
def test_options_of_engines_that_cannot_be_followed_are_refused(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(["run", "--trials", "1", *tiny_study.ARGUMENTS, *options])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


OWN_CLUSTER = """
import os, re
from pathlib import Path
from study.engines.ray_engine import connected
ray, ours = connected()
assert ours and [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
below = lambda pid: [pid, *(each for task in Path(f"/proc/{pid}/task").iterdir()
                            for child in (task / "children").read_text().split() for each in below(int(child)))]
sockets = set()
for pid in below(os.getpid()):
    for file in os.listdir(f"/proc/{pid}/fd"):
        try:
            sockets |= set(re.findall(r"socket:.(.*).", os.readlink(f"/proc/{pid}/fd/{file}")))
        except OSError:
            pass
rows = [line.split() for family in ("tcp", "tcp6") for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]]
print(*{row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets})
from ray._raylet import AuthenticationMode, get_authentication_mode
print(get_authentication_mode() == AuthenticationMode.TOKEN, len(os.environ["RAY_AUTH_TOKEN"]))
ray.shutdown()
"""


@pytest.mark.cluster
def test_a_cluster_of_our_own_listens_on_loopback_and_asks_for_a_token_of_this_process_alone(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    said = subprocess.run([sys.executable, "-c", OWN_CLUSTER], capture_output=True, text=True, check=True, cwd=tmp_path,
                          env={**os.environ, "RAY_AUTH_MODE": "disabled", "HOME": str(tmp_path),
                               "PYTHONPATH": str(ROOT)}).stdout
    listening, asks = said.splitlines()[-2:]
    assert set(listening.split()) <= {"0100007F", "0000000000000000FFFF00000100007F"}       # 127.0.0.1, as the kernel writes it
    assert asks == "True 64"
    assert not (tmp_path / ".ray").exists()


# ── Ray itself ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def nodes():
    """A cluster of Ray, which this process is connected to."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        made.ours = [made.add_node(num_cpus=1) for _ in range(2)]
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made
        ray.shutdown()
        made.shutdown()


def test_a_node_that_is_killed_and_one_that_is_added_change_nothing(nodes, tmp_path, untouched):
    with engine(Ray, tmp_path, open_corpus=Slow) as one:
        def swap():
            if not any(worker.run for worker in one.workers.values()):
                return False
            nodes.remove_node(nodes.ours.pop(), allow_graceful=False)
            nodes.ours.append(nodes.add_node(num_cpus=1))
            return True
        one.on_event.at_epoch = swap
        assert one.run() == Outcome(True)
        assert any("its worker is lost" in line for line in one.on_event.lines)
    assert table(tmp_path) == untouched


def test_a_pause_is_heard_within_an_epoch_on_ray(nodes, tmp_path, untouched):
    with engine(Ray, tmp_path, open_corpus=Slow) as one:
        one.on_event.at_epoch = lambda: one.ask("time") or True
        assert one.run() == Outcome(False, "time")
        assert list(one.database.checkpoints("s").glob("*.within-epoch.pt"))
    with engine(Ray, tmp_path) as one:
        assert one.run() == Outcome(True)
    assert table(tmp_path) == untouched


def test_who_inherits_on_ray_has_the_teacher_in_a_folder_of_his_own(nodes, tmp_path, inherited):
    with engine(Ray, tmp_path, settings=INHERITING) as one:
        assert one.run() == Outcome(True)
    assert table(tmp_path) == inherited


@pytest.mark.parametrize("fault", ["deleted", "replaced", "folder moved"])
def test_a_run_whose_database_is_not_there_any_more_says_so_and_makes_no_other(kind, tmp_path, fault):
    here = tmp_path / "results"
    here.mkdir()
    with engine(kind, here, open_corpus=Slow, count=1) as one:
        def act():
            if fault == "folder moved":
                here.rename(tmp_path / "moved")
                return True
            (here / "study.db").rename(here / "old.db")
            if fault == "replaced":
                shutil.copy(here / "old.db", here / "study.db")
            return True
        one.on_event.at_epoch = act
        with pytest.raises(UserError, match=r"(study\.db|checkpoints/s): was deleted, moved or replaced while the study ran"):
            one.run()
    assert (here / "study.db").exists() == (fault == "replaced")
    assert here.exists() == (fault != "folder moved")
