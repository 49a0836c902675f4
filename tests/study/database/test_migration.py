"""Databases of other versions: made by hand from one of this version, by taking from it what an older one had not."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
import sqlalchemy as sa

from study.__main__ import main as study
from study.analysis.replicates import OUTLOOK
from study.database import backup, recover, schema
from study.database.migration import Outdated
from study.database.store import open_database
from tasnet_core.errors import UserError
from tests.support.commands import refused
from tests.support.damaged_database import fill_ours

LACKING = {"runs": ("sdr_db", "pesq_unscored"), "mixtures": ("sdr_db", "stoi"), "variants": ("last_residual",)}


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request, tmp_path, monkeypatch):
    """Where a database with a study of four runs lies, as an older version left it: without some columns."""
    monkeypatch.chdir(tmp_path)
    storage = str(tmp_path / "study.db") if request.param == "sqlite" else request.getfixturevalue("database_url")
    with open_database(storage, read_only=False) as database:
        fill_ours(database, runs=4)
    change(storage, "DROP VIEW device_results", "DROP VIEW front", "DROP VIEW results",      # which was another one
           *(f"ALTER TABLE {table} DROP COLUMN {name}" for table, names in LACKING.items() for name in names))
    return storage


def change(storage, *statements):
    engine = sa.create_engine(storage if "://" in storage else f"sqlite:///{storage}")
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def columns(storage, table):
    engine = sa.create_engine(storage if "://" in storage else f"sqlite:///{storage}")
    found = {column["name"] for column in sa.inspect(engine).get_columns(table)}
    engine.dispose()
    return found


def copies(path):
    return sorted(one.name for one in path.rglob("*.before-*"))


def test_an_older_database_gets_what_it_lacks_keeps_its_rows_and_is_kept_as_it_was(old, tmp_path):
    said = []
    with open_database(old, read_only=False, say=said.append) as database:
        assert [row["si_snri_db"] for row in database.results("s")] == [5.0, 6.0, 7.0, 8.0]
        assert len(database.mixtures("s")) == 80
        assert {row["sdr_db"] for row in database.mixtures("s")} == {None}
        assert {row["last_residual"] for row in database.query("SELECT last_residual FROM variants")} == {0}
    kept, = tmp_path.rglob("*.before-1")
    assert kept.parent == (tmp_path if "://" not in old else tmp_path / "results")
    line, = said
    assert line.startswith(f"{database.shown}: brought up to this version, which adds column last_residual of variants "
                           "and 4 things more")
    assert line.endswith(str(kept) if "://" not in old else f"results/{kept.name}")
    for table, names in LACKING.items():
        assert not columns(str(kept), table) & set(names)
        assert columns(old, table) >= set(names)
    assert recover.integrity(sa.make_url(f"sqlite:///{kept}")) == []
    with open_database(str(kept), read_only=False, say=said.append) as copy, open_database(old) as database:
        assert copy.results("s") == database.results("s")       # and it can be gone on with


def test_runs_of_an_older_database_get_the_slopes_that_follow_from_their_epochs(old, tmp_path):
    open_database(old, read_only=False, say=lambda line: None).close()
    with open_database(old) as database:
        expected, curves, scores = database.results("s"), database.epochs("s"), database.mixtures("s")
    assert {round(row["si_snri_extrapolated_db"] - row["si_snri_db"], 6) for row in expected} != {0.0}
    change(old, "DROP VIEW device_results", "DROP VIEW failures", "DROP VIEW front", "DROP VIEW results",
           *(f"ALTER TABLE runs DROP COLUMN {name}" for name in OUTLOOK))
    with pytest.raises(Outdated, match="lacks column slope_db_per_doubling of runs and 7 things more"):
        open_database(old)
    said = []
    with open_database(old, read_only=False, say=said.append) as database:
        assert database.results("s") == expected
        assert (database.epochs("s"), database.mixtures("s")) == (curves, scores)
    assert "adds column slope_db_per_doubling of runs and 3 things more; as it was it is kept in" in said[0]
    assert columns(str(*tmp_path.rglob("*.before-2")), "runs").isdisjoint(OUTLOOK)


def test_a_database_that_lacks_nothing_is_not_copied(old, tmp_path):
    for _ in range(3):
        with open_database(old, read_only=False, say=lambda line: None):
            pass
    assert copies(tmp_path) == [f"{sa.make_url(old).database}.db.before-1" if "://" in old else "study.db.before-1"]
    open_database(str(tmp_path / "new.db"), read_only=False, say=pytest.fail).close()
    assert len(copies(tmp_path)) == 1


def test_each_copy_has_a_name_of_its_own(old, tmp_path):
    for number in (1, 2):
        open_database(old, read_only=False, say=lambda line: None).close()
        assert len(copies(tmp_path)) == number
        change(old, "ALTER TABLE mixtures DROP COLUMN stoi")


def test_what_lacks_something_is_refused_for_reading_with_the_command_that_brings_it_up(old, tmp_path, capsys):
    with pytest.raises(Outdated, match="lacks column last_residual of variants and 7 things more"):
        open_database(old)
    if "://" in old:
        return      # the line shows no password, so it is no command as it stands
    for command in (("report",), ("status",), ("show", "0")):
        refused(study, (*command, "--storage", old), capsys, "made by another version",
                f"python -m study doctor --storage sqlite:///{old}")
    assert columns(old, "runs").isdisjoint(LACKING["runs"])
    assert study(["backup", "copy.db", "--storage", old]) == 0      # which asks for no column
    assert study(["doctor", "--storage", f"sqlite:///{old}"]) == 0
    assert "as it was it is kept in" in capsys.readouterr().err
    assert study(["status", "--storage", old]) == 0


def test_a_view_of_other_words_is_made_anew_without_a_copy(old, tmp_path):
    open_database(old, read_only=False, say=lambda line: None).close()
    change(old, "DROP VIEW front", "CREATE VIEW front AS SELECT * FROM results", "DROP VIEW failures",
           "CREATE VIEW mine AS SELECT state FROM runs")
    with pytest.raises(Outdated, match="lacks view front and 1 thing more"):
        open_database(old)
    with open_database(old, read_only=False, say=pytest.fail) as database:
        assert [row["trial"] for row in database.front("s")] == [0, 1, 2, 3]
        assert len(database.query("SELECT * FROM mine")) == 4       # nobody else's is touched
        assert database.query("SELECT * FROM failures") == []
    open_database(old).close()
    assert len(copies(tmp_path)) == 1


def test_a_view_that_changes_in_a_new_version_is_made_anew(old, monkeypatch):
    open_database(old, read_only=False, say=lambda line: None).close()
    monkeypatch.setitem(schema.VIEWS, "results", f"{schema.VIEWS['results']} WHERE r.trial > 2")
    open_database(old, read_only=False).close()
    with open_database(old) as database:
        assert [row["trial"] for row in database.results("s")] == [3]
        assert [row["trial"] for row in database.front("s")] == [3]


def test_a_view_of_a_users_that_stands_on_ours_is_never_dropped(old, monkeypatch):
    open_database(old, read_only=False, say=lambda line: None).close()
    change(old, "CREATE VIEW mine AS SELECT trial FROM results")
    monkeypatch.setitem(schema.VIEWS, "results", f"{schema.VIEWS['results']} WHERE r.trial > 2")
    if "://" in old:
        with pytest.raises(UserError, match=r"view results: .*view mine depends on view results.*drop what was made from it"):
            open_database(old, read_only=False)
        change(old, "SELECT * FROM front", "SELECT * FROM mine")        # all is as it was
    else:
        with open_database(old, read_only=False) as database:
            assert [row["trial"] for row in database.query("SELECT * FROM mine")] == [3]


def test_a_copy_that_cannot_be_made_leaves_the_database_as_it_is(old, monkeypatch):
    def full(url, target):
        raise UserError(f"{target}: no space left")
    monkeypatch.setattr(backup, "backup", full)
    with pytest.raises(UserError, match=r"before-1: no space left"):
        open_database(old, read_only=False)
    assert columns(old, "runs").isdisjoint(LACKING["runs"])


def test_of_several_that_open_at_once_one_brings_it_up(old, tmp_path):
    opener = ("import sys\nfrom study.database.store import open_database\nprint('ready', flush=True)\nsys.stdin.readline()\n"
              f"open_database({old!r}, read_only=False).close()")
    processes = [subprocess.Popen([sys.executable, "-c", opener], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    said = [""] * len(processes)
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for number, process in enumerate(processes):
        said[number] = process.communicate()[1]
        assert process.returncode == 0, said[number]
    assert sorted(line.count("\n") for line in said) == [0, 0, 0, 1]
    assert len(copies(tmp_path)) == 1


def test_a_database_of_optunas_alone_is_no_older_one(tmp_path):
    import optuna

    from tests.support.damaged_database import optunas
    with optunas(f"sqlite:///{tmp_path / 'study.db'}") as storage:
        optuna.create_study(storage=storage, study_name="theirs")
    open_database(str(tmp_path / "study.db"), read_only=False, say=pytest.fail).close()
    assert copies(tmp_path) == []


def test_a_process_that_dies_while_it_brings_a_database_up_leaves_it_as_it_was(old, tmp_path):
    dying = ("import os\nfrom study.database import schema\nfrom study.database.store import open_database\n"
             f"schema.make_views = lambda connection: os._exit(9)\nopen_database({old!r}, read_only=False)")
    assert subprocess.run([sys.executable, "-c", dying]).returncode == 9
    assert columns(old, "runs").isdisjoint(LACKING["runs"])
    said = []
    open_database(old, read_only=False, say=said.append).close()
    assert len(said) == 1
    assert len(copies(tmp_path)) == 2


def test_the_copy_of_a_database_in_use_holds_what_is_in_its_log(old, tmp_path):
    if "://" in old:
        pytest.skip("a server has its log to itself")
    with closing(sqlite3.connect(old)) as writer:
        writer.execute("UPDATE runs SET reason = 'from the log'")
        writer.commit()
        assert os.path.getsize(f"{old}-wal")
        open_database(old, read_only=False, say=lambda line: None).close()
    with closing(sqlite3.connect(tmp_path / "study.db.before-1")) as copy:
        assert copy.execute("SELECT DISTINCT reason FROM runs").fetchall() == [("from the log",)]
