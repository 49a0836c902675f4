import math

import numpy as np
import pytest
from scipy import stats

from study.analysis.device_fit import fit
from study.analysis.limits import SURE, best_within
from study.analysis.predicted_front import predicted_front
from study.records import Budget
from study.space.points import points
from study.space.presets import QUICK
from study.space.searched import TUNED

REFERENCE = len(QUICK) - 1


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    places = np.append(rng.choice(REFERENCE, 15, replace=False), REFERENCE)
    pool = points(QUICK, places)
    found = []
    for i, place in enumerate(places.tolist()):
        macs = float(pool.macs_per_s[i])
        found.append({
            **vars(QUICK.variant_of(QUICK.point(place))), **{name: getattr(QUICK.recipe, name) for name in TUNED},
            "trial": 0 if place == REFERENCE else place + 1, "state": "complete", "seeds": 1, "si_snri_sd_db": None,
            "si_snri_db": 6 + math.log2(pool.parameters[i] / 331_289) / 2 + rng.normal(0, 0.1),
            "parameters": int(pool.parameters[i]), "macs_per_s": macs,
            "realtime_factor": macs * 5e-11 * math.exp(rng.normal(0, 0.1))})
    return found


def test_of_those_within_exact_limits_the_best_predicted_is_taken(rows):
    found = best_within(QUICK, Budget(), rows, {"parameters": 60_000, "macs_per_s": 40e6})
    assert found.step.parameters <= 60_000
    assert found.step.macs_per_s <= 40e6
    assert found.chance == 1
    everything = points(QUICK, np.arange(len(QUICK)))
    assert found.variants == int(((everything.parameters <= 60_000) & (everything.macs_per_s <= 40e6)).sum())
    front = predicted_front(QUICK, Budget(max_parameters=60_000, max_macs_per_s=40_000_000), rows)
    assert found.step.score.value == pytest.approx(front.steps["parameters"][-1].score.value, abs=0.1)


def test_a_cost_that_was_not_measured_has_a_chance_of_being_within(rows):
    limit = 0.004       # 80 million MACs, as simulated
    found = best_within(QUICK, Budget(), rows, {"realtime_factor": limit})
    assert found.chance >= SURE
    model = fit(rows, "realtime_factor")
    if found.step.trial is None:
        cost = model.cost({**vars(found.step.variant), "macs_per_s": found.step.macs_per_s, "parameters": found.step.parameters})
        assert found.chance == pytest.approx(stats.norm.cdf(math.log(limit / cost) / math.log1p(model.error)))
    assert found.step.macs_per_s * 5e-11 < 1.1 * limit


def test_what_was_measured_is_known_to_be_within_or_not(rows):
    dear = max(rows, key=lambda row: row["si_snri_db"])
    alone = [{**row, "realtime_factor": 1.0 if row is dear else row["realtime_factor"]} for row in rows]
    found = best_within(QUICK, Budget(), alone, {"realtime_factor": 0.9})
    assert found.step.trial != dear["trial"]


@pytest.mark.parametrize("limits", [{"parameters": 10}, {"realtime_factor": 1e-9}, {"memory@phone": 1e6}])
def test_nothing_fits_or_nothing_was_measured(rows, limits):
    assert best_within(QUICK, Budget(), rows, limits) is None
