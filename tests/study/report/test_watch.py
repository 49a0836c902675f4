"""A report that follows a study: by a clock that only counts, and a study that moves on while it is slept."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from study.__main__ import main
from study.database.device_costs import add_device_costs
from study.database.store import open_database
from study.records import DeviceCost, Result, Settings
from study.report.watch import QUIET_S, watch
from tasnet_core.cost.count import exact
from tasnet_core.errors import UserError
from tasnet_core.records import Epoch, Scores
from tests.support import ROOT
from tests.support.tiny import RECIPE, TINY


class Study:
    """A study whose every sleep lets the next thing happen."""

    def __init__(self, folder, *steps):
        self.storage, self.steps, self.slept, self.said, self.written = str(folder / "study.db"), list(steps), [], [], []
        with open_database(self.storage, read_only=False) as database:
            database.register("s", Settings(recipe=RECIPE))
        self.step()

    def step(self):
        with open_database(self.storage, read_only=False) as database:
            if self.steps:
                self.steps.pop(0)(database)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.step()

    def write(self, name):
        assert name == "s"
        self.written.append(len(self.slept))
        return Path("reports/index.html")

    def watch(self, every_s=QUIET_S):
        watch(self.storage, None, self.write, every_s, self.said.append, self.sleep)


def begins(trial):
    return lambda database: database.begin_run("s", trial, TINY, RECIPE, exact(TINY), f"t{trial}.pt", {})


def epoch(number, run=1):
    return lambda database: database.add_epoch(run, Epoch(number, -1.0, 1.0, 1e-3, 1.0, 1.0))


def ends(run, state="complete", score=5.0):
    return lambda database: database.finish(run, Result(
        state, cost=exact(TINY), scores=Scores(si_snri_db=score, mixtures=1), seconds=1.0))


def measures(at_s):
    cost = DeviceCost("phone", TINY.key, at_s, 1, 4.0, 0.1, 0.0, 15)
    return lambda database: add_device_costs(database, "s", [cost])


def nothing(database):
    pass


def test_what_a_device_measured_meanwhile_is_something_new(tmp_path):
    study = Study(tmp_path, lambda database: (begins(0)(database), ends(1)(database), begins(1)(database)),
                  nothing, measures(1.8e9), measures(1.8e9), measures(1.9e9), ends(2))
    study.watch()
    assert study.written[:4] == [0, 2, 4, 5]


def test_it_waits_for_the_first_run_says_so_once_and_writes_when_there_is_something_new(tmp_path):
    study = Study(tmp_path, nothing, begins(0), epoch(1), ends(1), begins(1), nothing, epoch(1, run=2), ends(2))
    study.watch()
    assert study.said[0] == "study 's': no run is finished yet; the report comes with the first"
    assert study.said[1:] == [f"report: reports/index.html ({numbers})" for numbers in (
        "1 complete", "1 complete, 1 running", "1 complete, 1 running", "2 complete")]
    assert study.written == [3, 4, 6, 7]        # not where nothing was new
    assert set(study.slept) == {QUIET_S}


def test_it_ends_at_once_where_nothing_is_unfinished(tmp_path):
    study = Study(tmp_path, lambda database: (begins(0)(database), ends(1)(database)))
    study.watch()
    assert (study.written, study.slept) == ([0], [])


def test_a_moment_between_two_runs_is_no_end(tmp_path):
    study = Study(tmp_path, begins(0), ends(1), nothing, begins(1), ends(2), *[nothing] * 9)
    study.watch(every_s=QUIET_S / 3)
    assert study.written == [1, 3, 4]
    assert len(study.slept) == 4 + 3


def test_a_study_that_ends_without_a_finished_run_is_refused_as_a_report_of_it_is(tmp_path):
    def refuse(name):
        raise UserError("no finished run among 1")
    study = Study(tmp_path, begins(0), ends(1, "failed", None))
    study.write = refuse
    with pytest.raises(UserError, match="no finished run"):
        study.watch()


@pytest.mark.parametrize("change", [
    "UPDATE runs SET state = 'running'", "UPDATE runs SET reason = 'epoch 2 of its curve is lost'",
    "UPDATE runs SET seconds = 9", "DELETE FROM epochs", "UPDATE runs SET si_snri_db = NULL",
    "UPDATE runs SET study = 'other' WHERE id = 2"])
def test_the_change_token_is_another_after_whatever_a_report_shows_and_the_same_after_nothing(tmp_path, change):
    study = Study(tmp_path, begins(0), epoch(1), ends(1), begins(1))
    for _ in range(4):
        study.step()
    with open_database(study.storage, read_only=False) as database:
        before = database.change_token("s")
        assert database.change_token("s") == before
        database.renew(2)       # a lease is no news
        assert database.change_token("s") == before
        with database.engine.begin() as connection:
            connection.exec_driver_sql(change)
        assert database.change_token("s") != before


def test_the_change_token_counts_on_a_server_as_well(database_url):
    with open_database(database_url, read_only=False) as database:
        database.register("s", Settings(recipe=RECIPE))
        assert database.change_token("s") == []
        for step in (begins(0), epoch(1), epoch(2), ends(1), begins(1)):
            step(database)
        assert [(row["state"], row["runs"], row["scored"], row["epochs"]) for row in database.change_token("s")] == [
            ("complete", 1, 1, 2), ("running", 1, 0, 0)]


def test_the_command_watches_every_so_many_seconds_and_ctrl_c_ends_it_with_130(tmp_path, monkeypatch, capsys):
    from study.report import watch as watching
    from study.report import write as report
    asked = []

    def watched(*arguments):
        asked.append(arguments)
        raise KeyboardInterrupt
    monkeypatch.setattr(watching, "watch", watched)
    monkeypatch.setattr(report, "write_report", lambda *given: given)
    for arguments, every_s in ((["--watch"], 30.0), (["--watch", "5"], 5.0)):
        assert main(["report", "--storage", "a.db", "--study", "s", "--out", "here", *arguments]) == 130
        storage, name, write, seconds = asked.pop()
        assert (storage, name, seconds) == ("a.db", "s", every_s)
        assert write("s")[:3] == ("a.db", "s", Path("here"))
    assert capsys.readouterr().err.count("stopped") == 2
    with pytest.raises(SystemExit):
        main(["report", "--watch", "0"])


def test_lines_come_as_they_are_said(tmp_path):
    study = Study(tmp_path, begins(0))
    watching = subprocess.Popen([sys.executable, "-m", "study", "report", "--watch", "--storage", study.storage], text=True,
                                stdout=subprocess.PIPE, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    late = threading.Timer(60, watching.kill)
    late.start()
    try:
        assert re.match("study 's': no run is finished yet", watching.stdout.readline())
    finally:
        late.cancel()
        watching.terminate()
        watching.wait()
        watching.stdout.close()
