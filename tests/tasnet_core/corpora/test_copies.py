import io

import numpy as np
import pytest
import soundfile

from tasnet_core import audio
from tasnet_core.corpora import audio_cache, copies
from tasnet_core.corpora.audio_cache import AudioEntry
from tasnet_core.corpora.registry import open_corpus
from tests.support.recordings import FSDD, people, voice


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(("names", "groups"), [
    (["p225/p225_001_mic1.flac", "p225/p225_001_mic2.flac", "p225/p225_002_mic1.flac"], 2),     # VCTK
    (["F01_050C0101_PED.CH1.wav", "F01_050C0101_PED.CH6.wav", "F01_050C0102_PED.CH1.wav"], 2),  # CHiME
    (["wav48/a/1.wav", "flac/a/1.flac", "48k/a/1.wav", "mic2/a/1.wav"], 1), (["a/1.wav", "a/1.ogg", "a/2.ogg"], 2),
    (["train/a/1.wav", "test/a/1.wav", "a/1_a.wav", "a/micha.wav", "a/mic1.wav"], 5)])
def test_what_several_microphones_or_formats_have_of_one_sentence_is_one_group(names, groups):
    entries = [AudioEntry(name, 0, 1, 1.0) for name in names]
    found = copies.together(entries, {})
    assert len(found) == groups
    assert sorted(entry.id for group in found for entry in group) == sorted(names)


def split_of(corpus):
    return {recording.entry.id: recording.split for recording in corpus.recordings}


def test_one_sentence_by_two_microphones_is_in_one_split(tmp_path):
    for speaker in range(3):
        (tmp_path / f"p{speaker}").mkdir()
        for number in range(10):
            sound = voice(speaker, number, 0.3)
            for mic, other in ((1, sound), (2, 0.7 * sound)):
                audio.write(tmp_path / f"p{speaker}/p{speaker}_{number:03}_mic{mic}.wav", other, 8000)
    corpus = open_corpus(f"folder:{tmp_path}?split=recording")
    split = split_of(corpus)
    assert len(split) == 60
    assert all(split[name] == split[name.replace("mic1", "mic2")] for name in split)
    assert {s: list(split.values()).count(s) for s in ("train", "valid", "test")} == {"train": 48, "valid": 6, "test": 6}
    assert ("30 recordings under several names (p0/p0_000_mic1.wav and p0/p0_000_mic2.wav): "
            "each is in one split") in corpus.notes


def test_a_copy_is_left_out_and_named_whatever_its_name_kind_or_folder(tmp_path):
    people(tmp_path, speakers=6, recordings=4, seconds=0.3)
    (tmp_path / "s0/copy of 0.wav").write_bytes((tmp_path / "s0/0.wav").read_bytes())
    soundfile.write(tmp_path / "s1/x.flac", soundfile.read(tmp_path / "s1/1.wav", dtype="int16")[0], 8000)
    (tmp_path / "s5/theirs.wav").write_bytes((tmp_path / "s4/2.wav").read_bytes())
    corpus = open_corpus(f"folder:{tmp_path}?split=recording")
    assert dict(corpus.unusable) == {"s0/copy of 0.wav": "the same sound as s0/0.wav", "s1/x.flac": "the same sound as s1/1.wav",
                                     "s5/theirs.wav": "the same sound as s4/2.wav, of another speaker"}
    assert len(corpus.recordings) == 24


def test_noise_is_in_one_split_under_all_its_names(tmp_path):
    people(tmp_path / "people", seconds=0.3)
    (tmp_path / "noise").mkdir()
    for number in range(10):
        for channel in (1, 2):
            audio.write(tmp_path / f"noise/cafe{number}.CH{channel}.wav", voice(9, 2 * number + channel, 0.3), 8000)
        (tmp_path / f"noise/copy{number}.wav").write_bytes((tmp_path / f"noise/cafe{number}.CH1.wav").read_bytes())
    corpus = open_corpus(f"folder:{tmp_path / 'people'}?noise={tmp_path / 'noise'}")
    split = {name: split for name, _, split, *_ in corpus.background.made_of[1]}
    assert len(split) == 20
    assert all(split[name] == split[name.replace("CH1", "CH2")] for name in split)
    assert "noise: 10 files left out as unusable" in corpus.notes


def test_recordings_without_a_double_are_dealt_as_ever(tmp_path):
    corpus = open_corpus(f"folder:{people(tmp_path, 6, 10, 0.3)}?split=recording")
    assert [name for name, split in split_of(corpus).items() if split == "test"] == [
        "s0/4.wav", "s1/9.wav", "s2/8.wav", "s3/2.wav", "s4/9.wav", "s5/7.wav"]  # by commit 1039d9c


def stored(sound, kind, subtype):
    """The samples of a sound once it was stored in a format."""
    file = io.BytesIO()
    soundfile.write(file, sound, 8000, format=kind, subtype=subtype)
    return soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")[0]


PROCESSED = {
    "another level": lambda sound: 0.3 * sound, "another sign": lambda sound: -sound,
    "ogg": lambda sound: stored(sound, "OGG", "VORBIS"), "u-law": lambda sound: stored(sound, "WAV", "ULAW"),
    "lowpass": lambda sound: audio.resample(audio.resample(sound, 8000, 6000), 6000, 8000)}


def speech(speaker, number):
    """Noise below 2 kHz in bursts, as syllables are: what codecs are made for."""
    rng = np.random.default_rng((9, speaker, number))
    syllables = np.repeat(rng.uniform(0.1, 1, 8), 1000)
    return 0.5 * (audio.resample(rng.uniform(-1, 1, 2000).astype(np.float32), 2000, 8000) * syllables).astype(np.float32)


@pytest.mark.parametrize("processing", PROCESSED)
def test_a_processed_copy_of_ones_own_stays_with_the_first_and_one_of_anothers_is_left_out(tmp_path, processing):
    for speaker in range(6):
        (tmp_path / f"s{speaker}").mkdir()
        for number in range(3):
            audio.write(tmp_path / f"s{speaker}/{number}.wav", speech(speaker, number), 8000)
    copy = PROCESSED[processing](speech(1, 2))
    audio.write(tmp_path / "s1/mine.wav", copy, 8000)
    audio.write(tmp_path / "s3/theirs.wav", copy * np.float32(0.9), 8000)
    for _ in range(2):  # found, and remembered
        corpus = open_corpus(f"folder:{tmp_path}?split=recording")
        split = split_of(corpus)
        assert dict(corpus.unusable) == {
            "s3/theirs.wav": "the same sound as s1/2.wav, of another speaker, at another level or in another format"}
        assert split["s1/mine.wav"] == split["s1/2.wav"]
        assert "1 recording under several names (s1/2.wav and s1/mine.wav): each is in one split" in corpus.notes
    assert "1 recording under several names (s1/2.wav and s1/mine.wav): each is in one split" in open_corpus(
        f"folder:{tmp_path}").notes


@pytest.mark.skipif(not FSDD.is_dir(), reason="the real recordings are not on this machine")
def test_no_real_recording_is_taken_for_a_copy_of_another():
    """Digits are the hardest: short, and the same word again and again."""
    sounds = {path.name: audio.read(path)[0][0] for path in sorted(FSDD.glob("[34]_*_[1-9].wav"))}
    cache = audio_cache.cached("x", 1, lambda facts: iter(sounds.items()))
    assert len(sounds) > 100
    assert copies.processed_copies(cache, cache.entries) == {}


def test_of_many_copies_each_is_compared_once_and_all_are_of_the_first(monkeypatch):
    cache = audio_cache.cached("x", 1, lambda facts: (
        (f"{i:02}", (0.9 - 0.01 * i) * speech(0, 0)[:8000 - 5 * (i % 3)]) for i in range(40)))
    compared = []
    correlation = copies.correlation
    monkeypatch.setattr(copies, "correlation", lambda one, other: compared.append(1) or correlation(one, other))
    found = copies.processed_copies(cache, cache.entries)
    assert {first.id for first in found.values()} == {"00"}
    assert len(found) == len(cache.entries) - 1
    assert len(compared) < 2 * len(cache.entries)
