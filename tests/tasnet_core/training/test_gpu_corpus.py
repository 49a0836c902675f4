"""A corpus on a device gives the segments it gives on the host; here the device is the CPU, since the code is the same."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core import audio
from tasnet_core.corpora.mixed import PEAK
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.corpora.stored import StoredCorpus
from tasnet_core.network.loss import pit_loss
from tasnet_core.network.model import seeded
from tasnet_core.training import gpu_corpus, step, trainer
from tasnet_core.training.batches import batch_of
from tasnet_core.training.gpu_corpus import Resident
from tests.support.recordings import people, voice
from tests.support.tiny import RECIPE, TINY, Tiny

CPU = torch.device("cpu")


def clicks(folder):
    """Recordings whose energy is in two samples, with silence around it: loud mixtures, and slices that are given up."""
    for speaker, number in itertools.product(range(7), range(3)):
        (folder / str(speaker)).mkdir(parents=True, exist_ok=True)
        click = 1e-4 * voice(speaker, number, 0.5)
        click[500 * (number + 1)] = click[500 * (number + 1) + 10 + 40 * speaker] = 1.0
        audio.write(folder / str(speaker) / f"{number}.wav", click, 8000)
    return folder


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASNET_CACHE", str(folder / "cache"))
        uneven = people(folder / "uneven", recordings=8, seconds=0.15)
        for number in range(4):      # this one has more to say than the others
            audio.write(uneven / "s0" / f"long{number}.wav", voice(0, 9 + number, 2.0), 8000)
        folders = uneven, clicks(folder / "clicks")
        return [open_corpus(f"folder:{where}?split=recording", C) for where in folders for C in (2, 3)]


def both(corpus, seed, epoch, first, samples, items=5):
    """The same segments as batches, mixed on the host and on the device."""
    places = [(seed, epoch, index, samples) for index in range(first, first + items)]
    there = Resident(corpus, CPU)
    return (batch_of([corpus.segment(*place) for place in places], CPU),
            there.batch([there.plan(*place) for place in places], samples))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 3), st.integers(0, 9), st.integers(1, 99), st.integers(0, 500),
       st.sampled_from([1, 100, 400, 2000, 4000, 8000, 30_000]))
def test_segments_mixed_on_a_device_are_those_of_the_host(corpora, which, seed, epoch, first, samples):
    host, there = both(corpora[which], seed, epoch, first, samples)
    assert (host.valid is None) == (there.valid is None)
    assert host.valid is None or torch.equal(host.valid, there.valid)
    assert there.noise is None
    assert there.sources.dtype == torch.float32
    torch.testing.assert_close(there.sources, host.sources, rtol=1e-5, atol=1e-7)


def test_the_corpora_above_have_padded_joined_silent_and_loud_segments(corpora):
    uneven, loud = corpora[0], corpora[2]
    host, _ = both(uneven, 0, 1, 0, 8000)
    assert 0 < host.valid.mean() < 1
    assert max(len(slices) for index in range(9) for slices in uneven.plan(0, 1, index, 8000).slices) > 2
    host, there = both(loud, 0, 1, 0, 400)
    assert host.mixture.abs().amax(1).tolist() == pytest.approx([PEAK] * 5, rel=1e-5)
    assert there.mixture.abs().max() <= PEAK
    host, _ = both(loud, 0, 1, 0, 100)      # hardly a cut drawn has the click; those without are given up
    assert (host.sources.abs().amax(-1) > 5 * host.sources.square().mean(-1).sqrt()).all()


def test_nothing_that_a_device_computes_is_asked_for_before_an_epochs_end(corpora):
    # A meta tensor has no numbers: whatever needs one to go on fails, as .item() or a shape that follows from the data.
    meta, corpus = torch.device("meta"), corpora[0]
    there, network = Resident(corpus, meta), seeded(TINY, 0).to(meta)
    batch = there.batch([corpus.plan(0, 1, index, 8000) for index in range(4)], 8000)
    assert batch.valid is not None
    loss = pit_loss(batch.sources, network(batch.mixture), batch.valid)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    with pytest.raises((RuntimeError, NotImplementedError)):
        loss.item()


def test_a_training_on_resident_segments_is_the_training_on_the_hosts(corpora, tmp_path, monkeypatch):
    def curve(name):
        return [epoch.train_loss_db for epoch in trainer.train(TINY, RECIPE, corpora[0], tmp_path / name)]
    plain, mixed, real = curve("a.pt"), [], Resident.batch
    monkeypatch.setattr(step, "resident", Resident)
    monkeypatch.setattr(Resident, "batch", lambda *given: mixed.append(1) or real(*given))
    assert curve("b.pt") == pytest.approx(plain, abs=1e-3)
    assert len(mixed) == RECIPE.epochs * RECIPE.epoch_segments / RECIPE.batch_size


@pytest.mark.parametrize(("shares", "fits"), [(4, True), (3.9, False)])
def test_a_corpus_goes_to_a_gpu_if_it_takes_a_quarter_of_what_is_free_there(corpora, monkeypatch, shares, fits):
    size = 2 * sum(len(numbers) for _, numbers in corpora[0].stored())
    gpu_corpus.shared_resident.cache_clear()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(shares * size), 10**12))
    monkeypatch.setattr(gpu_corpus, "Resident", lambda corpus, device: "there")
    assert gpu_corpus.resident(corpora[0], torch.device("cuda")) == ("there" if fits else None)
    assert gpu_corpus.resident(corpora[0], CPU) is None
    assert gpu_corpus.resident(Tiny(), torch.device("cuda")) is None
    gpu_corpus.shared_resident.cache_clear()


def test_noise_other_speeds_and_stored_mixtures_stay_on_the_host(tmp_path, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path / "cache"))
    spec = f"folder:{people(tmp_path / 'people')}"
    assert open_corpus(spec).planned is not None
    assert open_corpus(f"{spec}?speed=0.9..1.1").planned is None
    assert open_corpus(f"{spec}?noise={people(tmp_path / 'noise')}").planned is None
    assert StoredCorpus.planned is None


def test_only_training_recordings_go_to_the_device(corpora):
    for corpus in corpora:
        train = [each.entry.length for each in corpus.recordings if each.split == "train"]
        assert len(Resident(corpus, CPU).numbers) == sum(train) < sum(each.entry.length for each in corpus.recordings)


def test_a_plan_is_a_pure_function_of_where_it_is(corpora):
    one, other = (corpora[0].plan(3, 2, 1, 4000) for _ in range(2))
    assert one.slices == other.slices
    assert np.array_equal(one.levels, other.levels)
