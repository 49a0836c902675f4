import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch

from tasnet_core.corpora import espeak, voices
from tasnet_core.corpora.espeak import Request
from tasnet_core.corpora.voices import VoicesSettings
from tasnet_core.errors import CorpusError

FOUR = VoicesSettings(train_speakers=2, valid_speakers=1, test_speakers=1,
                      train_sentences=2, valid_sentences=1, test_sentences=1)
DRAWN = VoicesSettings(**{**FOUR.__dict__, "drawn": True})


def spoken(settings):
    return list(espeak.speak(voices.requests(voices.script(settings)), voices.voice_files(settings)))


def test_speech_is_the_same_bit_for_bit_in_two_processes():
    first = spoken(FOUR) + spoken(DRAWN)
    time.sleep(1.1)  # left alone, espeak-ng seeds its noise with the second on the clock
    second = spoken(FOUR) + spoken(DRAWN)
    assert len(first) == 12
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("settings", [FOUR, DRAWN], ids=["voices", "voices2"])
def test_sentences_last_about_four_seconds_and_begin_and_end_with_sound(settings):
    for sound in spoken(settings):
        assert sound.dtype == np.float32
        assert 2 < len(sound) / espeak.RATE_HZ < 6.5
        assert 0.05 < np.abs(sound).max() <= 1
        assert min(abs(sound[0]), abs(sound[-1])) > 0.009 * np.abs(sound).max()


def pitch_hz(sound):
    """The strongest repetition between 60 and 400 Hz, over the whole of a sound."""
    spectrum = np.fft.rfft(sound, 2 * len(sound))
    repetition = np.fft.irfft(np.abs(spectrum) ** 2)
    shortest, longest = espeak.RATE_HZ // 400, espeak.RATE_HZ // 60
    return espeak.RATE_HZ / (shortest + repetition[shortest:longest].argmax())


def test_pitch_rate_and_variant_are_heard():
    plain = Request("all the farmers are away in the garden", "en-us+m3", rate=170, pitch=50, range=20)
    asked = {"plain": plain, "high": plain._replace(pitch=90), "low": plain._replace(pitch=10),
             "fast": plain._replace(rate=240), "woman": plain._replace(voice="en-us+linda")}
    sounds = dict(zip(asked, espeak.speak(list(asked.values()), {}), strict=True))
    assert pitch_hz(sounds["low"]) < 0.9 * pitch_hz(sounds["plain"]) < 0.8 * pitch_hz(sounds["high"])
    assert pitch_hz(sounds["woman"]) > 1.4 * pitch_hz(sounds["plain"])
    assert len(sounds["fast"]) < 0.85 * len(sounds["plain"])


@settings(deadline=None)
@given(st.lists(st.integers(-32768, 32767), max_size=30))
def test_trimming_takes_away_only_what_is_quiet_before_and_after(values):
    sound = np.array(values, np.int16)
    kept = espeak.trim(sound)
    peak = max(map(abs, values), default=0)
    loud = [i for i, value in enumerate(values) if abs(value) > 0.01 * peak]
    wanted = values[loud[0]:loud[-1] + 1] if loud else []
    assert (kept * 32768).tolist() == wanted


def test_a_voice_that_espeak_lacks_is_an_error_that_names_it():
    with pytest.raises(CorpusError, match=r"xx\+f1.*no voice") as caught:
        list(espeak.speak([Request("good morning", "xx+f1", 170, 50, 50)], {}))
    assert "\n" not in str(caught.value)


def test_without_the_package_the_way_out_is_named(monkeypatch):
    def missing(name):
        raise espeak.PackageNotFoundError(name)

    monkeypatch.setattr(espeak, "version", missing)
    with pytest.raises(CorpusError, match="pip install espeakng-loader"):
        espeak.edition()


def test_leaving_in_the_middle_ends_the_speaking_process():
    speech = espeak.speak(voices.requests(voices.script(FOUR)), {})
    assert len(next(speech))
    speech.close()


def test_a_voice_file_of_ones_own_is_spoken_at_its_pitch_and_its_formants():
    """A vowel of a voice whose formants are all a quarter higher: its spectrum lies a quarter higher."""
    base = voices.cast(DRAWN)[1].voice._replace(pitch_hz=100, pitch_top_hz=101, flutter=0, tone=(300, 200, 3000, 200))
    files = {"plain": base._replace(formants=(1.0,) * 9).as_file("M"),
             "raised": base._replace(formants=(1.0, *(1.25,) * 8)).as_file("M"),
             "high": base._replace(formants=(1.0,) * 9, pitch_hz=200, pitch_top_hz=202).as_file("M")}
    asked = [Request("a a a a a a", f"en-us+{name}", 150, 50, 10) for name in files]
    plain, raised, high = espeak.speak(asked, files)
    assert pitch_hz(plain) == pytest.approx(100, rel=0.1)
    assert pitch_hz(high) == pytest.approx(200, rel=0.1)
    grid = np.geomspace(400, 3000, 400)
    scales = np.arange(1.0, 1.5, 0.01)
    match = [np.corrcoef(envelope(plain, grid / scale), envelope(raised, grid))[0, 1] for scale in scales]
    assert scales[np.argmax(match)] == pytest.approx(1.25, abs=0.08)


def envelope(sound, at_hz):
    """Logarithm of the spectrum, smoothed over 100 Hz, at some frequencies."""
    frequency, power = welch(sound, espeak.RATE_HZ, nperseg=4096)
    smooth = np.convolve(power, np.hanning(39), "same")
    return np.interp(at_hz, frequency, np.log(smooth + 1e-12))


def test_espeaks_own_folder_is_left_as_it_is():
    import espeakng_loader
    variants = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    before = sorted(variants.iterdir())
    assert len(spoken(DRAWN)) == 6
    assert sorted(variants.iterdir()) == before
