"""Every corpus behind one contract, opened by its name."""

import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from tasnet_core import audio
from tasnet_core.corpora import (
    espeak,
    librimix,
    speaker_names,
    stored_folders,
    voices,
    wsj0mix,
)
from tasnet_core.corpora.audio_cache import Making, Recording, Unusable, cached
from tasnet_core.corpora.folder import TRIM_DB, read_folder, read_noise
from tasnet_core.corpora.mixed import Background, MixedCorpus
from tasnet_core.corpora.mixture import Mixture, Part
from tasnet_core.corpora.speaker_sex import known_speakers
from tasnet_core.corpora.stored import Rules, StoredCorpus
from tasnet_core.errors import CorpusError
from tasnet_core.files import home
from tasnet_core.progress import shown
from tasnet_core.terminal import say as print_line

__all__ = ["CORPORA", "Corpus", "Mixture", "Part", "Unusable", "open_corpus", "open_folder",
           "open_librimix", "open_voices", "open_wsj0mix"]

STEREO = ("first", "refuse")
NOISE_DB = (0.0, 15.0)  # of the speech above the noise, where noise_db is not given

Say = Callable[[str], None]


class Corpus(Protocol):
    """The contract on which training, scoring and reports rely, whatever the corpus."""

    spec: str  # as the user gave it
    sample_rate_hz: int
    C: int
    speakers_known: bool  # people of the test occur in training too
    notes: tuple[str, ...]  # sentences that every report on it must show
    unusable: tuple[Unusable, ...]

    @property
    def fingerprint(self) -> str:
        """Equal where every mixture is, on whatever machine."""

    def segment(self, seed: int, epoch: int, index: int, samples: int) -> Mixture:
        """One training segment, sources [C, samples]: a pure function of its arguments."""

    @property
    def planned(self) -> MixedCorpus | None:
        """The corpus that can plan a segment instead of mixing it; None where none can."""

    def count(self, split: str) -> int:
        """How many fixed mixtures "valid" or "test" has."""

    def mixture(self, split: str, index: int) -> Mixture:
        """Fixed mixture `index` of "valid" or "test", whole: the same on every machine."""

    def describe(self) -> tuple[Part, ...]:
        """The size of each split, for people."""

    def read_all(self) -> None:
        """Read every file completely; what cannot be used is `unusable` at the next opening."""


class Spec:
    """A corpus as the user gives it: NAME, NAME:PATH or NAME:PATH?option=value&option=value."""

    def __init__(self, text: str, known: tuple[str, ...]) -> None:
        self.text = text
        self.options: dict[str, str] = {}
        head, _, query = text.partition("?")
        self.name, _, self._path = head.partition(":")
        # Only '&' before a known option ends a value, so a pattern may hold it.
        for pair in re.split(f"&(?=(?:{'|'.join(known)})=)", query) if query else ():
            name, equals, value = pair.partition("=")
            if name not in known or not equals:
                raise self.error(f"{pair!r} is no option; choose from {', '.join(known)}, "
                                 f"each written as option=value")
            if name in self.options:
                raise self.error(f"{name} is given twice; give it once")
            self.options[name] = value

    def error(self, message: str) -> CorpusError:
        return CorpusError(f"corpus {self.text!r}: {message}")

    @property
    def path(self) -> str:
        if not self._path:
            raise self.error(f"no folder is named; write {self.name}:PATH")
        return self._path

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """The value of an option; None where it is not given."""
        value = self.options.get(name)
        if value is not None and value not in choices:
            raise self.error(f"{name}={value} is unknown; choose from {', '.join(choices)}")
        return value

    def span(self, name: str, least: float, most: float) -> tuple[float, float] | None:
        """The two numbers of LOW..HIGH; None where the option is not given."""
        if name not in self.options:
            return None
        try:
            low, high = (float(part) for part in self.options[name].split(".."))
        except ValueError:
            low = high = math.nan
        if not least <= low <= high <= most:  # also false for NaN
            raise self.error(f"{name}={self.options[name]} is no span; write {name}=LOW..HIGH, two "
                             f"numbers from {least:g} to {most:g}, the lower first")
        return low, high

    def decibels(self, name: str, least: float, most: float, others: str = "") -> float | None:
        """The number of an option; None where it is not given."""
        if name not in self.options:
            return None
        try:
            value = float(self.options[name])
        except ValueError:
            value = math.nan
        if not least <= value <= most:  # also false for NaN
            raise self.error(f"{name}={self.options[name]} is no number of dB; write {name}=DB, "
                             f"from {least:g} to {most:g}{others}")
        return value

    @property
    def seed(self) -> int:
        value = self.options.get("seed", "0")
        if not (value.isascii() and value.isdigit()):
            raise self.error(f"seed={value} must be a whole number, 0 or more")
        return int(value)


def _quiet(message: str) -> None:
    pass


def tell_unusable(unusable: Sequence[Unusable], spec: str) -> None:
    """Print which recordings a corpus goes without, so that none is dropped in silence."""
    for item in unusable[:10]:
        print_line(f"left out: {item.path}: {item.reason}")
    if len(unusable) > 10:
        print_line(f"left out: {len(unusable) - 10} more; all of them: "
                   f"python -m tasnet_core check {shlex.quote(spec)}")


def open_voices(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet,
                settings: voices.VoicesSettings | None = None) -> Corpus:
    """`voices2?seed=S&levels_db=X`: speech of espeak-ng, nothing to download; made once.

    `voices` is the same for studies begun before there was `voices2`: 30 voices for its 208
    speakers.
    """
    name = spec.partition("?")[0]
    given = Spec(spec, ("seed", "levels_db"))
    if name not in ("voices", "voices2"):
        raise given.error(f"{given.name} takes no path; write voices2, or folder:PATH")
    seed, levels_db = given.seed, given.decibels("levels_db", 0.0, 40.0)
    settings = replace(settings or voices.VoicesSettings(), drawn=name == "voices2")
    lines, voice_files = voices.script(settings), voices.voice_files(settings)

    def make(facts: dict[str, Any]) -> Making:
        say(f"corpus {name}: speaking {len(lines)} sentences, once")
        spoken = espeak.speak(voices.requests(lines), voice_files)
        progress = shown(spoken, len(lines), "speaking", "sentences")
        for line, sound in zip(lines, progress, strict=True):
            rate = espeak.RATE_HZ / line.speaker.tract
            yield line.id, audio.resample(sound, rate, sample_rate_hz)

    # The key holds the script itself: another wording or cast never meets old sound.
    key = [voices.EDITION, espeak.edition(), sample_rate_hz, lines]
    key += [voice_files] * bool(voice_files)
    cache = cached(name, key, make)
    recordings = [Recording(entry, line.speaker.name, line.speaker.sex, line.speaker.split)
                  for entry, line in zip(cache.entries, lines, strict=True)]
    return MixedCorpus(spec, C, sample_rate_hz, cache, recordings, seed=seed, levels_db=levels_db)


def open_folder(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet) -> Corpus:
    """Recordings of one person each: `folder:PATH?option=value&option=value`.

    speaker=REGEX, split=speaker|recording, seed=S, speakers=FILE, stereo=first|refuse;
    trim=DB|off for silence before and after recordings, levels_db=X for people up to 2X dB apart;
    noise=PATH and noise_db=LOW..HIGH for noise in the background, speed=LOW..HIGH for training at
    other speeds. The first opening reads every file completely, which is the check before
    training; later ones use the cache.
    """
    given = Spec(spec, ("speaker", "split", "seed", "speakers", "stereo", "trim", "levels_db",
                        "noise", "noise_db", "speed"))
    path = given.path
    split = given.choice("split", ("speaker", "recording")) or "speaker"
    stereo = given.choice("stereo", STEREO) or "first"
    pattern = given.options.get("speaker")
    try:
        speaker_names.compiled(pattern or "")
    except ValueError as error:
        raise given.error(f"speaker={pattern} is no regular expression: {error}; write one whose "
                         f"first group is the speaker, as in speaker=_([a-z]+)_") from error
    speed = given.span("speed", 0.5, 2.0)
    levels_db = given.decibels("levels_db", 0.0, 40.0)
    trim_db = None
    if given.options.get("trim") != "off":
        trim_db = given.decibels("trim", 10.0, 100.0, " or trim=off") or TRIM_DB
    noise_db = given.span("noise_db", -100.0, 100.0)
    if noise_db and "noise" not in given.options:
        raise given.error("noise_db is given, but no noise; add noise=PATH, a folder of it")
    found = read_folder(path, C, sample_rate_hz, pattern, split, given.seed, say, stereo=stereo,
                        speakers=given.options.get("speakers"), trim_db=trim_db)
    notes, unusable, background = found.notes, found.unusable, None
    if "noise" in given.options:
        noise = read_noise(given.options["noise"], sample_rate_hz, given.seed, say, stereo)
        background = Background(noise.cache, noise.recordings, noise_db or NOISE_DB)
        notes += noise.notes
        unusable += noise.unusable
    return MixedCorpus(
        spec, C, sample_rate_hz, found.cache, found.recordings, seed=given.seed,
        speakers_known=split == "recording", notes=notes, unusable=unusable,
        background=background, speed=speed, levels_db=levels_db)


def open_wsj0mix(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet) -> Corpus:
    """Mixtures in the folders of WSJ0-2mix: `wsj0mix:PATH?option=value&option=value`.

    mode=min|max, speakers=FILE, stereo=first|refuse; where the folders are WHAM!'s,
    task=mix_clean|mix_both|mix_single.
    """
    given = Spec(spec, ("task", "mode", "speakers", "stereo"))
    task, path = given.choice("task", wsj0mix.TASKS), given.path
    mode = given.choice("mode", stored_folders.MODES)
    stereo = given.choice("stereo", STEREO) or "first"
    root, mode = stored_folders.find("wsj0mix", path, f"{C}speakers", sample_rate_hz, mode,
                                     wsj0mix.is_set, "tr, cv and tt")
    found = wsj0mix.listings(root, C, task)
    known = known_speakers(root, given.options.get("speakers"))
    rules = Rules(sample_rate_hz, mode == "max", found.noisy, stereo)
    return StoredCorpus(spec, root, found.listings, rules, known.speakers,
                        notes=(*known.notes, *found.notes), say=say)


def open_librimix(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet) -> Corpus:
    """Mixtures that LibriMix' metadata list: `librimix:PATH?option=value&option=value`.

    task=mix_clean|mix_both|mix_single, train=train-360|train-100, mode=min|max, speakers=FILE,
    stereo=first|refuse.
    """
    given = Spec(spec, ("task", "train", "mode", "speakers", "stereo"))
    path, mode = given.path, given.choice("mode", stored_folders.MODES)
    task = given.choice("task", wsj0mix.TASKS) or "mix_clean"
    stereo = given.choice("stereo", STEREO) or "first"
    named = given.choice("train", librimix.TRAINS)
    root, mode = stored_folders.find("librimix", path, f"Libri{C}Mix", sample_rate_hz, mode,
                                     librimix.is_set, "metadata/mixture_*.csv")
    train = librimix.choose_train(root, task, named)
    listings = librimix.listings(root, home(path), C, task, train)
    rules = Rules(sample_rate_hz, mode == "max", task != "mix_clean", stereo)
    known = known_speakers(root, given.options.get("speakers"))
    notes = [*known.notes, *[f"trained on {train}"] * (not named)]
    return StoredCorpus(spec, root, listings, rules, known.speakers, notes=notes, say=say)


# A corpus is added by one entry here and, for more than a few lines, a file of its own.
CORPORA: dict[str, Callable[[str, int, int, Say], Corpus]] = {
    "voices2": open_voices, "voices": open_voices, "folder": open_folder,
    "wsj0mix": open_wsj0mix, "librimix": open_librimix}


def open_corpus(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet) -> Corpus:
    """The corpus that `spec` names, as NAME, NAME:PATH or NAME:PATH?option=value&option=value.

    Mixtures of C people, at sample_rate_hz. `say` is called with a line when opening takes a while.

    Raises:
        CorpusError: for an unknown name or option, and for a corpus that cannot be used.
        UserError: when the cache folder cannot be written.
    """
    name = re.split("[:?]", spec, maxsplit=1)[0]
    if name not in CORPORA:
        raise CorpusError(f"corpus {spec!r}: {name!r} is unknown; "
                          f"choose from {', '.join(CORPORA)}")
    try:
        return CORPORA[name](spec, C, sample_rate_hz, say)
    except OSError as error:  # a folder that may not be listed, or was taken away meanwhile
        raise CorpusError(f"corpus {spec!r}: {audio.readable(error.filename or '')}: "
                          f"cannot be read: {error.strerror or error}") from error
