"""Each fault made by hand: it is found, told, mended, and not found again."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from study.database import leases
from study.database.store import Database, open_database
from study.maintenance.doctor import Finding, examine, gaps, missing, ranges
from study.records import Result, Settings
from tasnet_core.checkpoints import checkpoint
from tasnet_core.cost.count import exact
from tasnet_core.records import Epoch, MixtureScore, Scores
from tests.support.tiny import RECIPE, TINY

EPOCHS = [Epoch(number, -2.0 * number, 1.5 * number, 1e-3, 10.0 * number, 0.5) for number in range(1, RECIPE.epochs + 1)]
MIXTURES = tuple(MixtureScore(f"test/{index:03}", "a+b", "FM", 4.0, 0.1, 5.1, 5.0 + index) for index in range(3))
MACHINE = ":".join(leases.me()[:2])


@pytest.fixture
def database(tmp_path):
    with open_database(str(tmp_path / "study.db"), read_only=False) as made:
        made.register("s", Settings(recipe=RECIPE))
        made.settle("s")
        yield made


def path_of(database: Database, trial: int) -> Path:
    return database.checkpoints("s") / f"trial-{trial:04}.pt"


def run(database: Database, trial: int, state: str = "complete", epochs: int = RECIPE.epochs, saved: int | None = None,
        study: str = "s") -> int:
    """A run as it should be, in a state: its rows and its checkpoint."""
    variant = replace(TINY, N=8 + trial)
    number = database.begin_run(study, trial, variant, RECIPE, exact(variant), str(path_of(database, trial)), {})
    for epoch in EPOCHS[:epochs]:
        database.add_epoch(number, epoch)
    if saved is None or saved:
        checkpoint.save(path_of(database, trial), variant, RECIPE, EPOCHS[:saved or epochs], {})
    if state == "complete":
        database.finish(number, Result("complete", cost=exact(variant), mixtures=MIXTURES, seconds=1.0,
                                       scores=Scores(si_snri_db=6.0, mixtures=3, unscored=0)))
    elif state == "running":
        database.release(number)
    else:
        database.finish(number, Result(state, reason="why", cost=exact(variant)))
    return number


def change(database: Database, query: str, *values: object) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(query, values)


def row(database: Database, number: int) -> dict[str, object]:
    return next(one for one in database.runs("s") if one["id"] == number)


def once(database: Database, *trials: tuple[int, str]) -> list[Finding]:
    """The findings, after which there are none."""
    found = examine(database, "s", trials)
    assert examine(database, "s", trials) == []
    return found


def files(database: Database) -> list[str]:
    folder = database.checkpoints("s")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_in_a_sound_study_nothing_is_found_and_nothing_changes(database):
    for trial, state in enumerate(("complete", "running", "stopped", "failed")):
        run(database, trial, state, epochs=RECIPE.epochs if state == "complete" else 2)
    for name in ("trial-0000.before-decay.pt", "trial-0001.within-epoch.pt"):
        shutil.copy(path_of(database, 1), database.checkpoints("s") / name)
    before = (database.runs("s"), database.epochs("s"), database.mixtures("s"), files(database))
    assert examine(database, "s", [(0, "COMPLETE"), (1, "RUNNING"), (2, "PRUNED"), (3, "FAIL"), (4, "WAITING")]) == []
    assert (database.runs("s"), database.epochs("s"), database.mixtures("s"), files(database)) == before


def test_epochs_lost_from_a_curve_come_back_from_the_checkpoint(database):
    number, before = run(database, 0), None
    before = database.epochs("s")
    change(database, "UPDATE runs SET schedule = 'plateau', slope_db_per_doubling = 9")
    change(database, "DELETE FROM epochs WHERE number IN (2, 3, 5)")
    (what, mended), = once(database)
    assert (what, mended) == ("trial 0 (seed 0): epochs 2 to 3, 5 of its curve are lost", "taken from its checkpoint")
    assert row(database, number)["slope_db_per_doubling"] not in (None, 9)      # fitted anew
    assert database.epochs("s") == before
    assert row(database, number)["state"] == "complete"


def test_epochs_that_nobody_has_any_more_are_written_on_the_run(database):
    number = run(database, 0, saved=0)
    change(database, "DELETE FROM epochs WHERE number = 4")
    (what, mended), = once(database)
    assert "epoch 4 of its curve is lost" in what
    assert "written on the run" in mended
    assert row(database, number)["reason"] == "epoch 4 of its curve is lost"
    assert database.results("s")[0]["reason"] == "epoch 4 of its curve is lost"
    change(database, "DELETE FROM epochs WHERE number = 2")        # more of them is a finding again
    assert len(once(database)) == 1


def test_lost_scores_of_mixtures_are_scored_again_from_the_checkpoint(database):
    number = run(database, 0)
    change(database, "DELETE FROM mixtures WHERE mixture = 'test/001'")
    (what, mended), = once(database)
    assert "scores of 2 mixtures are kept, of 3 it was tested on" in what
    assert "scores it again" in mended
    assert row(database, number)["state"] == "running"
    assert row(database, number)["stoppable"] == 0
    assert database.mixtures("s") == []
    assert [one["mixture"] for one in database.query("SELECT * FROM orphans_mixtures")] == ["test/000", "test/002"]
    assert database.take_up("s")["id"] == number        # and its result can be stored
    database.finish(number, Result("complete", cost=exact(TINY), mixtures=MIXTURES, scores=Scores(mixtures=3)))
    assert once(database) == []


def test_where_no_checkpoint_can_be_scored_the_loss_is_written_on_the_run(database):
    number = run(database, 0, saved=2)      # a training that is not at its end
    change(database, "DELETE FROM mixtures WHERE mixture = 'test/001'")
    (_, mended), = once(database)
    assert "written on the run" in mended
    assert row(database, number)["state"] == "complete"
    assert len(database.mixtures("s")) == 2


def hold(database: Database, number: int, owner: str, seconds: float) -> None:
    change(database, "UPDATE runs SET owner = ?, lease_until_s = ? WHERE id = ?", owner, time.time() + seconds, number)


@pytest.mark.parametrize(("owner", "seconds", "why"), [
    (f"{MACHINE}:999999999:1", 100, "is held by a process that is gone"),
    ("elsewhere:0:1:2", -1, "has a lease that ran out"),
    ("elsewhere:0:1:2", 1e6, "until a time that no lease reaches")])
def test_a_run_that_nobody_works_on_is_released_and_the_death_counts(database, owner, seconds, why):
    number = run(database, 0, "running", epochs=2)
    hold(database, number, owner, seconds)
    (what, mended), = once(database)
    assert why in what
    assert owner in what
    assert "released" in mended
    released = row(database, number)
    assert (released["owner"], released["lease_until_s"], released["deaths"]) == (None, None, 1)


def test_what_a_living_process_holds_is_left_alone(database):
    other = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        here, elsewhere = (run(database, trial, "running", epochs=2, saved=0) for trial in (0, 1))
        hold(database, here, f"{MACHINE}:{other.pid}:{leases.started(other.pid)}", 100)
        hold(database, elsewhere, "elsewhere:0:1:2", 100)
        before = database.runs("s"), database.epochs("s")
        assert examine(database, "s", []) == []
        assert (database.runs("s"), database.epochs("s")) == before
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert ["is held by a process that is gone" in what for what, _ in once(database)] == [True, False]     # and no checkpoint


def test_optuna_is_told_what_it_was_never_told(database):
    run(database, 0)
    run(database, 1, "running", epochs=2)
    trials = {0: "RUNNING", 1: "RUNNING", 2: "RUNNING"}       # the third was asked for, and never begun
    found = examine(database, "s", list(trials.items()), tell=lambda number: trials.update({number: "COMPLETE"}))
    assert found == [("trial 0: is complete, but Optuna was never told", "told")]
    assert examine(database, "s", list(trials.items()), tell=lambda number: None) == []


def test_a_trial_of_optunas_whose_run_is_lost_is_marked(database):
    marked = []
    trials = [(7, "COMPLETE"), (8, "PRUNED")]
    found = examine(database, "s", trials, mark_lost=marked.append)
    assert found == [("trial 7: Optuna knows its scores, but its run is not in our tables", "marked there as lost")]
    assert marked == [7]
    assert examine(database, "s", [one for one in trials if one[0] not in marked], mark_lost=marked.append) == []


def test_files_of_no_run_are_moved_aside_and_none_is_lost(database):
    run(database, 0)
    run(database, 1, study="s2")      # another study, whose name leads to the same folder, is no stranger
    folder = database.checkpoints("s")
    for name in ("trial-0009.pt", "trial-0009.before-decay.pt", "notes.txt"):
        (folder / name).write_text(f"new {name}")
    (folder / "orphans").mkdir()
    (folder / "orphans" / "trial-0009.pt").write_text("older")
    found = once(database)
    assert [what for what, _ in found] == [f"{name}: a checkpoint of no run"
                                           for name in ("notes.txt", "trial-0009.before-decay.pt", "trial-0009.pt")]
    assert files(database) == ["orphans/notes.txt", "orphans/trial-0009-1.pt", "orphans/trial-0009.before-decay.pt",
                               "orphans/trial-0009.pt", "trial-0000.pt", "trial-0001.pt"]
    assert (folder / "orphans" / "trial-0009-1.pt").read_text() == "new trial-0009.pt"
    assert (folder / "orphans" / "trial-0009.pt").read_text() == "older"


def test_the_checkpoints_of_a_database_that_was_moved_are_known_by_name(database, tmp_path):
    number = run(database, 0)
    change(database, "UPDATE runs SET checkpoint = ? WHERE id = ?", "/old/place/checkpoints/s/trial-0000.pt", number)
    change(database, "DELETE FROM epochs WHERE number = 1")
    assert [mended for _, mended in once(database)] == ["taken from its checkpoint"]
    assert files(database) == ["trial-0000.pt"]


def test_old_scratch_files_of_dead_processes_are_removed(database):
    folder, old = database.checkpoints("s"), time.time() - 4000
    for name, age in [("a.pt.999999999.tmp", old), (f"b.pt.{os.getpid()}.tmp", old), ("c.pt.999999999.tmp", time.time())]:
        (folder / name).write_text("")
        os.utime(folder / name, (age, age))
    (what, mended), = once(database)
    assert what.startswith("a.pt.999999999.tmp")
    assert mended == "removed"
    assert files(database) == [f"b.pt.{os.getpid()}.tmp", "c.pt.999999999.tmp"]


def test_sounds_are_no_strangers_and_what_a_dead_process_left_among_them_is_removed(database):
    run(database, 0)
    (folder := database.checkpoints("s") / "sounds").mkdir()
    for name in ("mixture-0020.json", "mixture-0020-trial-0000-1.flac", "mixture-0020-1.flac.999999999.tmp"):
        (folder / name).write_text("")
        os.utime(folder / name, (time.time() - 4000,) * 2)
    assert [mended for _, mended in once(database)] == ["removed"]
    assert files(database) == ["sounds/mixture-0020-trial-0000-1.flac", "sounds/mixture-0020.json", "trial-0000.pt"]


@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_a_training_without_its_checkpoint_begins_anew(database, fault):
    number = run(database, 0, "running", epochs=2)
    if fault == "missing":
        path_of(database, 0).unlink()
    else:
        path_of(database, 0).write_bytes(b"damaged")
    found = once(database)
    assert "its checkpoint is not there, though 2 epochs are known" in found[-1].what
    assert "begins anew" in found[-1].mended
    assert (len(found), files(database)) == ((1, []) if fault == "missing" else (2, ["orphans/trial-0000.pt"]))
    assert database.epochs("s") == []
    assert [one["number"] for one in database.query("SELECT * FROM orphans_epochs")] == [1, 2]
    assert row(database, number)["state"] == "running"


def test_a_damaged_checkpoint_is_named(database):
    run(database, 0, "stopped", epochs=2)
    run(database, 1, "running", epochs=2)
    run(database, 2)
    path_of(database, 0).write_bytes(b"damaged")
    path_of(database, 1).with_name("trial-0001.within-epoch.pt").write_bytes(b"damaged")
    path_of(database, 2).write_bytes(b"damaged")        # of a complete run: nobody goes on with it
    found = once(database)
    assert [what.partition(":")[0] for what, _ in found] == ["trial 0 (seed 0)", "trial 1 (seed 0)"]
    assert all("cannot be read" in what and "orphans" in mended for what, mended in found)
    assert files(database) == ["orphans/trial-0000.pt", "orphans/trial-0001.within-epoch.pt", "trial-0001.pt", "trial-0002.pt"]
    assert len(database.epochs("s")) == 2 + 2 + RECIPE.epochs       # the second goes on from its last epoch's end


def test_gaps_and_ranges_by_hand():
    assert gaps([]) == gaps([1, 2, 3]) == []
    assert gaps([2, 5, 5]) == [1, 3, 4]
    assert ranges([]) == ""
    assert ranges([1, 3, 4, 5, 9]) == "1, 3 to 5, 9"


def test_what_another_database_beside_it_owns_is_not_moved_nor_what_says_it_is_another_studys(database, tmp_path):
    run(database, 0)
    path, theirs = path_of(database, 7), path_of(database, 8)
    with open_database(str(tmp_path / "other.db"), read_only=False) as other:
        other.begin_run("s", 7, TINY, RECIPE, exact(TINY), str(path), {})
    path.write_bytes(b"theirs")
    checkpoint.save(theirs, TINY, RECIPE, EPOCHS, {"corpus": "", "study": "another"})
    assert once(database) == []
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\0 and then nothing")     # nobody knows what it owns
    path_of(database, 9).write_bytes(b"nobody's, perhaps")
    assert once(database) == []
    for file in tmp_path.glob("other.db*"):
        file.unlink()
    assert [what.partition(":")[0] for what, _ in once(database)] == [path.name, "trial-0009.pt"]


def test_a_database_is_never_moved_whatever_folder_a_study_of_before_has(database, tmp_path):
    run(database, 0)
    change(database, "UPDATE study_settings SET folder = '..'")
    before = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert "study.db" in before
    examine(database, "s", [])
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == before
    change(database, "UPDATE study_settings SET folder = 's'")
    shutil.copy(tmp_path / "study.db", database.checkpoints("s") / "copy.db")
    assert once(database) == []


def test_checkpoints_of_complete_runs_that_are_not_there_are_named_each_time(database):
    for trial in range(4):
        run(database, trial, "failed" if trial == 2 else "complete")
    assert missing(database, "s") == []
    for trial in (0, 1, 2):
        path_of(database, trial).unlink()
    for _ in range(2):
        assert once(database) == []
        (what, mended), = missing(database, "s")
        assert what == f"{database.checkpoints('s')}: 2 checkpoints of complete runs are not there, of trials 0 to 1"
        assert "put the files back" in mended


def test_a_run_that_a_copy_of_the_database_blocks_is_named_each_time_and_nothing_changes(database):
    """The copy has given the trial another variant, and its worker was first at the file both have."""
    run(database, 0, "running", epochs=2)
    assert missing(database, "s") == []
    own = {"corpus": "", "study": database.identity("s")}
    checkpoint.save(path_of(database, 0), replace(TINY, N=12), RECIPE, EPOCHS[:2], own)
    before = path_of(database, 0).read_bytes()
    for _ in range(2):
        assert once(database) == []
        (what, mended), = missing(database, "s")
        assert "trial 0 (seed 0): its checkpoint was trained with N: 12, not 8, by a copy of this database" in what
        assert "to a folder of its own" in mended
    assert path_of(database, 0).read_bytes() == before
    checkpoint.save(path_of(database, 0), replace(TINY, N=12), RECIPE, EPOCHS[:2], {**own, "study": "another"})
    assert missing(database, "s") == []      # the next worker renames it and trains from its own start


def test_nothing_is_taken_from_a_checkpoint_that_is_another_runs(database):
    run(database, 0)
    change(database, "DELETE FROM epochs WHERE number = 3")
    checkpoint.save(path_of(database, 0), TINY, RECIPE, [replace(one, valid_si_snri_db=9.0) for one in EPOCHS], {})
    (_, mended), = once(database)
    assert "does not have them" in mended
    change(database, "DELETE FROM epochs WHERE number = 2")
    checkpoint.save(path_of(database, 0), TINY, RECIPE, EPOCHS, {"corpus": "", "study": "another"})
    (_, mended), = once(database)
    assert "does not have them" in mended
    change(database, "DELETE FROM epochs WHERE number = 4")
    checkpoint.save(path_of(database, 0), TINY, RECIPE, EPOCHS, {"corpus": "", "study": database.identity("s")})
    (_, mended), = once(database)
    assert mended == "taken from its checkpoint"
