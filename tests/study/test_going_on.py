"""The commands for a study that there is: enqueue, confirm, continue, doctor, and the same `run` once more."""

import contextlib
import os
import re
import shutil
import sqlite3
from pathlib import Path

import matplotlib
import optuna
import pytest

from study.__main__ import main as study
from study.database.store import open_database
from study.engines import base, local
from study.records import Settings
from study.space.searched import changes, short
from tasnet_core.records import Variant
from tests.support import ROOT, tiny_study
from tests.support.commands import RUN, refused
from tests.support.processes import Started
from tests.support.tiny import TINY, Tiny

STORAGE = "results/study.db"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a study of four trials, for all tests of this file."""
    folder, here = tmp_path_factory.mktemp("trained"), Path.cwd()
    os.chdir(folder)
    try:
        assert study([*RUN, "--trials", "4", "--workers", "1"]) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A copy of it to stand in."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def jobs(monkeypatch):
    """What workers would have been given to do, who do nothing; `jobs.ends` says how they end."""
    class Jobs(list):
        ends = base.Outcome(True)

    class Idle:
        def __init__(self, job, *_):
            given.append(job)

        def run(self, timeout_s):
            return given.ends
    given = Jobs()
    monkeypatch.setattr(local, "Workers", Idle)
    return given


def runs():
    with open_database(STORAGE) as database:
        return {(row["trial"], row["seed"]): row for row in database.runs("tiny-tiny")}


def change(statement):
    with open_database(STORAGE, read_only=False) as database, database.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def example(words):
    """The manual's Python that has these words, for the study of this file."""
    manual = (ROOT / "docs/how-to/read-the-database.md").read_text()
    code = next(code for code in re.findall(r"```python\n(.*?)```", manual, re.DOTALL) if words in code)
    return re.sub("quick-voices2?", "tiny-tiny", code)


@pytest.mark.filterwarnings("ignore:optuna.visualization.matplotlib:optuna.exceptions.ExperimentalWarning")
def test_optuna_draws_its_front_of_the_same_database_as_the_manual_says(here):
    matplotlib.use("agg")
    found = {}
    exec(example("plot_pareto_front"), found)
    drawn = {(x, y) for points in found["axes"].collections for x, y in points.get_offsets().tolist()}
    with open_database(STORAGE) as database:
        assert drawn == {(row["parameters"], row["valid_si_snri_db"]) for row in database.results("tiny-tiny")}
    assert (here / "front.png").stat().st_size


def test_what_the_manual_does_with_a_loaded_study_can_be_done(here):
    found = {}
    exec(example("study.load"), found)
    assert len(found["found"].runs) == 4
    means = eval(re.search(r"^found\.mixtures.*?(?=  #|$)", example("study.load"), re.MULTILINE)[0], found)
    assert {sexes for _, sexes in means.index} == {"FM"}


@pytest.mark.parametrize(("arguments", "words"), [
    (("enqueue", "Q3"), ["'Q3': no letter"]), (("enqueue", "X1", "L3"), ["L=3 must be even"]),
    (("enqueue", "causal=true"), ["hears the future"]), (("enqueue", "C3"), ["C=3, but 2 in this study"]),
    (("suggest",), ["4 finished variants, and 6 are needed", "--trials 6"]),
    (("enqueue", "sample_rate_hz=16000"), ["sample_rate_hz=16000, but 8000"]),
    (("confirm", "99"), ["trial 99: not in study 'tiny-tiny'"]), (("continue", "99"), ["trial 99: not in study 'tiny-tiny'"]),
    (("continue", "0"), ["trial 0: is complete"]), (("confirm", "--study", "other"), ["'other'", "tiny-tiny"]),
    (("backup", STORAGE), ["there is a file of this name"]), (("show", "99"), ["trial 99: not in study"]),
    ((*RUN, "--trials", "5", "--sampler", "qmc"), ["sampler: qmc, not model"]),
    ((*RUN, "--trials", "5", "--space", "quick", "--study", "tiny-tiny"), ["space: quick, not tiny"])])
def test_what_cannot_be_done_with_a_study_is_one_line_and_changes_nothing(here, arguments, words, capsys):
    before = runs()
    refused(study, arguments, capsys, *words)
    assert runs() == before


def test_variants_put_in_wait_for_the_next_run(here, capsys):
    assert study(["enqueue", "N2 H4", "norm=frame N3 B16"]) == 0
    assert capsys.readouterr().out.count("waiting in study 'tiny-tiny'") == 2
    trials = optuna.load_study(study_name="tiny-tiny", storage=f"sqlite:///{STORAGE}").get_trials()
    assert [(trial.user_attrs["variant"]["N"], trial.user_attrs["variant"]["norm"]) for trial in trials
            if trial.state.name == "WAITING"] == [(2, TINY.norm), (3, "frame")]
    assert study(["enqueue", str(TINY)]) == 0
    assert "is trial 0 already (complete); nothing to train" in capsys.readouterr().out


def test_suggested_trainings_are_the_next_by_their_numbers(here, capsys):
    assert study([*RUN, "--trials", "6", "--workers", "1"]) == 0
    capsys.readouterr()
    assert study(["suggest", "--count", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in lines] == ["1: ", "2: "]
    assert all("expected" in line and "against the reference" in line for line in lines)
    refused(study, ("suggest", "--enqueue", "4"), capsys, "--enqueue 4: no number of a suggestion", "1 to 3, or all")
    assert study(["suggest", "--enqueue", "2"]) == 0
    assert "waiting in study 'tiny-tiny'" in capsys.readouterr().out
    trials = optuna.load_study(study_name="tiny-tiny", storage=f"sqlite:///{STORAGE}").get_trials()
    [waiting] = [trial.user_attrs["variant"] for trial in trials if trial.state.name == "WAITING"]
    assert lines[1].startswith(f"2: {short(changes(waiting, vars(TINY)))} (")
    trained = {row["variant"] for row in runs().values()}
    assert Variant(**waiting).key not in trained


def test_confirm_leaves_further_seeds_of_the_front_and_the_reference_to_the_workers(here, jobs):
    with open_database(STORAGE) as database:
        front = {row["trial"] for row in database.front("tiny-tiny")}
    assert study(["confirm"]) == 0
    found = runs()
    assert {trial for trial, seed in found if seed} == front | {0}
    assert {seed for trial, seed in found if trial == 0} == {0, 1, 2}
    assert {row["state"] for (_, seed), row in found.items() if seed} == {"running"}
    assert [job.trials for job in jobs] == [0]


def test_run_confirms_only_when_the_time_was_enough(here, jobs):
    jobs.ends = base.Outcome(False, "time")
    assert study([*RUN, "--trials", "4", "--seeds", "2", "--timeout", "9"]) == 0
    assert len(jobs) == 1
    assert not any(seed for _, seed in runs())
    jobs.ends = base.Outcome(True)
    assert study([*RUN, "--trials", "4", "--seeds", "2"]) == 0
    assert [job.trials for job in jobs] == [4, 4, 0]
    assert {seed for _, seed in runs()} == {0, 1}


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_continue_reopens_a_trial_but_not_on_another_corpus(here, jobs, state, capsys, monkeypatch):
    change(f"update runs set state = '{state}', reason = 'so it was', kind = 'data' where trial = 1")
    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "fingerprint", "another")
        refused(study, ("continue", "1"), capsys, "holds other recordings now")
    assert runs()[1, 0]["state"] == state
    assert jobs == []
    assert study(["continue", "1"]) == 0
    row = runs()[1, 0]
    assert (row["state"], row["reason"], row["kind"], bool(row["stoppable"])) == ("running", "", "", False)
    assert len(jobs) == 1


def test_before_anything_is_complete_there_is_nothing_to_confirm(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with open_database(STORAGE, read_only=False) as database:
        database.register("tiny-tiny", Settings(corpus="tiny", space="tiny"))
    refused(study, ("confirm",), capsys, "no trial is complete")


def test_a_damaged_database_is_one_line_that_names_the_doctor(here, capsys):
    assert study(["doctor"]) == 0
    assert capsys.readouterr().out == "study 'tiny-tiny': all is well\n"
    with contextlib.closing(sqlite3.connect(STORAGE)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        page, = db.execute("select rootpage from sqlite_master where name = 'runs'").fetchone()
        size, = db.execute("pragma page_size").fetchone()
    with open(STORAGE, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    for command in (("status",), ("show", "0"), (*RUN, "--trials", "5")):
        refused(study, command, capsys, "python -m study doctor")


def test_of_two_starts_at_once_with_different_settings_one_is_refused(tmp_path):
    started = [Started(tiny_study.command, ("run", *tiny_study.ARGUMENTS, "--trials", 1, "--workers", 1, "--epoch-segments", 2,
                                            "--epochs", epochs), tmp_path, tmp_path / f"said-{epochs}") for epochs in (1, 2)]
    ended = [(epochs, process.wait(300), process.said.read_text()) for epochs, process in enumerate(started, 1)]
    (mine, fine, _), (other, status, said) = sorted(ended, key=lambda end: end[1])
    assert (fine, status) == (0, 2)
    assert said.count("\n") == 1
    assert f"started with other settings: epochs: {other}, not {mine};" in said
    with open_database(str(tmp_path / STORAGE)) as database:
        assert [(row["trial"], row["epochs"], row["state"]) for row in database.runs("tiny-tiny")] == [(0, mine, "complete")]


def test_a_run_that_names_no_corpus_and_no_study_goes_on_with_the_only_one_or_asks_which(here, jobs, capsys):
    for table, name in (("study_settings", "study"), ("runs", "study"), ("studies", "study_name")):
        change(f"UPDATE {table} SET {name} = 'mine'")
    assert study(["run", "--trials", "5", "--device", "cpu"]) == 0
    assert [job.plan.name for job in jobs] == ["mine"]
    assert "goes on with study 'mine' in sqlite:///results/study.db; to begin another, name" in capsys.readouterr().out
    with open_database(STORAGE, read_only=False) as database:
        assert database.studies() == ["mine"]
        database.register("yours", Settings(corpus="tiny", space="tiny"))
    refused(study, ("run", "--trials", "5"), capsys, "holds the studies 'mine', 'yours'; say with --study which")
    refused(study, ("run", "--trials", "5", "--space", "tiny", "--dry-run"), capsys, "say with --study which")
    assert study(["run", "--trials", "5", "--device", "cpu", "--study", "mine"]) == 0


def test_a_study_goes_on_with_its_corpus_wherever_that_is_and_with_no_other(here, jobs, capsys, monkeypatch):
    moved = [*RUN, "--corpus", "tiny:elsewhere", "--trials", "5"]
    assert study(moved) == 0
    with open_database(STORAGE) as database:
        assert database.settings("tiny-tiny").corpus == "tiny:elsewhere"        # where the next command looks
    monkeypatch.setattr(Tiny, "fingerprint", "another")
    for more in ((), ("--dry-run",)):
        refused(study, (*RUN, "--corpus", "tiny:other", "--trials", "5", *more), capsys,
                "started with other settings: corpus: tiny:other, not tiny:elsewhere")
        refused(study, (*moved, *more), capsys, "holds other recordings now")


@pytest.mark.parametrize(("command", "state"), [
    (("continue", "1"), "stopped"), (("continue", "1", "2"), "failed"), (("fidelity", "--budgets", "2"), "complete")])
def test_who_goes_on_from_checkpoints_looks_for_them_first(here, jobs, capsys, command, state):
    change(f"UPDATE runs SET state = '{state}' WHERE trial IN (1, 2)")
    kept = Path("results/checkpoints/tiny-tiny/trial-0001.pt")
    kept.rename("kept.pt")
    before = runs()
    refused(study, command, capsys, "results/checkpoints/tiny-tiny lacks the checkpoint of trial 1, to go on from; put back")
    assert (runs(), jobs) == (before, [])
    Path("kept.pt").rename(kept)
    assert study(list(command)) == 0


@pytest.mark.parametrize("option", [
    ("--seed", str(2**63)), ("--seed", str(2**31)), ("--workers", "100000"), ("--trials", "9" * 400), ("--seeds", "5000"),
    ("--epochs", "1000000000"), ("--epoch-segments", "3G"), ("--batch-size", "2G"), ("--timeout", "9" * 400 + "h"),
    ("--threads", "1M"), ("--segment-s", "1e300"), ("--inherit-epochs", "1" * 30)])
def test_a_number_that_nothing_can_hold_is_refused_before_the_study_is_registered(here, jobs, capsys, option):
    refused(study, ("run", *tiny_study.ARGUMENTS, "--trials", "1", "--study", "new", *option), capsys, option[0])
    with open_database(STORAGE) as database:
        assert database.studies() == ["tiny-tiny"]
