import math
import os
import sqlite3
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, replace

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.analysis import pareto
from study.analysis.replicates import OUTLOOK
from study.database import connection, leases
from study.database.leases import Owner, is_held, me
from study.database.schema import runs
from study.database.store import Database, LeaseLost, open_database, stored_settings
from study.records import Budget, Result, Settings
from tasnet_core.cost.count import exact
from tasnet_core.errors import UserError
from tasnet_core.records import Cost, Epoch, MixtureScore, Scores, Variant
from tests.support.tiny import RECIPE, TINY
from tests.support.variants import variants

EPOCHS = [Epoch(number, -2.0 * number, 1.5 * number, 1e-3, 10.0 * number, 0.5) for number in (1, 2, 3)]
MIXTURES = (MixtureScore("test/000", "a+b", "FM", 4.0, 0.1, 5.1, 5.0),
            MixtureScore("test/001", "a+c", "FF", 5.0, None, None, None, reason="a source is silent"))


@pytest.fixture
def database(tmp_path):
    with open_database(str(tmp_path / "study.db"), read_only=False) as made:
        yield made


def begin(database: Database, trial: int, variant: Variant = TINY, study: str = "s") -> int:
    return database.begin_run(study, trial, variant, RECIPE, exact(variant), f"t{trial}.pt", {"cpu": "a"})


def complete(variant: Variant, score: float | None) -> Result:
    cost = replace(exact(variant), peak_memory_bytes=5_000_000_000, realtime_factor=0.25)
    return Result("complete", cost=cost, mixtures=MIXTURES, seconds=7.0,
                  scores=Scores(si_snr_db=score, si_snri_db=score, mixtures=2, unscored=1))


def test_a_run_that_ends_says_what_twice_the_sound_would_bring_and_one_of_three_epochs_does_not(database):
    short, long = begin(database, 0), begin(database, 1)
    for number in range(1, 5):
        if number < 4:
            database.add_epoch(short, EPOCHS[number - 1])
        database.add_epoch(long, Epoch(number, -1.0, 9.0 - 4.0 * number ** (-1 / 3), 1e-3, 10.0 * number, 0.5))
    assert {row["slope_db_per_doubling"] for row in database.results("s")} == {None}
    database.finish(short, complete(TINY, 5.0))
    database.finish(long, complete(TINY, 5.0))
    without, row = database.results("s")
    assert {without[name] for name in OUTLOOK} == {None}
    assert row["slope_db_per_doubling"] == pytest.approx(4.0 * 4 ** (-1 / 3) * math.log(2) / 3)
    for name in OUTLOOK[1:]:        # the law is met exactly: the interval is a point
        assert row[name] == pytest.approx(5.0 + 4.0 * (4 ** (-1 / 3) - 8 ** (-1 / 3)))


def test_the_view_results_has_the_promised_columns_and_values(database, tmp_path):
    run = begin(database, 0)
    for epoch in EPOCHS:
        database.add_epoch(run, epoch)
    database.finish(run, complete(TINY, 5.0))
    with sqlite3.connect(tmp_path / "study.db") as plain:       # as a user of the shell sees it
        plain.row_factory = sqlite3.Row
        row, = plain.execute("select * from results")
        front, = plain.execute("select * from front")
    plain.close()
    assert row.keys() == ("study trial state reason variant N L B H Sc P X R C norm causal parameters macs_per_s "
                          "receptive_field_s peak_memory_bytes realtime_factor si_snr_db si_snri_db sdri_db stoi pesq "
                          "epochs learning_rate segment_s seed audio_s seconds init slope_db_per_doubling "
                          "si_snri_extrapolated_db si_snri_extrapolated_low_db si_snri_extrapolated_high_db "
                          "encoder mask last_residual sample_rate_hz input_norm dropout extra_dilation padding_mode "
                          "encoder_padding batch_size").split()
    assert front.keys() == row.keys()
    cost = exact(TINY)
    assert (row["variant"], row["parameters"], row["macs_per_s"]) == (TINY.key, cost.parameters, cost.macs_per_s)
    assert (row["state"], row["si_snri_db"], row["audio_s"], row["seconds"]) == ("complete", 5.0, 30.0, 7.0)
    assert row["peak_memory_bytes"] == 5_000_000_000        # needs more than 32 bits
    assert row["pesq"] is None


@given(variants)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_variant_survives_the_database(database, variant):
    begin(database, 0, variant, study=variant.key)
    with database.engine.connect() as connection:
        row = connection.execute(sqlalchemy.text("select * from variants where key = :key"), {"key": variant.key})
        values = dict(row.mappings().one())
    assert Variant(**{name: type(value)(values[name]) for name, value in asdict(variant).items()}) == variant


def test_epochs_and_mixtures_come_back_with_their_trial(database):
    run = begin(database, 4)
    for epoch in [*EPOCHS, *EPOCHS]:        # told again after a restart
        database.add_epoch(run, epoch)
    database.finish(run, complete(TINY, 5.0))
    assert [(row["trial"], row["number"], row["valid_si_snri_db"]) for row in database.epochs("s")] == [
        (4, 1, 1.5), (4, 2, 3.0), (4, 3, 4.5)]
    assert [(row["mixture"], row["sexes"], row["si_snri_db"], row["reason"]) for row in database.mixtures("s")] == [
        ("test/000", "FM", 5.0, ""), ("test/001", "FF", None, "a source is silent")]


def test_a_result_is_stored_whole_or_not_at_all(database):
    run = begin(database, 0)
    twice = replace(complete(TINY, 5.0), mixtures=MIXTURES + MIXTURES[:1])      # breaks the primary key, at the end
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        database.finish(run, twice)
    assert database.results("s")[0]["state"] == "running"
    assert database.mixtures("s") == []


points = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=12)


@given(points)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_view_front_is_the_front_of_pareto(database, points):
    study = f"s{time.time_ns()}"
    for trial, (score, parameters, macs) in enumerate(points):
        cost = Cost(parameters, macs, 0.1)
        variant = Variant(N=parameters, H=macs)     # so that the key tells the costs apart
        run = database.begin_run(study, trial, variant, RECIPE, cost, "", {})
        database.finish(run, replace(complete(variant, float(score)), cost=cost))
    expected = pareto.front([(-score, parameters, macs) for score, parameters, macs in points])
    kept = {row["trial"] for row in database.front(study)}
    assert [trial in kept for trial in range(len(points))] == list(expected)


def test_only_complete_runs_of_the_same_study_are_compared(database):
    for trial, (study, state) in enumerate([("s", "complete"), ("other", "complete"), ("s", "failed"), ("s", "rejected")]):
        run = begin(database, trial, Variant(N=8 - trial), study)
        database.finish(run, replace(complete(Variant(N=8 - trial), 5.0), state=state, reason="why", kind="diverged"))
    assert [row["trial"] for row in database.front("s")] == [0]
    with database.engine.connect() as connection:
        failures = connection.execute(sqlalchemy.text("select * from failures")).mappings().all()
    assert [(row["trial"], row["kind"], row["reason"]) for row in failures] == [(2, "diverged", "why")]


def test_settings_come_back_and_others_are_refused_with_their_differences(database):
    mine = Settings(corpus="voices", recipe=RECIPE, budget=Budget(max_parameters=1000))
    database.register("s", mine, ("a note",))
    database.register("s", mine)
    assert (database.settings("s"), database.notes("s"), database.studies()) == (mine, ["a note"], ["s"])
    with pytest.raises(UserError, match=r"this version reads or splits them otherwise \(fingerprint new, not \)"):
        database.register("s", mine, fingerprint="new")
    other = replace(mine, corpus="folder:x", recipe=replace(RECIPE, epochs=9), budget=Budget())
    with pytest.raises(UserError, match=r"corpus: folder:x, not voices; epochs: 9, not 5; max_parameters: None, not 1000"):
        database.register("s", other)
    assert database.settings("s") == mine


def test_the_newest_study_is_meant_when_none_is_named(database):
    with pytest.raises(UserError, match="holds no study yet"):
        database.choose(None)
    for name in ("first", "second"):
        database.register(name, Settings())
    assert database.choose(None) == "second"
    assert database.choose("first") == "first"
    with pytest.raises(UserError, match="'third': not in this database, which holds first, second"):
        database.choose("third")


def test_a_study_that_was_derived_is_not_derived_from_unless_it_is_named(database):
    """Or the same command typed again, to go on, would do something else."""
    for name, grown_from in {"mine": "", "a-scratch": "", "a-scratch-x2": "a-scratch", "a-scratch-x4": "a-scratch-x2",
                             "a-scratch-scratch": ""}.items():
        database.register(name, Settings(grown_from=grown_from))
    assert database.choose(None, to_derive=True) == "a-scratch"
    assert database.choose("a-scratch-x2", to_derive=True) == "a-scratch-x2"
    assert database.choose(None) == "a-scratch-scratch"


def test_a_database_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "text.db").write_text("this is no database, whatever its name says " * 50)
    (tmp_path / "file").write_text("")
    for storage, words in [(tmp_path / "none.db", "no such study database"), (tmp_path / "text.db", "cannot be opened"),
                           ("nonsense://x", "cannot be opened"), ("://", "not a database URL")]:
        with pytest.raises(UserError, match=words) as error:
            open_database(str(storage))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="cannot be opened"):
        open_database(str(tmp_path / "file" / "study.db"), read_only=False)
    assert sorted(os.listdir(tmp_path)) == ["file", "text.db"]      # nothing was made


def test_settings_of_a_study_in_no_database_are_none_and_make_none(tmp_path):
    assert stored_settings(str(tmp_path / "none.db"), "s") is None
    assert not os.listdir(tmp_path)


def test_reading_changes_nothing_and_works_while_another_writes(database, tmp_path):
    begin(database, 0)
    with open_database(str(tmp_path / "study.db")) as reader:
        assert len(reader.results("s")) == 1
        begin(database, 1)
        assert len(reader.results("s")) == 2
        with pytest.raises(sqlalchemy.exc.OperationalError, match="readonly"):
            begin(reader, 2)


def test_a_run_is_held_while_its_owner_lives_and_renews(database):
    run, now = begin(database, 0), time.time()
    row, = database.runs("s")

    def owned(process, started):
        return {**row, "owner": str(me()._replace(process=process, started=started))}
    assert row["owner"] == str(me())
    assert not is_held(row, now)                                            # mine
    parent, its_start = os.getppid(), leases.started(os.getppid())
    for clock in (now, now + 1e6, now - 1e6):
        assert is_held(owned(parent, its_start), clock)                     # alive, on this machine: whatever the time
        assert not is_held(owned(999999999, "1"), clock)                    # dead
        assert not is_held(owned(parent, "1"), clock)                       # dead, and its number given out again
    elsewhere = {**row, "owner": "elsewhere:0:1:1"}
    assert is_held(elsewhere, now)
    assert not is_held(elsewhere, row["lease_until_s"] + 1)
    assert not is_held(elsewhere, now - 3600)                               # the clock was set back: no lease lasts so long
    database.finish(run, complete(TINY, 1.0))
    assert not is_held(database.runs("s")[0], now)


@pytest.mark.parametrize(("text", "owner"), [
    ("box:12ab:1234:99", Owner("box", "12ab", 1234, "99")), ("box:1234", Owner("box", "", 1234, "")),
    ("box:12ab:pid:99", None), ("elsewhere", None), ("a:b:c", None), ("", None)])
def test_an_owner_is_read_from_what_is_written(text, owner):
    assert Owner.parse(text) == owner
    assert owner is None or Owner.parse(str(me())) == me()


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    while leases.started(child.pid):
        time.sleep(0.01)        # it has ended, and nobody has asked how
    assert child.wait() == 0


def test_every_score_is_kept_in_its_mixture_and_its_run(database):
    run = begin(database, 0)
    tested = MixtureScore("test/000", "a+b", "FM", 4.0, 0.1, 5.1, 5.0, 6.5, 6.25, 0.75, None, "PESQ: source 1: too short")
    scores = Scores(5.1, 5.0, 6.25, 0.75, None, 1, 0, 6.5, 0, 0, 1)
    database.finish(run, replace(complete(TINY, 5.0), scores=scores, mixtures=(tested,)))
    mixture, = database.mixtures("s")
    assert {**asdict(tested), **{name: mixture[name] for name in ("run", "trial", "seed")}} == mixture
    row, = database.results("s")
    assert (row["sdri_db"], row["stoi"], row["pesq"]) == (6.25, 0.75, None)
    assert (row["sdr_db"], row["sdr_unscored"], row["stoi_unscored"], row["pesq_unscored"]) == (6.5, 0, 0, 1)
    stored, = database.runs("s")
    assert Scores(**{name: stored[name] for name in asdict(scores)}) == scores


def test_a_study_begun_before_there_was_a_choice_measures_si_snr_alone(database):
    database.register("s", Settings())
    with database.engine.begin() as connection:
        connection.exec_driver_sql("update study_settings set settings = json_remove(settings, '$.metrics')")
    assert database.settings("s").metrics == ("si_snr",)


def test_only_whoever_holds_a_run_may_write_to_it(database):
    run = begin(database, 0)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("update runs set owner = 'elsewhere:0:1:1'")
    for write in (lambda: database.renew(run), lambda: database.add_epoch(run, EPOCHS[0]),
                  lambda: database.finish(run, complete(TINY, 1.0)), lambda: database.set_cost(run, exact(TINY))):
        with pytest.raises(LeaseLost):
            write()
    database.release(run)
    row, = database.runs("s")
    assert (row["state"], row["owner"], database.epochs("s"), database.mixtures("s")) == ("running", "elsewhere:0:1:1", [], [])


def test_what_a_dead_process_left_is_taken_up_once_and_its_deaths_are_counted_until_the_next_epoch(database):
    run = begin(database, 0)
    assert database.take_up("s")["deaths"] == 0         # its own, given up and taken again: nobody died
    for deaths in (1, 2, 3):
        with database.engine.begin() as connection:
            connection.exec_driver_sql("update runs set owner = 'elsewhere:0:1:1', lease_until_s = 1")
        taken = database.take_up("s")
        assert (taken["id"], taken["deaths"]) == (run, deaths)
        assert database.runs("s")[0]["owner"] == str(me())
    database.add_epoch(run, EPOCHS[0])
    assert database.runs("s")[0]["deaths"] == 0
    database.release(run)
    assert database.take_up("s")["deaths"] == 0         # given back, not left
    database.finish(run, complete(TINY, 1.0))
    assert database.take_up("s") is None


def test_a_result_told_twice_is_kept_once(database):
    run = begin(database, 0)
    database.finish(run, complete(TINY, 5.0))
    database.finish(run, complete(TINY, 6.0))           # as after a commit whose answer was lost
    assert database.results("s")[0]["si_snri_db"] == 5.0
    assert len(database.mixtures("s")) == len(MIXTURES)


def test_a_locked_database_is_waited_for_and_says_so(tmp_path, database, monkeypatch):
    monkeypatch.setattr(connection, "BUSY_S", 0.05)
    run, said = begin(database, 0), []
    with open_database(str(tmp_path / "study.db"), read_only=False) as waiting:
        other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
        other.execute("begin immediate")

        def wait(reason):
            said.append(reason)
            if len(said) == 3:
                other.rollback()
        with pytest.raises(sqlalchemy.exc.OperationalError, match="locked"):
            waiting.renew(run)
        waiting.retrying(wait).add_epoch(run, EPOCHS[0])
        other.close()
    assert said == ["the database is locked"] * 3
    assert [epoch["number"] for epoch in database.epochs("s")] == [1]


def test_only_one_process_hands_out_work_at_a_time(tmp_path, database):
    probe = ("import sys, time\nfrom study.database.store import open_database\n"
             f"with open_database({str(tmp_path / 'study.db')!r}, read_only=False) as database, database.lock('s'):\n"
             "    print('mine', flush=True)\n    time.sleep(60)")
    with database.lock("s"):
        other = subprocess.Popen([sys.executable, "-c", probe], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(2)
    assert other.stdout.readline() == "mine\n"
    other.kill()                # its lock is free when it is dead
    other.wait()
    other.stdout.close()
    with database.lock("s"):
        pass


def test_replicates_wait_unowned_with_the_recipe_and_cost_of_their_trial(database):
    database.finish(begin(database, 4), complete(TINY, 5.0))
    for _ in range(2):          # asked twice, queued once
        database.queue_replicates("s", [4], 3)
    rows = database.runs("s")
    assert [(row["seed"], row["state"], row["owner"]) for row in rows] == [
        (0, "complete", None), (1, "running", None), (2, "running", None)]
    for row in rows[1:]:
        assert {**row, **{name: rows[0][name] for name in ("id", "seed", "state", "checkpoint", *asdict(Scores()))}} == {
            **rows[0], "stoppable": row["stoppable"], "seconds": None, "audio_s": 0.0, "environment": None}
        assert row["checkpoint"] == f"trial-0004-seed-{row['seed']}.pt"
        assert not row["stoppable"]
    assert database.counts("s", 0) == {"complete": 1}
    assert database.take_up("s")["seed"] == 1


def steps(database, work):
    """How much SQLite has to do for it: instructions of its machine."""
    taken = []
    with database.snapshot():
        connection = database.snapshot_connection.connection.driver_connection
        connection.set_progress_handler(lambda: taken.append(1), 1)
        work()
        connection.set_progress_handler(None, 0)
    return len(taken)


def test_that_a_variant_is_new_takes_no_more_steps_to_find_out_among_many_runs_than_among_few(database):
    begin(database, 0)
    fresh, (row,) = replace(TINY, H=4), database.runs("s")
    few = steps(database, lambda: database.first_run("s", fresh, RECIPE))
    with database.engine.begin() as connection:
        connection.execute(runs.insert(), [{**row, "id": 1000 + number, "trial": 2 + number} for number in range(300)])
    assert steps(database, lambda: database.first_run("s", fresh, RECIPE)) < 2 * few


def test_the_password_of_a_database_is_never_shown(capsys):
    url = "postgresql+psycopg://me:very-secret@127.0.0.1:1/none"
    pytest.importorskip("psycopg")
    with pytest.raises(UserError, match="cannot be opened") as refused:
        open_database(url)
    assert "very-secret" not in "".join(traceback.format_exception(refused.value))
    with pytest.raises(UserError, match="not a database URL") as refused:
        open_database("postgre sql:/x://me:very-secret@127.0.0.1")
    assert "very-secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "study.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)
    for read_only in (True, False):
        with pytest.raises(UserError, match=r"study\.db: the database is damaged .* python -m study doctor --storage"):
            open_database(str(tmp_path / "study.db"), read_only=read_only)
