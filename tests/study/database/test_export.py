"""A study as files and as frames: compared with its rows, and read back by other programs."""

import csv
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import study
from study.__main__ import main
from study.database import export
from study.database.schema import TIDY
from study.database.store import open_database
from tasnet_core.cells import of_cell
from tasnet_core.errors import UserError
from tasnet_core.records import Variant
from tests.support import ROOT, fakes
from tests.support.commands import refused
from tests.support.filled_database import fill

FORMS = ["csv", "json", "parquet"]
BOOLEANS = ("causal", "last_residual")


def tables():
    """Seven runs and one that failed, with their epochs and mixtures."""
    rows, epochs, mixtures = fakes.study(7, seed=2)
    rows[1]["reason"] = 'said "no", twice;\nand went, ünwillig'
    return [*rows, fakes.failed(7)], epochs, mixtures


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A database with that study, and another."""
    path = str(tmp_path_factory.mktemp("frames") / "study.db")
    fill(path, *tables())
    fill(path, [fakes.row(0)], name="other", settings=fakes.SETTINGS)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request, storage):
    """The same on either kind of database."""
    if request.param == "sqlite":
        return storage
    url = request.getfixturevalue("database_url")
    fill(url, *tables())
    return url


def read(path):
    """A file of any form as lists of values, None where there is none."""
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
        return list(rows[0]), [list(row.values()) for row in rows]
    if path.suffix == ".parquet":
        from pyarrow import parquet
        table = parquet.read_table(path)
        return table.column_names, [list(row.values()) for row in table.to_pylist()]
    with open(path, newline="") as file:
        head, *rows = csv.reader(file)
    kinds = TIDY[path.stem].kinds

    def value(name, text):
        if kinds[name] is bool:
            return {"True": True, "False": False}[text]
        return text if kinds[name] is str else None if text == "" else kinds[name](text)
    return head, [[value(name, text) for name, text in zip(head, row, strict=True)] for row in rows]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_any_form_holds_every_value_of_the_tables(either, tmp_path, form):
    written = dict(export.export(either, "fake", tmp_path, form))
    assert [path.name for path in written] == [f"{table}.{form}" for table in ("runs", "epochs", "mixtures")]
    with open_database(either) as database:
        runs, results = database.runs("fake"), database.results("fake")
        beside = [{**database.query("SELECT * FROM variants WHERE key = :key", key=run["variant"])[0], **run} for run in runs]
        rows = {"runs": [{**of, **row} for of, row in zip(beside, results, strict=True)],
                "epochs": database.epochs("fake"), "mixtures": database.mixtures("fake")}
    for path, count in written.items():
        head, found = read(path)
        assert head == list(TIDY[path.stem].kinds)
        assert count == len(found) == len(rows[path.stem])
        for one, row in zip(found, rows[path.stem], strict=True):
            expected = {name: bool(row[name]) if name in BOOLEANS else row[name] for name in head}
            if form == "csv":       # which has one word for an empty text and for none
                expected = {name: "" if value is None and TIDY[path.stem].kinds[name] is str else value
                            for name, value in expected.items()}
            assert dict(zip(head, map(repr, one), strict=True)) == {name: repr(value) for name, value in expected.items()}


def test_runs_begin_with_the_columns_of_the_view_results_and_tell_all_of_variant_recipe_and_scores(storage):
    found = study.load(storage, "fake")
    with open_database(storage) as database:
        row = database.query("SELECT * FROM results LIMIT 1")[0]
    names = list(found.runs.columns)
    assert names[:len(row)] == list(row)
    assert {"kind", "batch_size", "schedule", "sdr_db", "unscored", *Variant.__dataclass_fields__} <= set(names)
    assert not {"id", "owner", "lease_until_s", "key"} & set(names)
    assert list(found.epochs)[:3] == ["trial", "seed", "number"]
    assert list(found.mixtures)[:5] == ["trial", "seed", "mixture", "speakers", "sexes"]


def test_frames_have_the_types_of_their_values(either):
    found = study.load(either, "fake")
    assert {name: str(found.runs[name].dtype) for name in ("trial", "causal", "state", "si_snri_db", "macs_per_s")} == {
        "trial": "int64", "causal": "bool", "state": "string", "si_snri_db": "float64", "macs_per_s": "int64"}
    assert str(found.runs["peak_memory_bytes"].dtype) == "Int64"        # nobody measured it
    assert found.runs["peak_memory_bytes"].isna().all()
    assert found.runs["pesq"].isna().all()
    failed = found.runs[found.runs.state == "failed"]
    assert len(failed)
    assert failed["si_snri_db"].isna().all()
    assert str(found.epochs["number"].dtype) == "int64"
    assert str(found.mixtures["sexes"].dtype) == "string"


def test_parquet_read_by_pandas_is_what_load_gives(storage, tmp_path):
    found = study.load(storage, "fake")
    for path, _ in export.export(storage, "fake", tmp_path, "parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(path), getattr(found, path.stem), check_dtype=False)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_pandas_reads_the_other_forms(storage, tmp_path, form):
    for path, count in export.export(storage, "fake", tmp_path, form):
        frame = pd.read_csv(path) if form == "csv" else pd.read_json(path)
        assert len(frame) == count
        assert list(frame) == list(TIDY[path.stem].kinds)
    scores = frame.groupby(["trial", "seed"])["si_snri_db"].mean()
    expected = study.load(storage, "fake").runs.query("state == 'complete'").set_index(["trial", "seed"])["si_snri_db"]
    np.testing.assert_allclose(scores, expected.astype(float), rtol=1e-12)


def test_a_study_in_many_parts_is_the_same(storage, tmp_path, monkeypatch):
    whole = study.load(storage, "fake")
    wholes = {form: [path.read_bytes() for path, _ in export.export(storage, "fake", tmp_path / form, form)] for form in FORMS}
    monkeypatch.setattr(export, "ROWS", 3)
    for mine, its in zip(study.load(storage, "fake"), whole, strict=True):
        pd.testing.assert_frame_equal(mine, its)
    for form in FORMS:
        parts = list(export.export(storage, "fake", tmp_path / f"{form}-parts", form))
        for (path, _), before in zip(parts, wholes[form], strict=True):
            if form == "parquet":       # which keeps the parts
                assert read(path) == read(tmp_path / form / path.name)
            else:
                assert path.read_bytes() == before


@pytest.mark.parametrize("form", FORMS)
def test_a_study_without_runs_gives_tables_without_rows(tmp_path, form):
    from study.records import Settings
    with open_database(str(tmp_path / "study.db"), read_only=False) as database:
        database.register("s", Settings())
    written = dict(export.export(str(tmp_path / "study.db"), None, tmp_path / "out", form))
    assert list(written.values()) == [0, 0, 0]
    if form != "json":
        assert read(tmp_path / f"out/mixtures.{form}") == (list(TIDY["mixtures"].kinds), [])
    else:
        assert json.loads((tmp_path / "out/mixtures.json").read_text()) == []
    empty = study.load(str(tmp_path / "study.db"))
    assert [len(frame) for frame in empty] == [0, 0, 0]
    assert list(empty.epochs) == list(TIDY["epochs"].kinds)


def test_numbers_that_are_none_are_no_values_and_those_json_has_no_word_for_are_null(tmp_path, database_url):
    fill(database_url, [fakes.row(0)], [fakes.epoch(0, 1, math.nan, math.inf)])
    epochs = {}
    for form in FORMS:
        *_, (path, _), _ = export.export(database_url, None, tmp_path, form)
        head, (row,) = read(path)
        epochs[form] = dict(zip(head, row, strict=True))
    assert {form: (row["train_loss_db"], row["valid_si_snri_db"]) for form, row in epochs.items()} == {
        "csv": (None, math.inf), "parquet": (None, math.inf), "json": (None, None)}


def test_export_replaces_its_own_files_and_touches_no_other(storage, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports/runs.csv").write_text("of an earlier export")
    (tmp_path / "exports/mine.csv").write_text("mine")
    assert main(["export", "--storage", storage, "--study", "fake"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "exports/runs.csv: 8 rows"
    assert sorted(path.name for path in (tmp_path / "exports").iterdir()) == [
        "epochs.csv", "mine.csv", "mixtures.csv", "runs.csv"]
    assert (tmp_path / "exports/mine.csv").read_text() == "mine"
    assert (tmp_path / "exports/runs.csv").read_text().startswith("study,trial,state")
    assert main(["export", "--storage", storage, "--format", "json", "--out", "new/folder"]) == 0      # the newest study
    assert "new/folder/runs.json: 1 row\n" in capsys.readouterr().out


def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(storage, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refused(main, ("export",), capsys, "no such study database")
    refused(main, ("export", "--storage", storage, "--study", "third"), capsys, "'third'", "fake, other")
    refused(main, ("export", "--storage", storage, "--format", "xls"), capsys, "xls", "csv", "parquet", "json")
    (tmp_path / "file").write_text("")
    refused(main, ("export", "--storage", storage, "--out", "file"), capsys, "cannot be written", "--out")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused(main, ("export", "--storage", storage, "--format", "parquet"), capsys, "pip install 'tasnet-study[parquet]'")


def test_a_file_that_cannot_be_finished_leaves_the_one_before(storage, tmp_path, monkeypatch):
    kept = [path for path, _ in export.export(storage, "fake", tmp_path, "csv")]
    before = [path.read_bytes() for path in kept]

    def full(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setitem(export.FORMS, "csv", full)
    with pytest.raises(UserError, match=r"runs.csv: cannot be written \(No space left on device\)"):
        list(export.export(storage, "fake", tmp_path, "csv"))
    assert [path.read_bytes() for path in kept] == before
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_the_three_tables_are_of_one_moment(storage, tmp_path):
    import shutil
    path = shutil.copy(storage, tmp_path / "study.db")
    with open_database(str(path), read_only=False) as writer:
        each = export.export(str(path), "fake", tmp_path, "json")
        next(each)
        with writer.engine.begin() as connection:       # while the first file is written
            connection.exec_driver_sql("DELETE FROM mixtures")
        assert [count for _, count in each][1] == len(study.load(storage, "fake").mixtures)
    assert len(study.load(str(path), "fake").mixtures) == 0


def test_importing_study_loads_nothing_and_load_no_torch(storage):
    probe = ("import sys, study\nassert not {'pandas', 'numpy', 'sqlalchemy', 'torch'} & set(sys.modules)\n"
             f"study.load({storage!r})\nassert not {{'torch', 'optuna'}} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", probe], check=True, cwd=ROOT)


def test_no_text_of_a_database_is_a_formula_in_a_csv_and_all_of_it_comes_back(tmp_path):
    url, said = str(tmp_path / "study.db"), '=HYPERLINK("http://x")'
    fill(url, *fakes.study(3, seed=1))
    with open_database(url, read_only=False) as database, database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE mixtures SET speakers = ?, reason = '''-1'", (said,))
        connection.exec_driver_sql("UPDATE runs SET seconds = ?", (said,))         # SQLite keeps text in any column
    list(export.export(url, None, tmp_path, "csv"))
    for table, column in (("mixtures", "speakers"), ("runs", "seconds")):
        cells = pd.read_csv(tmp_path / f"{table}.csv")[column]
        assert set(cells) == {f"'{said}"}
        assert set(map(of_cell, cells)) == {said}
    assert (pd.read_csv(tmp_path / "epochs.csv")["train_loss_db"] < 0).all()       # numbers stay numbers
