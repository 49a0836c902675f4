import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core import audio
from tasnet_core.errors import CorpusError


def tone(seconds=0.5, rate=8000, frequency=440.0, level=0.5):
    t = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1, 1, width=32), max_size=50), st.integers(1, 3))
def test_what_is_written_is_read_again_within_half_a_step(tmp_path_factory, values, channels):
    path = tmp_path_factory.mktemp("round") / "a.wav"
    samples = np.tile(np.array(values, np.float32), (channels, 1))
    audio.write(path, samples, 8000)
    again, rate = audio.read(path)
    assert rate == 8000
    assert again.shape == samples.shape
    assert again.dtype == np.float32
    # 32767 steps to full scale when written, 32768 when read: the second term is that difference.
    assert np.all(np.abs(again - samples) <= 0.5 / 32768 + np.abs(samples) / 32768 + 1e-7)


@pytest.mark.parametrize("fault", [1.001, -1.5, np.nan, np.inf])
def test_a_sample_that_would_be_clipped_is_refused_and_the_old_file_stays(tmp_path, fault):
    path = tmp_path / "a.wav"
    audio.write(path, tone(), 8000)
    before = path.read_bytes()
    samples = tone()
    samples[7] = fault
    with pytest.raises(ValueError, match=r"a\.wav.*scale"):
        audio.write(path, samples, 8000)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_full_scale_is_written_as_the_largest_16_bit_number(tmp_path):
    audio.write(tmp_path / "a.wav", np.array([1, -1], np.float32), 8000)
    assert (tmp_path / "a.wav").read_bytes()[-4:] == struct.pack("<hh", 32767, -32767)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    audio.write(path, tone(), 8000)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(OSError, match="No space"):
        audio.write(path, tone(level=0.1), 8000)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_file_cut_short_is_named_and_called_truncated(tmp_path, kind, share):
    whole, cut = tmp_path / f"whole.{kind}", tmp_path / f"cut.{kind}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 80_000).astype(np.float32)
    soundfile.write(whole, noise, 8000)
    assert audio.read(whole)[0].shape == (1, 80_000)
    cut.write_bytes(whole.read_bytes()[:int(whole.stat().st_size * share)])
    with pytest.raises(CorpusError, match=rf"cut\.{kind}: truncated"):
        audio.read(cut)


def test_an_empty_file_is_called_that(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(CorpusError, match=r"a\.wav: not a sound file: no bytes in it"):
        audio.read(tmp_path / "a.wav")


def test_a_streamed_wav_of_unknown_length_is_whole(tmp_path):
    path = tmp_path / "a.wav"
    audio.write(path, tone(), 8000)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place:place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert audio.read(path)[0].shape == (1, 4000)


def test_a_wav_with_chunks_after_its_sound_is_whole(tmp_path):
    path = tmp_path / "a.wav"
    audio.write(path, tone(), 8000)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert audio.read(path)[0].shape == (1, 4000)


@pytest.mark.parametrize("content", [b"", b"x", b"not sound at all", b"RIFF\x04\0\0\0WAVE", b"OggS", b"fLaC"])
def test_what_is_not_sound_is_an_error_that_names_the_file(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(CorpusError, match=r"a\.wav: (not a sound file|truncated)"):
        audio.read(tmp_path / "a.wav")


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", b"RIFF\xff\0\0\0WAVE", b"OggS\0", b"fLaC\0"]))
def test_no_bytes_make_reading_fail_otherwise(tmp_path_factory, content, start):
    path = tmp_path_factory.mktemp("fuzz") / "a.wav"
    path.write_bytes(start + content)
    with pytest.raises(CorpusError, match=r"a\.wav"):
        audio.read(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_an_error_that_names_the_file(tmp_path, bad):
    soundfile.write(tmp_path / "a.wav", np.array([0, bad, 0], np.float32), 8000, subtype="FLOAT")
    with pytest.raises(CorpusError, match=r"a\.wav: holds samples that are NaN or infinite"):
        audio.read(tmp_path / "a.wav")


def test_a_missing_file_and_a_folder_are_errors_that_name_them(tmp_path):
    with pytest.raises(CorpusError, match=r"none\.wav: cannot be read: No such file"):
        audio.read(tmp_path / "none.wav")
    with pytest.raises(CorpusError, match=r"cannot be read: Is a directory"):
        audio.read(tmp_path)


def test_a_name_that_is_not_utf8_is_read_and_shown(tmp_path):
    path = bytes(tmp_path) + b"/caf\xe9.wav"
    audio.write(tmp_path / "a.wav", tone(), 8000)
    (tmp_path / "a.wav").rename(path.decode("utf-8", "surrogateescape"))
    assert audio.read(path)[0].shape == (1, 4000)
    assert audio.readable(path).endswith(r"caf\xe9.wav")


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone_its_length_and_its_phase(rate):
    there = audio.resample(tone(1.0, rate), rate, 8000)
    wanted = tone(1.0, 8000)
    assert there.shape == wanted.shape
    assert there.dtype == np.float32
    assert np.abs(there - wanted)[200:-200].max() < 1e-3


def test_resampling_treats_each_channel_as_if_it_were_alone():
    both = np.stack([tone(frequency=300), tone(frequency=900)])
    there = audio.resample(both, 8000, 16000)
    assert there.shape == (2, 8000)
    assert np.array_equal(there[1], audio.resample(both[1], 8000, 16000))


def test_resampling_to_the_same_rate_changes_nothing():
    assert np.array_equal(audio.resample(tone(), 8000, 8000), tone())


@pytest.mark.parametrize(("kind", "subtype"), [
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"),
    ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("NIST", "PCM_16")])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_header_tells_what_libsndfile_tells(tmp_path, kind, subtype, channels):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.tile(tone(0.3), (channels, 1)).T, 8000, format=kind, subtype=subtype)
    there = soundfile.info(path)
    assert audio.header(path) == (there.samplerate, there.channels, there.frames) == (8000, channels, 2400)


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", b"RIFF\xff\0\0\0WAVEfmt \x10\0\0\0", b"OggS\0", b"fLaC\0"]))
def test_no_bytes_make_a_header_fail_otherwise(tmp_path_factory, content, start):
    path = tmp_path_factory.mktemp("fuzz") / "a.wav"
    path.write_bytes(start + content)
    try:
        audio.header(path)
    except CorpusError as error:
        assert "a.wav" in str(error)  # noqa: PT017


def test_a_header_shows_a_missing_and_a_truncated_file(tmp_path):
    with pytest.raises(CorpusError, match=r"none\.wav: cannot be read: No such file"):
        audio.header(tmp_path / "none.wav")
    audio.write(tmp_path / "a.wav", tone(), 8000)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-10])
    with pytest.raises(CorpusError, match=r"a\.wav: truncated: 10 bytes"):
        audio.header(tmp_path / "a.wav")


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_part_is_that_part_of_the_whole(tmp_path, kind):
    path = bytes(tmp_path) + b"/\xff." + kind.encode()
    with open(path, "wb") as file:
        soundfile.write(file, np.stack([tone(), tone(frequency=99)], 1), 8000, format=kind)
    whole, _ = audio.read(path)
    for start, frames in ((0, 4000), (7, 20), (3990, 50), (5000, 5)):
        assert np.array_equal(audio.read_part(path, start, frames), whole[:, start:start + frames])


def test_what_is_written_exactly_is_read_again_bit_for_bit(tmp_path):
    samples = np.random.default_rng(0).standard_normal(1000).astype(np.float32) * 7  # far beyond full scale
    audio.write_exactly(tmp_path / "a.wav", samples, 8000)
    assert np.array_equal(audio.read(tmp_path / "a.wav")[0][0], samples)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9999), st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000]), st.sampled_from([8000, 16_000]))
def test_the_length_after_resampling_is_foretold(frames, rate, wanted):
    assert len(audio.resample(np.zeros(frames, np.float32), rate, wanted)) == audio.resampled_length(frames, rate, wanted)
