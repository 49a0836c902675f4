import time

import pytest

from tasnet_core.corpora import speaker_names
from tasnet_core.errors import CorpusError


def told(*names):
    return dict(zip(names, speaker_names.by_folders(names, "folder X").speakers, strict=True))


@pytest.mark.parametrize("speakers", [
    # LibriSpeech, in parts, as a part alone, and without its speakers' folders
    {"train-clean-100/103/1240/103-1240-0000.flac": "103", "train-clean-100/103/1241/103-1241-0000.flac": "103",
     "dev-clean/84/121123/84-121123-0000.flac": "84"},
    {"103/1240/103-1240-0000.flac": "103", "103/1241/103-1241-0001.flac": "103", "84/121123/84-121123-0000.flac": "84"},
    {"1240/103-1240-0000.flac": "103", "1241/103-1241-0001.flac": "103", "121123/84-121123-0000.flac": "84"},
    # LibriTTS and MLS
    {"103/1240/103_1240_000001_000000.wav": "103", "103/1241/103_1241_000001_000000.wav": "103",
     "84/121123/84_121123_000002_000001.wav": "84"},
    # VoxCeleb
    {"wav/id10270/5r0dWxy17C8/00001.wav": "id10270", "wav/id10270/8jEAjG6SegY/00001.wav": "id10270",
     "wav/id10271/1gtz-CUIygI/00001.wav": "id10271"},
    # TIMIT, WSJ0, VCTK
    {"TRAIN/DR1/FCJF0/SA1.WAV": "FCJF0", "TRAIN/DR1/FDAW0/SA1.WAV": "FDAW0", "TEST/DR2/MRLJ0/SA1.WAV": "MRLJ0"},
    {"si_tr_s/011/011a0101.wav": "011", "si_tr_s/01t/01to030v.wav": "01t", "si_dt_05/050/050a0501.wav": "050"},
    {"wav48_silence_trimmed/p225/p225_001_mic1.flac": "p225", "wav48_silence_trimmed/p226/p226_001_mic1.flac": "p226"},
    # a folder of sessions, numbered, or one in all; a folder for each person twice; names that decide
    {"anna/day1/1.wav": "anna", "anna/day2/1.wav": "anna", "ben/day1/1.wav": "ben"},
    {"anna/calls/1.wav": "anna", "ben/calls/1.wav": "ben"},
    {"a/anna/1.wav": "anna", "b/ben/1.wav": "ben"},
    {"train/anna/1.wav": "anna", "test/anna/2.wav": "anna", "test/ben/1.wav": "ben"},
    {"anna/monday/anna_1.wav": "anna", "anna/friday/anna_2.wav": "anna", "ben/monday/ben_1.wav": "ben"},
    {"s0/0.wav": "s0", "s0/deep/s0/left.FLAC": "s0", "s1/0.wav": "s1"},
    {"F/1.wav": "F", "G/1.wav": "G"}, {"1.wav": ".", "anna/1.wav": "anna"},
])
def test_people_are_told_by_the_level_that_is_theirs(speakers):
    assert told(*speakers) == speakers


@pytest.mark.parametrize("names", [
    ["anna/monday/1.wav", "anna/friday/1.wav", "ben/monday/1.wav"],     # or are monday and friday people?
    ["anna/x/1.wav", "anna/y/1.wav", "ben/z/1.wav"],
    ["anna/1.wav", "anna/more/1.wav", "ben/1.wav"],
    ["anna/novel/novel_1.wav", "anna/poems/poems_1.wav", "ben/essay/essay_1.wav"],
])
def test_folders_that_can_be_read_in_two_ways_are_refused_with_a_pattern_for_each(names):
    says = r"is anna the speaker or (.+)\?.*speaker=(.+) for anna, \?speaker=(.+) for \1"
    with pytest.raises(CorpusError, match=says) as caught:
        told(*names)
    assert "\n" not in str(caught.value)
    above, below = (part.split(" for ")[0] for part in str(caught.value).split("speaker=")[1:])
    assert speaker_names.by_pattern(names[:1] * 2 + names[1:2], above).speakers == ["anna"] * 3
    last = max(names, key=lambda name: name.count("/"))
    assert speaker_names.by_pattern([last], below).speakers == [last.split("/")[-2]]


def test_folders_that_name_nobody_are_refused():
    with pytest.raises(CorpusError, match=r"folders are named dev-clean, train-clean-100, and such names are no people's"):
        told("train-clean-100/a.wav", "dev-clean/b.wav")


def test_a_corpus_of_mixtures_is_no_folder_of_people():
    with pytest.raises(CorpusError, match=r"folders mix_clean and s1 hold mixtures and their sources.*wsj0mix:PATH"):
        told("tr/mix_clean/a.wav", "tr/s1/a.wav", "tr/s2/a.wav")


def test_what_is_not_the_parent_folder_is_said():
    assert speaker_names.by_folders(["1/2/1-2-3.wav", "1/3/1-3-1.wav", "4/5/4-5-6.wav"], "").notes == [
        "the speaker is not the parent folder: 1 in 1/2/1-2-3.wav, and so on"]
    for names in (["a/1.wav", "b/1.wav"], ["F/1.wav", "G/1.wav"], ["1.wav"]):
        assert speaker_names.by_folders(names, "").notes == []
    for stray, speaker in (("readme.wav", "."), ("train/readme.wav", "train")):
        assert speaker_names.by_folders([stray, "train/a/1.wav", "train/b/1.wav"], "").notes == [
            f"what lies beside the speakers' folders is taken for one more speaker, {speaker}: {stray}, and so on"]


@pytest.mark.parametrize("pattern", [r"(a|aa)+$", r"^(a|a)*$"])
def test_a_pattern_that_runs_away_ends_and_is_named(monkeypatch, pattern):
    monkeypatch.setattr(speaker_names, "PATTERN_S", 0.1)
    start = time.monotonic()
    with pytest.raises(CorpusError, match=r"speaker=.* after 0.1 s it had not come to an end, at aaaa") as caught:
        speaker_names.by_pattern(["b.wav", "a" * 60 + "/0.wav"], pattern)
    assert time.monotonic() - start < 5
    assert f"speaker={pattern}: " in str(caught.value)


def test_a_pattern_that_ran_away_before_is_found_not_to_match_at_once():
    assert speaker_names.by_pattern(["a" * 60 + "/0.wav"], "^(a+)+$").speakers == [None]


@pytest.mark.parametrize("folders", [
    ("batch01", "batch02"), ("part-1-of-8", "part-2-of-8"), ("chunk_0", "chunk_1"), ("set1", "set2"), ("Volume 1", "Volume 2")])
def test_folders_that_number_parts_of_a_list_are_no_people(folders):
    with pytest.raises(CorpusError, match=f"its folders are named {folders[0]}, {folders[1]}, and such names are no people's"):
        speaker_names.by_folders([f"{folder}/{number}.wav" for folder in folders for number in range(3)], "x")


def test_names_that_differ_in_case_or_in_the_form_of_their_accents_are_one_speaker_and_this_is_said():
    paths = ["Anna0/1.wav", "anna0/2.wav", "ben/1.wav", "Jos\u00e9/1.wav", "Jose\u0301/2.wav"]
    found = speaker_names.by_folders(paths, "")
    assert found.speakers == ["Anna0", "Anna0", "ben", "Jos\u00e9", "Jos\u00e9"]
    assert found.notes == ["names that differ in case alone are one speaker: Jos\u00e9 and Jose\u0301, Anna0 and anna0; "
                           "to tell them apart give speaker=([^/]+)/[^/]+$"]
    apart = speaker_names.by_pattern(paths[:3], "([^/]+)/[^/]+$")
    assert apart.speakers == ["Anna0", "anna0", "ben"]
