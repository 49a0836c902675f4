"""Scores drawn towards the score model, against each variant left out by hand, and what is recommended of them."""

import numpy as np
import pytest

from study.analysis.recommendations import Compared, within
from study.analysis.shrinkage import Shrunk, posterior
from tests.support.fakes import row

ROWS = [row(0, si_snri_db=7.0, parameters=1_000_000, macs_per_s=1_000_000_000),
        row(1, X=5, si_snri_db=6.9, parameters=700_000, macs_per_s=700_000_000),
        row(2, X=4, si_snri_db=6.8, parameters=300_000, macs_per_s=300_000_000)]


def test_a_score_is_drawn_towards_what_the_other_variants_foretell():
    rng = np.random.default_rng(0)
    table = np.column_stack([np.ones(20), rng.normal(size=(20, 2))])
    scores = table @ [5.0, 1.0, 0.5] + rng.normal(0, 0.4, 20)
    noise = np.full(20, 0.05)
    means, variances = posterior(table, scores, noise)
    residuals = scores - table @ np.linalg.lstsq(table, scores, rcond=None)[0]
    left_over = residuals @ residuals / 17
    for i in range(20):
        others = np.arange(20) != i
        inverse = np.linalg.inv(table[others].T @ table[others])
        predicted = table[i] @ inverse @ table[others].T @ scores[others]
        prior = left_over - 0.05 + left_over * table[i] @ inverse @ table[i]
        weight = prior / (prior + 0.05)
        assert means[i] == pytest.approx(weight * scores[i] + (1 - weight) * predicted)
        assert variances[i] == pytest.approx(weight * 0.05)


def test_a_variant_that_no_other_foretells_keeps_its_score():
    table = np.column_stack([np.ones(9), np.arange(9.0), np.eye(9)[4]])
    scores = np.arange(9.0) + np.array([0.1, -0.1, 0, 0.2, 3, -0.2, 0, 0.1, -0.1])
    means, variances = posterior(table, scores, np.full(9, 0.1))
    assert means[4] == pytest.approx(scores[4], abs=1e-6)
    assert variances[4] == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize(("assumed", "confidence"), [(None, pytest.approx(0.8982, abs=1e-4)), (0.15, None)])
def test_the_smallest_that_is_likely_enough_is_recommended_with_what_was_measured(assumed, confidence):
    shrunk = Shrunk({0: 0.0, 1: 0.24, 2: 0.6}, {0: 0.0, 1: 0.2, 2: 0.2}, 30, assumed)     # the second had luck
    found = within(Compared.of(ROWS, {}, shrunk), None, 0.5)
    assert (found.trial, found.confidence) == (1, confidence)
    minus = "\N{MINUS SIGN}"
    assert f"{minus}0.10 dB against it as measured, {minus}0.24 dB drawn towards the fit" in found.sentence
    assert "probability of being within 0.5 dB: 90 %" in found.sentence
    assert ("if seeds of one variant differ by a standard deviation of 0.15 dB" in found.sentence) == bool(assumed)


def test_where_none_is_likely_enough_the_likeliest_is_named_and_none_recommended():
    shrunk = Shrunk({0: 0.0, 1: 0.45, 2: 0.6}, {0: 0.0, 1: 0.2, 2: 0.2}, 30)
    found = within(Compared.of(ROWS, {}, shrunk), None, 0.5)
    assert (found.trial, found.confidence) == (None, None)
    assert found.sentence.startswith("No smaller variant is within 0.5 dB of the reference with a probability of 80 % or more; "
                                     "the likeliest: trial 1 ")
    assert within(Compared.of(ROWS, {}), None, 0.5).trial == 2        # without a model the measured values decide
