"""Databases that cannot be written, or are being written, and readings that are of one moment."""

import ctypes
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from study.database.store import open_database
from study.records import Settings
from tests.support import ROOT
from tests.support.damaged_database import fill_ours

DROP, OVERRIDE, SEARCH = 24, 1, 2       # linux/prctl.h, linux/capability.h


def without_roots_privilege():
    """Let a process of root's mind the permissions of files, as any other does."""
    if os.geteuid() == 0:
        for capability in (OVERRIDE, SEARCH):
            if ctypes.CDLL(None).prctl(DROP, capability, 0, 0, 0):
                os._exit(77)


def strangers(*arguments):
    """What a process that minds permissions says, and its exit status."""
    ended = subprocess.run([sys.executable, *arguments], preexec_fn=without_roots_privilege, capture_output=True, text=True,
                           env={**os.environ, "PYTHONPATH": str(ROOT)})
    if ended.returncode == 77:
        pytest.skip("root's privilege cannot be given up here")
    return ended


@pytest.fixture
def shut(tmp_path):
    """Makes a folder and all in it read-only; opened again afterwards."""
    def shut(folder, file=0o444, of_folder=0o555):
        for path in folder.iterdir():
            path.chmod(file)
        folder.chmod(of_folder)
        closed.append(folder)
        if strangers("-c", f"import os, sys; sys.exit(os.access({str(folder)!r}, os.W_OK))").returncode and of_folder == 0o555:
            pytest.skip("permissions are not minded here")
    closed = []
    yield shut
    for folder in closed:
        folder.chmod(0o755)


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "theirs"
    with open_database(str(folder / "study.db"), read_only=False) as database:
        fill_ours(database, 2)
    assert {path.name for path in folder.iterdir()} <= {"study.db", "study.db.lock"}
    return folder / "study.db"


def study(*arguments):
    return strangers("-m", "study", *arguments)


def test_a_read_only_file_in_a_read_only_folder_is_read(made, shut, tmp_path):
    shut(made.parent)
    status = study("status", "--storage", str(made))
    assert (status.returncode, status.stderr) == (0, "")
    assert "study s: 2 complete" in status.stdout
    report = study("report", "--storage", str(made), "--out", str(tmp_path / "out"))
    assert (report.returncode, report.stderr) == (0, "")
    assert {path.name for path in made.parent.iterdir()} <= {"study.db", "study.db.lock"}


def test_what_a_dead_process_left_in_the_log_is_read_or_asked_for_but_never_passed_over(made, shut):
    dying = ("import os, sqlite3\n"
             f"db = sqlite3.connect({str(made)!r})\ndb.execute('UPDATE runs SET state = ?', ('stopped',))\n"
             "db.commit()\nos._exit(0)")
    assert subprocess.run([sys.executable, "-c", dying]).returncode == 0
    assert Path(f"{made}-wal").stat().st_size
    shut(made.parent)
    assert "study s: 2 stopped" in study("status", "--storage", str(made)).stdout
    made.parent.chmod(0o755)
    Path(f"{made}-shm").unlink()
    made.parent.chmod(0o555)
    refused = study("status", "--storage", str(made))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "study.db-wal holds changes that are not in it yet" in refused.stderr
    assert "copy both files to a folder of your own" in refused.stderr


def test_what_cannot_be_written_is_one_line_for_those_who_would(made, shut):
    Path(f"{made}.lock").unlink()
    shut(made.parent, of_folder=0o755)      # the file alone
    for of_folder in (0o755, 0o555):
        made.parent.chmod(of_folder)
        ended = study("doctor", "--storage", str(made))
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert "cannot be opened" in ended.stderr
        assert "wanted a database that can be written" in ended.stderr


def test_a_file_that_cannot_be_read_is_one_line(made, shut):
    shut(made.parent, file=0o000)
    ended = study("status", "--storage", str(made))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "cannot be opened (unable to open database file)" in ended.stderr


def test_signs_in_a_files_name_are_no_part_of_a_uri(tmp_path):
    for name in ("a b.db", "50%20.db", "what?.db", "no#1.db"):
        with open_database(str(tmp_path / name), read_only=False) as database:
            database.register("s", Settings())
        with open_database(str(tmp_path / name)) as database:
            assert database.studies() == ["s"]
        assert (tmp_path / name).is_file()
        with open_database(database.optuna_url) as database:        # its URL names the same
            assert database.studies() == ["s"]


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request, tmp_path):
    url = str(tmp_path / "study.db") if request.param == "sqlite" else request.getfixturevalue("database_url")
    with open_database(url, read_only=False) as database:
        fill_ours(database, 2)
    return url


def test_within_a_snapshot_what_others_write_meanwhile_is_not_seen(storage):
    with open_database(storage) as reader, open_database(storage, read_only=False) as writer:
        with reader.snapshot():
            before = reader.results("s"), reader.epochs("s")
            with writer.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE runs SET reason = 'meanwhile'")
                connection.exec_driver_sql("DELETE FROM epochs")
            assert (reader.results("s"), reader.epochs("s")) == before
            with reader.snapshot():         # one within another is the same
                assert reader.results("s") == before[0]
            assert {row["reason"] for row in writer.results("s")} == {"meanwhile"}
            assert reader.results("s") == before[0]
        assert {row["reason"] for row in reader.results("s")} == {"meanwhile"}
        assert reader.epochs("s") == []


def test_a_snapshot_of_those_who_write_ends_before_they_do(storage):
    with open_database(storage, read_only=False) as database:
        with database.snapshot():
            assert len(database.runs("s")) == 2
        with pytest.raises(RuntimeError), database.snapshot():
            raise RuntimeError
        database.register("other", Settings())
        with database.snapshot():
            assert database.studies() == ["s", "other"]


def test_a_stream_gives_every_row_once_a_part_at_a_time(storage):
    query = "SELECT run, number FROM epochs ORDER BY run, number"
    with open_database(storage) as database, database.snapshot():
        parts = list(database.stream(query, 7))
        assert [len(part) for part in parts] == [7, 7, 6]
        assert [tuple(row) for part in parts for row in part] == [tuple(row.values()) for row in database.query(query)]
        assert list(database.stream("SELECT run FROM epochs WHERE run = :run", 7, run=99)) == []


def test_a_long_reading_keeps_no_writer_waiting(made):
    with open_database(str(made)) as reader, reader.snapshot():
        assert reader.results("s")
        with closing(sqlite3.connect(made, timeout=0)) as writer:
            writer.execute("UPDATE runs SET reason = 'at once'")
            writer.commit()


def test_who_waits_for_a_lock_asks_seldom_and_gets_it_when_it_is_free(storage):
    with open_database(storage, read_only=False) as first, open_database(storage, read_only=False) as second:
        asked = []
        second = second.retrying(asked.append)
        with ThreadPoolExecutor(1) as pool:
            with first.lock("s"):
                waiting = pool.submit(locked_at, second)
                time.sleep(2.5)
                given_back = time.monotonic()
            assert waiting.result(10) >= given_back
        assert 1 <= len(asked) <= 3
        assert set(asked) == {""}


def locked_at(database):
    with database.lock("s"):
        return time.monotonic()


def test_another_way_to_wait_is_for_another_database_object_and_the_same_database(tmp_path):
    with open_database(str(tmp_path / "study.db"), read_only=False) as database:
        asked = []
        patient = database.retrying(asked.append)
        assert (database.wait, patient.wait) == (None, asked.append)
        assert (patient.engine, patient.held) == (database.engine, database.held)
        failing = iter([1, 1])

        def work():
            if next(failing, None):
                raise sa.exc.OperationalError("", {}, Exception("database is locked"))
            return "done"
        assert patient.retry(work) == "done"
        assert asked == ["the database is locked"] * 2
        failing = iter([1])
        with pytest.raises(sa.exc.OperationalError):
            database.retry(work)
