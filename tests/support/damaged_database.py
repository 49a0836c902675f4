"""A study database on the disk, read and damaged by hand; what tests of copies and of mending share."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
import sqlalchemy as sa

from study.database.store import Database, open_database, url_of
from study.records import Result, Settings
from tasnet_core.cost.count import exact
from tasnet_core.records import Epoch, MixtureScore, Scores
from tests.support.tiny import RECIPE, TINY

PAGE = 4096


def make(path: Path) -> Path:
    """A study of 40 runs, all of it in one file."""
    with open_database(str(path), read_only=False) as database:
        fill(database)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=DELETE")        # so that all of it is in the file that is damaged
    return path


def fill(database: Database, runs: int = 40) -> None:
    """A study of many runs, beside a study of Optuna's."""
    with optunas(database.optuna_url) as storage:       # in the order of a run: tables first
        study = optuna.create_study(storage=storage, study_name="s", directions=["maximize", "minimize"])
        fill_ours(database, runs)
        for trial in range(5):
            study.add_trial(optuna.trial.create_trial(
                params={"N": trial}, distributions={"N": optuna.distributions.IntDistribution(0, 9)}, values=[trial, 0.5],
                user_attrs={"words": ["a", trial]}))
        study.ask()


def fill_ours(database: Database, runs: int) -> None:
    """A study of many runs, each of 10 epochs and 20 mixtures, unknown to Optuna."""
    database.register("s", Settings(recipe=RECIPE), ("a note",))
    for trial in range(runs):
        variant = replace(TINY, N=8 + trial)
        run = database.begin_run("s", trial, variant, RECIPE, exact(variant), f"t{trial}.pt", {"cpu": "a"})
        for number in range(1, 11):
            database.add_epoch(run, Epoch(number, -1.0 * number, 1.0 * number, 1e-3, 10.0 * number, 0.5))
        scores = tuple(MixtureScore(f"test/{index:03}", "a+b", "FM", 4.0, 0.1, 5.1, 5.0 + trial) for index in range(20))
        database.finish(run, Result("complete", cost=exact(variant), mixtures=scores, seconds=7.0,
                                    scores=Scores(si_snr_db=5.0, si_snri_db=5.0 + trial, mixtures=20)))


@contextmanager
def optunas(url: str) -> Iterator[optuna.storages.RDBStorage]:
    """Optuna's view of a database, closed again."""
    storage = optuna.storages.RDBStorage(url)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f'SELECT rowid, * FROM "{table}" NOT INDEXED ORDER BY rowid').fetchall()


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def columns(path: Path, table: str) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def schema(path: Path) -> set[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def url(path: Path) -> sa.URL:
    return url_of(str(path))


def pages(path: Path, name: str, leaf: bool = True) -> list[int]:
    """The pages of a table or an index, from 1, in the order of its rows: by the file format, read here by hand."""
    content = path.read_bytes()

    def below(page: int) -> list[int]:
        start = (page - 1) * PAGE
        head = start + (100 if page == 1 else 0)
        kind, cells = content[head], int.from_bytes(content[head + 3:head + 5], "big")
        if kind in (10, 13):
            return [page]
        places = [int.from_bytes(content[head + 12 + 2 * i:head + 14 + 2 * i], "big") for i in range(cells)]
        children = [int.from_bytes(content[start + at:start + at + 4], "big") for at in places]
        last = int.from_bytes(content[head + 8:head + 12], "big")
        return ([] if leaf else [page]) + [one for child in [*children, last] for one in below(child)]
    return below(root(path, name))


def root(path: Path, name: str) -> int:
    if name == "sqlite_master":
        return 1
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])


def damage(path: Path, numbers: list[int]) -> bytes:
    """Overwrite pages with noise; returns the file as it is then."""
    with open(path, "r+b") as file:
        for number in numbers:
            file.seek((number - 1) * PAGE)
            file.write(b"\xff" + hashlib.shake_128(bytes([number % 251])).digest(PAGE - 1))
    return path.read_bytes()


def on(path: Path, table: str, number: int) -> set[int]:
    """The row numbers that a leaf of a table holds, read by hand."""
    content = path.read_bytes()[(number - 1) * PAGE:number * PAGE]
    found = set()
    for i in range(int.from_bytes(content[3:5], "big")):
        at = int.from_bytes(content[8 + 2 * i:10 + 2 * i], "big")
        for _ in range(2):          # the length, then the number, 7 bits in a byte
            value = 0
            while True:
                value = value << 7 | content[at] & 127
                at += 1
                if content[at - 1] < 128:
                    break
        found.add(value)
    return found
