import json
import os
import re
import shutil
from collections import Counter

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core import audio
from tasnet_core.corpora import folder
from tasnet_core.corpora.audio_cache import AudioEntry
from tasnet_core.corpora.registry import open_corpus, open_folder
from tasnet_core.errors import CorpusError
from tests.support.recordings import FSDD, ORDERS, people, voice


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(("pattern", "speakers"), [
    ("[a-z]+(?=_)", {"anna", "ben", "carl"}),
    ("([a-z]+)_[0-9]", {"anna", "ben", "carl"}),
    ("(deep)/er/(?P<speaker>[a-z]+)_([0-9])", {"anna", "ben", "carl"}),
    ("^deep/er/([ab])", {"a", "b"}),
])
def test_a_pattern_finds_the_speaker_by_name_by_group_or_whole(tmp_path, pattern, speakers):
    (tmp_path / "deep/er").mkdir(parents=True)
    for speaker, name in enumerate(("anna", "ben", "carl")):
        for take in range(3):
            audio.write(tmp_path / "deep/er" / f"{name}_{take}.wav", voice(speaker, take, 0.3), 8000)
    corpus = open_corpus(f"folder:{tmp_path}?speaker={pattern}&split=recording")
    assert {r.speaker for r in corpus.recordings} == speakers
    left_out = [entry for entry in corpus.unusable if "does not match" in entry.reason]
    assert len(left_out) == 9 - len(corpus.recordings)


def test_every_kind_of_file_is_read_at_any_rate_and_of_stereo_the_first_channel(tmp_path):
    people(tmp_path, recordings=3)
    both = np.stack([voice(9, 0, 1.0, 16_000), 0.9 * voice(9, 1, 1.0, 16_000)])
    (tmp_path / "s0/deep/s0").mkdir(parents=True)
    soundfile.write(tmp_path / "s0/deep/s0/left.FLAC", both.T, 16_000)
    soundfile.write(tmp_path / "s1/left.ogg", voice(9, 2, 1.0, 44_100), 44_100)
    (tmp_path / "s1/notes.txt").write_text("no sound, and not looked at")
    corpus = open_corpus(f"folder:{tmp_path}?split=recording")
    assert corpus.unusable == ()
    assert set(corpus.notes) == {
        "test speakers also occur in training (split by recording)", "1 file resampled from 16000 Hz",
        "1 file resampled from 44100 Hz", "1 file with more than one channel: first channel taken"}
    [left] = [r for r in corpus.recordings if r.entry.id == "s0/deep/s0/left.FLAC"]
    assert left.speaker == "s0"
    wanted = audio.resample(both[0], 16_000, 8000)
    assert np.abs(corpus.cache.read(left.entry) - wanted).max() < 1e-3


def unusable_files(folder):
    """Every file that cannot be used, and what must be said of it."""
    good = voice(1, 1, 1.0)
    soundfile.write(folder / "nan.wav", np.append(good, np.float32(np.nan)), 8000, subtype="FLOAT")
    soundfile.write(folder / "inf.wav", np.append(good, np.float32(np.inf)), 8000, subtype="FLOAT")
    audio.write(folder / "silent.wav", 0 * good, 8000)
    audio.write(folder / "constant.wav", 0 * good + np.float32(0.25), 8000)
    audio.write(folder / "empty.wav", good[:0], 8000)
    audio.write(folder / "short.wav", good[:39], 8000)
    audio.write(folder / "shorter-at-8-kHz.wav", good[:78], 16_000)
    audio.write(folder / "whole.wav", good, 8000)
    (folder / "truncated.wav").write_bytes((folder / "whole.wav").read_bytes()[:-1000])
    (folder / "text.wav").write_text("this is no sound")
    (folder / "nothing.flac").write_bytes(b"")
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    os.mkfifo(folder / "pipe.wav")
    (folder / "device.wav").symlink_to("/dev/zero")
    (folder / "folder.wav").mkdir()
    soundfile.write(folder / "half.flac", good, 8000, format="AIFF")
    (folder / "half.flac").write_bytes((folder / "half.flac").read_bytes()[:-1000])
    soundfile.write(folder / "endless.flac", good, 8000)
    data = bytearray((folder / "endless.flac").read_bytes())
    data[21:26] = b"\xff" * 5          # 2^36 samples, as many as can be claimed
    (folder / "endless.flac").write_bytes(data)
    soundfile.write(folder / "slow.wav", good, 1)
    return {"pipe.wav": "a FIFO, socket or device", "device.wav": "a FIFO, socket or device",
            "half.flac": "truncated: 1000 bytes", "endless.flac": "truncated", "slow.wav": "1 Hz, but 1000 to 1000000 Hz",
            "nan.wav": "NaN", "inf.wav": "infinite", "silent.wav": "silent", "constant.wav": "silent",
            "empty.wav": "empty", "short.wav": "39 samples, shorter than one frame",
            "shorter-at-8-kHz.wav": "39 samples, shorter than one frame",
            "truncated.wav": "truncated: 1000 bytes", "text.wav": "not a sound file",
            "nothing.flac": "not a sound file", "gone.wav": "No such file"}


def test_unusable_files_are_named_with_a_reason_counted_and_the_rest_is_used(tmp_path):
    people(tmp_path, recordings=3)
    wanted = unusable_files(tmp_path / "s2")
    for _ in range(2):  # cold and warm: the second opening knows them from the cache
        corpus = open_corpus(f"folder:{tmp_path}")
        found = {entry.path: entry.reason for entry in corpus.unusable}
        assert set(found) == {f"s2/{name}" for name in wanted}
        for name, reason in wanted.items():
            assert reason in found[f"s2/{name}"]
        assert f"{len(wanted)} files left out as unusable" in corpus.notes
        assert len(corpus.recordings) == 7 * 3 + 1



def test_a_recording_in_a_coding_that_cannot_be_sought_in_is_used(tmp_path):
    people(tmp_path)
    soundfile.write(tmp_path / "s0/0.wav", voice(0, 0, 1.3), 8000, subtype="GSM610")
    corpus = open_corpus(f"folder:{tmp_path}")
    assert not corpus.unusable
    [length] = [r.entry.length for r in corpus.recordings if r.entry.id == "s0/0.wav"]
    assert 10_400 <= length < 10_400 + 2 * 320      # whole blocks


def test_a_folder_that_changed_is_read_again(tmp_path):
    people(tmp_path, recordings=3)
    said = []
    open_folder(f"folder:{tmp_path}", say=said.append)
    open_folder(f"folder:{tmp_path}", say=said.append)
    assert len(said) == 1
    audio.write(tmp_path / "s0/0.wav", voice(0, 99, 2.0), 8000)
    corpus = open_folder(f"folder:{tmp_path}", say=said.append)
    assert len(said) == 2
    assert [r.entry.length for r in corpus.recordings if r.entry.id == "s0/0.wav"] == [16_000]


def test_a_file_replaced_by_another_of_equal_size_and_time_is_noticed(tmp_path):
    people(tmp_path, recordings=3)
    path = tmp_path / "s0/0.wav"
    before, stat = open_corpus(f"folder:{tmp_path}"), os.stat(path)
    audio.write(path, voice(0, 99, 1.3), 8000)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert os.stat(path).st_size == stat.st_size
    after = open_corpus(f"folder:{tmp_path}")
    [old], [new] = ([r.entry for r in c.recordings if r.entry.id == "s0/0.wav"] for c in (before, after))
    assert not np.allclose(before.cache.read(old), after.cache.read(new))
    assert before.fingerprint != after.fingerprint      # other sound of the same name and length


def test_the_fingerprint_is_that_of_the_sound_wherever_it_lies_and_a_copy_is_not_decoded_again(tmp_path, monkeypatch):
    people(tmp_path / "a", recordings=3)
    audio.write(tmp_path / "a/stray.wav", voice(7, 7, 1.0), 8000)      # its speaker must not be called as the folder is
    said, query = [], f"noise={tmp_path / 'a/s0'}"
    here = open_folder(f"folder:{tmp_path / 'a'}?{query}", say=said.append)
    assert len(said) == 2
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere/b")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for spec in ("folder:b?noise=b/s0", f"folder:{tmp_path / 'elsewhere/b'}?{query}", "folder:../elsewhere/b/?noise=b/s0"):
        assert open_folder(spec, say=said.append).fingerprint == here.fingerprint
    assert len(said) == 2
    (tmp_path / "a/s0/0.wav").unlink()
    assert open_folder(f"folder:{tmp_path / 'a'}?noise=b/s0").fingerprint != here.fingerprint


def test_what_is_found_beside_the_recordings_is_said(tmp_path):
    (tmp_path / "speakers.csv").write_text("name,gender\nsomebody,f\n")
    people(tmp_path / "x", recordings=3)
    (tmp_path / "x/.Trash-0/files").mkdir(parents=True)
    (tmp_path / "x/.Trash-0/files/a.wav").write_bytes((tmp_path / "x/s0/0.wav").read_bytes())
    (tmp_path / "x/s1/a.wv1").write_bytes(b"?")
    corpus = open_corpus(f"folder:{tmp_path / 'x'}")
    assert {r.speaker for r in corpus.recordings} == {f"s{i}" for i in range(7)}
    assert [note.split(":")[0] for note in corpus.notes][1:] == [
        "ignored", "1 hidden or system folder left out (the first, .Trash-0)",
        "1 sound file of a kind that is not read left out (1 .wv1; the first, a.wv1)"]


def test_one_person_in_folders_by_chapter_is_one_speaker_in_one_split(tmp_path):
    for person in range(8):
        for number in range(4):
            folder = tmp_path / f"{1000 + person}/{200 + 10 * person + number // 2}"
            folder.mkdir(parents=True, exist_ok=True)
            audio.write(folder / f"{folder.parent.name}-{folder.name}-{number:04}.wav", voice(person, number, 0.3), 8000)
    corpus = open_corpus(f"folder:{tmp_path}")
    places = {(r.entry.id.split("/")[0], r.split) for r in corpus.recordings}
    assert len(places) == 8
    assert {r.speaker for r in corpus.recordings} == {str(1000 + person) for person in range(8)}


def test_a_folder_of_names_that_are_not_utf8_is_used(tmp_path):
    people(tmp_path, recordings=3)
    os.rename(bytes(tmp_path / "s0"), bytes(tmp_path) + b"/caf\xe9")
    os.rename(bytes(tmp_path / "s1/0.wav"), bytes(tmp_path / "s1") + b"/\xff.wav")
    for _ in range(2):
        corpus = open_corpus(f"folder:{tmp_path}")
        assert corpus.unusable == ()
        assert r"caf\xe9" in {r.speaker for r in corpus.recordings}
        json.dumps([r.entry.id for r in corpus.recordings]).encode("utf-8")


def test_the_sound_of_very_quiet_and_very_loud_files_is_kept(tmp_path):
    people(tmp_path, recordings=3)
    for name, level in (("quiet", 1e-4), ("loud", 50)):
        soundfile.write(tmp_path / f"s0/{name}.wav", level * voice(0, 7, 1.0), 8000, subtype="FLOAT")
    corpus = open_corpus(f"folder:{tmp_path}")
    for name, level in (("quiet", 1e-4), ("loud", 50)):
        [recording] = [r for r in corpus.recordings if r.entry.id == f"s0/{name}.wav"]
        wanted = level * voice(0, 7, 1.0)
        assert np.abs(corpus.cache.read(recording.entry) - wanted).max() < np.abs(wanted).max() / 60_000


def test_little_sound_makes_few_fixed_mixtures(tmp_path):
    corpus = open_corpus(f"folder:{people(tmp_path, speakers=6, recordings=1, seconds=0.5)}")
    assert corpus.count("test") == 2  # 2 speakers of 0.5 s, heard ten times, in mixtures of two times 4 s
    assert corpus.mixture("test", 1).length == 4000


def test_a_long_recording_does_not_make_long_mixtures(tmp_path):
    corpus = open_corpus(f"folder:{people(tmp_path, speakers=6, recordings=1, seconds=30)}")
    assert corpus.mixture("test", 0).length == 20 * 8000


@pytest.mark.parametrize(("speakers", "query", "says"), [
    (1, "", r"1 speaker \(s0\), but a mixture needs 2; give each .*speaker=REGEX"),
    (1, "?split=recording", r"1 speaker \(s0\), but a mixture needs 2"),
    (5, "", "5 speakers, but train, valid and test need 2 each, 6 in all; .*split=recording"),
    (3, "?speaker=nobody", r"none of its 6 sound files can be used \(the first, s0/0.wav: .*does not match"),
    (3, "?split=recording", "0 speakers with three recordings or more, but 2 are wanted"),
])
def test_too_few_speakers_are_one_line_with_the_way_out(tmp_path, speakers, query, says):
    people(tmp_path, speakers, recordings=2, seconds=0.1)
    with pytest.raises(CorpusError, match=says) as caught:
        open_corpus(f"folder:{tmp_path}{query}")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_speakers_with_few_recordings_are_heard_in_training_only_and_this_is_said(tmp_path):
    people(tmp_path, speakers=3, recordings=4)
    (tmp_path / "s2/0.wav").unlink()
    (tmp_path / "s2/1.wav").unlink()
    corpus = open_corpus(f"folder:{tmp_path}?split=recording")
    assert {r.split for r in corpus.recordings if r.speaker == "s2"} == {"train"}
    assert "1 speaker with fewer than three recordings: in training only" in corpus.notes


def test_a_folder_without_sound_says_what_was_found(tmp_path):
    with pytest.raises(CorpusError, match=r"empty; .*\.wav, \.flac, \.ogg files are wanted"):
        open_corpus(f"folder:{tmp_path}")
    (tmp_path / "a.mp3").write_bytes(b"x")
    says = r"1 file, but none of them sound \(1 sound file of a kind that is not read left out \(1 .mp3"
    with pytest.raises(CorpusError, match=says):
        open_corpus(f"folder:{tmp_path}")
    with pytest.raises(CorpusError, match="not a folder"):
        open_corpus(f"folder:{tmp_path}/a.mp3")


def test_a_folder_of_unusable_files_only_names_the_first(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    says = r"none of its 1 sound file can be used \(the first, a\.wav: not a sound file"
    with pytest.raises(CorpusError, match=says):
        open_corpus(f"folder:{tmp_path}")


@pytest.mark.parametrize("count", [6, 11, 12, 23, 24, 44, 120])
def test_a_third_of_few_speakers_is_tested_eight_of_two_dozen_and_a_tenth_of_many(tmp_path, count):
    """One pair of speakers says nothing of others; and most people are for training."""
    groups = {f"s{number:03}": [[AudioEntry("", 0, 1, 1.0)]] for number in range(count)}
    recordings, notes = folder.assign_speakers(tmp_path, groups, 2, 0)
    dealt = Counter(recording.split for recording in recordings)
    assert dealt["test"] == {6: 2, 11: 3, 12: 4, 23: 7, 24: 8, 44: 8, 120: 12}[count]
    assert dealt["valid"] == {6: 2, 11: 2, 12: 2, 23: 3, 24: 4, 44: 4, 120: 12}[count]
    assert sum(dealt.values()) == count
    few = " and ".join(split for split in ("valid", "test") if dealt[split] == 2)
    assert notes == [f"only 2 speakers in {few}: all mixtures there are of the same people"] * bool(few)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 20_000), st.integers(800, 20_000), st.integers(0, 20_000), st.floats(1e-4, 50), st.floats(-0.5, 0.5))
def test_trimming_leaves_the_speech_and_a_tenth_of_a_second_beside_it(before, spoken, after, level, constant):
    """However loud it is, and whatever constant lies under it: silence here is 80 dB below the speech."""
    rng = np.random.default_rng(spoken)
    sound = 1e-4 * rng.uniform(0.9, 1, before + spoken + after) * rng.choice([-1, 1], before + spoken + after)
    sound[before:before + spoken] *= 1e4
    found = folder.trimmed((level * (sound + constant)).astype(np.float32), 8000, 40)
    begin, end = max(0, before - 800), min(len(sound), before + spoken + 800)
    assert end - begin <= len(found) <= end - begin + 2 * 160       # whole frames of 20 ms
    assert np.isclose(found.max(), level * (sound.max() + constant), rtol=1e-5)


def test_silence_before_and_after_recordings_is_taken_off_and_said_or_left(tmp_path):
    people(tmp_path, recordings=3)
    padded = np.concatenate([np.zeros(16_000, np.float32), voice(0, 0, 1.0), np.zeros(8000, np.float32)])
    audio.write(tmp_path / "s0/0.wav", padded, 8000)
    lengths = {}
    for query in ("", "?trim=40", "?trim=off"):
        corpus = open_corpus(f"folder:{tmp_path}{query}")
        [lengths[query]] = [r.entry.length for r in corpus.recordings if r.entry.id == "s0/0.wav"]
        said = [note for note in corpus.notes if "silence before and after" in note]
        assert [note.partition("(")[2] for note in said] == ["40 dB below the loudest 20 ms of each)"] * (query != "?trim=off")
        assert all(re.search(r"off: 2\.\d s of \d\d\.\d s \(", note) for note in said)     # not 0.0 min
    assert lengths["?trim=off"] == 32_000
    assert lengths[""] == lengths["?trim=40"] <= 8000 + 2 * 800 + 2 * 160
    for wrong in ("on", "5", "nan"):
        with pytest.raises(CorpusError, match=rf"trim={wrong} is no number of dB; write trim=DB, .* or trim=off"):
            open_corpus(f"folder:{tmp_path}?trim={wrong}")


@pytest.mark.skipif(not ORDERS.is_dir(), reason="the real recordings are not on this machine")
def test_real_people_with_pauses_are_tested_by_eight_and_lose_their_silence():
    """44 people; more than half of their 87 minutes is silence before and after speech."""
    corpus = open_corpus(f"folder:{ORDERS}")
    assert [part.speakers for part in corpus.describe()] == [32, 4, 8]
    assert 33 < sum(part.seconds for part in corpus.describe()) / 60 < 43
    shortest = min(corpus.recordings, key=lambda recording: recording.entry.length)
    assert shortest.entry.length > 0.5 * 8000


@pytest.mark.skipif(not FSDD.is_dir(), reason="the real recordings are not on this machine")
def test_the_real_recordings_are_six_speakers_and_all_usable():
    corpus = open_corpus(f"folder:{FSDD}?speaker=_([a-z]+)_")
    assert len(corpus.recordings) == 3000
    assert corpus.unusable == ()
    assert [part.speakers for part in corpus.describe()] == [2, 2, 2]
    assert any("only 2 speakers" in note for note in corpus.notes)
