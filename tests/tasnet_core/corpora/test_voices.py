import re
import time
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.corpora import voices
from tasnet_core.corpora.voices import Line, VoicesSettings
from tasnet_core.errors import CorpusError

FOUR = VoicesSettings(train_speakers=2, valid_speakers=1, test_speakers=1,
                      train_sentences=2, valid_sentences=1, test_sentences=1)


def test_the_default_cast_has_enough_speakers_half_of_them_women_in_each_split():
    cast = voices.cast(VoicesSettings())
    for split, wanted in (("train", 60), ("valid", 12), ("test", 12)):
        sexes = [speaker.sex for speaker in cast if speaker.split == split]
        assert len(sexes) >= wanted
        assert sexes.count("F") == sexes.count("M") == len(sexes) / 2


def test_speakers_differ_by_name_and_by_language_with_variant():
    cast = voices.cast(VoicesSettings())
    assert len({speaker.name for speaker in cast}) == len(cast)
    assert len({speaker.voice for speaker in cast}) == len(cast)


def test_no_voice_variant_speaks_in_two_splits():
    split_of = {}
    for speaker in voices.cast(VoicesSettings()):
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


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_no_sentence_is_said_twice_with_any_seed(seed):
    lines = voices.script(VoicesSettings(seed=seed))
    assert len({line.text for line in lines}) == len({line.id for line in lines}) == len(lines)


def test_the_script_of_a_seed_is_always_the_same_and_of_another_seed_another():
    assert voices.script(FOUR) == voices.script(FOUR)
    texts = {line.text for line in voices.script(FOUR)}
    other = VoicesSettings(**{**FOUR.__dict__, "seed": 1})
    assert not texts & {line.text for line in voices.script(other)}


def test_words_are_distinct_and_of_plain_letters():
    assert len(voices.WORDS) == len(set(voices.WORDS)) > 300
    assert all(word.isascii() and word.isalpha() and word.islower() for word in voices.WORDS)


def test_speech_is_the_same_bit_for_bit_in_two_processes():
    first = [sound for _, sound in voices.speak(voices.script(FOUR))]
    time.sleep(1.1)  # left alone, espeak-ng seeds its noise with the second on the clock
    second = [sound for _, sound in voices.speak(voices.script(FOUR))]
    assert len(first) == 6
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_sentences_last_about_four_seconds_and_begin_and_end_with_sound():
    for _, sound in voices.speak(voices.script(FOUR)):
        assert sound.dtype == np.float32
        assert 2 < len(sound) / voices.RATE_HZ < 6.5
        assert 0.05 < np.abs(sound).max() <= 1
        assert min(abs(sound[0]), abs(sound[-1])) > 0.009 * np.abs(sound).max()


def pitch_hz(sound):
    """The strongest repetition between 60 and 400 Hz, over the whole of a sound."""
    spectrum = np.fft.rfft(sound, 2 * len(sound))
    repetition = np.fft.irfft(np.abs(spectrum) ** 2)
    shortest, longest = voices.RATE_HZ // 400, voices.RATE_HZ // 60
    return voices.RATE_HZ / (shortest + repetition[shortest:longest].argmax())


def test_pitch_rate_and_variant_are_heard():
    plain = voices.cast(FOUR)[0]._replace(voice="en-us+m3", rate=170, pitch=50, range=20)
    speakers = {"plain": plain, "high": plain._replace(pitch=90), "low": plain._replace(pitch=10),
                "fast": plain._replace(rate=240), "woman": plain._replace(voice="en-us+linda")}
    words = "all the farmers are away in the garden"
    lines = [Line(name, speaker, words) for name, speaker in speakers.items()]
    sounds = {line.id: sound for line, sound in voices.speak(lines)}
    assert pitch_hz(sounds["low"]) < 0.9 * pitch_hz(sounds["plain"]) < 0.8 * pitch_hz(sounds["high"])
    assert pitch_hz(sounds["woman"]) > 1.4 * pitch_hz(sounds["plain"])
    assert len(sounds["fast"]) < 0.85 * len(sounds["plain"])


def test_a_sentence_that_was_said_is_drawn_again(monkeypatch):
    monkeypatch.setattr(voices, "_sentence", lambda rng, rate: f"sentence {rng.integers(8)}")
    texts = [line.text for line in voices.script(FOUR)]
    assert len(set(texts)) == len(texts) == 6


@settings(deadline=None)
@given(st.lists(st.integers(-32768, 32767), max_size=30))
def test_trimming_takes_away_only_what_is_quiet_before_and_after(values):
    sound = np.array(values, np.int16)
    kept = voices.trim(sound)
    peak = max(map(abs, values), default=0)
    loud = [i for i, value in enumerate(values) if abs(value) > 0.01 * peak]
    wanted = values[loud[0]:loud[-1] + 1] if loud else []
    assert (kept * 32768).tolist() == wanted


def test_a_voice_that_espeak_lacks_is_an_error_that_names_it():
    line = Line("a", voices.cast(FOUR)[0]._replace(voice="xx+f1"), "good morning")
    with pytest.raises(CorpusError, match=r"xx\+f1.*no voice") as caught:
        list(voices.speak([line]))
    assert "\n" not in str(caught.value)


def test_without_the_package_the_way_out_is_named(monkeypatch):
    def missing(name):
        raise voices.PackageNotFoundError(name)

    monkeypatch.setattr(voices, "version", missing)
    with pytest.raises(CorpusError, match="pip install espeakng-loader"):
        voices.espeak_edition()


def test_leaving_in_the_middle_ends_the_speaking_process():
    lines = voices.script(FOUR)
    speech = voices.speak(lines)
    assert next(speech)[0] == lines[0]
    speech.close()
