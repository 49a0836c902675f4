import pytest

from tasnet_core.corpora.mixture import Speaker
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.corpora.speaker_sex import known_speakers
from tasnet_core.errors import CorpusError
from tests.support.recordings import people

LIBRISPEECH = """;; Some pipe(|) separated metadata about all LibriVox readers
;ID  |SEX| SUBSET           |MINUTES| NAME
14   | F | train-clean-360  | 25.03 | Kristin LeMoine
19   | M | train-clean-100  | 25.19 | Some | One
"""
WSJ0 = """;; speakers of the training part
011  F  Standard
01T  M  Southern
--   -  nobody
"""


@pytest.mark.parametrize(("name", "text", "wanted"), [
    ("SPEAKERS.TXT", LIBRISPEECH, {"14": Speaker("14", "F"), "19": Speaker("19", "M")}),
    ("spkrinfo.txt", WSJ0, {"011": Speaker("011", "F"), "01t": Speaker("01t", "M")}),
    ("wsj0-train-spkrinfo.txt", WSJ0, {"011": Speaker("011", "F"), "01t": Speaker("01t", "M")}),
    ("speakers.csv", "speaker,sex\r\nann,female\r\nBob,m\r\nkim,\r\n",
     {"ann": Speaker("ann", "F"), "Bob": Speaker("Bob", "M"), "kim": Speaker("kim", "?")}),
    ("speakers.csv", "﻿Sex,Speaker,name\nF,000,ann of here\n", {"000": Speaker("ann of here", "F")}),
    ("speakers.csv", "speaker,sex,name\n000,F,'=ann()\n001,F,'quoted'\n",
     {"000": Speaker("=ann()", "F"), "001": Speaker("'quoted'", "F")})])
@pytest.mark.parametrize("above", [0, 3])
def test_a_list_is_found_in_the_folder_or_above_it_or_by_name(tmp_path, name, text, wanted, above):
    (tmp_path / name).write_text(text, encoding="utf-8")
    folder = tmp_path.joinpath(*"abc"[:above])
    folder.mkdir(parents=True, exist_ok=True)
    assert known_speakers(folder) == known_speakers(folder, str(tmp_path / name)) == (wanted, [])


def test_the_list_of_librispeech_is_found_beside_librimix(tmp_path):
    (tmp_path / "LibriSpeech").mkdir()
    (tmp_path / "Libri2Mix/wav8k/min").mkdir(parents=True)
    (tmp_path / "LibriSpeech/SPEAKERS.TXT").write_text(LIBRISPEECH)
    assert set(known_speakers(tmp_path / "Libri2Mix/wav8k/min").speakers) == {"14", "19"}


def test_the_nearest_list_counts(tmp_path):
    (tmp_path / "near").mkdir()
    (tmp_path / "speakers.csv").write_text("speaker,sex\na,F\n")
    (tmp_path / "near/speakers.csv").write_text("speaker,sex\na,M\n")
    assert known_speakers(tmp_path / "near").speakers["a"].sex == "M"


def test_a_list_that_cannot_be_used_is_one_line(tmp_path):
    with pytest.raises(CorpusError, match=r"speakers=gone\.txt: no such file, but a list of speakers is wanted"):
        known_speakers(tmp_path, "gone.txt")
    (tmp_path / "speakers.csv").write_text("name,gender\na,F\n")
    with pytest.raises(CorpusError, match=r"speakers\.csv: no column 'speaker', only name, gender"):
        known_speakers(tmp_path, str(tmp_path / "speakers.csv"))


@pytest.mark.parametrize("content", [b"name,gender\nsomebody,f\n", b"", b"\x00\xff,\"", b"speaker,sex\n"])
def test_a_list_that_is_only_found_and_is_none_is_ignored_and_said(tmp_path, content):
    (tmp_path / "speakers.csv").write_text("speaker,sex\na,F\n")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/speakers.csv").write_bytes(content)
    known = known_speakers(tmp_path / "corpus")
    assert known.speakers == {"a": Speaker("a", "F")}       # of the next list that is one
    assert [note.split(": no column")[0] for note in known.notes] == [
        f"ignored: {tmp_path / 'corpus/speakers.csv'}"] * (content != b"speaker,sex\n")


def test_a_folder_of_recordings_learns_the_sexes(tmp_path, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))
    before = open_corpus(f"folder:{people(tmp_path / 'people')}")
    (tmp_path / "speakers.csv").write_text("speaker,sex\n" + "".join(f"s{i},{'FM'[i % 2]}\n" for i in range(6)))
    after = open_corpus(f"folder:{tmp_path / 'people'}")
    assert {r.speaker: r.sex for r in before.recordings} == {f"s{i}": "?" for i in range(7)}
    assert {r.speaker: r.sex for r in after.recordings} == {f"s{i}": "FMFMFM?"[i] for i in range(7)}
    assert after.fingerprint == before.fingerprint
    mixture = after.segment(0, 1, 0, 4000)
    assert mixture.sexes == tuple("FMFMFM?"[int(name[1])] for name in mixture.speakers)
