import csv

import numpy as np
import pytest
import soundfile

from tasnet_core.__main__ import main
from tasnet_core.corpora import mixed
from tasnet_core.corpora.commands import write
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.corpora.wsj0mix import FOLDERS
from tests.support import ROOT
from tests.support.corpus_layouts import ELSEWHERE, librimix, mixtures, wsj0
from tests.support.recordings import FSDD, people


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(mixed, "MIXTURES", {"valid": 4, "test": 6})


@pytest.mark.parametrize("name", ["people", "real recordings"])
def test_three_readers_give_the_same_mixtures(tmp_path, name):
    if name == "real recordings" and not FSDD.is_dir():
        pytest.skip("the real recordings are not on this machine")
    spec = f"folder:{people(tmp_path / 'people')}" if name == "people" else f"folder:{FSDD}?speaker=_([a-z]+)_"
    original = open_corpus(spec)
    wsj0(original, tmp_path / "wsj0")
    ids = librimix(original, tmp_path / "libri")
    with open(tmp_path / "wsj0/mixtures.csv") as file:
        rows = {f"{split}/{row['file'].removesuffix('.wav')}": row["mixture"] for row in csv.DictReader(file)
                for split, folder in FOLDERS.items() if folder == row["folder"]}
    readers = {"wsj0mix": (open_corpus(f"wsj0mix:{tmp_path / 'wsj0'}"), rows),
               "librimix": (open_corpus(f"librimix:{tmp_path / 'libri'}"), ids)}
    truth = {mixture.id: mixture for each in mixtures(original, 20, 5600).values() for mixture in each}
    for reader, (corpus, names) in readers.items():
        assert corpus.unusable == ()
        read = [corpus.mixture(split, index) for split in FOLDERS for index in range(corpus.count(split))]
        assert {names[mixture.id] for mixture in read} == set(truth)
        for mixture in read:
            there = truth[names[mixture.id]]
            assert np.array_equal(mixture.sources, there.sources[:, :there.length]), reader
            assert np.array_equal(mixture.mixture, there.mixture[:there.length]), reader
            assert mixture[2:5] == there[2:5]


def test_the_files_are_as_other_toolkits_read_them(tmp_path):
    corpus = open_corpus(f"folder:{people(tmp_path / 'people')}")
    wsj0(corpus, tmp_path / "made", train=4, seconds=0.5)
    for folder, count in (("tr", 4), ("cv", corpus.count("valid")), ("tt", corpus.count("test"))):
        names = {part: sorted(path.name for path in (tmp_path / "made" / folder / part).iterdir())
                 for part in ("mix", "s1", "s2")}
        assert names["mix"] == names["s1"] == names["s2"]
        assert len(names["mix"]) == count
        for name in names["mix"]:
            sounds = {part: soundfile.read(tmp_path / "made" / folder / part / name, dtype="float32") for part in names}
            assert {rate for _, rate in sounds.values()} == {8000}
            assert np.array_equal(sounds["mix"][0], sounds["s1"][0] + sounds["s2"][0])
            first, level, second, other = name.removesuffix(".wav").split("_")
            power = [10 * np.log10(np.mean(sounds[part][0].astype(float) ** 2)) for part in ("s1", "s2")]
            assert len(first) == len(second) == 8
            assert float(level) == pytest.approx((power[0] - power[1]) / 2, abs=1e-3)
            assert float(other) == pytest.approx(-float(level), abs=1e-4)
    people_of = (tmp_path / "made/speakers.csv").read_text().splitlines()
    assert people_of[0] == "speaker,sex,name"
    assert {line.split(",")[2] for line in people_of[1:]} <= {f"s{i}" for i in range(7)}
    assert f"folder:{tmp_path / 'people'}" in (tmp_path / "made/README.txt").read_text()


def test_a_noisy_corpus_comes_back_from_its_files(tmp_path):
    people(tmp_path / "noise/x", 1)
    corpus = open_corpus(f"folder:{people(tmp_path / 'people')}?noise={tmp_path / 'noise'}&noise_db=0..5")
    wsj0(corpus, tmp_path / "made")
    again = open_corpus(f"wsj0mix:{tmp_path / 'made'}")
    assert "not the sum" not in " ".join(again.notes)
    truth = {mixture.sources.tobytes(): mixture for mixture in mixtures(corpus, 20, 5600)["test"]}
    for index in range(again.count("test")):
        mixture = again.mixture("test", index)
        there = truth[mixture.sources.tobytes()]
        assert np.abs(mixture.noise - there.noise).max() <= 2**-24  # a rounding of float32
        assert np.abs(mixture.mixture - there.mixture).max() <= 2**-24


def test_the_same_seed_writes_the_same_training_mixtures_and_another_one_others(tmp_path):
    corpus = open_corpus(f"folder:{people(tmp_path / 'people')}")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(corpus, tmp_path / name, 3, 0.3, seed)
    sounds = {name: [soundfile.read(path)[0].tobytes() for path in sorted((tmp_path / name / "tr/mix").iterdir())]
              for name in "abc"}
    assert sounds["a"] == sounds["b"] != sounds["c"]


def test_no_padding_is_written(tmp_path):
    corpus = open_corpus(f"folder:{people(tmp_path / 'people')}")
    write(corpus, tmp_path / "made", 2, 30, 0)  # longer than anyone speaks
    lengths = [soundfile.info(path).frames for path in sorted((tmp_path / "made/tr/mix").iterdir())]
    assert sorted(lengths) == sorted(corpus.segment(0, 1, index, 240_000).length for index in range(2))
    assert max(lengths) < 60_000


def refused(arguments, capsys):
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_nothing_is_ever_overwritten_and_nothing_is_left_half(tmp_path, capsys, monkeypatch):
    spec = f"folder:{people(tmp_path / 'people')}"
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/mine.txt").write_text("keep me")
    assert "holds files, and nothing is ever overwritten" in refused(["mix", spec, "--out", tmp_path / "taken"], capsys)
    assert "is no folder" in refused(["mix", spec, "--out", tmp_path / "taken/mine.txt"], capsys)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.txt"]
    before = sorted(tmp_path.iterdir())

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(soundfile, "write", full)
        assert "No space left on device; make room" in refused(["mix", spec, "--out", tmp_path / "new"], capsys)
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "new").mkdir()
    assert main(["mix", spec, "--out", str(tmp_path / "new"), "--train", "2", "--seconds", "0.2"]) == 0
    assert "tr: 2 mixtures\ncv: " in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "README.txt", "cv", "mixtures.csv", "speakers.csv", "tr", "tt"]


@pytest.mark.parametrize(("arguments", "says"), [
    (["--train", "0"], "'0' is not a whole number of at least 1"), (["--seconds", "-2"], "'-2' is not a number above 0"),
    (["--seconds", "nan"], "'nan' is not a number above 0"), (["--seed", "x"], "'x' is not a whole number of at least 0")])
def test_numbers_that_make_no_sense_are_one_line(tmp_path, capsys, arguments, says):
    with pytest.raises(SystemExit) as stop:
        main(["mix", "voices", "--out", str(tmp_path / "new"), *arguments])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_no_reader_needs_the_folder_that_the_tables_name():
    assert not (ROOT / ELSEWHERE).exists()
