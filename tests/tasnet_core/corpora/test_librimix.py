import csv
import os
import shutil

import numpy as np
import pytest

from tasnet_core import audio
from tasnet_core.corpora.librimix import speakers
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.errors import CorpusError
from tests.support.corpus_layouts import librimix, table
from tests.support.recordings import people


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    here = tmp_path_factory.mktemp("sound")
    (here / "n").mkdir()
    people(here / "n/x", speakers=1, seconds=3)
    librimix(open_corpus(f"folder:{people(here / 'people')}"), here / "Libri2Mix")
    librimix(open_corpus(f"folder:{here / 'people'}?noise={here / 'n'}"), here / "noisy", "mix_both", part="train-100")
    return here


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made / "Libri2Mix", tmp_path / "Libri2Mix")


def refused(spec, C=2):
    with pytest.raises(CorpusError) as caught:
        open_corpus(spec, C)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows(path):
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("given", ["", "Libri2Mix", "Libri2Mix/wav8k", "Libri2Mix/wav8k/min"])
def test_paths_are_resolved_against_the_folder_given_whatever_the_table_says(made, given):
    corpus = open_corpus(f"librimix:{made / given}")
    assert corpus.unusable == ()
    assert corpus.count("train") == 20
    assert not corpus.speakers_known
    assert corpus.notes == ("trained on train-360",)


def test_tables_in_the_folder_given_find_the_files_below_it(copy):
    shutil.move(copy / "wav8k/min/metadata", copy / "metadata")
    assert open_corpus(f"librimix:{copy}").unusable == ()


def test_paths_of_windows_are_resolved_too(copy):
    path = copy / "wav8k/min/metadata/mixture_test_mix_clean.csv"
    table(path, [[cell.replace("/storage", r"D:\sound").replace("/", "\\") for cell in row] for row in rows(path)])
    assert open_corpus(f"librimix:{copy}").unusable == ()


@pytest.mark.parametrize(("name", "C", "wanted"), [
    ("4077-13754-0001_5142-33396-0065", 2, ("4077", "5142")),
    ("4077-13754-0001_5142-33396-0065", 1, ("4077",)),
    ("4077-13754-0001_5142-33396-0065", 3, ("?", "?", "?")),
    ("0123456789abcdef", 10, ("?",) * 10)])
def test_the_speakers_are_the_first_numbers_of_the_utterances(name, C, wanted):
    assert speakers(name, C) == wanted


def test_what_is_not_the_sum_of_the_sources_is_noise(made):
    noisy = open_corpus(f"librimix:{made / 'noisy'}?task=mix_both")
    original = open_corpus(f"folder:{made / 'people'}?noise={made / 'n'}")
    assert noisy.notes == ("trained on train-100",)
    for index in range(noisy.count("test")):
        here, there = noisy.mixture("test", index), original.mixture("test", index)
        assert np.array_equal(here.sources, there.sources)
        assert np.abs(here.mixture - there.mixture).max() < 1e-7
        assert np.abs(here.noise - there.noise).max() < 1e-7
        assert np.abs(there.noise).max() > 1e-3


@pytest.mark.parametrize("with_noise", [True, False])
def test_a_mixture_with_noise_that_is_of_other_sources_is_left_out_and_named(made, tmp_path, with_noise):
    root = shutil.copytree(made / "noisy", tmp_path / "noisy")
    for name in ("train-100", "dev", "test"):
        head, *found = rows(path := root / f"wav8k/min/metadata/mixture_{name}_mix_both.csv")
        if with_noise:      # as LibriMix' scripts write it
            for row in found:
                mix, *sources = (audio.read(root / row[i].split("Libri2Mix/")[1])[0][0] for i in (1, 2, 3))
                (root / f"wav8k/min/{name}/noise").mkdir(exist_ok=True)
                audio.write_exactly(root / f"wav8k/min/{name}/noise/{row[0]}.wav", mix - sum(sources), 8000)
                row.insert(4, row[1].replace("mix_both", "noise"))
            head.insert(4, "noise_path")
        if name == "dev":
            found[1][1], found[2][1] = found[2][1], found[1][1]
        table(path, [head, *found])
    corpus = open_corpus(f"librimix:{root}?task=mix_both")
    reason = "its mixture is of other sources or other noise" if with_noise else "its sources are not in its mixture"
    assert [item.reason for item in corpus.unusable] == [reason] * 2
    assert corpus.notes == ("trained on train-100", "2 mixtures left out as unusable")


def test_one_speaker_in_noise_is_a_mixture_of_one(copy):
    for name in ("train-360", "dev", "test"):
        found = rows(copy / f"wav8k/min/metadata/mixture_{name}_mix_clean.csv")
        table(copy / f"wav8k/min/metadata/mixture_{name}_mix_single.csv", [row[:3] + row[4:] for row in found])
    corpus = open_corpus(f"librimix:{copy}?task=mix_single", 1)
    mixture = corpus.mixture("test", 0)
    assert len(mixture.sources) == len(mixture.speakers) == 1
    assert np.abs(mixture.noise).max() > 0.01  # the second speaker, here
    assert "mix_single has 1 speaker, but C=2 is wanted; choose C=1 or task=mix_both" in refused(
        f"librimix:{copy}?task=mix_single")


def test_a_missing_test_folder_and_a_missing_table_are_named(copy):
    shutil.move(copy / "wav8k/min/test", copy / "moved")
    says = refused(f"librimix:{copy}")
    assert "mixtures for test can be used (the first, test/100-0-0000_" in says or "mixtures for test can be used" in says
    assert "/storage/of/someone/Libri2Mix/wav8k/min/test/mix_clean/" in says
    assert "no end of this path is below" in says
    (copy / "wav8k/min/metadata/mixture_test_mix_clean.csv").unlink()
    says = refused(f"librimix:{copy}")
    assert "mixture_test_mix_clean.csv: No such file" in says
    assert "mixture_dev_mix_clean.csv, mixture_train-360_mix_clean.csv are there" in says
    assert "mixture_train-100_mix_clean.csv: No such file" in refused(f"librimix:{copy}?train=train-100")


def test_a_missing_source_is_named_and_the_rest_is_used(copy):
    path = sorted((copy / "wav8k/min/test/s2").iterdir())[0]
    path.unlink()
    corpus = open_corpus(f"librimix:{copy}")
    [one] = corpus.unusable
    assert one.path == f"test/{path.stem}"
    assert one.reason == f"test/s2/{path.name}: cannot be read: No such file or directory"


@pytest.mark.parametrize(("change", "says"), [
    (lambda rows: [row[:1] + row[2:] for row in rows], "no column 'mixture_path', only mixture_ID, source_1_path"),
    (lambda rows: [row[1:] for row in rows], "no column 'mixture_ID'"),
    (lambda rows: [row[:3] + row[4:] for row in rows], "mix_clean has 1 speaker, but C=2 is wanted"),
    (lambda rows: [*rows, rows[1]], "in line 2 and again in line "),
    (lambda rows: [*rows, rows[1][:3]], "has fewer columns than the first; was the copy cut short?"),
    (lambda rows: [], "no column 'mixture_ID', only none"),
    (lambda rows: rows[:1], "none of the 0 mixtures for test can be used")])
def test_a_table_that_cannot_be_used_is_one_line_that_says_why(copy, change, says):
    path = copy / "wav8k/min/metadata/mixture_test_mix_clean.csv"
    table(path, change(rows(path)))
    assert says in refused(f"librimix:{copy}")


def test_another_number_of_speakers_is_refused(made):
    assert "has 2 speakers, but C=3 is wanted; choose C=2" in refused(f"librimix:{made / 'Libri2Mix'}", 3)


def test_names_that_are_not_utf8_are_used_and_shown(copy):
    path = copy / "wav8k/min/metadata/mixture_test_mix_clean.csv"
    found = rows(path)
    name = found[1][0]
    odd = b"\xe9-1-2_5-6-7".decode("utf-8", "surrogateescape")
    for kind in ("mix_clean", "s1", "s2"):
        (copy / f"wav8k/min/test/{kind}/{name}.wav").rename(copy / f"wav8k/min/test/{kind}/{odd}.wav")
    table(path, [found[0], [cell.replace(name, odd) for cell in found[1]], *found[2:]])
    corpus = open_corpus(f"librimix:{copy}")
    assert corpus.unusable == ()
    assert corpus.mixture("test", 0).id == r"test/\xe9-1-2_5-6-7"


def test_the_rest_of_a_folder_without_tables_is_said(tmp_path):
    (tmp_path / "wav8k/min/test").mkdir(parents=True)
    assert "holds no folder but test, but metadata/mixture_*.csv are wanted" in refused(f"librimix:{tmp_path}")


def test_a_table_that_is_a_fifo_is_refused_unopened(copy):
    path = copy / "wav8k/min/metadata/mixture_dev_mix_clean.csv"
    path.unlink()
    os.mkfifo(path)
    assert "mixture_dev_mix_clean.csv: not a file" in refused(f"librimix:{copy}")


def test_a_mixture_in_a_file_that_no_file_can_be_called_is_named(copy):
    path = copy / "wav8k/min/metadata/mixture_dev_mix_clean.csv"
    header, first, *others = rows(path)
    table(path, [header, [first[0], first[1].replace(".wav", "\0.wav"), *first[2:]], *others])
    [found] = open_corpus(f"librimix:{copy}").unusable
    assert "embedded null byte" in found.reason
