"""Copies of a database that others write into meanwhile."""

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import optuna
import pytest
import sqlalchemy as sa

from study.database import backup, recover
from study.database.store import Database, open_database
from tasnet_core.cost.count import exact
from tasnet_core.errors import UserError
from tests.support.damaged_database import damage, fill, optunas, root, rows, schema, url
from tests.support.tiny import RECIPE, TINY

POSTGRESQL = os.environ.get("TASNET_TEST_POSTGRESQL")


def same(copy: str, original: Database) -> None:
    with open_database(copy) as made:
        for read in (Database.results, Database.front, Database.epochs, Database.mixtures, Database.runs, Database.notes):
            assert read(made, "s") == read(original, "s")
        assert made.settings("s") == original.settings("s")
        assert set(sa.inspect(made.engine).get_view_names()) == set(sa.inspect(original.engine).get_view_names())
        with optunas(f"sqlite:///{copy}") as here, optunas(original.optuna_url) as there:
            theirs, ours = (optuna.load_study(study_name="s", storage=storage) for storage in (here, there))
            assert theirs.trials == ours.trials
            assert theirs.directions == ours.directions
            theirs.ask()        # it can be continued


def test_a_backup_is_the_whole_database_in_one_file_that_goes_on(filled, tmp_path):
    backup.backup(url(filled), tmp_path / "new" / "copy.db")
    assert os.listdir(tmp_path / "new") == ["copy.db"]
    assert schema(tmp_path / "new" / "copy.db") == schema(filled)
    with open_database(str(filled)) as original:
        same(str(tmp_path / "new" / "copy.db"), original)


WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
number = 0
while True:
    number += 1
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO a VALUES (?, randomblob(300))", (number,))
    db.execute("INSERT INTO b VALUES (?, randomblob(3000))", (number,))
    db.execute("COMMIT")
    if number == 1:
        print("began", flush=True)
"""


def test_every_copy_holds_whole_transactions_while_another_process_writes(tmp_path):
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        for table in "ab":
            db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, filler BLOB)")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "a.db")], stdout=subprocess.PIPE)
    try:
        writer.stdout.readline()
        seen = []
        for number in range(12):
            backup.backup(url(tmp_path / "a.db"), tmp_path / f"{number}.db")
            a, b = ([row[0] for row in rows(tmp_path / f"{number}.db", table)] for table in "ab")
            assert a == b
            assert a == list(range(1, len(a) + 1))
            seen.append(len(a))
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]       # it was written meanwhile


def test_a_backup_replaces_no_file_and_a_failed_one_leaves_none(filled, tmp_path):
    (tmp_path / "mine.db").write_text("mine")
    with pytest.raises(UserError, match=r"mine.db: there is a file of this name already"):
        backup.backup(url(filled), tmp_path / "mine.db")
    assert (tmp_path / "mine.db").read_text() == "mine"
    with pytest.raises(UserError, match="no such study database"):
        backup.backup(url(tmp_path / "none.db"), tmp_path / "copy.db")
    damage(filled, [root(filled, "epochs")])
    with pytest.raises(UserError, match="is damaged"):
        backup.backup(url(filled), tmp_path / "copy.db")
    with pytest.raises(UserError, match="no copy at"):
        backup.backup(sa.make_url("nonsense://x"), tmp_path / "copy.db")
    assert sorted(os.listdir(tmp_path)) == ["mine.db", "study.db"]


def test_a_file_that_appeared_meanwhile_is_not_replaced_either(filled, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "flush", lambda copy: (tmp_path / "copy.db").write_text("mine"))
    for linked in (True, False):
        (tmp_path / "copy.db").unlink(missing_ok=True)
        if not linked:
            monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no links here")))
        with pytest.raises(UserError, match="there is a file of this name already"):
            backup.backup(url(filled), tmp_path / "copy.db")
        assert (tmp_path / "copy.db").read_text() == "mine"
    monkeypatch.setattr(backup, "flush", lambda copy: None)
    backup.backup(url(filled), tmp_path / "other.db")      # without links
    assert recover.integrity(url(tmp_path / "other.db")) == []


@pytest.fixture
def server():
    """A database of its own on the server, dropped again."""
    if not POSTGRESQL:
        pytest.skip("TASNET_TEST_POSTGRESQL holds no URL")
    name, admin = f"salvage_{os.getpid()}", sa.create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(POSTGRESQL).set(database=name)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


def test_a_backup_of_a_server_is_a_file_that_goes_on(server, tmp_path):
    with open_database(server.render_as_string(hide_password=False), read_only=False) as original:
        fill(original, runs=4)
        assert recover.integrity(server) == []
        backup.backup(server, tmp_path / "copy.db")
        same(str(tmp_path / "copy.db"), original)
    assert os.listdir(tmp_path) == ["copy.db"]
    with open_database(str(tmp_path / "copy.db"), read_only=False) as copy:
        copy.begin_run("s", 99, TINY, RECIPE, exact(TINY), "", {})
        assert [run["id"] for run in copy.runs("s")] == [1, 2, 3, 4, 5]


def test_every_copy_of_a_server_holds_whole_transactions(server, tmp_path):
    engine, over = sa.create_engine(server), threading.Event()
    with engine.begin() as connection:
        for table in "ab":
            connection.exec_driver_sql(f"CREATE TABLE {table} (id SERIAL PRIMARY KEY, number BIGINT NOT NULL)")

    def write() -> None:
        for number in range(1_000_000):
            with engine.begin() as connection:
                for table in "ab":
                    connection.exec_driver_sql(f"INSERT INTO {table} (number) VALUES ({number})")
            if over.is_set():
                return
    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for number in range(5):
            backup.backup(server, tmp_path / f"{number}.db")
            a, b = (rows(tmp_path / f"{number}.db", table) for table in "ab")
            assert a == b
            counts.append(len(a))
    finally:
        over.set()
        writer.join()
        engine.dispose()
    assert counts[-1] > counts[0]
