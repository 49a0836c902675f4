"""Which variant to take, in a sentence each."""

import numpy as np
import pytest

from study.analysis.mixture_scores import from_rows
from study.analysis.recommendations import Compared, recommend
from study.analysis.uncertainty import SeedSpread, Uncertainty
from tests.support.fakes import failed, mixture, row

BASE = row(0, si_snri_db=7.0, parameters=1_000_000, macs_per_s=1_000_000_000)
ROWS = [BASE,
        row(1, X=5, si_snri_db=6.95, parameters=700_000, macs_per_s=800_000_000),
        row(2, X=4, si_snri_db=6.6, parameters=300_000, macs_per_s=400_000_000),
        row(3, X=3, si_snri_db=6.2, parameters=90_000, macs_per_s=100_000_000, realtime_factor=0.02),
        row(4, X=2, si_snri_db=3.0, parameters=50_000, macs_per_s=60_000_000, realtime_factor=0.01),
        row(5, N=64, si_snri_db=8.0, parameters=2_000_000)]


def titled(rows=ROWS, limits=(), losses=(), uncertainty=None):
    return {one.title: one for one in recommend(Compared.of(rows, dict(losses)), uncertainty, limits)}


def test_the_smallest_within_each_tolerance_is_named_with_its_shares():
    found = titled()
    assert [found[f"Within {limit} dB"].trial for limit in ("0.1", "0.5", "1")] == [1, 2, 3]
    assert found["Within 0.5 dB"].sentence == (
        "The smallest within 0.5 dB of the reference: trial 2 (X4) with 300k parameters, 400M MACs per second (30 % and 40 % of "
        "the reference's), −0.40 dB against it.")


def test_a_small_device_has_a_tenth_of_the_parameters_or_a_quarter_of_the_macs():
    found = titled()
    assert found["At most 100k parameters"].trial == 3
    assert found["At most 250M MACs per second"].trial == 3


def test_limits_that_are_given_are_kept_all_together_and_what_nothing_keeps_is_said():
    both = {"parameters": 400_000, "macs_per_s": 50_000_000}
    found = titled(limits=[{"realtime_factor": 0.015}, both, {"parameters": 20_000}])
    assert found["At most 0.015 real-time factor"].trial == 4
    nothing = found["At most 400k parameters and 50M MACs per second"]
    assert (nothing.trial, nothing.confidence) == (None, None)
    assert "the least there is: 50k parameters, 60M MACs per second." in nothing.sentence
    assert "50k parameters" in found["At most 20k parameters"].sentence


def test_the_confidence_is_the_share_of_made_up_studies_in_which_it_is_within():
    rng = np.random.default_rng(0)
    shared = rng.normal(7, 3, 60)
    scores = [shared, shared - 0.05 + rng.normal(0, 0.5, 60), shared - 0.4 + rng.normal(0, 0.5, 60), shared - 4]
    heard = from_rows([{**mixture(trial, i, score), "speakers": f"a{i}+b"} for trial, line in enumerate(scores)
                       for i, score in enumerate(line)]).per_trial(ROWS[:4])
    uncertainty = Uncertainty(heard, {0: 3}, SeedSpread(0.2, 6))
    tiny = row(3, X=2, si_snri_db=3.0, parameters=50_000, macs_per_s=60_000_000)
    found = titled([*ROWS[:3], tiny], losses=uncertainty.losses([0, 1, 2, 3], 0), uncertainty=uncertainty)
    pick = found["Within 0.5 dB"]
    assert pick.confidence == uncertainty.within([2], 0, 0.5)[2]
    assert f"probability of being within 0.5 dB: {100 * pick.confidence:.0f} %." in pick.sentence
    assert "dB [" in pick.sentence


def test_nothing_near_is_said_and_a_reference_without_a_score_leaves_no_tolerance():
    lonely = titled([BASE, row(1, X=2, si_snri_db=1.0, parameters=1000, macs_per_s=1000)])
    assert lonely["Within 1 dB"] == ("Within 1 dB", "No smaller variant comes within 1 dB of the reference.", None, None)
    assert not titled([failed(0), *ROWS[1:]])
    assert titled([failed(0)], limits=[{"parameters": 10}])["At most 10 parameters"].trial is None
    near = lonely["Within 0.5 dB"].sentence
    assert near == ("No smaller variant comes within 0.5 dB of the reference; the nearest: trial 1 (X2) with 1.00k parameters, "
                    "1.00k MACs per second (0.1 % and 0.0 % of the reference's), −6.00 dB against it.")
    assert not any(title.startswith("Within") for title in titled([BASE, ROWS[-1]]))


@pytest.mark.parametrize("costs", [("parameters", "macs_per_s")])
def test_among_equals_the_one_on_the_front_is_named(costs):
    rows = [BASE, row(1, X=4, si_snri_db=6.9, parameters=100, macs_per_s=300),
            row(2, X=3, si_snri_db=7.3, parameters=100, macs_per_s=200),
            row(3, X=1, si_snri_db=4.0, parameters=50, macs_per_s=50)]
    assert titled(rows)["Within 0.5 dB"].trial == 2
