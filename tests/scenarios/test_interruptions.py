"""Studies that are killed, paused or fail: what is kept, and what comes next."""

import signal

import pytest

from study.__main__ import main
from study.database.store import open_database
from study.records import Result
from study.search import scheduler
from study.space.space import suggest
from tasnet_core.cost import count
from tasnet_core.errors import UserError
from tasnet_core.training.trainer import Paused
from tests.support import made_up_search, tiny_study
from tests.support.made_up_search import Death, dies, opened, table, told
from tests.support.processes import Started
from tests.support.tiny import RECIPE

pytestmark = pytest.mark.long

WHOLE = []      # what a study that nobody killed has measured, and told
PLACES = [("created", False), ("created", True), ("suggest", True), ("begin_run", False), ("begin_run", True),
          ("add_epoch", True), ("finish", False), ("finish", True), ("tell", True)]
ONCE = [("ask", False, 1), ("ask", True, 1)]    # what is queued: the reference


@pytest.mark.parametrize(("name", "after", "at"), [*ONCE, *((*place, at) for at in (1, 3, 8) for place in PLACES)])
def test_death_at_any_point_loses_nothing_and_changes_nothing(tmp_path, trained, monkeypatch, name, after, at):
    if not WHOLE:       # the same for all places
        (tmp_path / "whole").mkdir()
        with opened(tmp_path / "whole") as work:
            work.run(10)            # past the ladder, where TPE has its say
        WHOLE.extend((table(tmp_path / "whole"), told(tmp_path / "whole")))
    with monkeypatch.context() as patch, opened(tmp_path) as work:
        study = work.scheduler.study
        owner = {"ask": study, "tell": study, "suggest": scheduler, "created": scheduler}.get(name, work.database)
        dies(patch, owner, name, after, at)
        with pytest.raises(Death):
            work.run(10)
    with opened(tmp_path) as work:
        work.run(10)
    assert [table(tmp_path), told(tmp_path)] == WHOLE


def test_a_trial_that_another_live_process_holds_is_left_alone_and_counts(tmp_path, trained):
    with opened(tmp_path) as work:
        trial = work.scheduler.study.ask()
        variant = suggest(trial, tiny_study.SPACE)
        run = work.database.begin_run("s", trial.number, variant, RECIPE, count.exact(variant), "", {})
        with work.database.engine.begin() as connection:
            connection.exec_driver_sql("update runs set owner = 'elsewhere:1' where id = ?", (run,))
        work.run(2)
        assert [row["state"] for row in work.database.results("s")] == ["running", "complete"]


def ended_well(said):
    """A paused study says how to go on."""
    assert "run the same command again to continue" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_everything_and_say_how_to_go_on(tmp_path, how):
    (tmp_path / "s").mkdir()
    process = Started(tiny_study.command, ("run", *tiny_study.ARGUMENTS, "--study", "s", "--storage", tmp_path / "s/study.db",
                                           "--trials", 9999, "--epochs", 400), tmp_path, tmp_path / "said")
    process.until_it_says("epoch 2/")
    process.send_signal(how)
    assert process.wait(400) == 130
    ended_well(process.said.read_text())
    with open_database(str(tmp_path / "s/study.db")) as database:
        assert len(database.epochs("s")) >= 2


def test_a_timeout_saves_everything_however_slow_the_machine_and_the_next_start_goes_on(tmp_path, capsys):
    kept = []       # epochs after each start; on a busy machine the first may end before its first one
    while not kept or (kept[-1] < 2 and len(kept) < 8):
        assert main(["run", *tiny_study.ARGUMENTS, "--study", "s", "--storage", str(tmp_path / "study.db"), "--trials", "9999",
                     "--epochs", "400", "--timeout", str(2 * 2 ** len(kept))]) == 0
        ended_well(capsys.readouterr().out)
        with open_database(str(tmp_path / "study.db")) as database:
            kept.append(len(database.epochs("s")))
    assert kept[-1] >= 2
    assert kept == sorted(kept)


def test_a_failed_trial_is_a_row_with_its_reason_and_the_study_goes_on(tmp_path, trained, monkeypatch):
    fine = made_up_search.evaluate

    def failing(task, *arguments):
        if task.variant == tiny_study.SPACE.reference:
            return Result("failed", "epoch 2: training loss nan", "diverged", count.exact(task.variant))
        return fine(task, *arguments)
    monkeypatch.setattr(made_up_search, "evaluate", failing)
    with opened(tmp_path) as work:
        work.run(3)
    assert [row["state"] for row in table(tmp_path)[0]] == ["failed", "complete", "complete"]
    assert [state for _, state, _, _ in told(tmp_path)] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_trial_after_trial_that_cannot_begin_ends_the_run_with_the_reason(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(made_up_search, "evaluate",
                        lambda task, *_: Result("failed", "a.wav: gone", "data", count.exact(task.variant)))
    with opened(tmp_path) as work, pytest.raises(UserError, match=r"3 trials in a row failed .* with 'a.wav: gone'"):
        work.run(9)
    assert [row["state"] for row in table(tmp_path)[0]] == ["failed"] * 3


@pytest.mark.parametrize(("deaths", "kind", "state", "failure", "parts"), [
    (7, "", "complete", "", 1), (8, "", "failed", "killed", None),
    (1, "out-of-memory", "complete", "", 2), (2, "out-of-memory", "failed", "out-of-memory", None)])     # the batch is of 2
def test_a_run_that_kills_its_process_is_tried_again_in_smaller_parts_and_then_given_up(
        tmp_path, trained, monkeypatch, deaths, kind, state, failure, parts):
    fine, given = made_up_search.evaluate, []
    monkeypatch.setattr(made_up_search, "evaluate", lambda task, *others: given.append(task.micro_batches) or fine(task, *others))
    with opened(tmp_path) as work:
        run = work.scheduler.next_run(1, {})
        with work.database.engine.begin() as connection:
            connection.exec_driver_sql("update runs set owner = 'elsewhere:0:1:1', lease_until_s = 1, deaths = ?, kind = ?",
                                       (deaths - 1, kind))
        work.run(1)
        row = work.database.run_of("s", run["trial"], 0)
        assert (row["state"], row["kind"]) == (state, failure)
        assert given == ([parts] if parts else [])
        work.run(2)         # and the study goes on


def test_a_pause_gives_the_run_back_and_the_next_start_goes_on_with_it(tmp_path, trained):
    def paused(*arguments):
        raise Paused
    with opened(tmp_path) as work:
        work.evaluate = paused
        with pytest.raises(Paused):
            work.run(1)
        assert work.database.run_of("s", 0, 0)["owner"] is None
        work.waiting.stop.set()
        with pytest.raises(Paused):
            work.scheduler.next_run(1, {})
    with opened(tmp_path) as work:
        work.run(1)
        row = work.database.run_of("s", 0, 0)
        assert (row["state"], row["deaths"]) == ("complete", 0)


def test_a_damaged_checkpoint_is_set_aside_and_its_training_done_again(tmp_path):
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    with opened(tmp_path / "whole") as work:
        work.run(2)
    with opened(tmp_path / "cut") as work:
        work.run(1)
        work.executor.checkpoints.mkdir(exist_ok=True)
        for name in ("trial-0001.pt", "trial-0001.within-epoch.pt"):
            (work.executor.checkpoints / name).write_bytes(b"damaged")
        work.run(2)
        assert sorted(path.name for path in work.executor.checkpoints.glob("*damaged*")) == [
            "trial-0001.pt.damaged-1", "trial-0001.within-epoch.pt.damaged-1"]
    assert table(tmp_path / "cut") == table(tmp_path / "whole")


def test_a_fault_of_our_own_is_a_failed_row_and_not_met_again(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(made_up_search, "evaluate", lambda *_: 1 / 0)
    with opened(tmp_path) as work, pytest.raises(UserError, match=r"3 trials in a row failed .*ZeroDivisionError"):
        work.run(9)
    assert [(row["state"], row["reason"]) for row in table(tmp_path)[0]] == [
        ("failed", "ZeroDivisionError: division by zero")] * 3
