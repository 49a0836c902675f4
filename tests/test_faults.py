"""The short form of benchmarks/faults.py: processes of real studies killed at random moments."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import faults
import pytest

POSTGRESQL = os.environ.get("TASNET_TEST_POSTGRESQL")


def check(case):
    done, trials = faults.fire(case)
    wrong, _ = faults.verdict(case, trials)
    assert not {name: count for name, count in wrong.items() if count}
    assert sum(done.values()) == case.kills


def test_three_workers_killed_at_random_lose_nothing_and_train_nothing_twice(tmp_path):
    check(faults.Case(tmp_path / "s", workers=3, kills=6, mean_s=0.7, seed=int(time.time())))


@pytest.mark.skipif(not POSTGRESQL, reason="TASNET_TEST_POSTGRESQL names no database to make others beside")
def test_workers_on_postgresql_killed_at_random_lose_nothing(tmp_path, database_url):
    check(faults.Case(tmp_path / "s", workers=4, kills=5, url=database_url, mean_s=0.7, seed=int(time.time())))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs signals")
def test_a_parent_that_is_killed_takes_its_workers_along(tmp_path):
    case = faults.Case(tmp_path / "s", workers=2, kills=0)
    process = case.start(50)
    while len(faults.children(process.pid)) < 2:
        time.sleep(0.05)
    workers = faults.children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{worker}/stat").exists() for worker in workers):
        assert time.monotonic() < until, "a worker goes on alone"
        time.sleep(0.05)


def test_grid_gives_identical_scores_with_one_worker_and_with_three(tmp_path):
    tables = []
    for workers in (1, 3):
        case = faults.Case(tmp_path / str(workers), workers=workers, kills=0, kind="real",
                           options=("--sampler", "grid", "--stop-margin", "off"))
        assert case.start(9).wait(120) == 0, (case.folder / "said").read_text()
        tables.append(case.results())
    assert len(tables[0]) == 9
    assert tables[0] == tables[1]


def test_help_and_a_refusal_start_no_worker(tmp_path):
    told = subprocess.run([sys.executable, faults.__file__, "run", "--trials", "1", "--space", "nowhere"], cwd=tmp_path,
                          check=False, capture_output=True, text=True)
    assert told.returncode == 2
    assert "nowhere" in told.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    case = faults.Case(tmp_path_factory.mktemp("untouched"), workers=1, kills=0, kind="real")
    assert case.start(3).wait(120) == 0, (case.folder / "said").read_text()
    return case.results()


@pytest.mark.parametrize("place", ["checkpoint", "result", "tell"])
def test_death_in_a_write_changes_nothing(tmp_path, untouched, place):
    case = faults.Case(tmp_path / "s", workers=1, kills=0, kind="real", die=place)
    assert case.start(3).wait(120) == 0, (case.folder / "said").read_text()
    assert "worker 1 died (status 9)" in (case.folder / "said").read_text()
    assert not {name: count for name, count in faults.verdict(case, 3)[0].items() if count}
    assert case.results() == untouched


def until_said(case, process, words):
    until = time.monotonic() + 60
    while words not in (case.folder / "said").read_text():
        assert process.poll() is None, (case.folder / "said").read_text()
        assert time.monotonic() < until, (case.folder / "said").read_text()
        time.sleep(0.05)


def test_a_database_locked_for_longer_than_sqlite_waits_is_waited_for(tmp_path, untouched):
    case = faults.Case(tmp_path / "s", workers=1, kills=0, kind="real")
    process = case.start(3)
    until_said(case, process, "trial 0: epoch 1/")
    other = sqlite3.connect(case.storage, isolation_level=None, timeout=30)
    other.execute("begin immediate")
    until_said(case, process, "waiting: the database is locked")
    time.sleep(float(os.environ.get("FAULTS_LOCKED_S", "1")))
    other.rollback()
    other.close()
    assert process.wait(120) == 0
    assert case.results() == untouched


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"),
                    reason="only root can mount a small disk")
def test_a_full_disk_is_waited_for(tmp_path, untouched):
    (tmp_path / "s").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path / "s"]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        case = faults.Case(tmp_path / "s", workers=1, kills=0, kind="real")
        process = case.start(3)
        until_said(case, process, "trial 0: epoch 2/")
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
        assert process.wait(120) == 0, (case.folder / "said").read_text()
        assert not {name: count for name, count in faults.verdict(case, 3)[0].items() if count}
        assert case.results() == untouched
    finally:
        subprocess.run(["umount", "-l", tmp_path / "s"], check=True)
