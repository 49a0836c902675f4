"""What is saved of database files that were really damaged."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from study.database import recover
from study.database.store import open_database
from tasnet_core.cost.count import exact
from tasnet_core.errors import UserError
from tests.support.damaged_database import PAGE, columns, damage, on, optunas, pages, root, rows, schema, tables, url
from tests.support.tiny import RECIPE, TINY

OPTUNAS = {"trials", "trial_heartbeats"}        # where `mended` asks for one more


def mended(path: Path, before: bytes) -> str:
    """Mend, and see what holds after every mending."""
    assert recover.integrity(url(path))
    said = recover.mend(path)
    kept = path.with_name(re.search(r"kept as .*/(\S+)$", said)[1])
    assert kept.read_bytes() == before
    assert recover.integrity(url(path)) == []
    assert sorted(os.listdir(path.parent)) == sorted({path.name, kept.name})
    with open_database(str(path), read_only=False) as database:     # it can be worked with
        database.results("s")
        with optunas(database.optuna_url) as storage:
            optuna.load_study(study_name="s", storage=storage).ask()
    assert "nothing in it needs mending" in recover.mend(path)
    return said


@pytest.mark.parametrize("which", ["a leaf", "the root"])
def test_a_damaged_index_costs_no_row(filled, which):
    whole, shape = {name: rows(filled, name) for name in tables(filled)}, schema(filled)
    index = "sqlite_autoindex_mixtures_1"
    before = damage(filled, [pages(filled, index)[1] if which == "a leaf" else root(filled, index)])
    said = mended(filled, before)
    assert "lost" not in said
    assert {name: rows(filled, name) for name in whole if name not in OPTUNAS} == {
        name: found for name, found in whole.items() if name not in OPTUNAS}
    assert schema(filled) == shape


def test_an_index_that_lacks_a_row_is_made_anew(filled):
    with closing(sqlite3.connect(filled)) as db:        # the table's row goes, its index entry stays
        db.execute("CREATE TABLE plain (x)")
        db.execute("CREATE INDEX of_plain ON plain (x)")
        db.executemany("INSERT INTO plain VALUES (?)", [(1,), (2,), (3,)])
        db.execute("PRAGMA writable_schema=ON")
        db.execute("UPDATE sqlite_master SET sql = 'CREATE INDEX of_plain ON plain (-x)' WHERE name = 'of_plain'")
        db.commit()
    said = mended(filled, filled.read_bytes())
    assert "indices were made anew" in said
    assert [row[1] for row in rows(filled, "plain")] == [1, 2, 3]


@pytest.mark.parametrize("hit", [[0], [2], [-1], [1, 2, 4], "all but the first"])
def test_of_a_damaged_table_everything_outside_the_damage_is_saved(filled, hit):
    leaves, whole = pages(filled, "mixtures"), {name: rows(filled, name) for name in tables(filled)}
    assert len(leaves) > 6
    numbers = leaves[1:] if hit == "all but the first" else [leaves[index] for index in hit]
    gone = set().union(*(on(filled, "mixtures", number) for number in numbers))
    said = mended(filled, damage(filled, numbers))
    assert rows(filled, "mixtures") == [row for row in whole["mixtures"] if row[0] not in gone]
    assert rows(filled, "epochs") == whole["epochs"]
    assert f"mixtures: {800 - len(gone)} rows saved, {len(gone)} lost (numbers {min(gone)} to {max(gone)} are damaged)" in said
    assert "epochs: 400 rows saved;" in said


def test_without_an_index_the_rows_between_damaged_pages_are_found_by_halving(filled):
    leaves, whole = pages(filled, "mixtures"), rows(filled, "mixtures")
    index = pages(filled, "sqlite_autoindex_mixtures_1", leaf=False)
    numbers = [leaves[0], leaves[3], leaves[-1]]
    gone = set().union(*(on(filled, "mixtures", number) for number in numbers))
    said = mended(filled, damage(filled, numbers + index))
    assert rows(filled, "mixtures") == [row for row in whole if row[0] not in gone]
    assert f"mixtures: {800 - len(gone)} rows saved, how many are lost is not known" in said


def test_of_a_truncated_file_what_is_left_is_saved(filled):
    wholes = {name: rows(filled, name) for name in tables(filled)}
    leaves = sorted(pages(filled, "mixtures"))
    size = leaves[len(leaves) // 2] * PAGE
    left = {name: [number for number in pages(filled, name) if number * PAGE <= size] for name in ("mixtures", "epochs")}
    there = {name: set().union(*(on(filled, name, number) for number in left[name])) for name in left}
    os.truncate(filled, size + 100)
    said = mended(filled, filled.read_bytes())
    for name, expected in there.items():
        aside = rows(filled, f"orphans_{name}") if f"orphans_{name}" in tables(filled) else []
        assert sorted(row[1:] for row in rows(filled, name) + aside) == sorted(
            row[1:] for row in wholes[name] if row[0] in expected)
        assert 0 < len(expected) < len(wholes[name])
        assert f"{name}: {len(expected)} rows saved" in said


def test_where_a_part_of_the_list_of_tables_is_lost_the_others_are_saved(filled):
    whole, leaves = {name: rows(filled, name) for name in tables(filled)}, pages(filled, "sqlite_master")
    assert len(leaves) > 1
    before = damage(filled, leaves[-1:])
    said = recover.mend(filled)
    assert "a part of its list of tables is lost" in said
    assert filled.with_name("study.db.damaged-1").read_bytes() == before
    assert recover.integrity(url(filled)) == []
    left = [name for name in tables(filled) if not name.startswith("orphans_")]
    assert {"runs", "epochs", "mixtures", "variants", "studies"} <= set(left) < set(whole)
    assert {name: rows(filled, name) for name in left} == {name: whole[name] for name in left}


def test_rows_that_lost_what_they_belong_to_are_set_aside_and_taken_by_no_new_run(filled):
    whole, last = {name: rows(filled, name) for name in tables(filled)}, pages(filled, "runs")[-1]
    gone = on(filled, "runs", last)
    assert 40 in gone
    said = mended(filled, damage(filled, [last]))
    assert {row[0] for row in rows(filled, "runs")} == set(range(1, 41)) - gone
    for name in ("epochs", "mixtures"):
        number = next(i for i, column in enumerate(columns(filled, name)) if column == "run") + 1
        expected = [row[1:] for row in whole[name] if row[number] in gone]
        assert sorted(row[1:] for row in rows(filled, f"orphans_{name}")) == sorted(expected)
        assert len(rows(filled, name)) == len(whole[name]) - len(expected)
        assert f"{len(expected)} rows of {name} belonged to lost ones and went to orphans_{name}" in said
    with open_database(str(filled), read_only=False) as database:
        run = database.begin_run("s", 100, TINY, RECIPE, exact(TINY), "", {})
        assert [row for row in database.epochs("s") if row["run"] == run] == []


def test_what_a_killed_process_left_in_the_log_is_saved_too(filled, tmp_path):
    number = pages(filled, "mixtures")[3]
    writer = subprocess.run([sys.executable, "-c", (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA journal_mode=WAL'); "
        "db.execute('UPDATE runs SET reason = ?', ('from the log',)); db.commit(); os._exit(1)"), str(filled)])
    assert writer.returncode == 1
    log = Path(f"{filled}-wal").read_bytes()
    assert log
    before = damage(filled, [number])
    said = recover.mend(filled)
    kept = re.search(r"kept as (.*)$", said)[1]
    assert (Path(kept).read_bytes(), Path(f"{kept}-wal").read_bytes()) == (before, log)
    assert not Path(f"{filled}-wal").exists()
    assert recover.integrity(url(filled)) == []
    with open_database(str(filled)) as database:
        assert {run["reason"] for run in database.runs("s")} == {"from the log"}


def test_where_nothing_can_be_read_the_file_stays_and_a_backup_is_asked_for(filled, tmp_path):
    damage(filled, [1])
    before = filled.read_bytes()
    assert "not a database" in recover.integrity(url(filled))[0]
    with pytest.raises(UserError, match=r"cannot be mended .*put a backup in its place"):
        recover.mend(filled)
    assert filled.read_bytes() == before
    assert os.listdir(tmp_path) == ["study.db"]
    with pytest.raises(UserError, match="cannot be mended"):
        recover.mend(tmp_path / "none.db")


def test_each_damaged_file_is_kept(filled):
    kept = []
    for _ in range(2):
        damage(filled, pages(filled, "mixtures")[3:4])
        kept.append(re.search(r"kept as .*(damaged-\d)$", recover.mend(filled))[1])
    assert kept == ["damaged-1", "damaged-2"]


def test_a_file_in_use_is_not_mended(filled):
    with closing(sqlite3.connect(filled)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    damage(filled, pages(filled, "mixtures")[3:4])
    other = subprocess.Popen([sys.executable, "-c", (
        "import sqlite3, sys, time; db = sqlite3.connect(sys.argv[1]); "
        "print(db.execute('SELECT count(*) FROM epochs').fetchone(), flush=True); time.sleep(60)"), str(filled)],
        stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        time.sleep(0.1)
        with pytest.raises(UserError, match="is in use by another process"):
            recover.mend(filled)
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert "mended" in recover.mend(filled)


def test_ties_that_lead_nowhere_are_told(filled):
    with closing(sqlite3.connect(filled)) as db:
        db.execute("DELETE FROM runs WHERE id = 7")
        db.commit()
    found = recover.integrity(url(filled))
    assert len(found) == 10 + 20
    assert re.fullmatch(r"(epochs|mixtures) row \d+: what it belongs to in runs is not there", found[0])
