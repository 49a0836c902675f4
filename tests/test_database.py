import os
import sqlite3
import time
from dataclasses import asdict, replace

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_model import variants
from tiny import RECIPE, TINY

from study import pareto
from study.database import Database, is_held, me, open_database, stored_settings
from study.records import Budget, Result, Settings
from tasnet_core.cost import exact
from tasnet_core.errors import UserError
from tasnet_core.records import Cost, Epoch, MixtureScore, Scores, Variant

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
                          "epochs learning_rate segment_s seed audio_s seconds").split()
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
    with pytest.raises(UserError, match=r"holds other recordings now .*\(fingerprint new, not \)"):
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
    run = begin(database, 0)
    row, = database.runs("s")
    assert row["owner"] == me()
    assert not is_held(row)                                                     # mine
    assert is_held({**row, "owner": "elsewhere:1"})
    assert is_held({**row, "owner": me().rpartition(":")[0] + f":{os.getppid()}"})      # alive, on this machine
    assert not is_held({**row, "owner": me().rpartition(":")[0] + ":999999999"})        # dead
    assert not is_held({**row, "owner": "elsewhere:1", "lease_until_s": time.time() - 1})
    database.finish(run, complete(TINY, 1.0))
    assert not is_held(database.runs("s")[0])


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


def test_a_database_of_an_earlier_version_gets_the_columns_it_lacks_and_keeps_its_rows(database, tmp_path):
    database.finish(begin(database, 0), complete(TINY, 5.0))
    lacking = {"runs": ("sdr_db", "pesq_unscored"), "mixtures": ("sdr_db", "stoi"), "variants": ("last_residual",)}
    with database.engine.begin() as connection:
        for table, names in lacking.items():
            for name in names:
                connection.exec_driver_sql(f"alter table {table} drop column {name}")
    with open_database(str(tmp_path / "study.db")) as reader:       # a report asks for no change
        assert reader.results("s")[0]["si_snri_db"] == 5.0
        assert reader.results("s")[0]["sdr_db"] is None
    with open_database(str(tmp_path / "study.db"), read_only=False) as again:
        again.finish(begin(again, 1, Variant()), complete(Variant(), 6.0))
        assert [row["si_snri_db"] for row in again.results("s")] == [5.0, 6.0]
        assert [row["last_residual"] for row in again._rows("select last_residual from variants")] == [0, 0]


def test_a_study_begun_before_there_was_a_choice_measures_si_snr_alone(database):
    database.register("s", Settings())
    with database.engine.begin() as connection:
        connection.exec_driver_sql("update study_settings set settings = json_remove(settings, '$.metrics')")
    assert database.settings("s").metrics == ("si_snr",)
