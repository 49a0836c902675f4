"""The sum that seconds and bytes are fitted with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.planning.cost_model import NO_WORK, Growth, Work, fit, work
from study.space.presets import QUICK
from tasnet_core.cost.formulas import exact
from tests.support.tiny import TINY

TRUE = Work(calls=0.004, blocks=0.0003, samples=2e-7, values=5e-9, macs=6e-11)


def various(count=12):
    rng = np.random.default_rng(0)
    variants = [QUICK.variant_of(QUICK.spread(share, rng)) for share in np.linspace(0, 1, count)]
    return [work(variant, items, samples) for variant, items, samples in
            zip(variants, (1, 8, 2, 4) * 3, (8000, 4000, 16000) * 4, strict=True)]


def test_weights_that_made_the_timings_are_found_again():
    works = various()
    found = fit(works, [Growth(TRUE, 0.0)(one) for one in works])
    assert found.weights == pytest.approx(TRUE, rel=1e-5)
    assert found.error < 1e-9


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.5, 2.0), min_size=12, max_size=12))
def test_no_noise_makes_a_weight_negative_or_a_fit_worse_than_none(noise):
    works = various()
    found = fit(works, [factor * Growth(TRUE, 0.0)(one) for factor, one in zip(noise, works, strict=True)])
    assert min(found.weights) >= 0
    assert found.error <= 1.0       # at most twice what is fitted, half at least


def test_noise_makes_no_sum_smaller():
    works, rng = various() * 200, np.random.default_rng(0)
    true = [Growth(TRUE, 0.0)(one) for one in works]
    found = fit(works, [one * rng.uniform(0.5, 1.5) for one in true])
    assert sum(map(found, works)) == pytest.approx(sum(true), rel=0.02)


def test_one_measurement_predicts_itself():
    one = work(TINY, 2, 400)
    assert fit([one], [0.25])(one) == pytest.approx(0.25)


@pytest.mark.parametrize("measured", [[], [0.0], [-1.0], [float("nan")]])
def test_what_is_no_time_is_refused(measured):
    with pytest.raises(ValueError, match="at least one number is wanted, and each above 0"):
        fit([work(TINY, 2, 400)] * len(measured), measured)


def test_the_work_of_a_second_has_the_macs_of_the_closed_formula():
    assert work(QUICK.reference, 1, 8000).macs == exact(QUICK.reference).macs_per_s


def test_work_adds_up():
    whole, parts = work(TINY, 6, 400, calls=3), [work(TINY, 2, 400)] * 3
    assert sum(parts, NO_WORK) == pytest.approx(whole)
    assert parts[0].times(3) == pytest.approx(whole)
