"""Costs on a device, from variants of which its cost is known: made-up laws are found again."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from study.analysis.cost_axes import is_predicted
from study.analysis.device_fit import fit, fits_of, with_predictions
from tasnet_core.cost.formulas import exact
from tasnet_core.records import Variant

AXIS = "realtime_factor@phone"


def rows_of(cost, count=12, seed=0, **also):
    """Variants of many sizes with the cost that a law gives them."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(count):
        variant = Variant(N=int(rng.choice([32, 64, 128, 256])), L=int(rng.choice([8, 16, 32])), B=int(rng.choice([16, 32, 64])),
                          H=int(rng.choice([32, 64, 128])), Sc=16, X=int(rng.integers(2, 8)), R=int(rng.integers(1, 4)), **also)
        found = exact(variant)
        row = {**asdict(variant), "variant": variant.key, "parameters": found.parameters, "macs_per_s": found.macs_per_s}
        rows.append({**row, AXIS: cost(row)})
    return rows


def law(row):
    return 3e-10 * row["macs_per_s"] ** 0.8 * (row["X"] * row["R"]) ** 0.3


def test_a_law_without_noise_is_found_and_holds_for_variants_that_were_not_measured():
    found = fit(rows_of(law), AXIS)
    assert set(found.factors) == {"MACs", "blocks"}
    assert found.error < 1e-6
    for row in rows_of(law, seed=1):
        assert found.cost(row) == pytest.approx(law(row), rel=1e-5)


def test_a_constant_that_every_process_takes_is_no_growth():
    base = 6e7
    rows = rows_of(lambda row: base + 3000 * row["parameters"] ** 0.9)
    found = fit(rows, AXIS)
    assert found.base > 0.4 * base
    assert found.error < 0.02


def test_the_error_is_that_of_variants_that_were_left_out():
    rng = np.random.default_rng(3)
    rows = rows_of(lambda row: law(row) * math.exp(0.1 * rng.standard_normal()), count=20)
    found = fit(rows, AXIS)
    logs = np.array([[1.0, *(math.log(row["macs_per_s"]) if name == "MACs" else math.log(row["X"] * row["R"])
                             for name in found.factors)] for row in rows])
    assert set(found.factors) <= {"MACs", "blocks"}
    errors = []
    for place, row in enumerate(rows):
        others = [k for k in range(len(rows)) if k != place]
        wanted = np.log([rows[k][AXIS] - found.base for k in others])
        coefficients = np.linalg.lstsq(logs[others], wanted, rcond=None)[0]
        errors.append(math.log((found.base + math.exp(logs[place] @ coefficients)) / row[AXIS]))
    assert found.error == pytest.approx(math.expm1(math.sqrt(np.mean(np.square(errors)))), rel=1e-6)
    assert 0.05 < found.error < 0.2


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_variants_have_no_fit(count):
    assert fit(rows_of(law, count=count), AXIS) is None
    assert fits_of(rows_of(law, count=count)) == {}


def test_variants_of_one_size_have_no_fit():
    row = rows_of(law, count=1)[0]
    assert fit([{**row, AXIS: 0.1 * k} for k in (1, 2, 3, 4, 5)], AXIS) is None


def test_what_was_measured_stays_and_what_was_not_is_marked():
    rows = rows_of(law)
    rows[3][AXIS] = None
    found = with_predictions(rows)
    assert [row["predicted"] for row in found] == ["phone" if place == 3 else "" for place in range(12)]
    assert found[3][AXIS] == pytest.approx(law(rows[3]), rel=1e-5)
    assert found[5][AXIS] == rows[5][AXIS]
    assert rows[3][AXIS] is None


def test_no_latency_is_predicted_for_a_network_that_cannot_stream():
    rows = [{**row, "latency_ms@phone": 10 + 1e3 * row[AXIS]} for row in rows_of(law, causal=True, norm="cumulative")]
    whole, = rows_of(law, count=1, seed=5)
    streaming, = rows_of(law, count=1, seed=6, causal=True, norm="cumulative")
    found = with_predictions([*rows, {**whole, AXIS: None}, {**streaming, AXIS: None}])
    assert found[-2].get("latency_ms@phone") is None
    assert found[-2][AXIS] > 0
    assert found[-1]["latency_ms@phone"] > 10


def test_costs_of_every_study_are_never_called_predicted():
    assert not is_predicted({"predicted": ""}, "parameters")
    assert not is_predicted({}, "macs_per_s")
    assert is_predicted({"predicted": "phone, board"}, "memory@board")
    assert not is_predicted({"predicted": "phone"}, "memory@board")
