import itertools
from collections import Counter

import numpy as np
import pytest

from tasnet_core import audio
from tasnet_core.corpora import mixed
from tasnet_core.corpora.mixed import PEAK
from tasnet_core.corpora.registry import open_corpus
from tests.support.recordings import levels_db, people, voice


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))


def plain_segment(voices, C, rng, samples):
    """Speakers and sources [C, T] of a segment by the rule alone; voices: whole recordings of each speaker in training."""
    names = [sorted(voices)[i] for i in rng.permutation(len(voices))[:C]]
    cuts = []
    for name in names:
        joined = np.zeros(0)
        for i in rng.permutation(len(voices[name])):
            joined = np.append(joined, voices[name][i])
            if len(joined) >= samples:
                break
        start = rng.integers(max(0, len(joined) - samples) + 1)
        cuts.append(joined[start:start + samples])
    length = min(map(len, cuts))
    levels = np.array([0.5, -0.5]) * rng.uniform(-2.5, 2.5) if C == 2 else rng.uniform(-2.5, 2.5, C)
    sources = [cut[:length] / np.sqrt(np.square(cut[:length]).mean()) * 0.1 / np.sqrt(C) * 10 ** (level / 20)
               for cut, level in zip(cuts, levels, strict=True)]
    return names, np.array(sources)


@pytest.mark.parametrize(("C", "samples"), [(2, 4000), (2, 16_000), (2, 100_000), (3, 4000), (3, 100_000)])
def test_a_segment_is_what_the_plain_rule_draws_and_then_zeros(tmp_path, C, samples):
    corpus = open_corpus(f"folder:{people(tmp_path)}?split=recording", C)
    voices = {}
    for entry, speaker, _, split in corpus.recordings:
        if split == "train":
            voices.setdefault(speaker, []).append(corpus.cache.read(entry).astype(float))
    for index in range(30):
        segment = corpus.segment(5, 3, index, samples)
        names, sources = plain_segment(voices, C, np.random.default_rng((5, 3, index)), samples)
        assert segment.speakers == tuple(names)
        assert segment.length == sources.shape[1]
        assert np.allclose(segment.sources[:, :segment.length], sources, rtol=1e-5, atol=1e-8)
        assert segment.sources.shape == (C, samples)
        assert not segment.sources[:, segment.length:].any()


@pytest.mark.parametrize(("query", "most"), [("", 2.5), ("?levels_db=2.5", 5), ("?levels_db=0", 0)])
def test_two_people_are_as_far_apart_as_the_corpus_says(tmp_path, query, most):
    """With levels_db=2.5 the difference is that of two uniform draws from ±2.5 dB, as in WSJ0-2mix: 2.5 / sqrt(1.5) dB RMS."""
    corpus = open_corpus(f"folder:{people(tmp_path)}{query}")
    differences = np.diff([levels_db(corpus.segment(0, 1, index, 4000)) for index in range(400)])[:, 0]
    assert np.abs(differences).max() <= most + 1e-3
    rms = most / np.sqrt(6) if query else most / np.sqrt(3)
    assert np.sqrt(np.square(differences).mean()) == pytest.approx(rms, rel=0.1, abs=1e-3)
    assert abs(differences.mean()) <= 0.15 * most + 1e-3       # nobody is favoured: 400 draws have a standard error of 0.03 most
    assert np.abs(differences).max() >= 0.9 * most - 1e-3



def test_a_loud_mixture_is_turned_down_as_a_whole(tmp_path):
    for speaker, number in itertools.product(range(6), range(2)):
        clicks = np.zeros(4000, np.float32)
        clicks[2000] = clicks[2010 + 20 * speaker + 10 * number] = 1.0  # at the usual RMS they would reach 3.2
        (tmp_path / str(speaker)).mkdir(exist_ok=True)
        audio.write(tmp_path / str(speaker) / f"{number}.wav", clicks, 8000)
    mixture = open_corpus(f"folder:{tmp_path}").segment(0, 1, 0, 8000)
    assert np.abs(mixture.mixture).max() == pytest.approx(PEAK, abs=1e-5)
    assert abs(np.diff(levels_db(mixture))[0]) <= 2.5 + 1e-3


def test_each_recording_is_used_once_and_the_shortest_speaker_gives_the_length(tmp_path):
    seconds = {"a": (0.1, 0.2, 0.4, 0.8), "b": (0.5, 0.6, 0.7), "c": (1.0, 1.1, 1.3, 1.7, 1.9)}
    for number, (name, each) in enumerate(seconds.items()):
        (tmp_path / name).mkdir()
        for take, length in enumerate(each):
            audio.write(tmp_path / name / f"{take}.wav", voice(number, take, length), 8000)
    corpus = open_corpus(f"folder:{tmp_path}?split=recording")
    total = Counter()
    for recording in corpus.recordings:
        if recording.split == "train":
            total[recording.speaker] += recording.entry.length
    assert set(total) == {"a", "b", "c"}
    for index in range(20):
        mixture = corpus.segment(0, 1, index, 50_000)
        assert mixture.length == min(total[name] for name in mixture.speakers)


def test_a_segment_is_cut_from_anywhere_in_a_long_recording(tmp_path):
    for speaker in range(6):
        (tmp_path / str(speaker)).mkdir()
        ramp = np.linspace(0.1, 0.9, 16_000) * np.random.default_rng(speaker).choice([-1, 1], 16_000)
        audio.write(tmp_path / str(speaker) / "a.wav", ramp.astype(np.float32), 8000)
    corpus = open_corpus(f"folder:{tmp_path}")
    # Where a cut of a ramp lies shows in how much it grows from its beginning to its end.
    growth = [abs(source[-1] / source[0]) for index in range(100)
              for source in corpus.segment(0, 1, index, 2000).sources]
    assert min(growth) < 1.16  # at the very end: 0.9 / 0.8
    assert max(growth) > 1.8  # at the very beginning: 0.2 / 0.1


def test_test_mixtures_spread_over_all_pairs_and_speakers(tmp_path):
    corpus = open_corpus(f"folder:{people(tmp_path)}?split=recording")
    groups = [frozenset(corpus.mixture("test", i).speakers) for i in range(corpus.count("test"))]
    assert len(set(groups)) == min(len(groups), 7 * 6 // 2)
    heard = Counter(name for group in groups for name in group)
    assert max(heard.values()) - min(heard.values()) <= 2


def test_a_source_is_never_silence_where_its_recording_has_sound(tmp_path):
    for speaker in range(6):
        sound = np.zeros(80_000, np.float32)
        sound[60_000:60_100] = voice(speaker, 0, 100 / 8000)
        (tmp_path / str(speaker)).mkdir()
        audio.write(tmp_path / str(speaker) / "a.wav", sound, 8000)
    corpus = open_corpus(f"folder:{tmp_path}?trim=off")
    segments = [corpus.segment(0, 1, index, 4000) for index in range(30)]
    assert all(np.abs(segment.sources).max(axis=1).min() > 0.01 for segment in segments)
    places = [int(np.abs(segment.sources[0]).argmax()) for segment in segments]
    assert 1000 < np.median(places) < 3000  # and it is anywhere in the segment


@pytest.mark.parametrize("room", [0, 64e6])
def test_fixed_mixtures_are_kept_while_there_is_room_and_stay_what_they_are(tmp_path, monkeypatch, room):
    monkeypatch.setattr(mixed, "KEPT_BYTES", room)
    spec = f"folder:{people(tmp_path)}?split=recording"
    corpus, again = open_corpus(spec), open_corpus(spec)
    for split in ("valid", "test"):
        first = corpus.mixture(split, 0)
        assert (corpus.mixture(split, 0) is first) == bool(room)
        assert np.array_equal(corpus.mixture(split, 0).sources, again.mixture(split, 0).sources)
