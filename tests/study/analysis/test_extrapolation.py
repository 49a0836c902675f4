"""Power laws of known parameters, alone and under noise, and what a run's epochs say of a longer training."""

import csv
import math
from dataclasses import fields

import numpy as np
import pytest

from study.analysis.extrapolation import BESIDE_DB, EXPONENT, crossings, forecast, law, next_doubling, outlook, rising
from study.analysis.learned import ended
from study.analysis.replicates import EXPECTED, OUTLOOK
from study.records import Outlook
from tests.support import ROOT
from tests.support.fakes import outlook as fakes_outlook
from tests.support.fakes import row

NOTHING = Outlook()


def power(a, s_inf, c, p):
    return s_inf - c * np.asarray(a, dtype=float) ** -p


def epochs_of(scores, rates=None, epoch_s=540.0):
    rates = rates or [4e-3] * len(scores)
    return [{"number": i, "audio_s": i * epoch_s, "valid_si_snri_db": score, "learning_rate": rate}
            for i, (score, rate) in enumerate(zip(scores, rates, strict=True), 1)]


def test_the_columns_are_the_fields_of_the_record():
    assert tuple(field.name for field in fields(Outlook)) == OUTLOOK
    assert Outlook(1.0, 2.0, 3.0, 4.0).si_snri_extrapolated_db == dict(zip(OUTLOOK, (1.0, 2.0, 3.0, 4.0), strict=True))[EXPECTED]


@pytest.mark.parametrize(("s_inf", "c", "p"), [(12.0, 40.0, 0.3), (8.0, 300.0, 0.8), (3.0, 500.0, 1.2)])
def test_a_long_curve_gives_back_its_power_law(s_inf, c, p):
    a = 540.0 * np.arange(1, 21)
    found = law(a, power(a, s_inf, c, p))
    assert (found.s_inf, found.p) == (pytest.approx(s_inf, abs=1e-6), pytest.approx(p))
    assert found.c == pytest.approx(c, rel=1e-6)
    assert found.slope.value == pytest.approx(p * c * a[-1] ** -p * math.log(2))     # d score / d log2(a)
    assert found.gain.value == pytest.approx(power(2 * a[-1], s_inf, c, p) - power(a[-1], s_inf, c, p))
    assert found.gain.low == pytest.approx(found.gain.high, abs=1e-5)


def test_a_short_curve_of_the_usual_exponent_gives_back_its_law():
    a = 540.0 * np.arange(1, 6)
    found = law(a, power(a, 9.0, 60.0, EXPONENT))
    assert (found.s_inf, found.c, found.p) == (pytest.approx(9.0), pytest.approx(60.0), EXPONENT)


@pytest.mark.parametrize(("epochs", "noise_db"), [(4, 0.2), (5, 0.1), (10, 0.2), (36, 0.05)])
@pytest.mark.parametrize("p", [0.05, 0.15, EXPONENT, 0.75, 1.0])
def test_intervals_hold_the_gain_of_noisy_curves_nineteen_times_in_twenty_whatever_their_exponent(epochs, noise_db, p):
    rng, a = np.random.default_rng(epochs), 540.0 * np.arange(1, epochs + 1) + (epochs > 10) * 2160
    c = 2.0 / (a[0] ** -p - a[-1] ** -p)       # all rise by 2 dB
    clean, gain = power(a, 9.0, c, p), c * (a[-1] ** -p - (2 * a[-1]) ** -p)
    found = [law(a, clean + rng.normal(0, noise_db, epochs)).gain for _ in range(300)]
    assert np.mean([one.low <= gain <= one.high for one in found]) > 0.92
    assert all(one.low <= one.value <= one.high for one in found)
    assert epochs == 4 or np.mean([one.low > 0 for one in found]) > 0.9     # and are no wider than they need be


def test_a_flat_noisy_curve_seldom_seems_to_rise():
    rng = np.random.default_rng(0)
    assert np.mean([law(np.arange(1.0, 6.0), rng.normal(3, 0.2, 5)).gain.low > 0 for _ in range(500)]) < 0.05


def test_the_lift_of_the_decay_is_carried_over_and_not_taken_for_learning():
    constant = list(power(540.0 * np.arange(1, 6), 9.0, 60.0, EXPONENT))
    rates = [4e-3] * 4 + [3.75e-3, 2.5e-3, 1.25e-3, 4e-5]
    found = outlook(epochs_of([*constant, 6.0, 7.0, 8.0], rates), "decay", 7.5)
    assert found == outlook(epochs_of(constant), "plateau", 7.5)
    assert found.slope_db_per_doubling == pytest.approx(60.0 * 2700**-EXPONENT * EXPONENT * math.log(2))
    assert found.si_snri_extrapolated_db == pytest.approx(7.5 + 60.0 * (2700**-EXPONENT - 5400**-EXPONENT))


def test_halved_rates_of_the_plateau_belong_to_the_curve():
    scores = list(power(540.0 * np.arange(1, 13), 9.0, 60.0, EXPONENT))
    assert outlook(epochs_of(scores, [1e-3] * 6 + [5e-4] * 6), "plateau", 5.0) == outlook(epochs_of(scores), "plateau", 5.0)


def test_how_a_training_begins_does_not_matter_three_doublings_later():
    scores = power(540.0 * np.arange(1, 41), 9.0, 60.0, EXPONENT)
    assert outlook(epochs_of([-20.0, *scores[1:]]), "plateau", 5.0) == pytest.approx(
        outlook(epochs_of(list(scores)), "plateau", 5.0))


@pytest.mark.parametrize(("scores", "rates", "schedule"), [
    ([], None, "plateau"), ([1.0, 2.0, 3.0], None, "plateau"), ([1.0, math.nan, 2.0, None, 3.0], None, "plateau"),
    ([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 1.0, 1.0, 0.5, 0.01], "decay")])
def test_too_few_epochs_tell_nothing(scores, rates, schedule):
    assert outlook(epochs_of(scores, rates), schedule, 5.0) == NOTHING


@pytest.mark.parametrize("score", [None, math.nan])
def test_a_run_without_a_test_score_has_a_slope_alone(score):
    found = outlook(epochs_of([1.0, 2.0, 3.0, 3.5]), "plateau", score)
    assert found.slope_db_per_doubling > 0
    assert (found.si_snri_extrapolated_db, found.si_snri_extrapolated_low_db, found.si_snri_extrapolated_high_db) == (None,) * 3


def test_a_run_rises_where_the_whole_interval_of_its_gain_is_above_zero():
    assert rising({"si_snri_db": 5.0, "si_snri_extrapolated_low_db": 5.1})
    assert not rising({"si_snri_db": 5.0, "si_snri_extrapolated_low_db": 4.9})
    assert not rising({"si_snri_db": 5.0, "si_snri_extrapolated_low_db": None})
    assert not rising({"si_snri_db": None})


def cheap(trial, parameters, macs, score, *ends):
    return row(trial, parameters=parameters, macs_per_s=macs, si_snri_db=score, **fakes_outlook(0.5, *ends))


def test_pairs_change_places_where_one_is_expected_to_pass_or_intervals_overlap_and_none_costs_more():
    rows = [cheap(1, 10, 10, 5.0, 6.0, 5.8, 6.2), cheap(2, 20, 20, 5.5, 5.9, 5.85, 5.95),
            cheap(3, 30, 30, 6.0, 6.3, 6.1, 6.5), cheap(4, 40, 5, 5.2, 9.0, 8.0, 10.0), row(5, si_snri_db=5.1)]
    found = [(pair.below["trial"], pair.above["trial"], pair.passes) for pair in crossings(rows, ("parameters", "macs_per_s"))]
    assert found == [(1, 2, True), (2, 3, False), (1, 3, False)]     # trial 5 has no curve, 4 fewer MACs


# The validation of a network of 16 thousand parameters on recorded digits, 250 s of audio an epoch (benchmarks/learned.csv): it
# begins to separate in its fifth epoch. And the law's own: a curve that has ended.
@pytest.mark.parametrize(("scores", "told"), [
    ([-0.06, 0.48, 0.35, 0.27], False), ([0.31, 0.30, 0.29, 0.31, 0.30], False), ([0.2, 0.4, 0.6, 0.8, 0.98], True),
    ([4.00, 4.01, 4.00, 4.01, 4.00], True)])
def test_before_a_network_has_begun_to_separate_nothing_is_foretold_but_that_it_rises(scores, told):
    epochs = [{"audio_s": 250.0 * i, "valid_si_snri_db": score, "learning_rate": 1e-3} for i, score in enumerate(scores, 1)]
    found = outlook(epochs, "constant", scores[-1])
    assert (found.si_snri_extrapolated_db is not None) == told
    assert not ended({"si_snri_db": scores[-1], **vars(found)}) or scores[-1] > 3


# That of `orders` has ten doublings alone, from 8,000 s on.
RESULTS = [path for path in sorted((ROOT / "results").glob("quick_*_budgets.csv")) if path.stem != "quick_orders_budgets"]


def doublings(path):
    """Rows of a table of budgets by audio and trial."""
    with path.open() as lines:
        rows = [{name: float(value) if value else None for name, value in row.items() if name not in ("state", "init")}
                for row in csv.DictReader(lines) if row["state"] == "complete"]
    return {(row["audio_s"], row["trial"]): row for row in rows}


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_recorded_scores_with_twice_the_audio_lie_in_the_forecast_interval(path):
    rows = doublings(path)
    inside = [found.low <= rows[2 * audio_s, trial]["si_snri_db"] <= found.high for (audio_s, trial), row in rows.items()
              if (2 * audio_s, trial) in rows and (found := forecast(row))]
    assert len(inside) >= 16
    assert np.mean(inside) > 0.93


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_measured_doubling_foretells_the_next_better_than_curves_do(path):
    rows = doublings(path)
    errors, of_curves, inside = [], [], []
    for audio_s in (8000.0, 16000.0):
        at = [trial for a, trial in rows if a == audio_s]
        now, gains, then = ([rows[a, trial]["si_snri_db"] for trial in at] for a in (audio_s, audio_s / 2, 2 * audio_s))
        found = next_doubling([rows[audio_s, trial]["parameters"] for trial in at], np.subtract(now, gains))
        for trial, gain, before, after in zip(at, found, now, then, strict=True):
            errors.append(after - before - gain.value)
            inside.append(gain.low <= after - before <= gain.high)
            of_curves.append(after - forecast(rows[audio_s, trial]).value)
    assert np.sqrt(np.mean(np.square(errors))) < 0.25 < np.sqrt(np.mean(np.square(of_curves))) + 0.01
    assert np.mean(inside) > 0.93


def test_equal_gains_shrink_by_the_law_and_have_the_interval_of_its_exponent():
    found = next_doubling([1000, 2000, 4000, 8000, 16000], [1.0] * 5)
    t = 3.182446       # Student's with three degrees of freedom
    assert all(tuple(one) == pytest.approx((0.7937, 0.7937 - 0.2 * t, 0.7937 + 0.2 * t), abs=1e-3) for one in found)
    assert next_doubling([1000, 2000, 4000], [1.0] * 3) is None
    assert next_doubling([1000] * 5, [1.0] * 5) is None


def test_a_forecast_of_a_score_is_wider_than_that_of_the_fitted_gain():
    row = {"si_snri_extrapolated_db": 5.0, "si_snri_extrapolated_low_db": 4.7, "si_snri_extrapolated_high_db": 5.4}
    found = forecast(row)
    assert found.low == pytest.approx(5 - math.hypot(0.3, 1.96 * BESIDE_DB))
    assert found.high == pytest.approx(5 + math.hypot(0.4, 1.96 * BESIDE_DB))
    assert forecast({**row, "si_snri_extrapolated_low_db": None}) is None
