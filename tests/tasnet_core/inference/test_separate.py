"""Separation of recordings: chunks join to the whole, speakers stay where they are, levels and files are as documented."""

import json
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core import audio
from tasnet_core.__main__ import main as core
from tasnet_core.checkpoints import checkpoint
from tasnet_core.errors import UserError
from tasnet_core.inference import overlap_add, separate_command
from tasnet_core.inference.overlap_add import Chunk, Joiner, Plan, best_order, cut_up
from tasnet_core.inference.separate import FULL_SCALE, How, Job, in_chunks, levelled, separate, separate_file, streamed
from tasnet_core.network.model import seeded
from tests.support.tiny import RECIPE, TINY, Tiny

FRAME = replace(TINY, norm="frame")
SOURCE = {"checkpoint": "test"}


def noise(samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def two_voices(samples, rate=8000):
    """Two tones of changing loudness, as unlike as voices never are."""
    t = np.arange(samples) / rate
    return np.stack([np.sin(2 * np.pi * f * t) * (1.2 + np.sin(2 * np.pi * g * t)) * 0.1
                     for f, g in ((220, 0.31), (330, 0.47))]).astype(np.float32)


class Told(torch.nn.Module):
    """A network that knows the voices: it finds its chunk in them, and gives out one after another in turn swapped."""

    def __init__(self, voices, variant=FRAME, gain=1.0, swaps=True):
        super().__init__()
        self.voices, self.variant, self.gain, self.swaps, self.calls = voices, variant, gain, swaps, 0
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, mixture):
        whole, made = self.voices.sum(0), []
        for item in mixture.numpy():
            places = [start for start in range(0, len(whole) - len(item) + 1, self.variant.hop)
                      if np.array_equal(whole[start:start + len(item)], item)]
            found = torch.from_numpy(self.voices[:, places[0]:places[0] + len(item)]) * self.gain
            made.append(found.flip(0) if self.swaps and self.calls % 2 else found)
            self.calls += 1
        return torch.stack(made)


def joined(pieces):
    return np.concatenate([piece.signals for piece in pieces], axis=1)


@settings(deadline=None)      # what is tested is numbers, not the speed of a busy machine
@given(st.integers(0, 400), st.integers(2, 40), st.integers(1, 9), st.lists(st.integers(1, 90), max_size=9))
def test_chunks_overlap_enough_end_with_the_sound_and_start_on_whole_hops(samples, size, overlap, cuts):
    plan = Plan(2 * (size + 2 * overlap), 2 * overlap, 2, 1, 1)
    sound, edges = noise(samples), np.clip(np.cumsum([0, *cuts, samples]), 0, samples)
    found = list(cut_up((sound[a:b] for a, b in pairwise(edges)), plan))
    for chunk in found:
        np.testing.assert_array_equal(chunk.sound, sound[chunk.start:chunk.start + len(chunk.sound)])
        assert chunk.start % plan.hop == 0
        assert len(chunk.sound) > plan.chunk - plan.hop or len(found) == 1
    assert sum(len(chunk.sound) == plan.chunk for chunk in found) >= len(found) - 1
    for before, after in pairwise(found):
        assert before.start < after.start <= before.start + len(before.sound) - plan.overlap
    assert (found[-1].start + len(found[-1].sound) if found else 0) == samples


def test_an_overlap_in_which_nobody_speaks_reaches_back_to_where_somebody_does():
    plan, sound = Plan(100, 10, 2, 1, 1), noise(300)
    sound[75:110] = 0
    first, second, *_ = cut_up([sound], plan)
    assert (first.start, second.start) == (0, 70)       # 10 more than the 20 before 80..100, of which 5 are sound
    sound[40:110] = 0
    assert list(cut_up([sound], plan))[1].start == 90   # no sound in half a chunk: not looked for any further


@pytest.mark.parametrize("norm", ["frame", "batch"])
def test_without_a_norm_over_time_chunks_join_to_the_whole_file_output_everywhere(norm):
    network, sound = seeded(replace(TINY, norm=norm, X=3), 0).eval(), noise(5003)
    plan = Plan.of(network.variant, 0.1, 0.02)
    assert plan.overlap > plan.warm + plan.cool
    for batch in (1, 3):
        seams = []
        found = joined(in_chunks(network, [sound[:7], sound[7:]], plan, batch, seams))
        assert len(seams) == 8
        np.testing.assert_allclose(found, separate(network, sound), atol=1e-6 * np.abs(found).max())


def test_a_causal_network_is_streamed_and_has_no_seams_even_with_the_cumulative_norm():
    network, sound = seeded(replace(TINY, norm="cumulative", causal=True), 0).eval(), noise(3001)
    found = list(streamed(network, [sound[:1000], sound[1000:1001], sound[1001:]]))
    np.testing.assert_allclose(joined(found), separate(network, sound), atol=2e-6)
    np.testing.assert_array_equal(np.concatenate([piece.mixture for piece in found]), sound)


@pytest.mark.parametrize("batch", [1, 4])
def test_speakers_that_a_network_swaps_from_chunk_to_chunk_come_out_unswapped(batch):
    voices, seams = two_voices(8000), []
    found = joined(in_chunks(Told(voices), [voices.sum(0)], Plan.of(FRAME, 0.2, 0.05), batch, seams))
    np.testing.assert_allclose(found, voices, atol=1e-6)
    assert [seam.order for seam in seams[:4]] == [(0, 1), (1, 0), (0, 1), (1, 0)]
    assert all(seam.decided for seam in seams)


def test_where_nobody_speaks_the_last_order_stays():
    voices, seams = two_voices(8000), []
    voices[:, 2000:4000] = 0
    joined(in_chunks(Told(voices, swaps=False), [voices.sum(0)], Plan.of(FRAME, 0.1, 0.02), 1, seams))
    assert any(not seam.decided for seam in seams)
    assert {seam.order for seam in seams} == {(0, 1)}


@settings(deadline=None)
@given(st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_order_found_is_the_one_that_was_made(speakers, random):
    signals, order = np.stack([noise(200, seed) for seed in range(speakers)]), list(range(speakers))
    random.shuffle(order)
    mixed = np.empty_like(signals)
    for place, taken in enumerate(order):
        mixed[taken] = signals[place]           # output `place` is the chunk's output `taken`
    found, margin = best_order(signals, mixed + 0.01 * noise(200, 9))
    assert found == tuple(order)
    assert margin > 0.3


def test_the_trace_of_a_voice_in_a_silent_channel_decides_nothing():
    voice, trace = noise(1000), 0.01 * noise(1000)      # scale-free, both orders would be as good
    assert best_order(np.stack([voice, trace]), np.stack([voice, trace]))[0] == (0, 1)
    assert best_order(np.stack([voice, trace]), np.stack([trace, voice]))[0] == (1, 0)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(0, 400), st.integers(0, 400))
def test_the_fade_goes_from_none_to_all_whatever_the_margins(overlap, warm, cool):
    fade = Plan(1000, overlap, 1, warm + 1, cool + 1).fade()
    assert len(fade) == overlap
    assert (np.diff(fade) >= 0).all()
    assert fade.min() >= 0
    assert fade.max() <= 1


def test_pieces_of_any_number_of_chunks_follow_each_other_without_gap():
    joiner, at = Joiner(Plan(100, 10, 2, 1, 1)), 0
    for start in (0, 90, 100):
        piece = joiner.add(Chunk(start, noise(100)), np.stack([noise(100)] * 2))
        if piece is not None:
            assert piece.start == at
            at += len(piece.mixture)
    assert at + len(joiner.finish().mixture) == 200


def test_levels_bring_the_sum_closest_to_the_mixture_and_nothing_is_clipped():
    voices = two_voices(4000)
    assert np.allclose(levelled(voices.sum(0), voices * np.array([[-3.0], [0.01]], np.float32)), voices, atol=1e-6)
    loud = levelled(50 * voices.sum(0), voices)
    assert np.abs(loud).max() == pytest.approx(FULL_SCALE)
    assert np.abs(loud[0]).max() / np.abs(loud[1]).max() == pytest.approx(
        np.abs(voices[0]).max() / np.abs(voices[1]).max(), rel=1e-5)


@pytest.mark.parametrize(("rate", "gain"), [(8000, 7.0), (16000, 1e-3), (44100, 1.0)])
def test_a_file_gives_signals_of_its_own_rate_length_and_level(tmp_path, rate, gain):
    voices = two_voices(rate // 2 + 1, rate)
    audio.write(tmp_path / "talk.wav", voices.sum(0), rate)
    heard = audio.resample(audio.read(tmp_path / "talk.wav")[0][0], rate, 8000)
    known = np.stack([audio.resample(voices[0], rate, 8000), heard - audio.resample(voices[0], rate, 8000)])
    network = Told(known, gain=gain)
    network.voices = np.stack([known[0], heard - known[0]])
    whole = network.voices.sum(0)
    network.forward = lambda mixture: torch.from_numpy(network.voices * gain)[None]
    assert np.abs(whole - heard).max() < 1e-6
    job = Job(tmp_path / "talk.wav", tmp_path / "out", audio.header(tmp_path / "talk.wav"))
    paths = separate_file(network, job, How(), SOURCE)
    for path, voice in zip(paths, voices, strict=True):
        found, its_rate = audio.read(path)
        assert (its_rate, found.shape) == (rate, (1, len(voice)))
        np.testing.assert_allclose(found[0][200:-200], voice[200:-200], atol=2e-3)


def test_what_would_pass_full_scale_is_turned_down_as_a_whole_after_resampling(tmp_path):
    square = np.sign(np.sin(2 * np.pi * 150 * np.arange(22050) / 22050)).astype(np.float32)     # overshoots when resampled
    soundfile.write(tmp_path / "loud.wav", square * 0.999, 22050)
    network = Told(np.zeros((2, 1), np.float32))
    network.forward = lambda mixture: torch.stack([mixture, 0.3 * mixture.roll(5, -1)], 1)
    job = Job(tmp_path / "loud.wav", tmp_path, audio.header(tmp_path / "loud.wav"))
    first, _ = audio.read(separate_file(network, job, How(), SOURCE)[0])
    assert np.abs(first).max() == pytest.approx(FULL_SCALE, abs=1e-3)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = seeded(FRAME, 0)
    checkpoint.save(tmp_path / "a.pt", FRAME, RECIPE, [], {"best": network.state_dict()})
    for name in ("one", "deep/er/two"):
        audio.write(tmp_path / f"talks/{name}.wav", noise(3000), 8000)
    return tmp_path


def command(*arguments):
    return core(["separate", "--checkpoint", "a.pt", *map(str, arguments)])


def test_a_folder_is_searched_and_mirrored_and_its_results_are_no_mixtures(here, capsys):
    assert command("talks", "--out", "talks/out", "--chunk-s", "0.1", "--overlap-s", "0.02", "--batch", "2") == 0
    assert capsys.readouterr().out.split() == [
        "talks/out/deep/er/two_1.wav", "talks/out/deep/er/two_2.wav", "talks/out/one_1.wav", "talks/out/one_2.wav"]
    assert command("talks", "--out", "talks/out", "--overwrite") == 0
    assert len(list((here / "talks/out").rglob("*.wav"))) == 4
    assert not list(here.rglob("*.tmp"))


def test_the_record_says_what_was_done(here):
    assert command("talks/one.wav", "--chunk-s", "0.1", "--overlap-s", "0.02") == 0
    record = json.loads((here / "separated/one.json").read_text())
    assert record["signals"] == ["one_1.wav", "one_2.wav"]
    assert (record["rate_hz"], record["samples"], record["channel"], record["checkpoint"]) == (8000, 3000, 1, "a.pt")
    assert (record["chunk_s"], record["overlap_s"], record["variant"]["norm"]) == (0.1, 0.02, "frame")
    assert [chunk["start_s"] for chunk in record["chunks"]] == [0, 0.08, 0.16, 0.24, 0.275]
    raw = separate(checkpoint.load(here / "a.pt"), audio.read(here / "talks/one.wav")[0][0])
    for number, gain in enumerate(record["gains"]):
        made = audio.read(here / f"separated/one_{number + 1}.wav")[0][0]
        np.testing.assert_allclose(made, gain * raw[number], atol=1e-4)
    assert record["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(("arguments", "words"), [
    (["talks/one.wav", "--overlap-s", "20"], "--overlap-s 20: wanted above 0 and at most half of --chunk-s 30"),
    (["gone.wav"], "gone.wav: cannot be read: No such file"),
    (["stereo.wav"], "2 channels, but a mixture of one channel is wanted; pick one with --channel 1 … 2"),
    (["stereo.wav", "--channel", "3"], "2 channels, but --channel 3"),
    (["silent.wav"], "silent.wav: silent or empty"),
    (["empty"], "empty: no recording in it"),
    (["talks/one.wav", "again/one.wav"], "would write separated/one_1.wav, and so would talks/one.wav"),
    (["talks/one.wav", "--out", "mine"], "mine/one_2.wav: is there already; choose another folder with --out"),
    (["talks/one.wav", "--out", "a.pt"], "a.pt: cannot be written")])
def test_what_cannot_be_separated_is_one_line_and_writes_nothing(here, capsys, arguments, words):
    (here / "empty").mkdir()
    (here / "mine").mkdir()
    (here / "mine/one_2.wav").write_text("the user's")
    audio.write(here / "again/one.wav", noise(100), 8000)
    audio.write(here / "stereo.wav", np.stack([noise(100)] * 2), 8000)
    audio.write(here / "silent.wav", np.zeros(100, np.float32), 8000)
    before = {path for path in here.rglob("*") if path.is_file()}
    assert command(*arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert {path for path in here.rglob("*") if path.is_file()} == before


def test_a_channel_is_chosen_not_averaged(here):
    first, second = noise(500, 1), noise(500, 2)
    audio.write(here / "stereo.wav", np.stack([first, second]), 8000)
    audio.write(here / "second.wav", second, 8000)
    assert command("stereo.wav", "--channel", "2") == command("second.wav") == 0
    assert (here / "separated/stereo_1.wav").read_bytes() == (here / "separated/second_1.wav").read_bytes()


def test_one_bad_file_of_many_stops_no_other_and_is_named(here, capsys):
    (here / "talks/bad.wav").write_text("no sound")
    assert command("talks") == 2
    said = capsys.readouterr()
    assert "separated/one_1.wav" in said.out
    assert "left out: talks/bad.wav: not a sound file" in said.out
    assert "1 of 3 recordings could not be separated" in said.err


def test_a_network_that_gives_no_numbers_writes_nothing(here, capsys):
    network = seeded(FRAME, 0)
    network.decoder.weight.data.fill_(float("nan"))
    checkpoint.save(here / "a.pt", FRAME, RECIPE, [], {"best": network.state_dict()})
    assert command("talks/one.wav") == 2
    assert "not finite" in capsys.readouterr().err
    assert not list((here / "separated").iterdir())


def test_the_nearest_names_of_an_unknown_mixture_are_told():
    with pytest.raises(UserError, match=r"'test/02': none of the 3 mixtures .*; nearest: test/002"):
        separate_command.mixture_named(Tiny(), "test/02")
    assert separate_command.mixture_named(Tiny(), "test/002").id == "test/002"


def test_memory_does_not_grow_with_the_recording(tmp_path):
    network = seeded(replace(FRAME, N=2, B=2, H=2, Sc=2, X=1), 0).eval()
    peaks = []
    for minutes in (1, 8):
        path = tmp_path / f"{minutes}.flac"
        soundfile.write(path, np.tile(noise(8000), 60 * minutes), 8000)
        job = Job(path, tmp_path / "out", audio.header(path))
        tracemalloc.start()
        separate_file(network, job, How(4, 1), SOURCE)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 8 * 60 * 8000 * 4     # less than the recording alone in float32


def test_chunks_reach_as_far_as_the_network_hears():
    plan = Plan.of(FRAME, 1, 0.5)
    assert plan.warm == plan.cool == (FRAME.receptive_field_samples + FRAME.L) // 2 + FRAME.L
    causal = Plan.of(replace(FRAME, causal=True), 1, 0.5)
    assert (causal.warm, causal.cool) == (FRAME.receptive_field_samples + FRAME.L, FRAME.L)
    assert overlap_add.Plan.of(FRAME, 0.1, 0.05).chunk == 800
