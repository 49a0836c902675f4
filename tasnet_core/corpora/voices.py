"""Speakers and sentences of the corpora that need no download: `voices2` and the older `voices`.

`voices2` draws a voice for every speaker, a voice file of espeak-ng with formants, pitch and noise
of its own, and its test has words that training never has. `voices`, for studies begun before it,
has 30 voice variants of espeak-ng for its 208 speakers, 7 of them for its 24 test speakers, so its
results on new speakers rest on 7 voices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tasnet_core.corpora.espeak import Request

EDITION = 1  # raised when the same script would sound different

# Voice variants of espeak-ng whose file says which sex they have and which sound like a person (no
# whisper, croak or robot). A variant speaks in one split only; variants with nearly the same
# formants are in the same split (f2 and f5, aunty and f4, belinda and linda, the two stephs, Diogo
# and Henrique, Denis and victor).
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "F": ("Alicia", "aunty", "belinda", "f1", "f3", "f4", "linda", "steph", "steph2"),
        "M": ("Denis", "Diogo", "Henrique", "m1", "m3", "m4", "m6", "m7", "michel", "miguel",
              "sandro", "victor"),
    },
    "valid": {"F": ("Annie", "grandma"), "M": ("Marco", "m5")},
    "test": {"F": ("Andrea", "anika", "f2", "f5"), "M": ("antonio", "m2", "m8")},
}

# Languages that read Latin letters, each with its own sounds and melody.
LANGUAGES = (
    "en-us", "de", "es", "pl", "en-gb-scotland", "it", "nl", "pt", "fr", "sv", "ro", "fi", "cs",
    "ca", "tr", "hr")

# Everyday words of our own choice, of several languages, without accents.
WORDS = tuple(Path(__file__).with_name("words.txt").read_text(encoding="ascii").split())

# Against espeak-ng's own voice, an adult man's: how much higher the formants of a drawn voice are,
# and the pitch in Hz that its phrases fall to. The ranges are those of espeak-ng's variants that
# sound like a person.
FORMANT_RATIO = {"F": (1.02, 1.26), "M": (0.86, 1.06)}
PITCH_HZ = {"F": (145.0, 245.0), "M": (65.0, 135.0)}
FORMANTS = 9  # of a voice file, 0 to 8; speech lies in 1 to 3
FORMANT_SPREAD = 0.05  # standard deviation of each formant's logarithm within a voice

# No two drawn voices of a sex are closer than this: the distance of the logarithms of pitch and of
# formants 1 to 3. 3 % of one formant is about what listeners just notice (Kewley-Port and Watson
# 1994: 1 to 5 %).
APART = 0.06


@dataclass(frozen=True)
class VoicesSettings:
    """Size and voices of the corpus. The defaults are `voices`; smaller numbers are for tests."""

    drawn: bool = False  # True: `voices2`, a voice for every speaker and words for every split
    train_speakers: int = 168
    valid_speakers: int = 16
    test_speakers: int = 24
    train_sentences: int = 16  # by each speaker
    valid_sentences: int = 8
    test_sentences: int = 8
    seed: int = 0


class Speaker(NamedTuple):
    """A language read by a voice variant, with a pitch, rate and vocal tract of its own."""

    name: str
    split: str
    sex: str
    voice: str  # in espeak-ng's words: language+variant
    rate: int  # words per minute
    pitch: int  # 0 to 99; 50 is the variant's own
    range: int  # 0 to 99, how much the melody moves; 50 is the variant's own
    tract: float  # lowers formants by this factor (and slows speech), by slower playing


class Line(NamedTuple):
    """A sentence to be spoken."""

    id: str
    speaker: Speaker
    text: str


class Voice(NamedTuple):
    """A drawn voice, relative to espeak-ng's own where no unit is named."""

    pitch_hz: float
    pitch_top_hz: float
    formants: tuple[float, ...]  # frequency of each
    strengths: tuple[float, ...]
    widths: tuple[float, ...]
    flutter: int  # 0 to 8, unsteadiness of the pitch
    roughness: int  # 0 to 4
    voicing: int  # per cent
    consonants: tuple[int, int]  # per cent, unvoiced and voiced
    breath: tuple[int, ...]  # noise in each formant
    tone: tuple[int, ...]  # pairs of Hz and amplitude to 255: a filter over everything

    def as_file(self, sex: str) -> str:
        """A voice variant as espeak-ng reads it (its docs/voices.md)."""
        formants = [f"formant {n} {100 * ratio:.0f} {100 * strength:.0f} {100 * width:.0f}"
                    for n, (ratio, strength, width) in enumerate(
                        zip(self.formants, self.strengths, self.widths, strict=True))]
        return "\n".join([
            "language variant", "name drawn", f"gender {'female' if sex == 'F' else 'male'}",
            f"pitch {self.pitch_hz:.0f} {self.pitch_top_hz:.0f}", f"flutter {self.flutter}",
            f"roughness {self.roughness}", *formants, f"voicing {self.voicing}",
            "consonants " + " ".join(map(str, self.consonants)),
            "breath " + " ".join(map(str, self.breath)), "tone " + " ".join(map(str, self.tone)),
            ""])


class Role(NamedTuple):
    """A speaker, and the voice that was drawn for it; None where espeak-ng has it."""

    speaker: Speaker
    voice: Voice | None


def cast(settings: VoicesSettings) -> list[Role]:
    """The speakers, half of them women, half men; no voice is in two splits."""
    return _drawn_cast(settings) if settings.drawn else _variant_cast(settings)


def _variant_cast(settings: VoicesSettings) -> list[Role]:
    roles = []
    for number, (split, variants) in enumerate(VARIANTS.items()):
        rng = np.random.default_rng((settings.seed, number))
        for i in range(getattr(settings, f"{split}_speakers")):
            sex = "FM"[i % 2]
            names = variants[sex]
            turn, which = divmod(i // 2, len(names))
            language = LANGUAGES[(turn + 5 * which + 3 * number) % len(LANGUAGES)]
            roles.append(Role(Speaker(
                name=f"{split}{i:03}-{language}-{names[which]}", split=split, sex=sex,
                voice=f"{language}+{names[which]}", rate=int(rng.integers(145, 196)),
                pitch=int(rng.integers(30, 71)), range=int(rng.integers(35, 66)),
                tract=round(float(rng.uniform(0.94, 1.06)), 3)), None))
    return roles


def _drawn_cast(settings: VoicesSettings) -> list[Role]:
    roles: list[Role] = []
    places: dict[str, list[np.ndarray]] = {"F": [], "M": []}
    for number, split in enumerate(VARIANTS):
        rng = np.random.default_rng((settings.seed, number, 2))
        for i in range(getattr(settings, f"{split}_speakers")):
            sex = "FM"[i % 2]
            voice = _drawn_voice(rng, sex)
            while any(np.linalg.norm(place(voice) - other) < APART for other in places[sex]):
                voice = _drawn_voice(rng, sex)
            places[sex].append(place(voice))
            name = f"{split}{i:03}"
            language = LANGUAGES[(5 * (i // 2) + 3 * number + 8 * (i % 2)) % len(LANGUAGES)]
            roles.append(Role(Speaker(
                name=f"{name}-{language}", split=split, sex=sex, voice=f"{language}+{name}",
                rate=int(rng.integers(145, 196)), pitch=50, range=int(rng.integers(35, 66)),
                tract=1.0), voice))
    return roles


def place(voice: Voice) -> np.ndarray:
    """Logarithms of a voice's pitch and of its formants 1 to 3, [4]."""
    return np.log((voice.pitch_hz, *voice.formants[1:4]))


def _drawn_voice(rng: np.random.Generator, sex: str) -> Voice:
    ratio, pitch_hz = rng.uniform(*FORMANT_RATIO[sex]), rng.uniform(*PITCH_HZ[sex])
    tilt = rng.uniform(-0.08, 0.02)  # of the strengths, for each formant
    top_hz = pitch_hz * rng.uniform(1.15, 1.7)
    formants = ratio * np.exp(rng.normal(0, FORMANT_SPREAD, FORMANTS - 1))
    strengths = 1 + tilt * np.arange(FORMANTS) + rng.normal(0, 0.12, FORMANTS)

    def whole(low: int, high: int) -> int:
        return int(rng.integers(low, high))

    return Voice(  # drawn in the order of the fields
        pitch_hz=pitch_hz, pitch_top_hz=top_hz, formants=(1.0, *formants),
        strengths=tuple(np.maximum(0.2, strengths)), widths=tuple(rng.uniform(0.75, 1.8, FORMANTS)),
        flutter=whole(0, 9), roughness=whole(0, 5), voicing=whole(80, 161),
        consonants=(whole(60, 141), whole(60, 141)),
        breath=tuple(rng.integers(0, 6, 8).tolist() if rng.random() < 0.5 else [0] * 8),
        tone=(whole(100, 600), whole(120, 256), whole(800, 1800), whole(60, 256),
              whole(2000, 3500), whole(10, 160)))


def words(split: str, drawn: bool) -> Sequence[str]:
    """Words that a split has sentences of; of `voices2` each is in one split alone."""
    if not drawn:
        return WORDS
    shuffled = [WORDS[i] for i in np.random.default_rng(0).permutation(len(WORDS))]
    train, valid = len(WORDS) * 6 // 10, len(WORDS) * 15 // 100
    bounds = {"train": (0, train), "valid": (train, train + valid),
              "test": (train + valid, len(WORDS))}
    return shuffled[slice(*bounds[split])]


def script(settings: VoicesSettings) -> list[Line]:
    """The sentences of every speaker, about 4 s each, no two equal in the whole corpus."""
    rng = np.random.default_rng((settings.seed, len(VARIANTS)))  # a stream beside those of the cast
    taken: set[str] = set()
    lines = []
    for speaker, _ in cast(settings):
        vocabulary = words(speaker.split, settings.drawn)
        for number in range(getattr(settings, f"{speaker.split}_sentences")):
            text = draw_sentence(rng, speaker.rate, vocabulary)
            while text in taken:
                text = draw_sentence(rng, speaker.rate, vocabulary)
            taken.add(text)
            lines.append(Line(f"{speaker.name}/{number:02}", speaker, text))
    return lines


def draw_sentence(rng: np.random.Generator, rate: int, vocabulary: Sequence[str]) -> str:
    """Words drawn for a voice that speaks at so many words a minute."""
    # espeak speaks our words slower than it claims.
    count = round(rng.uniform(3.3, 4.7) * rate / 60 * 0.9)
    chosen = [vocabulary[i] for i in rng.choice(len(vocabulary), count, replace=False)]
    middle = int(rng.integers(3, count - 2))
    chosen[middle] += ","
    return " ".join(chosen) + "."


def voice_files(settings: VoicesSettings) -> dict[str, str]:
    """The drawn voices as files of espeak-ng, by the name behind `Speaker.voice`'s plus sign."""
    return {speaker.voice.partition("+")[2]: voice.as_file(speaker.sex)
            for speaker, voice in cast(settings) if voice is not None}


def requests(lines: Sequence[Line]) -> list[Request]:
    """The lines in the order and the words of espeak-ng."""
    return [Request(line.text, line.speaker.voice, line.speaker.rate, line.speaker.pitch,
                    line.speaker.range) for line in lines]
