"""Costs that a device measured, in the report: axes, tables, limits, and what was predicted."""

import csv
import json
import re

import pytest

from study.analysis.recommendations import Compared, recommend
from study.analysis.replicates import per_trial
from study.api import Study
from study.database.device_costs import add_device_costs
from study.database.store import open_database
from study.records import Budget, DeviceCost
from study.report import devices
from study.report.figures.front import front_data
from study.report.write import write_report
from tasnet_core.errors import UserError
from tests.support import fakes
from tests.support.filled_database import fill

# Nothing of the study is as small, and not much of it as good.
IN_INT8 = {"int8_file_bytes": 1000, "int8_loss_db": 0.03, "int8_realtime_factor": 1e-3, "int8_realtime_factor_spread": 1e-5,
           "int8_memory_bytes": 50_000_000}


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A study of nine variants, all but one of which a phone has measured."""
    path = str(tmp_path_factory.mktemp("devices") / "study.db")
    rows, epochs, mixtures = fakes.study(9, seed=2)
    fill(path, rows, epochs, mixtures)
    with open_database(path, read_only=False) as database:
        costs = {row["variant"]: DeviceCost("phone", row["variant"], 1.8e9, 1, 4.0, 2e-9 * row["macs_per_s"], 0.0, 15,
                                            memory_bytes=50_000_000 + 40 * row["parameters"],
                                            description='{"processor": "Cortex", "onnxruntime": "1.32.0"}',
                                            file_bytes=4 * row["parameters"], **(IN_INT8 if row["trial"] == 3 else {}))
                 for row in database.results("fake") if row["trial"] != 4}
        add_device_costs(database, "fake", list(costs.values()))
    return path


@pytest.fixture(scope="module")
def report(storage, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    write_report(storage, "fake", out, [{"realtime_factor@phone": 0.05}])
    return out


def test_the_page_has_the_axes_of_the_device_and_limits_on_them(report):
    page = (report / "index.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    axis = data["axes"]["realtime_factor@phone"]
    assert (axis["title"], axis["limit"]) == ("Real-time factor on phone", "real-time factor on phone")
    assert data["axes"]["memory@phone"]["unit"] == 1e6
    assert "latency_ms@phone" not in data["axes"]
    assert len(data["variants"]["memory@phone"]) == 9
    assert "On phone (Cortex, 1 thread, onnxruntime 1.32.0, 2027-01-15), 8 variants separated recordings of 4 s" in page
    assert "What 1 variant without a measurement would cost there is predicted" in page
    assert (report / "figures/front_realtime_factor_phone.svg").exists()
    assert "The costs of 1 variant are predicted" in page


def test_a_network_in_int8_is_a_point_of_the_front_with_its_own_bytes_and_score(report, storage):
    with open(report / "tables/devices.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9       # eight measured variants, and one of them in int8
    small, = (row for row in rows if row["stored"] == "int8")
    whole, = (row for row in rows if row["trial"] == "3" and row["stored"] == "float")
    assert (small["trial"], small["file_bytes"], small["realtime_factor"], small["optimal"]) == ("3", "1000", "0.001", "yes")
    assert float(small["si_snri_db"]) == pytest.approx(float(whole["si_snri_db"]) - 0.03)
    with open_database(storage) as database:
        rows = per_trial(database.results("fake"))
        found = devices.Measured.of(database, None, rows).in_int8(rows)
    data = front_data(rows, "bytes@phone", int8=found)
    assert data.line[0] == (1000, pytest.approx(float(small["si_snri_db"])))
    assert [(point.trial, point.on_line) for point in data.int8] == [(3, True)]
    assert not front_data(rows, "parameters", int8=found).int8
    page = (report / "index.html").read_text()
    assert "Squares are networks in int8" in page
    assert 'id="devices-table-caption"' in page


@pytest.mark.parametrize(("bytes_of_other", "optimal"), [(None, ["no", "yes"]), (400, ["yes", "yes"])])
def test_a_network_of_unknown_bytes_is_not_taken_to_have_none(bytes_of_other, optimal):
    """The first in int8 has the fewest bytes, and the other is better in all else, as far as that is known."""
    rows = [{**fakes.row(trial), "si_snri_db": 5.0 + trial, "realtime_factor@phone": 0.2 / (1 + trial), "memory@phone": 9e7,
             "bytes@phone": bytes_of_other if trial else 4000} for trial in (0, 1)]
    costs = [{"device": "phone", "variant": rows[0]["variant"], "int8_loss_db": 0.1, "int8_file_bytes": 300,
              "int8_realtime_factor": 0.15, "int8_memory_bytes": 9e7}]
    table = devices.Measured(costs, {}, Budget()).table(rows)
    found = {(row[0], row[3]): row[-1] for row in table.rows}
    assert [found[0, "int8"], found[1, "float"]] == optimal


def test_what_was_predicted_follows_the_law_of_the_measured_and_is_marked(report):
    with open(report / "tables/runs.csv", encoding="utf-8") as file:
        rows = {int(row["trial"]): row for row in csv.DictReader(file)}
    assert {trial for trial, row in rows.items() if row["predicted"] == "phone"} == {4}
    for row in rows.values():
        assert float(row["realtime_factor@phone"]) == pytest.approx(2e-9 * float(row["macs_per_s"]), rel=0.02)


def test_a_limit_on_a_device_that_measured_nothing_is_refused(storage, tmp_path):
    with pytest.raises(UserError, match="realtime_factor@board: not measured for this study, which has realtime_factor@phone"):
        write_report(storage, "fake", tmp_path / "out", [{"realtime_factor@board": 0.5}])
    assert not (tmp_path / "out").exists()


def test_the_answer_takes_limits_on_devices(storage):
    answer = Study("fake", storage).answer(at_most=["realtime_factor@phone=0.05", "memory@phone=900M"])
    assert any("at most 0.05 real-time factor on phone and 900M bytes of memory on phone" in sentence for sentence in answer)
    with pytest.raises(UserError, match="is no limit such as"):
        Study("fake", storage).answer(at_most=["speed@phone=1"])


def test_a_recommendation_within_a_limit_says_where_its_cost_is_predicted():
    rows = [{**fakes.row(trial), "memory@phone": 100.0 - trial, "predicted": "phone" if trial == 3 else "", "seeds": 1}
            for trial in range(4)]
    best = max(rows[2:], key=lambda row: row["si_snri_db"])["trial"]
    *_, pick = recommend(Compared.of(rows, {}), None, [{"memory@phone": 98.0}])
    assert pick.trial == best
    assert ("peak memory on phone: predicted, not measured" in pick.sentence) == (best == 3)
