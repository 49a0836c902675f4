"""Sound files whose headers cannot be believed: cut short, written to a pipe, damaged, or claiming what is not there."""

import io
import os
import random
import socket
import struct
import time
import tracemalloc

import numpy as np
import pytest
import soundfile

from tasnet_core import audio
from tasnet_core.errors import CorpusError

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 8000).astype(np.float32)
NOT_SEEKABLE = [("WAV", "GSM610"), ("W64", "GSM610"), ("AIFF", "GSM610"), ("AIFF", "DWVW_16"), ("AU", "G721_32"),
                ("WAV", "G721_32"), ("WAV", "NMS_ADPCM_16")]
CONTAINERS = [("WAV", "PCM_16"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("RF64", "PCM_16"), ("RF64", "FLOAT"), ("W64", "PCM_16"),
              ("W64", "ULAW"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AIFF", "ALAW"), ("NIST", "PCM_16"), ("NIST", "ULAW"),
              ("AU", "PCM_16"), ("SVX", "PCM_16"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
              ("MP3", "MPEG_LAYER_III")]


LOOKS = (audio.read, audio.header, lambda path: list(audio.blocks(path)), lambda path: audio.read_part(path, 4000, 2**40))


def encoded(kind, subtype, channels=1):
    file = io.BytesIO()
    soundfile.write(file, np.tile(NOISE, (channels, 1)).T, 8000, format=kind, subtype=subtype)
    return bytearray(file.getvalue())


def seen(path):
    """How many samples each way of looking at a file finds."""
    parts = [audio.read_part(path, start, 3000) for start in range(0, 15_000, 3000)]
    return {audio.read(path)[0].shape[1], audio.header(path).frames,
            *(sum(each.shape[1] for each in pieces) for pieces in (parts, audio.blocks(path, 999)))}


def refused(path, *, parts=False):
    """What each way of looking at a file says of it; every one refuses it."""
    said = set()
    for look in LOOKS[:3 + parts]:
        with pytest.raises(CorpusError) as error:
            look(path)
        said.add(str(error.value))
    return said


@pytest.mark.parametrize(("kind", "subtype"), NOT_SEEKABLE)
def test_a_coding_that_cannot_be_sought_in_is_read_from_its_beginning_on(tmp_path, kind, subtype):
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(kind, subtype))
    assert len(seen(path)) == 1
    whole = audio.read(path)[0][0]
    assert len(whole) >= 8000                           # of whole blocks
    assert np.corrcoef(whole[:8000], NOISE)[0, 1] > 0.5 # each is lossy
    assert np.array_equal(audio.read_part(path, 3001, 500)[0], whole[3001:3501])


def streamed(data, riff, size):
    """The same WAV with such sizes of its container and of its sound."""
    place = data.index(b"data") + 4
    return data[:4] + struct.pack("<I", riff) + data[8:place] + struct.pack("<I", size) + data[place + 4:]


@pytest.mark.parametrize(("riff", "size"), [
    (0x7FFFF024, 0x7FFFF000),       # sox, mplayer, espeak
    (0xFFFFFFFF, 0xFFFFFFFF),       # ffmpeg
    (0x7FFFFF24, 0x7FFFFF00), (0x80000024, 0x80000000),     # arecord
    (36, 0), (0, 0), (8, 0), (0xFFFFFFFF, 0)])              # never written again after the first byte of sound
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_a_wav_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path, riff, size, subtype):
    path, data = tmp_path / "a.wav", encoded("WAV", subtype)
    path.write_bytes(data)
    whole = audio.read(path)[0]
    if subtype == "PCM_24" and size == 0x7FFFF000:
        size -= size % 3            # as sox does
    path.write_bytes(streamed(data, riff, size))
    assert seen(path) == {8000}
    assert np.array_equal(audio.read(path)[0], whole)


def test_a_wav_without_sound_stays_empty_whatever_follows(tmp_path):
    path, data = tmp_path / "a.wav", encoded("WAV", "PCM_16")[:44]
    for after in (b"", b"LIST" + struct.pack("<I", 4) + b"INFO"):
        path.write_bytes(streamed(data, 36 + len(after), 0) + after)
        assert seen(path) == {0}


@pytest.mark.parametrize("size", [8_000_000, 0x7F000000 - 5000, 0x7FFF0000, 0x90000000])
def test_an_ordinary_wav_that_lost_its_end_is_truncated_however_long_it_was(tmp_path, size):
    path = tmp_path / "a.wav"
    path.write_bytes(streamed(encoded("WAV", "PCM_16"), min(size + 36, 0xFFFFFFFF), size))
    assert refused(path) == {f"{path}: truncated: {size - 16_000} bytes fewer than its header says"}


@pytest.mark.parametrize(("kind", "subtype"), CONTAINERS)
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_half_a_file_is_noticed_in_every_container_that_says_how_long_it_is(tmp_path, kind, subtype, share):
    path, data = tmp_path / "a.wav", encoded(kind, subtype)
    path.write_bytes(data)
    assert len(seen(path)) == 1
    path.write_bytes(data[:int(len(data) * share)])
    for line in refused(path):
        assert line.startswith(f"{path}: ")
        assert "truncated" in line or "malformed" in line or "bad data offset" in line


def flac(frames):
    """A FLAC of 8000 samples whose header says another number."""
    data = encoded("FLAC", "PCM_16")
    data[18:26] = (int.from_bytes(data[18:26], "big") >> 36 << 36 | frames).to_bytes(8, "big")
    return data


def test_a_flac_from_a_pipe_that_does_not_know_its_length_is_read_to_its_end(tmp_path):
    (tmp_path / "a.flac").write_bytes(flac(0))
    assert seen(tmp_path / "a.flac") == {8000}


def riff(frames):
    """A WAV of 100 bytes that claims so many samples."""
    return encoded("WAV", "PCM_16")[:40] + struct.pack("<I", 2 * frames) + bytes(56)


@pytest.mark.parametrize(("data", "name"), [(flac(2**36 - 1), "a.flac"), (flac(2**31), "a.flac"), (flac(8001), "a.flac"),
                                            (riff(2**30 + 2**20), "a.wav"), (encoded("WAV", "PCM_16", 1000)[:2000], "a.wav")])
def test_what_a_header_claims_costs_neither_memory_nor_time(tmp_path, data, name):
    path = tmp_path / name
    path.write_bytes(data)
    tracemalloc.start()
    start = time.perf_counter()
    assert all("truncated" in line for line in refused(path))
    assert time.perf_counter() - start < 5
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


@pytest.mark.parametrize("rate", [0, 1, 999, 1_000_001, 2**31 - 1])
@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU"])
def test_a_rate_that_nobody_records_at_is_refused_before_it_is_resampled(tmp_path, rate, kind):
    path, data = tmp_path / "a.wav", encoded(kind, "PCM_16")
    if kind == "AIFF":                  # a float of 80 bits: exponent, mantissa
        bits = rate.bit_length()
        data[28:38] = struct.pack(">HQ", 16382 + bits if rate else 0, rate << (64 - bits) if rate else 0)
    else:
        data[24:28] = struct.pack("<I", rate)
        if kind == "AU":
            data[16:20] = struct.pack(">I", rate)
    path.write_bytes(data)
    for line in refused(path, parts=True):
        assert "Hz, but 1000 to 1000000 Hz are wanted" in line or not rate


def test_a_file_of_nothing_but_empty_chunks_is_given_up_at_once(tmp_path):
    path = tmp_path / "a.wav"
    with open(path, "wb") as file:
        file.write(b"RIFF\xff\xff\xff\x7fWAVE")
        file.truncate(2**33)                                # takes no place on the disk
    start = time.perf_counter()
    refused(path, parts=True)
    assert time.perf_counter() - start < 5


def test_a_fifo_a_socket_and_a_device_are_refused_unopened(tmp_path):
    os.mkfifo(tmp_path / "a.wav")                           # to open it would wait for ever
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "b.wav"))
    (tmp_path / "c.wav").symlink_to("/dev/zero")
    for name in "abc":
        path = tmp_path / f"{name}.wav"
        assert refused(path, parts=True) == {f"{path}: a FIFO, socket or device, but a file is wanted"}


def test_a_name_that_no_file_can_have_is_one_line(tmp_path):
    for line in refused(f"{tmp_path}/a\0.wav", parts=True):
        assert "cannot be read: embedded null byte" in line


def test_damage_anywhere_in_a_header_is_read_or_refused_and_costs_little(tmp_path, capfd):
    chance, path = random.Random(0), tmp_path / "a.wav"
    kinds = [bytes(encoded(*kind)) for kind in {*NOT_SEEKABLE, *CONTAINERS} if kind != ("MP3", "MPEG_LAYER_III")]
    tracemalloc.start()
    for number in range(120):
        data = bytearray(kinds[number % len(kinds)])
        for _ in range(chance.choice((1, 2, 4))):
            place = chance.randrange(100)
            bad = chance.choice((b"\0", b"\xff", b"\x7f", bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff"))
            data[place:place + len(bad)] = bad
        path.write_bytes(data[:chance.choice((len(data), chance.randrange(1, len(data))))])
        for look in LOOKS:
            start = time.perf_counter()
            try:
                look(path)
            except CorpusError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017
            assert time.perf_counter() - start < 5
    assert tracemalloc.get_traced_memory()[1] < 16e6
    tracemalloc.stop()
    assert "Traceback" not in capfd.readouterr().err        # of what libsndfile calls back
