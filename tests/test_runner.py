"""The search with a made-up evaluation, so that hundreds of trials cost seconds; and with a real one, killed."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import tiny_study
from tiny import RECIPE, TINY, Tiny

from study import runner
from study.database import open_database
from study.records import Budget, Result, Settings
from study.runner import Runner
from study.space import Listed
from tasnet_core import cost
from tasnet_core.records import Epoch, MixtureScore, Scores

SETTINGS = Settings(corpus="tiny", space="tiny", recipe=RECIPE)


class Death(BaseException):
    """What kill -9 is to a process: nothing more is done."""


@pytest.fixture(autouse=True)
def tiny():
    tiny_study.install()


@pytest.fixture
def trained(monkeypatch):
    """Variants that were given to a made-up evaluation whose score is a function of the variant."""
    given = []

    def fake(variant, recipe, budget, corpus, checkpoint, device, tell, measures, tell_scored, fit_memory):
        exact = cost.exact(variant)
        if excess := budget.excess(exact):
            return Result("rejected", reason=excess, cost=exact)
        given.append(variant)
        score = exact.parameters ** 0.5 / 10 + int(variant.key, 16) % 97 / 300
        curve = tuple(Epoch(n, -score, score * n / 5, 1e-3, 0.3 * n, 0.1) for n in range(1, 6))
        for epoch in curve:
            tell(epoch)
        return Result("complete", cost=exact, curve=curve, seconds=1.0,
                      scores=Scores(si_snr_db=score, si_snri_db=score, mixtures=1),
                      mixtures=(MixtureScore("test/000", "a+b", "FM", 1.0, 0.0, score, score),))
    monkeypatch.setattr(runner, "evaluate", fake)
    return given


@contextmanager
def opened(folder, settings=SETTINGS):
    with open_database(str(folder / "study.db"), read_only=False) as database:
        database.register("s", settings)
        yield Runner("s", settings, database, Tiny())


def table(folder):
    """What a study measured, without what no two runs share."""
    with open_database(str(folder / "study.db")) as database:
        blind = {"seconds": 0, "realtime_factor": 0, "run": 0}
        return [[{**row, **blind} for row in rows("s")]
                for rows in (database.results, database.epochs, database.mixtures)]


def told(folder):
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{folder / 'study.db'}")
    return [(trial.number, trial.state.name, trial.params, trial.values) for trial in study.get_trials()]


def test_trial_0_is_the_reference_and_trials_is_the_total(tmp_path, trained):
    with opened(tmp_path) as work:
        work.run(4)
    with opened(tmp_path) as work:
        work.run(4)
        assert work.trained() == 4
        work.run(6)
        assert work.trained() == len(trained) == 6
    assert trained[0] == tiny_study.SPACE.reference


def test_optuna_hears_what_the_database_keeps(tmp_path, trained):
    with opened(tmp_path) as work:
        work.run(5)
    rows = table(tmp_path)[0]
    assert [(row["trial"], [row["si_snri_db"], row["parameters"], row["macs_per_s"]]) for row in rows] == [
        (number, values) for number, state, _, values in told(tmp_path)]
    with open_database(str(tmp_path / "study.db")) as database:     # and two tools can share the file
        names = {row["name"] for row in database._rows("select name from sqlite_master where type = 'table'")}
    assert {"runs", "variants", "epochs", "mixtures", "environments", "trials", "studies"} <= names


def test_no_variant_is_trained_twice_with_the_same_seed(tmp_path, trained):
    with opened(tmp_path) as work:
        work.run(25)            # of 32 in the space: TPE alone meets many again
    assert len(set(trained)) == len(trained) == 25
    assert len(told(tmp_path)) > 25        # the repeats were told to Optuna with the scores they had
    assert all(state == "COMPLETE" for _, state, _, _ in told(tmp_path))


@pytest.mark.parametrize("limit", [None, 250])
def test_when_a_space_is_used_up_the_run_ends_with_all_of_it_measured(tmp_path, trained, limit):
    with opened(tmp_path, replace(SETTINGS, budget=Budget(max_parameters=limit))) as work:
        work.run(40)
        work.run(40)
    fitting = [variant for variant in tiny_study.SPACE.variants() if limit is None or cost.exact(variant).parameters <= limit]
    assert set(trained) == {*fitting, tiny_study.SPACE.reference}
    assert len(trained) == len(set(trained))


LIST = tuple(replace(TINY, H=H, N=N) for H, N in ((8, 8), (2, 8), (8, 4), (4, 8)))


@pytest.fixture
def listed(trained):
    tiny_study.SPACES["list"] = Listed.of("list", LIST, RECIPE)
    yield trained
    del tiny_study.SPACES["list"]


def test_a_list_is_trained_in_its_order_and_then_over_however_many_trials_are_asked_for(tmp_path, listed):
    settings = replace(SETTINGS, space="list")
    with opened(tmp_path, settings) as work:
        work.run(2)
    assert listed == list(LIST[:2])
    for trials in (3, 9, 9):
        with opened(tmp_path, settings) as work:
            work.run(trials)
    assert listed == list(LIST)
    assert [row["trial"] for row in table(tmp_path)[0]] == [0, 1, 2, 3]
    assert len(told(tmp_path)) == 4


@pytest.mark.parametrize("at", [1, 3])
def test_a_list_that_was_queued_half_is_queued_whole(tmp_path, listed, monkeypatch, at):
    settings = replace(SETTINGS, space="list")
    with monkeypatch.context() as patch:
        dies(patch, optuna.Study, "enqueue_trial", True, at)
        with pytest.raises(Death):
            opened(tmp_path, settings).__enter__()
    with opened(tmp_path, settings) as work:
        work.run(4)
    assert listed == list(LIST)
    assert len(told(tmp_path)) == 4


def test_over_budget_is_rejected_before_training_and_does_not_count(tmp_path, trained):
    limit = 250
    with opened(tmp_path, replace(SETTINGS, budget=Budget(max_parameters=limit))) as work:
        work.run(5)
    rows = table(tmp_path)[0]
    assert all(cost.exact(variant).parameters <= limit for variant in trained[1:])
    assert trained[0] == tiny_study.SPACE.reference         # the yardstick is exempt
    rejected = [row for row in rows if row["state"] == "rejected"]
    assert rejected
    assert all(row["parameters"] > limit and "budget 250" in row["reason"] for row in rejected)
    assert sum(row["state"] == "complete" for row in rows) == 5
    assert {state for number, state, _, _ in told(tmp_path)} == {"COMPLETE", "PRUNED"}


def test_a_failed_trial_is_a_row_with_its_reason_and_the_study_goes_on(tmp_path, trained, monkeypatch):
    fine = runner.evaluate

    def failing(variant, *arguments):
        if variant == tiny_study.SPACE.reference:
            return Result("failed", "epoch 2: training loss nan", "diverged", cost.exact(variant))
        return fine(variant, *arguments)
    monkeypatch.setattr(runner, "evaluate", failing)
    with opened(tmp_path) as work:
        work.run(3)
    assert [row["state"] for row in table(tmp_path)[0]] == ["failed", "complete", "complete"]
    assert [state for _, state, _, _ in told(tmp_path)] == ["FAIL", "COMPLETE", "COMPLETE"]


def dies(monkeypatch, owner, name, after, at):
    """Let the process die at the `at`-th call of a method: before its work, or after it."""
    real, calls = getattr(owner, name), []

    def deadly(*arguments, **named):
        calls.append(1)
        if len(calls) != at:
            return real(*arguments, **named)
        if after:
            real(*arguments, **named)
        raise Death
    monkeypatch.setattr(owner, name, deadly)


PLACES = [("ask", False), ("ask", True), ("suggest", True), ("begin_run", False), ("begin_run", True),
          ("add_epoch", True), ("finish", False), ("finish", True), ("tell", True)]


@pytest.mark.parametrize(("name", "after"), PLACES, ids=lambda value: str(value))
@pytest.mark.parametrize("at", [1, 3, 12])
def test_death_at_any_point_loses_nothing_and_changes_nothing(tmp_path, trained, monkeypatch, name, after, at):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    with opened(tmp_path / "whole") as work:
        work.run(14)            # past TPE's random start
    with monkeypatch.context() as patch, opened(tmp_path / "cut") as work:
        owner = {"ask": work.study, "tell": work.study, "suggest": runner}.get(name, work.database)
        dies(patch, owner, name, after, at)
        with pytest.raises(Death):
            work.run(14)
    with opened(tmp_path / "cut") as work:
        work.run(14)
    assert table(tmp_path / "cut") == table(tmp_path / "whole")
    assert told(tmp_path / "cut") == told(tmp_path / "whole")


def test_a_trial_that_another_live_process_holds_is_left_alone(tmp_path, trained):
    with opened(tmp_path) as work:
        trial = work.study.ask()
        variant = runner.suggest(trial, tiny_study.SPACE)
        run = work.database.begin_run("s", trial.number, variant, RECIPE, cost.exact(variant), "", {})
        with work.database.engine.begin() as connection:
            connection.exec_driver_sql("update runs set owner = 'elsewhere:1' where id = ?", (run,))
        work.run(2)
        assert [row["state"] for row in work.database.results("s")] == ["running", "complete", "complete"]


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("tiny_study.py")), "run", *tiny_study.ARGUMENTS, "--study", "s",
         "--storage", str(folder / "study.db"), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_real_study_killed_three_times_equals_one_that_never_was(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    options = ("--trials", "4", "--epochs", "6", "--epoch-segments", "60")
    whole = start(tmp_path / "whole", *options)
    assert whole.wait(120) == 0, whole.stdout.read()
    whole.stdout.close()
    chance, kills = random.Random(0), 0
    while kills < 3:
        process = start(tmp_path / "cut", *options)
        process.stdout.readline()           # a trial has begun
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        process.stdout.close()
        if process.returncode == 0:
            break
    last = start(tmp_path / "cut", *options)
    assert last.wait(120) == 0, last.stdout.read()
    last.stdout.close()
    assert kills >= 2
    assert table(tmp_path / "cut") == table(tmp_path / "whole")
    assert told(tmp_path / "cut") == told(tmp_path / "whole")
    assert not list(tmp_path.rglob("*.tmp")) or os.name == "nt"


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (None, 0)])
def test_ctrl_c_sigterm_and_timeout_save_everything_and_say_how_to_go_on(tmp_path, how, status):
    process = start(tmp_path, "--trials", "9999", "--epochs", "400", *(() if how else ("--timeout", "8")))
    assert any("epoch 2/" in line for line in iter(process.stdout.readline, ""))
    if how:
        process.send_signal(how)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert "run the same command again to continue" in said
    assert "Traceback" not in said
    with open_database(str(tmp_path / "study.db")) as database:
        assert len(database.epochs("s")) >= 2
