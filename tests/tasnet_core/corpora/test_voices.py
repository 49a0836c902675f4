import re
from pathlib import Path

import espeakng_loader
import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasnet_core.corpora import voices
from tasnet_core.corpora.voices import VoicesSettings

FOUR = VoicesSettings(train_speakers=2, valid_speakers=1, test_speakers=1,
                      train_sentences=2, valid_sentences=1, test_sentences=1)

DRAWN = VoicesSettings(drawn=True)
BOTH = pytest.mark.parametrize("settings", [VoicesSettings(), DRAWN], ids=["voices", "voices2"])


@BOTH
def test_the_default_cast_has_enough_speakers_half_of_them_women_in_each_split(settings):
    cast = [role.speaker for role in voices.cast(settings)]
    for split, wanted in (("train", 60), ("valid", 12), ("test", 12)):
        sexes = [speaker.sex for speaker in cast if speaker.split == split]
        assert len(sexes) >= wanted
        assert sexes.count("F") == sexes.count("M") == len(sexes) / 2


@BOTH
def test_speakers_differ_by_name_and_by_language_with_variant(settings):
    cast = [role.speaker for role in voices.cast(settings)]
    assert len({speaker.name for speaker in cast}) == len(cast)
    assert len({speaker.voice for speaker in cast}) == len(cast)


def test_no_voice_variant_speaks_in_two_splits():
    split_of = {}
    for speaker, _ in voices.cast(VoicesSettings()):
        variant = speaker.voice.split("+")[1]
        assert split_of.setdefault(variant, speaker.split) == speaker.split
    assert len(split_of) == sum(len(names) for split in voices.VARIANTS.values() for names in split.values())


def test_the_sex_of_every_variant_is_what_its_file_says():
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    for variants in voices.VARIANTS.values():
        for sex, names in variants.items():
            for name in names:
                said = re.search(r"^gender\s+(\w)", (folder / name).read_text(encoding="utf-8"), re.MULTILINE)
                assert said is not None, name
                assert said[1].upper() == sex, name


@hypothesis.settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_no_sentence_is_said_twice_with_any_seed(seed):
    lines = voices.script(VoicesSettings(seed=seed, drawn=bool(seed % 2)))
    assert len({line.text for line in lines}) == len({line.id for line in lines}) == len(lines)


def test_the_script_of_a_seed_is_always_the_same_and_of_another_seed_another():
    assert voices.script(FOUR) == voices.script(FOUR)
    texts = {line.text for line in voices.script(FOUR)}
    other = VoicesSettings(**{**FOUR.__dict__, "seed": 1})
    assert not texts & {line.text for line in voices.script(other)}


def test_words_are_distinct_and_of_plain_letters():
    assert len(voices.WORDS) == len(set(voices.WORDS)) > 300
    assert all(word.isascii() and word.isalpha() and word.islower() for word in voices.WORDS)


def test_every_speaker_of_voices2_has_a_voice_that_no_other_has():
    cast = voices.cast(DRAWN)
    files = voices.voice_files(DRAWN)
    assert len(files) == len(cast) == len(set(files.values())) == 208
    for sex in "FM":
        places = np.stack([voices.place(voice) for speaker, voice in cast if speaker.sex == sex])       # [104, 4]
        apart = np.linalg.norm(places[:, None] - places, axis=-1)
        assert apart[~np.eye(len(places), dtype=bool)].min() >= voices.APART


def test_test_and_validation_of_voices2_have_words_that_training_never_has():
    used = {split: {word.strip(",.") for line in voices.script(DRAWN) if line.speaker.split == split
                    for word in line.text.split()} for split in voices.VARIANTS}
    assert not used["train"] & used["test"]
    assert not used["train"] & used["valid"]
    assert not used["valid"] & used["test"]
    assert all(used[split] == set(voices.words(split, True)) for split in used)
    assert len(used["test"]) > 100


def test_a_voice_file_says_what_was_drawn():
    speaker, voice = voices.cast(DRAWN)[0]
    lines = voice.as_file(speaker.sex).splitlines()
    assert f"pitch {voice.pitch_hz:.0f} {voice.pitch_top_hz:.0f}" in lines
    assert sum(line.startswith("formant ") for line in lines) == voices.FORMANTS
    assert "gender female" in lines


def test_a_sentence_that_was_said_is_drawn_again(monkeypatch):
    monkeypatch.setattr(voices, "draw_sentence", lambda rng, rate, words: f"sentence {rng.integers(8)}")
    texts = [line.text for line in voices.script(FOUR)]
    assert len(set(texts)) == len(texts) == 6
