"""What is timed is what a training does; how fast it is, no test says."""

import torch

from study.planning.measure import Timed, excerpt, mean_length_s, slow_seconds, step_macs
from tasnet_core.cost.count import exact
from tests.support.tiny import RECIPE, TINY, Tiny

CPU = torch.device("cpu")


def test_an_excerpt_is_spread_over_the_whole_split():
    few = excerpt(Tiny(mixtures=9), 3)
    assert few.count("test") == 3
    assert [few.mixture("test", index).id for index in range(3)] == ["test/000", "test/003", "test/006"]
    assert excerpt(Tiny(mixtures=2), 3).count("valid") == 2


def test_a_round_times_the_steps_and_the_validation_it_says():
    timed = Timed(TINY, RECIPE, Tiny(), CPU, steps=3)
    timed.round(warm=False)
    assert not timed.step_s
    timed.round()
    assert (len(timed.step_s), len(timed.separation_s)) == (3, 1)
    assert min(timed.step_s + timed.separation_s) > 0


def test_lengths_are_seconds_of_audio():
    corpus = Tiny(lengths=(900, 500), mixtures=2)
    assert mean_length_s(corpus, "valid") * corpus.sample_rate_hz == 700
    assert Timed(TINY, RECIPE, corpus, CPU).validated_s * corpus.sample_rate_hz == 1400
    assert mean_length_s(Tiny(mixtures=0), "test") == 0


def test_the_macs_of_a_step_are_those_of_its_batch():
    assert step_macs(TINY, RECIPE) == exact(TINY).macs_per_s * RECIPE.batch_size * RECIPE.segment_s


def test_without_slow_metrics_nothing_is_slow():
    assert slow_seconds(Tiny(), ("si_snr",)) == 0.0
    assert slow_seconds(Tiny(), ("si_snr", "sdr")) > 0
    assert slow_seconds(Tiny(mixtures=0), ("si_snr", "sdr")) == 0.0
