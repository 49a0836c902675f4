"""The search with a made-up evaluation: what is proposed, trained, stopped and told."""

from collections import Counter
from dataclasses import replace

import optuna
import pytest
import sqlalchemy as sa

from study.analysis.pareto import Curve, hopeless
from study.analysis.predicted_front import AT_LEAST
from study.database.store import open_database
from study.records import Budget, Result, Selection, StopRule
from study.search import optuna_study, run_executor
from study.search.events import MixtureScored
from study.space.space import VariantList
from tasnet_core.cost import count
from tests.support import made_up_search, tiny_study
from tests.support.made_up_search import SETTINGS, Death, Messages, dies, opened, table, told
from tests.support.tiny import RECIPE, TINY


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
    assert [(row["trial"], [row["valid_si_snri_db"], row["parameters"], row["macs_per_s"]]) for row in rows] == [
        (number, values) for number, state, _, values in told(tmp_path)]
    with open_database(str(tmp_path / "study.db")) as database:     # and two tools can share the file
        names = {row["name"] for row in database.query("select name from sqlite_master where type = 'table'")}
    assert {"runs", "variants", "epochs", "mixtures", "environments", "trials", "studies"} <= names


def test_no_variant_is_trained_twice_with_the_same_seed(tmp_path, trained):
    with opened(tmp_path) as work:
        work.run(25)            # of 32 in the space: TPE alone meets many again
    assert len(set(trained)) == len(trained) == 25
    assert len(told(tmp_path)) == 25       # and none was proposed twice
    assert all(state == "COMPLETE" for _, state, _, _ in told(tmp_path))


@pytest.mark.parametrize("limit", [None, 250])
def test_when_a_space_is_used_up_the_run_ends_with_all_of_it_measured(tmp_path, trained, limit):
    with opened(tmp_path, replace(SETTINGS, budget=Budget(max_parameters=limit))) as work:
        work.run(40)
        work.run(40)
    fitting = [variant for variant in tiny_study.SPACE.variants() if limit is None or count.exact(variant).parameters <= limit]
    assert set(trained) == {*fitting, tiny_study.SPACE.reference}
    assert len(trained) == len(set(trained))


LIST = tuple(replace(TINY, H=H, N=N) for H, N in ((8, 8), (2, 8), (8, 4), (4, 8)))


@pytest.fixture
def listed(trained):
    tiny_study.SPACES["list"] = VariantList.of("list", LIST, RECIPE)
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


def untrained(work):
    """A point of the space without a run."""
    known = {run["variant"] for run in work.database.runs("s")}
    points = map(work.plan.space.point, range(len(work.plan.space)))
    return next(point for point in points if work.plan.space.variant_of(point).key not in known)


def test_no_trial_is_begun_when_the_front_is_known_as_well_as_was_asked_for(tmp_path, trained):
    said = Messages()
    with opened(tmp_path, on_event=said, until_db=50.0) as work:
        work.run(12)
    assert len(trained) == AT_LEAST        # before that nothing is known
    assert any("the front is known to ±" in text for text in said)
    with opened(tmp_path, until_db=0.001) as work:
        work.run(9)
    assert len(trained) == 9
    with opened(tmp_path, until_db=50.0) as work:
        work.scheduler.study.enqueue_trial(untrained(work))       # what is queued is trained all the same
        work.run(12)
    assert len(trained) == 10


def test_over_budget_is_rejected_before_training_and_does_not_count(tmp_path, trained):
    limit = 250     # which the sampler of the model keeps to by itself
    settings = replace(SETTINGS, sampler="tpe", budget=Budget(max_parameters=limit))
    with opened(tmp_path, settings) as work:
        work.run(5)
    rows = table(tmp_path)[0]
    assert all(count.exact(variant).parameters <= limit for variant in trained[1:])
    assert trained[0] == tiny_study.SPACE.reference         # the yardstick is exempt
    rejected = [row for row in rows if row["state"] == "rejected"]
    assert rejected
    assert all(row["parameters"] > limit and "budget 250" in row["reason"] for row in rejected)
    assert sum(row["state"] == "complete" for row in rows) == 5
    assert {state for number, state, _, _ in told(tmp_path)} == {"COMPLETE", "PRUNED"}


RULE = StopRule(margin_db=0.4, warm_up=0.2, patience=0.4)      # of 5 epochs: 1 and 2


def judged(work):
    """For each run in the order of trials: its curve, and whether the rule says it is hopeless at each epoch."""
    rows, finished = work.database.results("s"), []
    curves = {row["trial"]: work.database.curve(run["id"]) for row, run in zip(rows, work.database.runs("s"), strict=True)}
    for row in rows:
        costs, curve = (row["parameters"], row["macs_per_s"]), curves[row["trial"]]
        yield row, [hopeless(Curve(costs, curve[:n]), finished, RULE.margin_db, 1, 2)
                    for n in range(1, len(curve) + 1)]
        if row["state"] == "complete":
            finished.append(Curve(costs, curve))


def test_a_run_is_stopped_where_the_rule_says_so_and_nowhere_else(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(made_up_search, "LUCK", 1 / 20)
    with opened(tmp_path, replace(SETTINGS, stop=RULE)) as work:
        work.run(20)
        states = Counter(row["state"] for row in work.database.results("s"))
        for row, verdicts in judged(work):
            if row["state"] == "stopped":
                assert verdicts[-1]
                assert not any(verdicts[:-1])
                assert f"after epoch {len(verdicts)}: trial " in row["reason"]
            else:
                assert not any(verdicts[:-1]) or row["trial"] == 0      # the last epoch stops nobody
        assert states["stopped"] >= 3
        assert states["complete"] >= 3
    assert {state for _, state, _, _ in told(tmp_path)} == {"COMPLETE", "PRUNED"}


def test_a_stopped_trial_is_trained_to_its_end_when_it_is_told_to_go_on(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(made_up_search, "LUCK", 1 / 20)
    with opened(tmp_path, replace(SETTINGS, stop=RULE)) as work:
        work.run(20)
        stopped = [row["trial"] for row in work.database.results("s") if row["state"] == "stopped"]
        work.database.reopen("s", stopped[0])
        work.run(0)
        row = work.database.run_of("s", stopped[0], 0)
        assert (row["state"], row["reason"], len(work.database.curve(row["id"]))) == ("complete", "", 5)
        assert work.database.run_of("s", stopped[1], 0)["state"] == "stopped"
        assert work.trained() == 20
        last = work.scheduler.study.get_trials()[-1]      # Optuna hears of it as of a trial of its own
        assert (last.state.name, last.values[0]) == ("COMPLETE", row["valid_si_snri_db"])
        assert last.user_attrs == {"repeats_trial": stopped[0]}
        assert last.params == work.scheduler.study.trials[stopped[0]].params


def test_variants_put_in_by_hand_are_next_whether_the_space_has_them_or_not(tmp_path, trained):
    within, beyond = replace(TINY, N=4, H=2), replace(TINY, norm="frame", N=5, B=16)
    with opened(tmp_path) as work:
        for variant in (within, beyond):
            optuna_study.enqueue(work.scheduler.study, tiny_study.SPACE, SETTINGS, variant)
        work.run(19)
    assert trained[:3] == [TINY, within, beyond]
    trials = told(tmp_path)
    assert [state for _, state, _, _ in trials[:19]] == ["COMPLETE"] * 19
    assert trials[1][2] == tiny_study.SPACE.parameters_of(within)
    assert trials[2][2] == {}       # the sampler cannot propose it; it goes on learning from the others
    assert all(params for _, _, params, _ in trials[3:])


def test_tuned_fields_are_searched_on_the_same_sound_and_one_variant_may_be_trained_by_several_recipes(tmp_path, trained):
    settings = replace(SETTINGS, tune=("learning_rate", "batch_size"), sampler="random")
    with opened(tmp_path, settings) as work:
        work.run(60)
        runs = work.database.runs("s")
    assert len({(run["variant"], run["learning_rate"], run["batch_size"]) for run in runs}) == 60
    assert len({run["variant"] for run in runs}) < 33       # the space has 32
    assert {run["epochs"] * run["epoch_segments"] * run["segment_s"] for run in runs} == {RECIPE.audio_s}
    assert (runs[0]["learning_rate"], runs[0]["batch_size"]) == (RECIPE.learning_rate, RECIPE.batch_size)


def test_optuna_weighs_the_objectives_that_were_asked_for(tmp_path, trained):
    with opened(tmp_path, replace(SETTINGS, objectives=("si_snri_db", "receptive_field_s"))) as work:
        work.run(3)
        rows = work.database.results("s")
        assert [direction.name for direction in work.scheduler.study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [values for _, _, _, values in told(tmp_path)] == [[row["valid_si_snri_db"], row["receptive_field_s"]] for row in rows]


def test_a_variant_in_training_elsewhere_is_not_trained_here_and_told_when_it_has_finished(tmp_path, trained):
    variant = replace(TINY, H=4)
    with opened(tmp_path) as work:
        work.run(1)
        other = work.database.begin_run("s", 77, variant, RECIPE, count.exact(variant), "", {})
        owner = work.database.run_of("s", 77, 0)["owner"]
        with work.database.engine.begin() as connection:
            connection.exec_driver_sql("update runs set owner = 'elsewhere:0:1:1' where id = ?", (other,))
        optuna_study.enqueue(work.scheduler.study, tiny_study.SPACE, SETTINGS, variant)
        work.run(3)         # 0, 77, and one more
        assert trained.count(variant) == 0
        assert told(tmp_path)[1][1] == "RUNNING"
        with work.database.engine.begin() as connection:
            connection.exec_driver_sql("update runs set owner = ? where id = ?", (owner, other))
        work.database.finish(other, Result("complete", cost=count.exact(variant), selection=Selection(3.25)))
        work.run(4)
    assert told(tmp_path)[1][1] == "COMPLETE"
    assert told(tmp_path)[1][3][0] == 3.25
    assert trained.count(variant) == 0


def test_replicates_are_trained_to_their_end_and_neither_counted_nor_told(tmp_path, trained):
    with opened(tmp_path, replace(SETTINGS, stop=RULE)) as work:
        work.run(6)
        before = told(tmp_path)
        work.database.queue_replicates("s", [0, 3], 3)
        work.run(6)
        rows = work.database.runs("s")
        assert sorted((row["trial"], row["seed"]) for row in rows if row["seed"]) == [(0, 1), (0, 2), (3, 1), (3, 2)]
        assert {row["state"] for row in rows if row["seed"]} == {"complete"}
        assert len({str(work.executor.checkpoint_of(row)) for row in rows}) == len(rows)
        assert work.trained() == 6
    assert told(tmp_path) == before


def test_work_is_handed_out_with_as_many_questions_beside_many_trainings_as_beside_few(tmp_path, trained):
    with opened(tmp_path, replace(SETTINGS, sampler="grid")) as work:
        work.run(1)
        asked, counts, at_work = [], [], []
        sa.event.listen(work.database.engine, "before_cursor_execute", lambda *facts: asked.append(facts[2]))
        for _ in range(10):
            asked.clear()
            at_work.append(work.scheduler.next_run(100, {}, at_work)["id"])
            counts.append(len(asked))
    assert counts[1] == counts[-1]      # the grid comes to the reference, a repeat, in between


@pytest.mark.parametrize("fixed", [{"N": 3}, {"N": 16}, {"N": 4.5}, {"N": "4"}, {"N": 4, "B": 2}, {"X": 10**6, "H": 4}])
def test_a_trial_that_was_queued_outside_of_the_space_is_refused_and_the_study_goes_on(tmp_path, trained, fixed):
    said = made_up_search.Messages()
    with opened(tmp_path, on_event=said) as work:
        work.scheduler.study.enqueue_trial(fixed)
        work.scheduler.study.enqueue_trial({"N": 4})      # the sampler completes it
        work.scheduler.study.enqueue_trial({"N": 6.0, "H": 8, "X": 2})
        assert optuna_study.waiting(work.scheduler.study, work.scheduler.space) == {TINY, replace(TINY, N=6)}
        work.run(3)
        assert [(row["trial"], row["state"]) for row in work.database.runs("s")] == [(n, "complete") for n in (0, 2, 3)]
        assert (trained[1].N, trained[2]) == (4, replace(TINY, N=6))
    name = next(name for name in fixed if fixed[name] != 4 or not isinstance(fixed[name], int) or name == "B")
    assert [line.partition("; python")[0] for line in said] == [
        f"trial 1: refused, it was queued with {name} = {fixed[name]!r}, but only " + {
            "N": "2, 4, 6, 8 can be chosen", "X": "1, 2 can be chosen", "B": "'N', 'H', 'X' can be"}[name]]
    assert [state for _, state, *_ in told(tmp_path)] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_of_mixtures_scored_the_last_is_shown_and_few_of_the_others(tmp_path, trained, monkeypatch):
    """Each wakes the process that shows them: a tenth of the time in which small networks are scored."""
    shown = []
    monkeypatch.setattr(run_executor, "SHOWN_S", 3600.0)
    with opened(tmp_path, on_event=lambda event: shown.append(event) if isinstance(event, MixtureScored) else None) as work:
        work.run(1)
        on_event = work.executor.hooks(work.database.runs("s")[0]).on_event
        for done in range(1, 121):
            on_event(MixtureScored(0, 0, done, 120))
    assert [event.done for event in shown] == [1, 120]
