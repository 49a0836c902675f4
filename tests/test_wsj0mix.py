import os

import pytest
from layouts import small_wsj0

from tasnet_core.corpora import open_corpus
from tasnet_core.errors import CorpusError
from tasnet_core.wsj0mix import speakers


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
