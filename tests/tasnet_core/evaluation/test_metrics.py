"""Every metric against its definition or the accepted implementation, and what cannot be scored."""

import math
import os
import subprocess
import sys
import warnings
from dataclasses import asdict, replace

import numpy as np
import pesq
import pystoi
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.corpora.mixture import Mixture
from tasnet_core.evaluation import metric_workers, metrics
from tasnet_core.evaluation.metric_workers import Computed, Job, MetricWorkers, compute
from tasnet_core.network.loss import si_snr
from tasnet_core.network.model import seeded
from tasnet_core.records import METRICS
from tests.support.recordings import FSDD
from tests.support.tiny import TINY, Tiny

ALL = tuple(METRICS)
RATE = 8000


def speech(seed, seconds=2.0, rate=RATE):
    """Coloured noise in syllables: PESQ finds utterances in it, STOI its 30 frames."""
    rng = np.random.default_rng(seed)
    noise = np.convolve(rng.standard_normal(round(seconds * rate)), 0.8 ** np.arange(40))[: round(seconds * rate)]
    syllables = np.clip(np.sin(2 * np.pi * (2.5 + seed % 3) * np.arange(len(noise)) / rate), 0, None) ** 2
    return (0.1 * noise * syllables + 1e-4 * rng.standard_normal(len(noise))).astype(np.float32)


def mixture(seconds=2.0, rate=RATE, name="test/000", sexes=("F", "M")):
    sources = np.stack([speech(seed, seconds, rate) for seed in (0, 1)])
    return Mixture(name, sources, sources.shape[1], ("a", "b"), sexes)


def separated(one, leak=0.2, noise=0.005):
    """Estimates as a network gives them: some of the other speaker, some noise."""
    rng = np.random.default_rng(9)
    return (one.sources + leak * one.sources[::-1] + noise * rng.standard_normal(one.sources.shape)).astype(np.float32)


def sdr_by_definition(reference, estimate, taps):
    """Energy of the projection on the delays of the reference, over the energy of what is left; by least squares."""
    padded = np.concatenate([estimate, np.zeros(taps - 1)])
    delays = np.stack([np.concatenate([np.zeros(d), reference, np.zeros(taps - 1 - d)]) for d in range(taps)], axis=1)
    target = delays @ np.linalg.lstsq(delays, padded, rcond=None)[0]
    return 10 * math.log10(np.sum(target**2) / np.sum((padded - target) ** 2))


def test_sdr_is_the_projection_on_512_delays():
    truth, found = (signals.astype(np.float64) for signals in (mixture(0.2).sources, separated(mixture(0.2))))
    expected = [sdr_by_definition(s, e, 512) for s, e in zip(truth, found, strict=True)]
    np.testing.assert_allclose([metric_workers.sdr(s, e) for s, e in zip(truth, found, strict=True)], expected, atol=1e-6)


def test_sdr_is_that_of_mir_eval():
    import mir_eval
    one = mixture(1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # it is deprecated there
        expected, before = (
            mir_eval.separation.bss_eval_sources(one.sources.astype(np.float64), np.array(found, np.float64),
                                                 compute_permutation=False)[0]
            for found in (separated(one), [one.mixture, one.mixture]))
    found = metrics.score(one, separated(one), RATE, ("si_snr", "sdr"))
    assert found.sdr_db == pytest.approx(expected.mean(), abs=1e-4)
    assert found.sdri_db == pytest.approx((expected - before).mean(), abs=1e-4)


def si_snr_by_definition(reference, estimate):
    s, e = (x.astype(np.float64) - x.mean(dtype=np.float64) for x in (reference, estimate))
    target = (e @ s) / (s @ s) * s
    return 10 * math.log10((target @ target) / ((e - target) @ (e - target)))


@given(st.integers(0, 99), st.sampled_from([1e-5, 1e-4, 0.01, 0.1, 0.9]), st.floats(0.01, 10))
@settings(max_examples=15, deadline=None)
def test_si_snr_and_its_improvement_are_the_definition(seed, leak, gain):
    rng = np.random.default_rng(seed)
    sources = rng.standard_normal((2, 400)).astype(np.float32)
    one = Mixture("m", sources, 400, ("a", "b"), ("F", "F"))
    estimates = (gain * (sources + leak * sources[::-1]) + 0.1).astype(np.float32)
    found = metrics.score(one, estimates, RATE)
    after = np.mean([si_snr_by_definition(*pair) for pair in zip(sources, estimates, strict=True)])
    before = np.mean([si_snr_by_definition(source, one.mixture) for source in sources])
    assert found.si_snr_db == pytest.approx(after, abs=1e-4)
    assert found.input_si_snr_db == pytest.approx(before, abs=1e-4)
    wide = torch.from_numpy(sources).double()
    ordered = metrics.in_order(one, estimates[::-1].copy())
    assert ordered.input_si_snr_db == pytest.approx(si_snr(wide, wide.sum(0, keepdim=True)).tolist(), abs=1e-8)
    assert ordered.si_snr_db == pytest.approx(si_snr(wide, torch.from_numpy(estimates).double()).tolist(), abs=1e-7)
    assert found.si_snri_db == pytest.approx(after - before, abs=2e-4)
    assert (found.sdr_db, found.stoi, found.pesq, found.reason) == (None, None, None, "")


def test_a_filter_costs_si_snr_but_no_sdr():
    one = mixture(1.0)
    heard = np.stack([np.convolve(s, [1, 0.9, -0.6, 0.3])[: one.length] for s in one.sources])
    found = metrics.score(one, (heard + 1e-5 * speech(7, 1.0)).astype(np.float32), RATE, ("si_snr", "sdr"))
    assert found.sdr_db > 30
    assert found.si_snr_db < 12


@pytest.mark.parametrize(("rate", "mode"), [(8000, "nb"), (16000, "wb")])
def test_stoi_and_pesq_are_the_libraries_own_numbers(rate, mode):
    one = mixture(rate=rate)
    estimates = separated(one)
    found = metrics.score(one, estimates[::-1].copy(), rate, ALL)       # and in the order of the sources
    pairs = list(zip(one.sources, estimates, strict=True))
    assert found.stoi == pytest.approx(np.mean([pystoi.stoi(s.astype(float), e.astype(float), rate) for s, e in pairs]), abs=1e-9)
    assert found.pesq == pytest.approx(np.mean([pesq.pesq(rate, s, e, mode) for s, e in pairs]), abs=1e-9)
    assert 0.5 < found.stoi < 1
    assert 1 < found.pesq < 4.6


def test_swapped_estimates_have_the_same_scores_and_so_have_padded_ones():
    one = mixture()
    estimates = separated(one)
    plain = metrics.score(one, estimates, RATE, ALL)
    assert metrics.score(one, estimates[::-1].copy(), RATE, ALL) == plain
    tail = [np.pad(signals, ((0, 0), (0, 500)), constant_values=value)
            for signals, value in ((one.sources, 0.3), (estimates, 0.5))]
    assert metrics.score(one._replace(sources=tail[0]), tail[1], RATE, ALL) == plain


def test_noise_counts_as_part_of_what_is_improved_on():
    one = mixture()
    noisy = one._replace(noise=0.05 * np.random.default_rng(3).standard_normal(one.length).astype(np.float32))
    clean, found = (metrics.score(each, separated(one), RATE, ("si_snr", "sdr")) for each in (one, noisy))
    assert found.input_si_snr_db < clean.input_si_snr_db
    assert found.sdr_db == clean.sdr_db
    assert found.sdri_db > clean.sdri_db


@pytest.mark.parametrize("db", [-6, 0, 2.5])
def test_the_level_difference_is_that_of_the_sources(db):
    t = np.arange(RATE) / RATE
    tones = np.stack([np.sin(2 * np.pi * 200 * t), 10 ** (-db / 20) * np.sin(2 * np.pi * 300 * t)])     # orthogonal over 1 s
    one = Mixture("m", (0.1 * tones).astype(np.float32), RATE, ("a", "b"), ("F", "F"))
    found = metrics.score(one, separated(one), RATE)
    assert found.level_difference_db == pytest.approx(abs(db), abs=1e-3)
    assert found.input_si_snr_db == pytest.approx(0, abs=1e-3)


def silent_source(one, estimates):
    return one._replace(sources=one.sources * np.float32([[1], [0]])), estimates


def constant_estimate(one, estimates):
    return one, estimates * np.float32([[1], [0]]) + np.float32(0.2)


def not_a_number(one, estimates):
    estimates[0, 7] = np.nan
    return one, estimates


@pytest.mark.parametrize(("spoil", "reason"), [
    (silent_source, "a source is silent"), (constant_estimate, "an estimate is silent"),
    (not_a_number, "an estimate is not finite")])
def test_what_has_no_score_says_why(spoil, reason):
    one = mixture()
    found = metrics.score(*spoil(one, separated(one)), RATE, ALL)
    assert [getattr(found, name) for names in METRICS.values() for name in names] == [None] * 6
    assert (found.reason, found.level_difference_db) == (reason, None)


@pytest.mark.parametrize(("seconds", "stoi"), [
    (0.005, "too short"), (0.2, "less than 0.4 s of it is louder than 40 dB below its peak")])
def test_too_short_for_one_metric_is_said_and_the_others_stand(seconds, stoi):
    one = mixture(seconds)
    found = metrics.score(one, separated(one), RATE, ALL)
    assert (found.stoi, found.pesq) == (None, None)
    assert found.reason == f"STOI: source 1: {stoi}; PESQ: source 1: shorter than a quarter of a second"
    assert None not in (found.si_snr_db, found.sdr_db, found.sdri_db)


def test_pesq_without_an_utterance_and_at_another_rate_is_said():
    sources = np.stack([speech(0), np.zeros(2 * RATE, np.float32)])
    assert compute(Job(("pesq",), sources, separated(mixture()), mixture().mixture, RATE)) == Computed(
        {"pesq": None}, ("PESQ: source 2: no utterance found",))
    found = metrics.score(mixture(rate=11025), separated(mixture(rate=11025)), 11025, ALL)
    assert found.reason == "PESQ: source 1: defined at 8000 and 16000 Hz, not at 11025"
    assert None not in (found.sdr_db, found.stoi)


def test_a_library_that_throws_is_a_reason(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("by what?")
    monkeypatch.setattr(metric_workers, "stoi", broken)
    assert metrics.score(mixture(), separated(mixture()), RATE, ALL).reason == "STOI: source 1: ZeroDivisionError: by what?"


@pytest.mark.parametrize("gain", [1.0, -1.0, 0.37, 8.0])
def test_a_perfect_estimate_has_the_largest_sdr(gain):
    import mir_eval
    one = mixture(0.5)
    found = metrics.score(one, (gain * one.sources).astype(np.float32), RATE, ("si_snr", "sdr"))
    assert (found.sdr_db, found.reason) == (metric_workers.SDR_LIMIT_DB, "")
    assert found.si_snr_db > 120
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # it is deprecated there
        truth = one.sources.astype(np.float64)
        theirs = mir_eval.separation.bss_eval_sources(truth, gain * truth, compute_permutation=False)[0]
    assert (theirs > metric_workers.SDR_LIMIT_DB).all()      # by what is left of rounding


def test_the_mixture_as_the_estimate_of_each_source_improves_nothing():
    one = mixture(0.5)
    found = metrics.score(one, np.stack([one.mixture] * 2), RATE, ("si_snr", "sdr"))
    assert found.sdri_db == 0
    assert found.si_snri_db == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("db", [60, 100, 115])
def test_sdr_is_its_definition_up_to_its_limit(db):
    source = mixture(0.2).sources[0].astype(np.float64)
    noise = np.random.default_rng(1).standard_normal(len(source))
    estimate = source + noise * np.linalg.norm(source) / np.linalg.norm(noise) * 10 ** (-db / 20)
    assert metric_workers.sdr(source, estimate) == pytest.approx(sdr_by_definition(source, estimate, 512), abs=0.01)


def test_the_delays_of_a_tone_depend_on_each_other_and_it_has_an_sdr():
    tone = np.sin(2 * np.pi * 200 * np.arange(4000) / 8000)
    assert metric_workers.sdr(tone, tone) > 90
    assert metric_workers.sdr(tone, tone + 0.01 * np.random.default_rng(0).standard_normal(4000)) == pytest.approx(37.5, abs=2)


class Few(Tiny):
    """Test mixtures of speech, of which one is too short and one has a silent source."""

    def mixture(self, split, index):
        one = mixture(0.1 if index == 1 else 1.0, name=f"{split}/{index:03}")
        return silent_source(one, None)[0] if index == 2 else one


@pytest.fixture(scope="module")
def scored():
    """The test set of Few, scored with none, one and two processes."""
    network, heard = seeded(TINY, 0).eval(), []
    runs = [metrics.score_test(network, Few(5), ALL, processes, lambda done, total: heard.append((done, total)))
            for processes in (0, 1, 2)]
    return runs, heard


def test_scores_do_not_depend_on_the_number_of_processes(scored):
    runs, heard = scored
    assert runs[1] == runs[2]
    for here, there in zip(runs[0], runs[1], strict=True):      # where BLAS may use more threads: to rounding
        for name, value in asdict(here).items():
            assert getattr(there, name) == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)
    assert [one.mixture for one in runs[0]] == [f"test/{index:03}" for index in range(5)]
    assert heard == [(done, 5) for done in range(1, 6)] * 3


def test_scored_and_unscored_are_the_mixtures_listed_and_means_are_of_those_that_have_the_score(scored):
    rows = scored[0][0]
    total = metrics.summary(rows, ALL)
    assert (total.mixtures, total.unscored, total.sdr_unscored, total.stoi_unscored, total.pesq_unscored) == (5, 1, 1, 2, 2)
    for names, missing in zip(METRICS.values(), (1, 1, 2, 2), strict=True):
        for name in names:
            values = [getattr(row, name) for row in rows if getattr(row, name) is not None]
            assert len(values) + missing == 5
            assert getattr(total, name) == pytest.approx(np.mean(values), abs=1e-12)
    assert [bool(row.reason) for row in rows] == [False, True, True, False, False]


def test_what_was_not_asked_for_is_neither_a_score_nor_missing():
    total = metrics.summary([replace(metrics.score(mixture(), separated(mixture()), RATE), mixture=str(i)) for i in range(2)])
    assert (total.sdr_db, total.stoi, total.sdr_unscored, total.pesq_unscored, total.mixtures) == (None, None, None, None, 2)
    assert metrics.summary([], ALL).si_snr_db is None


def job(seed=0):
    """One that needs no library, so that its process is there at once."""
    one = mixture(1.0)
    return Job(("pesq",), one.sources, separated(one, leak=0.1 + 0.1 * seed), one.mixture, 11025)


def test_a_process_that_dies_is_a_reason_and_the_next_job_has_a_new_one():
    with MetricWorkers(1) as workers:
        first = workers.submit(job()).result()
        workers.started[0].kill()
        died, after = workers.submit(job()).result(), workers.submit(job()).result()
    assert first == after == compute(job())
    assert "defined at 8000 and 16000 Hz" in first.reasons[0]
    assert died == Computed({"pesq": None}, ("PESQ: the process that computes it died",))
    assert all(worker.process.returncode is not None for worker in workers.started)


def test_an_interruption_leaves_no_process_behind():
    workers = MetricWorkers(2)

    def interrupted():
        with workers:
            asked = [workers.submit(job(seed)) for seed in range(6)]
            asked[0].result()
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert workers.started
    assert all(worker.process.returncode is not None for worker in workers.started)


def test_a_listener_ends_with_its_parent_and_never_loads_torch():
    code = ("import sys, tasnet_core.evaluation.metric_workers as l, pickle, os\n"
            "import pystoi\nassert 'torch' not in sys.modules, 'torch'\nl.main()\n")
    made = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True, timeout=60, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    assert made.stdout == b""


@pytest.mark.skipif(not FSDD.is_dir(), reason="needs the recordings of fsdd")
def test_real_speech_has_the_scores_of_the_reference_libraries():
    from tasnet_core import audio
    names = ("0_jackson_0", "3_theo_1", "7_nicolas_2"), ("5_lucas_0", "9_yweweler_1", "8_george_3")
    sources = np.stack([np.concatenate([audio.read(FSDD / f"{name}.wav")[0].reshape(-1) for name in some])[:6000]
                        for some in names])
    one = Mixture("m", sources.astype(np.float32), 6000, ("a", "b"), ("M", "M"))
    found = metrics.score(one, separated(one), RATE, ALL)
    pairs = list(zip(one.sources.astype(float), separated(one).astype(float), strict=True))
    assert found.sdr_db == pytest.approx(np.mean([sdr_by_definition(*pair, 512) for pair in pairs]), abs=1e-3)
    assert found.stoi == pytest.approx(np.mean([pystoi.stoi(*pair, RATE) for pair in pairs]), abs=1e-9)
    assert found.pesq == pytest.approx(np.mean([pesq.pesq(RATE, *pair, "nb") for pair in pairs]), abs=1e-6)
