"""What a device measured, on its way into the database, and out of it again."""

import csv
import json
import math

import pytest

import study
from study.__main__ import main
from study.api import Study
from study.database.store import open_database
from study.devices.measured import latency_ms
from tasnet_core.records import Variant
from tests.support.commands import refused


@pytest.fixture
def found(here):
    """A file as measure.py writes it, of made-up numbers."""
    with open_database("results/study.db") as database:
        runs, identity = database.runs("tiny-tiny"), database.identity("tiny-tiny")
    networks = [
        {"trial": run["trial"], "variant": run["variant"], "name": "a network", "runs": 15,
         "realtime_factor": 0.1 / (1 + run["trial"]), "realtime_factor_spread": 0.002,
         "peak_memory_bytes": 90_000_000 - run["trial"], "base_memory_bytes": 60_000_000, "stream_memory_bytes": None,
         "chunks": []} for run in runs]
    return {
        "format": 1, "study": "tiny-tiny", "identity": identity, "measured_at_s": 1_800_000_000, "threads": 2,
        "recording_s": 4.0, "rounds": 3, "machine": {"processor": "one"}, "versions": {"onnxruntime": "1.32.0"},
        "networks": networks}


def written(found, name="measured.json"):
    with open(name, "w", encoding="utf-8") as file:
        json.dump(found, file)
    return name


def axes(trial=1, device="phone"):
    with open_database("results/study.db") as database:
        row = next(row for row in database.results("tiny-tiny") if row["trial"] == trial)
    return {name: value for name, value in row.items() if name.endswith(f"@{device}")}


def test_numbers_come_back_as_columns_of_results_exports_and_frames(found, here):
    Study().measured(written(found), "phone")
    assert axes() == {
        "realtime_factor@phone": 0.05, "latency_ms@phone": None, "memory@phone": 89_999_999, "bytes@phone": None}
    Study().export("out")
    with open(here / "out/runs.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["realtime_factor@phone"]) for row in rows] == pytest.approx([0.1, 0.05, 0.1 / 3])
    with open(here / "out/devices.csv", encoding="utf-8") as file:
        assert [row["device"] for row in csv.DictReader(file)] == ["phone"] * 3
    assert study.load("results/study.db").runs["memory@phone"].tolist() == [90_000_000, 89_999_999, 89_999_998]


def test_the_newest_measurement_counts_and_earlier_ones_stay(found, capsys):
    Study().measured(written(found), "phone")
    again = {**found, "measured_at_s": found["measured_at_s"] + 60,
             "networks": [{**found["networks"][1], "realtime_factor": 0.07}]}
    Study().measured(written(again, "again.json"), "phone")
    Study().measured(written(found), "phone")       # the first once more
    assert "3 of them are from a file that was brought in before" in capsys.readouterr().out
    assert axes(1)["realtime_factor@phone"] == 0.07
    assert axes(0)["realtime_factor@phone"] == 0.1
    with open_database("results/study.db") as database:
        assert len(database.query("SELECT * FROM device_costs")) == 4
        rows = database.query("SELECT * FROM device_results ORDER BY trial")
    assert [row["realtime_factor"] for row in rows] == pytest.approx([0.1, 0.07, 0.1 / 3])


def test_two_devices_stand_beside_each_other(found):
    Study().measured(written(found), "phone")
    found["networks"] = found["networks"][1:2]
    Study().measured(written(found), "pi-5")
    assert axes(1, "pi-5")["realtime_factor@pi-5"] == 0.05
    assert set(axes(0, "pi-5").values()) == {None}


def test_a_network_that_the_device_could_not_run_is_named(found, capsys):
    found["networks"][2] = {"trial": 2, "variant": found["networks"][2]["variant"], "name": "x", "failed": "status -9: killed"}
    Study().measured(written(found), "phone")
    assert "trial 2: not measured, status -9: killed" in capsys.readouterr().out
    assert axes(2)["memory@phone"] is None


def test_it_says_how_well_other_variants_are_predicted(found, monkeypatch, capsys):
    from study.analysis import device_fit
    monkeypatch.setattr(device_fit, "fit", lambda rows, axis: device_fit.DeviceFit(axis, ("MACs",), (0, 1), 0, 0.123, 3))
    Study().measured(written(found), "phone")
    said = capsys.readouterr().out
    assert "memory@phone: predicted for other variants from MACs, typically within 12 % of variants that were left out" in said
    assert "latency_ms@phone: " not in said


CAUSAL = Variant(N=8, L=16, B=4, H=8, Sc=4, X=2, R=1, causal=True, norm="cumulative")


def test_the_latency_is_that_of_the_shortest_chunk_that_the_device_keeps_up_with():
    def chunk(samples, p95_ms):
        return {"samples": samples, "median_ms": 1.0, "p95_ms": p95_ms}
    # 160 samples at 8 kHz are 20 ms, the hop behind them 1 ms
    assert latency_ms([chunk(320, 9.0), chunk(80, 11.0), chunk(160, 12.0)], CAUSAL) == pytest.approx(33.0)
    assert latency_ms([chunk(80, 11.0)], CAUSAL) is None
    assert latency_ms([], CAUSAL) is None


def changed(found, name, value):
    """The file with another value, which is left out where it is ...; of a network where it is one of those."""
    facts = found if name in found else found["networks"][1]
    facts[name] = value
    if value is ...:
        del facts[name]
    return found


@pytest.mark.parametrize(("name", "value", "words"), [
    ("realtime_factor", -0.1, "trial 1: realtime_factor=-0.1 is impossible"),
    ("realtime_factor", 0, "realtime_factor=0 is impossible"),
    ("realtime_factor", math.nan, "realtime_factor=nan is no number"),
    ("realtime_factor", "fast", "realtime_factor=fast is no number"),
    ("realtime_factor", True, "realtime_factor=True is no number"),
    ("realtime_factor", ..., "realtime_factor is missing"),
    ("realtime_factor_spread", -1, "realtime_factor_spread=-1 is impossible"),
    ("peak_memory_bytes", 12, "peak_memory_bytes=12 is impossible"),
    ("peak_memory_bytes", ..., "peak_memory_bytes is missing"),
    ("peak_memory_bytes", 1e6 + 0.5, "is no whole number"),
    ("chunks", None, "chunks is missing or no list"),
    ("chunks", [{"chunk_ms": 10, "samples": 80, "median_ms": 3.0, "p95_ms": 2.0}], "p95_ms=2 is below median_ms=3"),
    ("threads", 0, "threads=0 is impossible"),
    ("measured_at_s", 5, "measured_at_s=5 is impossible"),
    ("variant", "00000000", "variant '00000000' (trial 1) is not in study 'tiny-tiny'"),
    ("identity", "another", "measured for study 'tiny-tiny' of another database"),
    ("identity", ..., "of another database"),
    ("format", 2, "not a file of a bundle's measure.py that this version reads"),
    ("networks", [3], "its networks are no objects"),
    ("networks", [], "no network could be measured there")])
def test_a_file_that_cannot_be_used_is_one_line_and_nothing_is_stored(found, name, value, words, capsys):
    file = written(changed(found, name, value))
    refused(main, ("measured", file, "--device", "phone"), capsys, "measured.json: ", words)
    with open_database("results/study.db") as database:
        assert database.query("SELECT * FROM device_costs") == []


@pytest.mark.parametrize(("arguments", "words"), [
    (("gone.json", "--device", "phone"), "gone.json: cannot be read"),
    (("results", "--device", "phone"), "results: cannot be read"),
    (("results/study.db", "--device", "phone"), "results/study.db: no JSON"),
    (("measured.json",), "--device"),
    (("measured.json", "--device", "my phone"), "'my phone': wanted a name"),
    (("measured.json", "--device", "a@b"), "'a@b': wanted a name"),
    (("measured.json", "--device", "phone", "--study", "other"), "study 'other': not in this database")])
def test_what_cannot_be_brought_in_is_one_line(found, arguments, words, capsys):
    written(found)
    refused(main, ("measured", *arguments), capsys, words)
