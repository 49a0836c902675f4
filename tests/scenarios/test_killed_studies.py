"""The short form of benchmarks/faults.py: processes of real studies killed at random moments."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import killed_studies
from tests.support.made_up_search import table, told
from tests.support.processes import Started

pytestmark = pytest.mark.long
POSTGRESQL = os.environ.get("TASNET_TEST_POSTGRESQL")
SEED = int(os.environ.get("TASNET_TEST_SEED", "0"))      # of the moments of death


def check(case):
    done, trials = killed_studies.fire(case)
    wrong, _ = killed_studies.verdict(case, trials)
    assert not {name: count for name, count in wrong.items() if count}
    assert sum(done.values()) == case.kills


def test_three_workers_killed_at_random_lose_nothing_and_train_nothing_twice(tmp_path):
    check(killed_studies.Case(tmp_path / "s", workers=3, kills=6, mean_s=0.7, seed=SEED))


@pytest.mark.skipif(not POSTGRESQL, reason="TASNET_TEST_POSTGRESQL names no database to make others beside")
def test_workers_on_postgresql_killed_at_random_lose_nothing(tmp_path, database_url):
    check(killed_studies.Case(tmp_path / "s", workers=4, kills=5, url=database_url, mean_s=0.7, seed=SEED))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs signals")
def test_a_parent_that_is_killed_takes_its_workers_along(tmp_path):
    case = killed_studies.Case(tmp_path / "s", workers=2, kills=0)
    process = case.start(50)
    while len(killed_studies.children(process.pid)) < 2:
        time.sleep(0.05)
    workers = killed_studies.children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{worker}/stat").exists() for worker in workers):
        assert time.monotonic() < until, "a worker goes on alone"
        time.sleep(0.05)


def test_help_and_a_refusal_start_no_worker(tmp_path):
    (tmp_path / "here").mkdir()
    process = Started(killed_studies.main, ("run", "--trials", 1, "--space", "nowhere"), tmp_path / "here", tmp_path / "said")
    assert process.wait(300) == 2
    assert "nowhere" in process.said.read_text()
    assert not list((tmp_path / "here").iterdir())


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    case = killed_studies.Case(tmp_path_factory.mktemp("untouched"), workers=1, kills=0, kind="real")
    assert case.start(3).wait(300) == 0, (case.folder / "said").read_text()
    return case


def test_death_in_each_of_the_writes_changes_nothing(tmp_path, untouched):
    case = killed_studies.Case(tmp_path / "s", workers=1, kills=0, kind="real", die="checkpoint result tell")
    assert case.start(3).wait(300) == 0, (case.folder / "said").read_text()
    assert (case.folder / "said").read_text().count("worker 1 died (status 9)") == 3
    assert not {name: count for name, count in killed_studies.verdict(case, 3)[0].items() if count}
    assert case.results() == untouched.results()


def test_a_real_study_killed_three_times_equals_one_that_never_was(tmp_path, untouched):
    case, chance, kills = killed_studies.Case(tmp_path / "s", workers=1, kills=0, kind="real"), random.Random(0), 0
    while kills < 3:
        process = case.start(3)
        while not process.said.stat().st_size and process.poll() is None:
            time.sleep(0.05)        # until a trial has begun
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        if process.wait(300) == 0:
            break
        kills += 1
    assert case.start(3).wait(300) == 0, (case.folder / "said").read_text()
    assert kills >= 2
    assert table(case.folder) == table(untouched.folder)
    assert told(case.folder) == told(untouched.folder)
    assert not list(case.folder.rglob("*.tmp"))


def test_a_database_locked_for_longer_than_sqlite_waits_is_waited_for(tmp_path, untouched):
    case = killed_studies.Case(tmp_path / "s", workers=1, kills=0, kind="real")
    process = case.start(3)
    process.until_it_says("trial 0: epoch 1/")
    other = sqlite3.connect(case.storage, isolation_level=None, timeout=30)
    other.execute("begin immediate")
    process.until_it_says("waiting: the database is locked")
    time.sleep(float(os.environ.get("FAULTS_LOCKED_S", "1")))
    other.rollback()
    other.close()
    assert process.wait(300) == 0
    assert case.results() == untouched.results()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"),
                    reason="only root can mount a small disk")
def test_a_full_disk_is_waited_for(tmp_path, untouched):
    (tmp_path / "s").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path / "s"]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        case = killed_studies.Case(tmp_path / "s", workers=1, kills=0, kind="real")
        process = case.start(3)
        process.until_it_says("trial 0: epoch 2/")
        ballast = tmp_path / "s" / "ballast"
        with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1024))
        until = time.monotonic() + 60
        while "disk" not in (case.folder / "said").read_text():     # it can say so: the file has a little room left
            if process.poll() is not None or time.monotonic() > until:
                break
            time.sleep(0.1)
        assert process.poll() is None
        ballast.unlink()
        assert process.wait(300) == 0, (case.folder / "said").read_text()
        assert not {name: count for name, count in killed_studies.verdict(case, 3)[0].items() if count}
        assert case.results() == untouched.results()
    finally:
        subprocess.run(["umount", "-l", tmp_path / "s"], check=True)
