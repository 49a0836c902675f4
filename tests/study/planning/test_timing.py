"""What is timed is what a training does; how fast it is, no test says."""

from dataclasses import replace

import torch

from study.planning.timing import Excerpt, Timed, score_work, slow_seconds, steps_work
from tasnet_core.training.trainer import Training
from tests.support.tiny import RECIPE, TINY, Tiny

CPU = torch.device("cpu")


def test_an_excerpt_is_spread_over_the_whole_split():
    few = Excerpt(Tiny(mixtures=9), 3)
    assert few.count("test") == 3
    assert [few.mixture("test", index).id for index in range(3)] == ["test/000", "test/003", "test/006"]
    assert [Excerpt(Tiny(mixtures=9), 3, turn).mixture("test", 2).id for turn in (1, 3)] == ["test/007", "test/000"]
    assert Excerpt(Tiny(mixtures=2), 3).count("valid") == 2


def test_a_round_times_the_steps_the_validation_and_the_scoring_it_says():
    timed = Timed(TINY, RECIPE, Tiny(), CPU, steps=3)
    timed.round(warm=False)
    assert not timed.step_s
    assert not timed.scored
    timed.round()
    assert [len(found) for found in (timed.step_s, timed.valid_s, timed.scored)] == [3, 1, 1]
    assert min(timed.step_s + timed.valid_s + [seconds for _, seconds in timed.scored]) > 0


def test_each_scoring_is_of_mixtures_whose_length_is_new(monkeypatch):
    from study.planning import timing
    heard = []
    monkeypatch.setattr(timing, "score_test", lambda network, corpus, processes: heard.append(corpus.lengths("test")))
    timed = Timed(TINY, RECIPE, Tiny(lengths=tuple(range(400, 700, 20)), mixtures=15), CPU)
    for _ in range(3):
        timed.round()
    assert len({length for lengths in heard for length in lengths}) == 6
    assert [work.samples for work, _ in timed.scored] == [sum(lengths) for lengths in heard]


def test_the_work_of_a_validation_is_that_of_its_mixtures_one_by_one():
    timed = Timed(TINY, RECIPE, Tiny(), CPU)
    valid = timed.works[1]
    assert (valid.samples, valid.calls) == (900 + 500, sum(1 for _ in timed.training._validation()))
    assert score_work(TINY, [900, 500, 300], 30).samples == 10 * 1700


def test_the_work_of_an_epoch_counts_its_last_smaller_step():
    assert steps_work(TINY, replace(RECIPE, batch_size=4), 6).calls == 2
    assert steps_work(TINY, RECIPE, 6).samples == 6 * 400


def test_scores_take_every_mixture_whole():
    assert score_work(TINY, [900, 500], 10).samples == 7000


def test_memory_is_at_least_that_of_the_weights_and_grows_with_the_batch():
    small, large = (Timed(TINY, replace(RECIPE, batch_size=size), Tiny(), CPU).step_bytes() for size in (2, 8))
    weights = sum(4 * weight.numel() for weight in Training(TINY, RECIPE, Tiny(), CPU).network.parameters())
    assert 5 * weights < small < large


def test_without_slow_metrics_nothing_is_slow():
    assert slow_seconds(Tiny(), ("si_snr",)) == 0.0
    assert slow_seconds(Tiny(), ("si_snr", "sdr")) > 0
    assert slow_seconds(Tiny(mixtures=0), ("si_snr", "sdr")) == 0.0
