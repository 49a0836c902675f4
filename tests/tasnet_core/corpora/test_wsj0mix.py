import os

import numpy as np
import pytest
import soundfile

from tasnet_core.corpora.registry import open_corpus
from tasnet_core.corpora.wsj0mix import speakers
from tasnet_core.errors import CorpusError
from tests.support.corpus_layouts import small_wsj0, wham


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(("name", "C", "wanted"), [
    ("011a0101_0.061105_401c020r_-0.061105", 2, ("011", "401")),  # WHAM! and WSJ0-2mix
    ("447o0315_1.7_022o030r_0_423a0101_-1.7", 3, ("447", "022", "423")),
    ("01To030v_2e-05_20GA0101_-2e-05", 2, ("01t", "20g")),
    ("011a0101_0.061105_401c020r", 2, ("011", "401")),
    ("011a0101_0.061105_401c020r_-0.061105", 3, ("?", "?", "?")),
    ("mixture_17", 2, ("?", "?")), ("17", 2, ("?", "?")), ("", 2, ("?", "?"))])
def test_the_speakers_are_the_beginnings_of_the_utterances(name, C, wanted):
    assert speakers(name, C) == wanted


@pytest.mark.parametrize("given", ["", "2speakers", "2speakers/wav8k", "2speakers/wav8k/min"])
def test_the_folder_is_found_from_any_above_it(tmp_path, given):
    small_wsj0(tmp_path / "2speakers/wav8k/min")
    small_wsj0(tmp_path / "2speakers/wav8k/max", seconds=0.6)
    small_wsj0(tmp_path / "2speakers/wav16k/min", rate=16_000, seconds=0.7)
    assert open_corpus(f"wsj0mix:{tmp_path / given}").mixture("test", 0).length == 4000
    if not given.endswith("min"):
        assert open_corpus(f"wsj0mix:{tmp_path / given}?mode=max").mixture("test", 0).length == 4800


def test_another_rate_is_taken_from_its_folder_or_from_the_highest_there_is(tmp_path):
    small_wsj0(tmp_path / "wav8k/min")
    small_wsj0(tmp_path / "wav16k/min", rate=16_000)
    assert open_corpus(f"wsj0mix:{tmp_path}", 2, 16_000).notes == ("test speakers also occur in training",)
    corpus = open_corpus(f"wsj0mix:{tmp_path}", 2, 4000)
    assert "27 files resampled from 16000 Hz" in corpus.notes
    assert corpus.mixture("test", 0).length == 2000


def refused(spec, C=2):
    with pytest.raises(CorpusError) as caught:
        open_corpus(spec, C)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_mode_than_there_is_is_refused(tmp_path):
    small_wsj0(tmp_path / "wav8k/min")
    assert "holds min only, but mode=max is wanted" in refused(f"wsj0mix:{tmp_path}?mode=max")
    assert "mixtures of the mode min, but mode=max" in refused(f"wsj0mix:{tmp_path / 'wav8k/min'}?mode=max")


def test_a_missing_folder_is_named(tmp_path):
    assert "holds no folder, but tr, cv and tt are wanted" in refused(f"wsj0mix:{tmp_path}")
    small_wsj0(tmp_path)
    os.rename(tmp_path / "tt", tmp_path / "test")
    assert f"{tmp_path}/tt: no such folder" in refused(f"wsj0mix:{tmp_path}")
    os.rename(tmp_path / "test", tmp_path / "tt")
    os.rename(tmp_path / "tt/mix", tmp_path / "tt/mixed")
    assert "tt: holds mixed, s1, s2, but mix, s1, s2 … are wanted" in refused(f"wsj0mix:{tmp_path}")


def test_another_number_of_speakers_is_refused(tmp_path):
    small_wsj0(tmp_path, C=3)
    assert "holds s1, s2, s3, mixtures of 3 speakers, but C=2 is wanted; choose C=3" in refused(f"wsj0mix:{tmp_path}")
    assert open_corpus(f"wsj0mix:{tmp_path}", 3).mixture("test", 0).speakers == ("011", "012", "22g")
    assert "but C=4 is wanted" in refused(f"wsj0mix:{tmp_path}", 4)


def test_two_files_of_one_mixture_are_refused(tmp_path):
    small_wsj0(tmp_path)
    path = sorted((tmp_path / "cv/mix").iterdir())[0]
    path.with_suffix(".flac").write_bytes(path.read_bytes())
    assert "are the same mixture twice; take one of them away" in refused(f"wsj0mix:{tmp_path}")


def test_names_that_are_not_utf8_are_used_and_shown(tmp_path):
    small_wsj0(tmp_path)
    for kind in ("mix", "s1", "s2"):
        first = sorted((tmp_path / "tt" / kind).iterdir())[0]
        os.rename(first, os.fsencode(first.parent) + b"/\xe9.wav")
    corpus = open_corpus(f"wsj0mix:{tmp_path}")
    assert corpus.unusable == ()
    mixtures = [corpus.mixture("test", index) for index in range(3)]
    assert [mixture.speakers for mixture in mixtures if mixture.id == r"test/\xe9"] == [("?", "?")]


def test_noise_in_some_of_the_splits_is_refused(tmp_path):
    small_wsj0(tmp_path)
    (tmp_path / "tr/noise").mkdir()
    assert "a folder noise beside some of tr, cv and tt" in refused(f"wsj0mix:{tmp_path}")


def written(folder, *parts):
    return [soundfile.read(folder / part, dtype="float32")[0] for part in parts]


@pytest.mark.parametrize(("query", "folder", "C"), [
    ("", "mix_clean", 2), ("?task=mix_clean", "mix_clean", 2), ("?task=mix_both", "mix_both", 2),
    ("?task=mix_single", "mix_single", 1)])
def test_the_tasks_of_wham_are_its_three_folders_of_mixtures(tmp_path, query, folder, C):
    corpus = open_corpus(f"wsj0mix:{wham(tmp_path)}{query}", C)
    name = sorted(os.listdir(tmp_path / "tt/s1"))[1]
    mixture = corpus.mixture("test", 1)
    heard, *sources = written(tmp_path / "tt", f"{folder}/{name}", *(f"s{i + 1}/{name}" for i in range(C)))
    assert mixture.mixture == pytest.approx(heard, abs=1e-6)
    assert np.array_equal(mixture.sources, sources)
    assert mixture.speakers == ("011", "012")[:C]
    assert (mixture.noise is None) == (folder == "mix_clean")
    assert not any("sum" in note for note in corpus.notes)


def test_a_task_that_is_not_there_or_needs_another_number_of_speakers_is_refused(tmp_path):
    wham(tmp_path / "wham")
    assert "holds mix_single, one speaker and noise, but C=2 is wanted; choose C=1" in refused(
        f"wsj0mix:{tmp_path / 'wham'}?task=mix_single")
    small_wsj0(tmp_path / "plain")
    assert "holds mix, s1, s2, but mix_both, s1, s2 … are wanted" in refused(f"wsj0mix:{tmp_path / 'plain'}?task=mix_both")
    assert "task=both is unknown; choose from mix_clean, mix_both, mix_single" in refused(f"wsj0mix:{tmp_path}?task=both")


def exchange(folder, one=0, other=1):
    """Give two mixtures each other's name."""
    first, second = (sorted(folder.iterdir())[i] for i in (one, other))
    os.rename(first, folder / "x")
    os.rename(second, first)
    os.rename(folder / "x", second)


def test_mixtures_with_noise_that_were_exchanged_are_left_out_and_named(tmp_path):
    wham(tmp_path)
    exchange(tmp_path / "tr/mix_both")
    corpus = open_corpus(f"wsj0mix:{tmp_path}?task=mix_both")
    assert [tuple(item) for item in corpus.unusable] == [
        (f"train/011a000{i}_0.0_012a000{i}_0.1", "its mixture is of other sources or other noise") for i in (0, 1)]
    assert open_corpus(f"wsj0mix:{tmp_path}?task=mix_clean").unusable == ()


@pytest.mark.parametrize("noise_level", [0.3, 3])
def test_exchanged_mixtures_are_noticed_where_the_noise_is_not_there(tmp_path, noise_level):
    wham(tmp_path, noise_level=noise_level)
    for split in ("tr", "cv", "tt"):
        for path in (tmp_path / split / "noise").iterdir():
            path.unlink()
    assert open_corpus(f"wsj0mix:{tmp_path}?task=mix_both").unusable == ()
    exchange(tmp_path / "tt/mix_both", 0, 2)
    found = open_corpus(f"wsj0mix:{tmp_path}?task=mix_both").unusable
    assert [(item.path[:13], item.reason) for item in found] == [
        (f"test/011a000{i}", "its sources are not in its mixture") for i in (0, 2)]


def test_a_folder_mix_beside_noise_is_compared_too(tmp_path):
    wham(tmp_path)
    for split in ("tr", "cv", "tt"):
        os.rename(tmp_path / split / "mix_both", tmp_path / split / "mix")
    assert open_corpus(f"wsj0mix:{tmp_path}").notes == ("test speakers also occur in training",)
    path = sorted((tmp_path / "cv/mix").iterdir())[0]
    soundfile.write(path, 0.9 * written(path.parent, path.name)[0], 8000)
    [note] = [note for note in open_corpus(f"wsj0mix:{tmp_path}").notes if "not the sum" in note]
    assert note == ("not the sum of their sources and noise: 1 of 9 mixtures looked at; in valid/011a0000_0.0_012a0000_0.1 the "
                    "mixture is 19.1 dB above the difference; the mixture's file is used")
    exchange(tmp_path / "tr/mix")
    assert len(open_corpus(f"wsj0mix:{tmp_path}").unusable) == 2


def test_sound_files_of_other_kinds_beside_the_mixtures_are_named(tmp_path):
    small_wsj0(tmp_path)
    (tmp_path / "tr/s1/x.sph").write_bytes(b"")
    assert "1 sound file of a kind that is not read left out (1 .sph; the first, x.sph)" in " ".join(
        open_corpus(f"wsj0mix:{tmp_path}").notes)
