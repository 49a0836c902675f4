import numpy as np
import pytest
import soundfile

from tasnet_core import audio
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.errors import CorpusError
from tests.support.recordings import levels_db, people, voice


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    here = tmp_path_factory.mktemp("sound")
    people(here / "people")
    for name, count in (("noise", 10), ("few", 1)):
        (here / name).mkdir()
        for number in range(count):
            audio.write(here / name / f"{number}.wav", voice(99, number, 0.3 + 0.5 * number), 8000)
    return here


def all_of(corpus):
    return [corpus.segment(0, 1, index, 6000) for index in range(60)] + [
        corpus.mixture(split, index) for split in ("valid", "test") for index in range(corpus.count(split))]


def test_noise_is_as_far_below_the_speech_as_drawn(here):
    corpus = open_corpus(f"folder:{here / 'people'}?noise={here / 'noise'}&noise_db=-3..6")
    levels = []
    for mixture in all_of(corpus):
        speech = mixture.sources.sum(0)[:mixture.length].astype(float)
        levels.append(10 * np.log10((speech**2).sum() / (mixture.noise[:mixture.length].astype(float)**2).sum()))
    assert -3.001 < min(levels) < -2
    assert 5 < max(levels) < 6.001


@pytest.mark.parametrize("db", [5, -15])  # with the louder noise every mixture has to be turned down
def test_a_level_without_a_choice_is_met_exactly(here, db):
    corpus = open_corpus(f"folder:{here / 'people'}?noise={here / 'noise'}&noise_db={db}..{db}")
    for mixture in all_of(corpus)[:9]:
        speech, noise = mixture.sources.sum(0).astype(float), mixture.noise.astype(float)
        assert 10 * np.log10((speech**2).sum() / (noise**2).sum()) == pytest.approx(db, abs=1e-3)


def test_noise_changes_no_source_but_by_turning_the_whole_down(here):
    quiet = open_corpus(f"folder:{here / 'people'}")
    noisy = open_corpus(f"folder:{here / 'people'}?noise={here / 'noise'}&noise_db=-10..-5")
    gains = []
    for one, other in zip(all_of(quiet), all_of(noisy), strict=True):
        assert one.speakers == other.speakers
        gain = np.vdot(one.sources, other.sources) / np.vdot(one.sources, one.sources)
        assert np.allclose(gain * one.sources, other.sources, atol=1e-6)
        gains.append(gain)
    assert max(gains) == pytest.approx(1, abs=1e-6)
    assert quiet.fingerprint != noisy.fingerprint


def test_the_noises_of_training_are_not_those_of_the_test(here):
    corpus = open_corpus(f"folder:{here / 'people'}?noise={here / 'noise'}")
    ids = {split: {item.id for item in items} for split, items in corpus.background.entries.items()}
    assert not ids["train"] & ids["test"] | ids["train"] & ids["valid"] | ids["valid"] & ids["test"]
    assert sum(map(len, ids.values())) == 10
    few = open_corpus(f"folder:{here / 'people'}?noise={here / 'few'}")
    assert "noise: only 1 recording, in training, validation and test alike" in few.notes
    assert few.segment(0, 1, 0, 9000).noise[:9000].std() > 0.001  # repeated: the recording has 0.3 s


def test_noise_that_cannot_be_used_is_named(here, tmp_path):
    with pytest.raises(CorpusError, match="does not exist, but recordings are wanted"):
        open_corpus(f"folder:{here / 'people'}?noise={tmp_path / 'none'}")
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(CorpusError, match=r"none of its 1 sound file can be used \(the first, a\.wav"):
        open_corpus(f"folder:{here / 'people'}?noise={tmp_path}")
    audio.write(tmp_path / "b.wav", voice(1, 1, 1), 8000)
    corpus = open_corpus(f"folder:{here / 'people'}?noise={tmp_path}")
    assert [item.path for item in corpus.unusable] == ["a.wav"]


def tones(folder):
    """Six people who each speak one long tone."""
    for speaker in range(6):
        (folder / str(speaker)).mkdir()
        t = np.arange(40_000) / 8000
        level = 0.5 + 0.2 * np.sin((2 + speaker) * t)  # else each would be a copy of the first at another level
        tone = level * np.sin(2 * np.pi * 1000 * t)
        audio.write(folder / str(speaker) / "a.wav", tone.astype(np.float32), 8000)
    return folder


def frequencies(mixture):
    window = np.hanning(mixture.length)
    return [np.abs(np.fft.rfft(window * source[:mixture.length])).argmax() * 8000 / mixture.length for source in mixture.sources]


def test_speed_raises_and_lowers_tones_in_training_alone(tmp_path):
    corpus = open_corpus(f"folder:{tones(tmp_path)}?speed=0.8..1.25")
    heard = [f for index in range(60) for f in frequencies(corpus.segment(0, 1, index, 8000))]
    assert 798 <= min(heard) < 830
    assert 1200 < max(heard) <= 1252
    assert any(abs(one - other) > 50 for one, other in zip(heard[::2], heard[1::2], strict=True))  # each source its own
    faster = open_corpus(f"folder:{tmp_path}?speed=1.2..1.2")
    assert frequencies(faster.segment(0, 1, 0, 8000)) == pytest.approx([1200, 1200], abs=1)
    for split in ("valid", "test"):
        assert frequencies(corpus.mixture(split, 0)) == pytest.approx([1000, 1000], abs=1)


def test_with_and_without_speed_the_same_people_are_mixed_at_the_same_levels(here):
    plain, fast = (open_corpus(f"folder:{here / 'people'}{query}") for query in ("", "?speed=1.1..1.1"))
    for index in range(20):
        one, other = (corpus.segment(3, 2, index, 4000) for corpus in (plain, fast))
        assert one.speakers == other.speakers
        assert np.diff(levels_db(one)) == pytest.approx(np.diff(levels_db(other)), abs=1e-3)
    assert plain.fingerprint != fast.fingerprint
    assert np.array_equal(plain.mixture("test", 0).sources, fast.mixture("test", 0).sources)


def test_stereo_is_refused_where_asked(tmp_path):
    people(tmp_path, speakers=6, recordings=2)
    soundfile.write(tmp_path / "s0/both.wav", np.stack([voice(0, 8, 1), voice(0, 9, 1)], 1), 8000)
    assert open_corpus(f"folder:{tmp_path}").unusable == ()
    corpus = open_corpus(f"folder:{tmp_path}?stereo=refuse")
    assert [tuple(item) for item in corpus.unusable] == [("s0/both.wav", "2 channels, and stereo=refuse")]
    assert "1 file left out as unusable" in corpus.notes
    assert len(corpus.recordings) == 12
