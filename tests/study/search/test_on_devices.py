"""Costs on a device as objectives and limits of a search: measured, or predicted from what was measured."""

import json
import math
from dataclasses import replace

import numpy as np
import optuna
import pytest

from study.analysis.on_devices import budget_on_devices
from study.database.device_costs import add_device_costs, budget_of
from study.database.store import open_database
from study.records import Budget, DeviceCost, Settings, StopRule
from study.report.write import write_report
from study.space.points import points
from tasnet_core.cost import count
from tasnet_core.errors import UserError
from tasnet_core.records import Variant
from tests.support import made_up_search, tiny_study
from tests.support.made_up_search import SETTINGS, opened

AXIS = "realtime_factor@Pi-5"
WEIGHED = replace(SETTINGS, objectives=("si_snri_db", AXIS))


def law(variant):
    """The real-time factor of a made-up device."""
    return 1e-6 * count.exact(variant).macs_per_s ** 0.8


def measured(variant, device="Pi-5", factor=1.0):
    return DeviceCost(device, variant.key, 1.8e9, 1, 4.0, factor * law(variant), 0.0, 15, memory_bytes=50_000_000)


def storage_of(folder):
    return str(folder / "study.db")


@pytest.fixture
def known(tmp_path, trained):
    """A folder with a study of eight variants that a device has measured, one of them 3 times as slow as the law."""
    learned(tmp_path, trained)
    trained.clear()
    return tmp_path


def learned(folder, trained, storage=None):
    with opened(folder, name="first", storage=storage) as work:
        work.run(8)
        add_device_costs(work.database, "first", [measured(variant) for variant in trained[:7]])
        add_device_costs(work.database, "first", [measured(trained[7], factor=1.5)])


def values(folder, storage=None):
    study = optuna.load_study(study_name="s", storage=storage or f"sqlite:///{folder / 'study.db'}")
    return {trial.number: trial.values for trial in study.get_trials() if trial.state.name == "COMPLETE"}


def test_optuna_weighs_what_the_device_measured_or_else_what_is_predicted(known, trained):
    with opened(known, WEIGHED) as work:
        work.run(12)
        budget = budget_of(work.database, WEIGHED)
        told = values(known)
        directions = [way.name for way in work.scheduler.study.directions]
        by_key = {row["variant"] for row in work.database.device_costs()}
    assert directions == ["MAXIMIZE", "MINIMIZE"]
    assert len(told) == 12
    for trial, (_, cost) in told.items():
        variant = trained[trial]
        assert cost == budget.on(variant)[AXIS].value
        assert (budget.on(variant)[AXIS].error is None) == (variant.key in by_key)
    predicted = [variant for variant in tiny_study.SPACE.variants() if variant.key not in by_key]
    for variant in predicted:
        assert budget.on(variant)[AXIS].value == pytest.approx(law(variant), rel=0.4)


@pytest.mark.parametrize("sampler", ["tpe", "model", "gp"])
def test_a_variant_predicted_over_the_limit_is_rejected_before_training(known, trained, sampler):
    limit = 1.05 * law(tiny_study.SPACE.variant_of(tiny_study.SPACE.spread(0.5, np.random.default_rng(0), "macs_per_s")))
    settings = replace(SETTINGS, sampler=sampler, budget=Budget(on_devices={AXIS: limit}))
    with opened(known, settings) as work:
        work.run(9)
        budget = budget_of(work.database, settings)
        rows = work.database.results("s")
    assert trained[0] == tiny_study.SPACE.reference
    assert all(budget.on(variant)[AXIS].value <= limit for variant in trained[1:])
    rejected = [row for row in rows if row["state"] == "rejected"]
    for row in rejected:
        found = budget.on(Variant.of(row))[AXIS]
        assert found.value > limit
        assert row["reason"] == f"{AXIS} {found}, budget {limit:.3g}"
    assert sampler != "tpe" or any("(predicted within" in row["reason"] for row in rejected)


def test_the_pool_of_a_model_has_the_same_costs_as_each_variant(known):
    with open_database(storage_of(known)) as database:
        budget = budget_of(database, WEIGHED)
    pool = points(tiny_study.SPACE, np.arange(len(tiny_study.SPACE)))
    one_by_one = [budget.on(tiny_study.SPACE.variant_of(tiny_study.SPACE.point(k)))[AXIS].value for k in range(len(pool))]
    assert budget.column(AXIS, pool) == pytest.approx(one_by_one, rel=1e-12)
    limit = float(np.median(one_by_one))
    kept = pool.within(replace(budget, on_devices={AXIS: limit}))
    assert kept.indices.tolist() == [k for k, cost in enumerate(one_by_one) if cost <= limit]


def test_a_rival_that_costs_more_on_the_device_stops_nobody(known, trained, monkeypatch):
    monkeypatch.setattr(made_up_search, "LUCK", 1 / 20)
    rule = StopRule(margin_db=0.4, warm_up=0.2, patience=0.4)
    settings = replace(WEIGHED, stop=rule)
    with opened(known, settings) as work:
        work.run(20)
        budget = budget_of(work.database, settings)
        rows = {row["trial"]: row for row in work.database.results("s")}
        stopped = [row for row in rows.values() if row["state"] == "stopped"]
    assert stopped
    for row in stopped:
        rival = rows[int(row["reason"].partition("trial ")[2].partition(",")[0])]
        assert budget.on(Variant.of(rival))[AXIS].value <= budget.on(Variant.of(row))[AXIS].value


def test_the_report_has_the_axis_by_all_that_the_device_has_measured(known, trained, tmp_path):
    with opened(known, WEIGHED) as work:
        work.run(6)
    page = write_report(storage_of(known), "s", tmp_path / "report").read_text(encoding="utf-8")
    assert f'"{AXIS}"' in page
    assert "On Pi-5 (1 thread, 2027-01-15), 8 variants separated recordings of 4 s" in page
    assert f"--objectives si_snri,{AXIS}" in page


def test_settings_come_back_from_json_and_those_of_before_open():
    mine = replace(WEIGHED, budget=Budget(on_devices={"memory@phone": 1e8, AXIS: 0.5}))
    assert Settings.from_dict(json.loads(json.dumps(mine.as_dict()))) == mine
    assert mine.device_axes == (AXIS, "memory@phone")
    old = SETTINGS.as_dict()
    del old["budget"]["on_devices"]
    assert Settings.from_dict(old) == SETTINGS


ROWS = [{**vars(variant), "key": variant.key, "macs_per_s": count.exact(variant).macs_per_s,
         "parameters": count.exact(variant).parameters, AXIS: law(variant), "memory@Pi-5": 5e7, "latency_ms@Pi-5": None}
        for variant in list(tiny_study.SPACE.variants())[::4]]
CAUSAL = tiny_study.SPACE.reference.__class__(N=8, L=4, B=4, H=8, Sc=4, X=2, R=1, causal=True, norm="cumulative")


@pytest.mark.parametrize(("axis", "reference", "rows", "words"), [
    ("memory@phone", CAUSAL, ROWS, "no measurement of a device 'phone', only of Pi-5; bring one in with: python"),
    (AXIS, CAUSAL, [], "no measurement of a device 'Pi-5', only of none"),
    (AXIS, tiny_study.SPACE.reference, ROWS[:3], "3 variants with norm=global causal=false measured, from which others cannot"),
    (AXIS, CAUSAL, ROWS, "0 variants with norm=cumulative causal=true measured"),
    ("latency_ms@Pi-5", tiny_study.SPACE.reference, ROWS, "networks that are not causal cannot stream"),
])
def test_what_was_not_measured_is_refused_with_the_way_out(axis, reference, rows, words):
    with pytest.raises(UserError) as refused:
        budget_on_devices(replace(SETTINGS, budget=Budget(on_devices={axis: 1.0})), reference, rows, "study.db")
    assert str(refused.value).startswith(axis)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_causal_network_that_the_device_does_not_keep_up_with_is_over_every_limit():
    causal = [Variant(N=8, L=4, B=4, H=H, Sc=4, X=X, R=1, causal=True, norm="cumulative") for H in (2, 4, 6, 8) for X in (1, 2)]
    rows = [{**vars(variant), **vars(count.exact(variant)), "latency_ms@board": 10 + 1e-4 * count.exact(variant).macs_per_s}
            for variant in causal]
    rows[3]["latency_ms@board"] = None
    settings = replace(SETTINGS, budget=Budget(on_devices={"latency_ms@board": 1e6}))
    budget = budget_on_devices(settings, causal[-1], rows, "study.db")
    assert budget.on(causal[3])["latency_ms@board"].value == math.inf
    assert budget.excess(count.exact(causal[3]), budget.on(causal[3])) == "latency_ms@board impossible, budget 1,000,000"
    whole = replace(causal[4], causal=False, norm="global")
    assert budget.on(whole)["latency_ms@board"].value == math.inf
    assert budget.on(causal[4])["latency_ms@board"].error is None


def test_a_study_on_postgresql_reads_the_same(database_url, tmp_path, trained):
    learned(tmp_path, trained, database_url)
    trained.clear()
    settings = replace(WEIGHED, budget=Budget(on_devices={AXIS: 0.9 * law(tiny_study.SPACE.reference)}), stop=StopRule())
    with opened(tmp_path, settings, storage=database_url) as work:
        work.run(6)
        budget = budget_of(work.database, settings)
        states = work.database.counts("s", 0)
    assert states["complete"] == 6
    assert all(budget.on(variant)[AXIS].value <= settings.budget.on_devices[AXIS] for variant in trained[1:])
