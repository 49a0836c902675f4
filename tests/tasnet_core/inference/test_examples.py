"""Sounds kept of three test mixtures: which, in what order, at what level, and that they are what was put in."""

import errno
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from study.__main__ import main
from study.database.store import open_database
from study.search.evaluate import Hooks, Task, evaluate
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.mixture import Mixture
from tasnet_core.evaluation import metrics
from tasnet_core.inference import example_files, examples
from tasnet_core.inference.separate import separate
from tasnet_core.training.trainer import train
from tests.support import tiny_study
from tests.support.made_up_search import Messages
from tests.support.tiny import RECIPE, TINY, Tiny

RATE = 8000
HALF = 0.5 / 32767      # of the steps of 16 bits


def mixture(scale=0.1, seconds=1.0, C=2, name="test/020", noise=None):
    rng = np.random.default_rng(C)
    sources = (scale * rng.uniform(-1, 1, (C, round(seconds * RATE)))).astype(np.float32)
    return Mixture(name, sources, sources.shape[1], tuple("abcde"[:C]), tuple("FMFMF"[:C]), noise)


def heard(clip):
    """[T] of a clip, by libsndfile: full scale at ±1, as it was written."""
    signal, rate = soundfile.read(io.BytesIO(clip.content), dtype="int16")
    assert rate == RATE
    return signal / 32767


def kept(folder, **checkpoints):
    return example_files.read(folder, {(number, 0): path for number, path in enumerate(checkpoints.values())})


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "sounds").iterdir()}


@given(st.integers(0, 5000))
def test_the_mixtures_are_three_evenly_spaced_or_all_there_are(count):
    found = examples.chosen(count)
    assert len(found) == min(3, count)
    assert all(0 <= index < count for index in found)
    if count >= 3:
        before, after = found[0], count - 1 - found[-1]
        gaps = {found[1] - found[0], found[2] - found[1], before + after + 1}       # around the end and on from the start
        assert max(gaps) - min(gaps) <= 2


def test_of_120_mixtures_they_are_the_middles_of_the_thirds():
    assert examples.chosen(120) == (20, 60, 100)


def test_what_is_kept_is_what_was_heard_but_for_the_16th_bit(tmp_path):
    one = mixture()
    examples.write(tmp_path / "trial-0003.pt", 20, one, one.sources, RATE)
    found, = example_files.read(tmp_path, {(3, 0): "elsewhere/trial-0003.pt", (4, 0): tmp_path / "trial-0004.pt"})
    assert found[:4] == (20, "test/020", ("a", "b"), ("F", "M"))
    assert {clip.mime for clip in (found.mixture, *found.truths, *found.outputs[3, 0])} == {"audio/flac"}
    np.testing.assert_allclose(heard(found.mixture), one.mixture, rtol=0, atol=HALF * 1.01)
    np.testing.assert_allclose([heard(clip) for clip in found.truths], one.sources, rtol=0, atol=HALF * 1.01)
    # The sources add up to the mixture, so no gain but 1 brings them closest to it.
    np.testing.assert_allclose([heard(clip) for clip in found.outputs[3, 0]], one.sources, rtol=0, atol=HALF * 1.02)
    assert list(found.outputs) == [(3, 0)]


def test_outputs_stand_in_the_order_of_the_speakers_whatever_level_and_sign_they_had(tmp_path):
    one = mixture(C=3)
    examples.write(tmp_path / "a.pt", 0, one, np.float32([[0.02], [-50], [1e-4]]) * one.sources[[2, 0, 1]], RATE)
    found, = kept(tmp_path, a=tmp_path / "a.pt")
    np.testing.assert_allclose([heard(clip) for clip in found.outputs[0, 0]], one.sources, rtol=0, atol=2 * HALF)


def test_only_the_first_four_seconds_are_kept_and_no_padding(tmp_path):
    long, short = mixture(seconds=4.5), mixture(seconds=1.0)
    padded = short._replace(sources=np.pad(short.sources, ((0, 0), (0, 900))))
    for index, one in enumerate((long, padded)):
        examples.write(tmp_path / "a.pt", index, one, one.sources, RATE)
    first, second = kept(tmp_path, a="a.pt")
    for found, one, length in ((first, long, 4 * RATE), (second, short, RATE)):
        for clip, signal in zip((found.mixture, *found.truths, *found.outputs[0, 0]),
                                (one.mixture, *one.sources, *one.sources), strict=True):
            np.testing.assert_allclose(heard(clip), signal[:length], rtol=0, atol=2 * HALF)


def test_nothing_is_clipped_and_a_mixture_keeps_the_scale_of_its_sources(tmp_path):
    one = mixture(scale=1.5)
    wild = np.stack([one.sources[0] + 3 * one.sources[1], -2.6 * one.sources[1]])      # their peaks lie above the mixture's
    examples.write(tmp_path / "a.pt", 0, one, wild, RATE)
    examples.write(tmp_path / "b.pt", 0, one, one.sources, RATE)
    found, = kept(tmp_path, a="a.pt", b="b.pt")
    scale = 0.99 / np.abs(one.mixture).max()
    np.testing.assert_allclose(heard(found.mixture), scale * one.mixture, rtol=0, atol=2 * HALF)
    for signals in (found.truths, found.outputs[1, 0]):
        np.testing.assert_allclose([heard(clip) for clip in signals], scale * one.sources, rtol=0, atol=2 * HALF)
    outputs = np.stack([heard(clip) for clip in found.outputs[0, 0]])
    best = wild * [[1], [2 / 2.6]]      # s0 + 3 s1 and -2 s1: together the mixture
    np.testing.assert_allclose(outputs, best * 0.99 / np.abs(best).max(), rtol=0, atol=2 * HALF)


def test_sources_that_cancel_are_turned_down_though_their_mixture_need_not_be(tmp_path):
    loud, quiet = mixture(scale=1.5).sources[0], mixture().sources[1]
    one = mixture()._replace(sources=np.stack([loud, quiet - loud]))
    examples.write(tmp_path / "a.pt", 0, one, one.sources, RATE)
    found, = kept(tmp_path)
    truths = np.stack([heard(clip) for clip in found.truths])
    assert np.abs(truths).max() == pytest.approx(0.99, abs=HALF)
    np.testing.assert_allclose(heard(found.mixture), truths.sum(0), rtol=0, atol=4 * HALF)


def test_noise_is_heard_in_the_mixture_alone(tmp_path):
    one = mixture()._replace(noise=np.full(RATE, 0.25, np.float32))
    examples.write(tmp_path / "a.pt", 0, one, one.sources, RATE)
    found, = kept(tmp_path)
    np.testing.assert_allclose(heard(found.mixture), one.sources.sum(0) + 0.25, rtol=0, atol=2 * HALF)
    np.testing.assert_allclose([heard(clip) for clip in found.truths], one.sources, rtol=0, atol=2 * HALF)


def test_mixture_and_sources_are_the_same_bytes_whoever_writes_them(tmp_path):
    one = mixture()
    for folder, run, estimates in (("a", "trial-0000", one.sources), ("b", "trial-0007-seed-1", 9 * one.sources[::-1] ** 2)):
        examples.write(tmp_path / folder / f"{run}.pt", 5, one, estimates, RATE)
    first, second = (contents(tmp_path / folder) for folder in "ab")
    assert sorted(first.keys() & second.keys()) == [
        "mixture-0005-0.flac", "mixture-0005-1.flac", "mixture-0005-2.flac", "mixture-0005.json"]
    assert all(first[name] == second[name] for name in first.keys() & second.keys())
    assert sorted(second.keys() - first.keys()) == [
        f"mixture-0005-trial-0007-seed-1{end}" for end in ("-1.flac", "-2.flac", ".json")]


@pytest.mark.parametrize("rate", [8000, 16000])
def test_what_is_written_again_stays_the_same_bytes_and_the_files_are_not_touched(tmp_path, rate):
    one = mixture()
    examples.write(tmp_path / "a.pt", 0, one, one.sources, rate)
    before = contents(tmp_path), {path: path.stat().st_mtime_ns for path in (tmp_path / "sounds").iterdir()}
    examples.write(tmp_path / "a.pt", 0, one, one.sources, rate)
    assert before == (contents(tmp_path), {path: path.stat().st_mtime_ns for path in (tmp_path / "sounds").iterdir()})


def test_the_sounds_of_a_page_are_without_loss_where_they_fit_and_never_too_large():
    found = {(rate, C): examples.kind(rate, C) for rate in (8000, 16000) for C in (2, 3, 5)}
    assert [case for case, kind in found.items() if kind == "flac"] == [(8000, 2), (8000, 3)]


def test_mp3_is_as_long_as_the_sound_and_small(tmp_path):
    t = np.arange(4 * 16000) / 16000
    tones = np.stack([0.4 * np.sin(2 * np.pi * f * t) for f in (220, 330)]).astype(np.float32)
    one = mixture()._replace(sources=tones, length=len(t))
    examples.write(tmp_path / "a.pt", 0, one, one.sources, 16000)
    found, = kept(tmp_path, a="a.pt")
    for clip, signal in zip((found.mixture, *found.truths, *found.outputs[0, 0]),
                            (one.mixture, *one.sources, *one.sources), strict=True):
        assert clip.mime == "audio/mpeg"
        assert len(clip.content) < 35_000
        again, rate = soundfile.read(io.BytesIO(clip.content))
        assert (rate, len(again)) == (16000, len(t))
        assert np.sum((again - signal) ** 2) < 0.02 * np.sum(signal**2)


def test_estimates_that_are_not_finite_leave_no_sound_but_the_mixtures(tmp_path):
    one = mixture()
    examples.write(tmp_path / "a.pt", 0, one, one.sources * np.float32([[1], [np.nan]]), RATE)
    found, = kept(tmp_path, a="a.pt")
    assert (len(found.truths), found.outputs) == (2, {})


def test_names_of_files_do_not_depend_on_what_a_mixture_is_called(tmp_path):
    one = mixture(name="../../über\\x: \"0\"\n")
    examples.write(tmp_path / "a.pt", 3, one, one.sources, RATE)
    assert sorted(contents(tmp_path)) == [f"mixture-0003{end}" for end in (
        "-0.flac", "-1.flac", "-2.flac", "-a-1.flac", "-a-2.flac", "-a.json", ".json")]
    assert kept(tmp_path)[0].id == one.id


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path):
    path.write_bytes(b"")


def another(path):
    path.write_bytes(b"{}")


@pytest.mark.parametrize("spoil", [Path.unlink, cut_short, emptied, another])
@pytest.mark.parametrize("name", ["mixture-0000-a-2.flac", "mixture-0000-a.json"])
def test_a_run_of_which_a_file_is_not_whole_is_not_there_and_all_others_are(tmp_path, spoil, name):
    one = mixture()
    for run in "ab":
        examples.write(tmp_path / f"{run}.pt", 0, one, one.sources, RATE)
    spoil(tmp_path / "sounds" / name)
    found, = kept(tmp_path, a="a.pt", b="b.pt")
    assert list(found.outputs) == [(1, 0)]
    examples.write(tmp_path / "a.pt", 0, one, one.sources, RATE)      # mended by the next scoring
    assert list(kept(tmp_path, a="a.pt", b="b.pt")[0].outputs) == [(0, 0), (1, 0)]


@pytest.mark.parametrize("spoil", [Path.unlink, cut_short, emptied, another])
@pytest.mark.parametrize("name", ["mixture-0000-0.flac", "mixture-0000-2.flac", "mixture-0000.json"])
def test_a_mixture_of_which_a_file_is_not_whole_is_not_there_and_all_others_are(tmp_path, spoil, name):
    one = mixture()
    for index in (0, 10):
        examples.write(tmp_path / "a.pt", index, one, one.sources, RATE)
    spoil(tmp_path / "sounds" / name)
    assert [found.number for found in kept(tmp_path, a="a.pt")] == [10]


@pytest.mark.parametrize("text", ["null", "[]", "3", '{"files": null}', '{"files": []}', '{"files": {"..": 0}}',
                                  '{"files": {"a\\u0000": 0}}', '{"files": {"mixture-0000-1.flac": "x"}}', "\udcff"])
def test_no_record_makes_the_reader_fail(tmp_path, text):
    one = mixture()
    examples.write(tmp_path / "a.pt", 0, one, one.sources, RATE)
    (tmp_path / "sounds/mixture-0000-a.json").write_bytes(text.encode(errors="surrogateescape"))
    assert kept(tmp_path, a="a.pt")[0].outputs == {}
    (tmp_path / "sounds/mixture-0000.json").write_bytes(text.encode(errors="surrogateescape"))
    assert kept(tmp_path, a="a.pt") == []


def test_where_nothing_is_kept_nothing_is_there(tmp_path):
    assert kept(tmp_path, a="a.pt") == []


def test_the_reader_loads_neither_torch_nor_soundfile_nor_numpy(tmp_path):
    one = mixture()
    examples.write(tmp_path / "a.pt", 0, one, one.sources, RATE)
    code = ("import sys\nfrom pathlib import Path\nfrom tasnet_core.inference import example_files\n"
            "found, = example_files.read(Path(sys.argv[1]), {(0, 0): 'a.pt'})\nassert found.outputs\n"
            "assert not {'torch', 'soundfile', 'numpy'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A training, scored: its checkpoint, its sounds and its result."""
    path = tmp_path_factory.mktemp("scored") / "trial-0000.pt"
    result = evaluate(Task(TINY, replace(RECIPE, epochs=2), path), Tiny(7))
    return path, contents(path.parent), result


def test_a_scored_run_leaves_the_sounds_its_scores_are_of(scored):
    path, _, result = scored
    found = example_files.read(path.parent, {(0, 0): path})
    assert [one.id for one in found] == ["test/001", "test/003", "test/005"]
    for one in found:
        original = Tiny(7).mixture("test", one.number)
        outputs = np.stack([heard(clip) for clip in one.outputs[0, 0]]).astype(np.float32)
        again = metrics.in_order(original, outputs)
        score = result.mixtures[one.number]
        np.testing.assert_array_equal(again.estimates, outputs)       # they are in order
        assert np.mean(again.si_snr_db) == pytest.approx(score.si_snr_db, abs=0.02)
        levels = 10 * np.log10(original.sources[:, :original.length].var(axis=1))
        assert score.level_difference_db == pytest.approx(abs(np.subtract(*levels)), abs=1e-3)


def test_a_full_disk_costs_the_sounds_and_no_score(scored, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")
    *_, whole = scored
    monkeypatch.setattr(examples, "write_atomically", full)
    said = Messages()
    result = evaluate(Task(TINY, replace(RECIPE, epochs=2), tmp_path / "a.pt"), Tiny(7), Hooks(said))
    assert result.mixtures == whole.mixtures
    assert said == ["trial 0: its sounds are not kept: [Errno 28] No space left on device"]
    assert kept(tmp_path, a="a.pt") == []


def test_what_hears_a_test_set_is_given_every_mixture_and_what_the_network_made_of_it(tmp_path):
    list(train(TINY, replace(RECIPE, epochs=1), Tiny(4), tmp_path / "a.pt"))
    network, given = load(tmp_path / "a.pt"), []
    metrics.score_test(network, Tiny(4), on_estimates=lambda *one: given.append(one))
    assert [(index, one.id) for index, one, _ in given] == [(index, f"test/{index:03}") for index in range(4)]
    for _, one, estimates in given:
        np.testing.assert_array_equal(estimates, separate(network, one.mixture))


def test_every_run_of_a_study_leaves_its_sounds_replicates_too(tmp_path):
    storage = ["--storage", str(tmp_path / "study.db"), "--study", "s"]
    assert main(["run", *tiny_study.ARGUMENTS, *storage, "--trials", "2", "--seeds", "2", "--epochs", "1", "--workers", "1"]) == 0
    with open_database(str(tmp_path / "study.db")) as database:
        runs = {(run["trial"], run["seed"]): run["checkpoint"] for run in database.runs("s") if run["state"] == "complete"}
        levels = [row["level_difference_db"] for row in database.mixtures("s")]
    found = example_files.read(tmp_path / "checkpoints/s", runs)
    assert [one.number for one in found] == [0, 1, 2]
    assert len(runs) >= 3
    assert all(one.outputs.keys() == runs.keys() for one in found)
    assert all(level > 0 for level in levels)
