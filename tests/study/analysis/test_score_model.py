"""What is predicted of variants nobody trained, against least squares by another library and simulations of known truth."""

import numpy as np
import pytest
from scipy import stats

from study.analysis import effects, score_model
from study.analysis.score_model import BEND, PRODUCT
from tasnet_core.cost.formulas import exact
from tasnet_core.records import LETTERS, Variant
from tests.support.made_up_effects import BASE, CHOICES, SLOPES, variants

REFERENCE = Variant(**{letter: BASE[letter] for letter in LETTERS})
BOTH = {**CHOICES, "R": (1, 2, 3)}


def model_of(rows):
    return score_model.score_model(effects.design(rows, BASE), REFERENCE, rows[0]["si_snri_db"])


def test_without_noise_every_loss_is_predicted_exactly():
    model = model_of(variants(40))
    changed = {"X": 3, "H": 32}
    truth = -(SLOPES["X"] * np.log2(3 / BASE["X"]) + SLOPES["H"] * np.log2(32 / BASE["H"]))
    assert tuple(model.loss(changed)) == pytest.approx((truth, truth, truth), abs=1e-6)
    assert model.error_db == pytest.approx(0, abs=1e-9)
    assert model.terms == ()


def test_the_reference_itself_loses_nothing_whatever_the_model_makes_of_it():
    model = model_of(variants(30, noise=0.3))
    assert model.loss({}) == model.loss({"X": BASE["X"]}) == (0, 0, 0)


def test_the_loss_is_against_the_measured_reference_and_not_against_the_fitted_one():
    rows = variants(30, noise=0.01)
    rows[0] = {**rows[0], "si_snri_db": rows[0]["si_snri_db"] + 1.0}
    plain = model_of(variants(30, noise=0.01)).loss({"X": 2}).value
    assert model_of(rows).loss({"X": 2}).value - plain == pytest.approx(1.0, abs=0.2)


def test_the_interval_is_the_textbooks_prediction_interval():
    """One hyperparameter: y ± t s √(1 + 1/n + (x − x̄)²/Sxx), Student with n − 2 degrees of freedom."""
    rows = variants(40, noise=0.2, choices={"X": (2, 3, 4, 6)})
    model = model_of(rows)
    x = np.log2([row["X"] / BASE["X"] for row in rows])
    y = np.array([row["si_snri_db"] for row in rows])
    line = stats.linregress(x, y)
    left = y - line.intercept - line.slope * x
    s = np.sqrt(left @ left / (len(x) - 2))
    at = np.log2(2 / BASE["X"])
    spread = s * np.sqrt(1 + 1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    found = model.score({"X": 2})
    assert found.value == pytest.approx(line.intercept + line.slope * at)
    reach = stats.t.ppf(0.975, len(x) - 2) * max(spread, model.error_db)
    assert found.high - found.value == found.value - found.low == pytest.approx(reach)


def test_the_error_left_out_is_that_of_fits_without_each():
    found = effects.design(variants(25, noise=0.3), BASE)
    errors = []
    for i in range(len(found.scores)):
        others = np.arange(len(found.scores)) != i
        coefficients, *_ = np.linalg.lstsq(found.table[others], found.scores[others], rcond=None)
        errors.append(found.scores[i] - found.table[i] @ coefficients)
    model = score_model.score_model(found, REFERENCE, 5.0)
    assert model.terms == ()
    assert model.error_db == pytest.approx(np.sqrt(np.mean(np.square(errors))))


def test_a_product_joins_where_there_is_one_and_predicts_it():
    rows = variants(60, noise=0.1, both=0.8, choices=BOTH)
    model = model_of(rows)
    assert model.terms == (PRODUCT,)
    truth = -sum((SLOPES["X"] * np.log2(2 / BASE["X"]), 0.8 * np.log2(2 / BASE["X"]) * np.log2(1 / BASE["R"])))
    assert model.loss({"X": 2, "R": 1}).value == pytest.approx(truth, abs=0.25)


def test_a_bend_in_size_joins_where_there_is_one():
    rows = variants(60, noise=0.05)
    start = exact(REFERENCE).parameters
    bent = [{**row, "si_snri_db": row["si_snri_db"] - 0.2 * np.log2(exact(
        Variant(**{letter: row[letter] for letter in LETTERS})).parameters / start) ** 2} for row in rows]
    assert BEND in model_of(bent).terms


def test_terms_that_chance_asks_for_seldom_join():
    joined = [model_of(variants(24, noise=0.3, seed=seed, choices=BOTH)).terms != () for seed in range(200)]
    assert np.mean(joined) < 0.02


def test_nineteen_in_twenty_new_variants_lie_inside():
    inside = []
    for seed in range(40):
        rows = variants(60, noise=0.3, seed=seed, choices=BOTH)
        model = model_of(rows[:20])
        for row in rows[20:]:
            found = model.score({letter: row[letter] for letter in BOTH})
            inside.append(found.low <= row["si_snri_db"] <= found.high)
    assert 0.93 < np.mean(inside) < 0.985
