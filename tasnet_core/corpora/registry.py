"""Where mixtures come from: every corpus behind one contract, opened by its name."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from tasnet_core import audio
from tasnet_core.corpora import espeak, librimix, speaker_names, stored_folders, voices, wsj0mix
from tasnet_core.corpora.audio_cache import Making, Recording, Unusable, cached
from tasnet_core.corpora.folder import TRIM_DB, read_folder, read_noise
from tasnet_core.corpora.mixed import MixedCorpus
from tasnet_core.corpora.mixture import Mixture, Part
from tasnet_core.corpora.noise import Background
from tasnet_core.corpora.speaker_sex import known_speakers
from tasnet_core.corpora.stored import ListedCorpus, Rules
from tasnet_core.errors import CorpusError
from tasnet_core.files import home

__all__ = ["CORPORA", "Corpus", "Mixture", "Part", "Unusable", "open_corpus", "open_folder", "open_librimix", "open_voices",
           "open_wsj0mix"]

STEREO = ("first", "refuse")
NOISE_DB = (0.0, 15.0)  # of the speech above the noise, where noise_db is not given

Say = Callable[[str], None]


class Corpus(Protocol):
    """What training, scoring and reports may rely on, whatever the corpus."""

    spec: str  # as the user gave it
    sample_rate_hz: int
    C: int
    speakers_known: bool  # people of the test are heard in training too
    notes: tuple[str, ...]  # sentences that every report on it must show
    unusable: tuple[Unusable, ...]  # what was left out, and why

    @property
    def fingerprint(self) -> str:
        """Equal where every mixture is, on whatever machine."""

    def segment(self, seed: int, epoch: int, index: int, samples: int) -> Mixture:
        """One training segment, sources [C, samples]: a pure function of its arguments."""

    @property
    def planned(self) -> MixedCorpus | None:
        """The corpus that can tell what a segment is made of instead of mixing it; None where none can."""

    def count(self, split: str) -> int:
        """How many fixed mixtures "valid" or "test" has."""

    def mixture(self, split: str, index: int) -> Mixture:
        """Fixed mixture `index` of "valid" or "test", whole recordings: the same on every machine."""

    def describe(self) -> tuple[Part, ...]:
        """What each split has, for people."""

    def read_all(self) -> None:
        """Read every file completely; what cannot be used is `unusable` at the next opening."""


def _quiet(message: str) -> None:
    pass


def open_voices(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet,
                settings: voices.VoicesSettings | None = None) -> Corpus:
    """`voices2?seed=S&levels_db=X`: speech of espeak-ng, nothing to download; spoken once, kept in the cache.

    `voices` is the same for studies begun before there was `voices2`: 30 voices for its 208 speakers.
    """
    name = spec.partition("?")[0]
    if name not in ("voices", "voices2"):
        raise CorpusError(f"corpus {spec!r}: {name.partition(':')[0]} takes no path; write voices2, or folder:PATH")
    options = _options(spec, ("seed", "levels_db"))
    seed, levels_db = _seed(spec, options), _number(spec, options, "levels_db", 0.0, 40.0)
    settings = replace(settings or voices.VoicesSettings(), drawn=name == "voices2")
    lines, voice_files = voices.script(settings), voices.voice_files(settings)

    def make(facts: dict[str, Any]) -> Making:
        say(f"corpus {name}: speaking {len(lines)} sentences, once")
        spoken = espeak.speak(voices.requests(lines), voice_files)
        for line, sound in zip(lines, spoken, strict=True):
            yield line.id, audio.resample(sound, espeak.RATE_HZ / line.speaker.tract, sample_rate_hz)

    # The key holds the script itself, so that no change of words or cast can meet old sound.
    key = [voices.EDITION, espeak.edition(), sample_rate_hz, lines, *([voice_files] if voice_files else [])]
    cache = cached(name, key, make)
    recordings = [Recording(entry, line.speaker.name, line.speaker.sex, line.speaker.split)
                  for entry, line in zip(cache.entries, lines, strict=True)]
    return MixedCorpus(spec, C, sample_rate_hz, cache, recordings, seed=seed, levels_db=levels_db)


def open_folder(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet) -> Corpus:
    """Recordings of one person each: `folder:PATH?option=value&option=value`.

    speaker=REGEX, split=speaker|recording, seed=S, speakers=FILE, stereo=first|refuse; trim=DB|off for silence before and
    after recordings, levels_db=X for people up to 2X dB apart; noise=PATH and noise_db=LOW..HIGH for noise in the
    background, speed=LOW..HIGH for training at other speeds.
    The first opening reads every file completely, which is the check before training; later ones use the cache.
    """
    options = _options(spec, ("speaker", "split", "seed", "speakers", "stereo", "trim", "levels_db",
                              "noise", "noise_db", "speed"))
    path = _path(spec)
    split = _chosen(spec, options, "split", ("speaker", "recording"))
    stereo = _chosen(spec, options, "stereo", STEREO)
    pattern, seed = options.get("speaker"), _seed(spec, options)
    try:
        speaker_names.compiled(pattern or "")
    except ValueError as error:
        raise CorpusError(f"corpus {spec!r}: speaker={pattern} is no regular expression: {error}; "
                          f"write one whose first group is the speaker, as in speaker=_([a-z]+)_") from error
    speed = _span(spec, options, "speed", 0.5, 2.0)
    levels_db = _number(spec, options, "levels_db", 0.0, 40.0)
    trim_db = None if options.get("trim") == "off" else _number(spec, options, "trim", 10.0, 100.0, " or trim=off") or TRIM_DB
    noise_db = _span(spec, options, "noise_db", -100.0, 100.0)
    if noise_db and "noise" not in options:
        raise CorpusError(f"corpus {spec!r}: noise_db is given, but no noise; add noise=PATH, a folder of it")
    found = read_folder(path, C, sample_rate_hz, pattern, split, seed, say, stereo=stereo, speakers=options.get("speakers"),
                        trim_db=trim_db)
    notes, unusable, background = found.notes, found.unusable, None
    if "noise" in options:
        noise = read_noise(options["noise"], sample_rate_hz, seed, say, stereo)
        background = Background(noise.cache, noise.recordings, noise_db or NOISE_DB)
        notes, unusable = notes + noise.notes, unusable + noise.unusable
    return MixedCorpus(spec, C, sample_rate_hz, found.cache, found.recordings, seed=seed, speakers_known=split == "recording",
                       notes=notes, unusable=unusable, background=background, speed=speed, levels_db=levels_db)


def open_wsj0mix(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet) -> Corpus:
    """Mixtures in the folders of WSJ0-2mix: `wsj0mix:PATH?mode=min|max&speakers=FILE&stereo=first|refuse`; where they are
    WHAM!'s, task=mix_clean|mix_both|mix_single."""
    options = _options(spec, ("task", "mode", "speakers", "stereo"))
    task = _chosen(spec, options, "task", wsj0mix.TASKS) if "task" in options else None
    path, mode = _path(spec), _chosen(spec, options, "mode", stored_folders.MODES) if "mode" in options else None
    stereo = _chosen(spec, options, "stereo", STEREO)
    root, pad = stored_folders.find("wsj0mix", path, f"{C}speakers", sample_rate_hz, mode, wsj0mix.is_set, "tr, cv and tt")
    found, known = wsj0mix.listings(root, C, task), known_speakers(root, options.get("speakers"))
    rules = Rules(sample_rate_hz, pad, found.noisy, stereo)
    return ListedCorpus(spec, root, found.listings, rules, known.speakers, notes=(*known.notes, *found.notes), say=say)


def open_librimix(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet) -> Corpus:
    """Mixtures that LibriMix' metadata list: `librimix:PATH?task=mix_clean|mix_both|mix_single`, and
    train=train-360|train-100, mode=min|max, speakers=FILE, stereo=first|refuse."""
    options = _options(spec, ("task", "train", "mode", "speakers", "stereo"))
    path, mode = _path(spec), _chosen(spec, options, "mode", stored_folders.MODES) if "mode" in options else None
    task, stereo = _chosen(spec, options, "task", librimix.TASKS), _chosen(spec, options, "stereo", STEREO)
    named = _chosen(spec, options, "train", librimix.TRAINS) if "train" in options else None
    root, pad = stored_folders.find("librimix", path, f"Libri{C}Mix", sample_rate_hz, mode, librimix.is_set,
                            "metadata/mixture_*.csv")
    train = librimix.choose_train(root, task, named)
    listings = librimix.listings(root, home(path), C, task, train)
    rules = Rules(sample_rate_hz, pad, task != "mix_clean", stereo)
    known = known_speakers(root, options.get("speakers"))
    notes = [*known.notes, *[f"trained on {train}"] * (not named)]
    return ListedCorpus(spec, root, listings, rules, known.speakers, notes=notes, say=say)


# A corpus is added by one entry here and, for more than a few lines, a file of its own.
CORPORA: dict[str, Callable[[str, int, int, Say], Corpus]] = {
    "voices2": open_voices, "voices": open_voices, "folder": open_folder, "wsj0mix": open_wsj0mix, "librimix": open_librimix}


def open_corpus(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet) -> Corpus:
    """The corpus that `spec` names, as NAME, NAME:PATH or NAME:PATH?option=value&option=value.

    Mixtures of C people, at sample_rate_hz. `say` is given a line when opening takes a while.

    Raises:
        CorpusError: for an unknown name or option, and for a corpus that cannot be used.
        UserError: when the cache folder cannot be written.
    """
    name = re.split("[:?]", spec, maxsplit=1)[0]
    if name not in CORPORA:
        raise CorpusError(f"corpus {spec!r}: {name!r} is unknown; choose from {', '.join(CORPORA)}")
    try:
        return CORPORA[name](spec, C, sample_rate_hz, say)
    except OSError as error:  # a folder that may not be listed, or was taken away meanwhile
        raise CorpusError(f"corpus {spec!r}: {audio.readable(error.filename or '')}: cannot be read: "
                          f"{error.strerror or error}") from error


def _options(spec: str, known: tuple[str, ...]) -> dict[str, str]:
    """What follows the first '?'; only '&' before a known option ends a value, so a pattern may hold it."""
    query = spec.partition("?")[2]
    names = "|".join(known)
    options: dict[str, str] = {}
    for pair in re.split(f"&(?=(?:{names})=)", query) if query else ():
        name, equals, value = pair.partition("=")
        if name not in known or not equals:
            raise CorpusError(f"corpus {spec!r}: {pair!r} is no option; choose from {', '.join(known)}, "
                              f"each written as option=value")
        if name in options:
            raise CorpusError(f"corpus {spec!r}: {name} is given twice; give it once")
        options[name] = value
    return options


def _path(spec: str) -> str:
    name, _, rest = spec.partition(":")
    path = rest.partition("?")[0]
    if not path:
        raise CorpusError(f"corpus {spec!r}: no folder is named; write {name.partition('?')[0]}:PATH")
    return path


def _chosen(spec: str, options: dict[str, str], name: str, choices: tuple[str, ...]) -> str:
    """An option's value, by default the first choice."""
    value = options.get(name, choices[0])
    if value not in choices:
        raise CorpusError(f"corpus {spec!r}: {name}={value} is unknown; choose from {', '.join(choices)}")
    return value


def _span(spec: str, options: dict[str, str], name: str, least: float, most: float) -> tuple[float, float] | None:
    """The two numbers of LOW..HIGH; None where the option is not given."""
    if name not in options:
        return None
    try:
        low, high = (float(part) for part in options[name].split(".."))
    except ValueError:
        low = high = math.nan
    if not least <= low <= high <= most:  # also false for NaN
        raise CorpusError(f"corpus {spec!r}: {name}={options[name]} is no span; write {name}=LOW..HIGH, two numbers "
                          f"from {least:g} to {most:g}, the lower first")
    return low, high


def _number(spec: str, options: dict[str, str], name: str, least: float, most: float, others: str = "") -> float | None:
    """The number of an option; None where it is not given."""
    if name not in options:
        return None
    try:
        value = float(options[name])
    except ValueError:
        value = math.nan
    if not least <= value <= most:  # also false for NaN
        raise CorpusError(f"corpus {spec!r}: {name}={options[name]} is no number of dB; write {name}=DB, from {least:g} to "
                          f"{most:g}{others}")
    return value


def _seed(spec: str, options: dict[str, str]) -> int:
    value = options.get("seed", "0")
    if not (value.isascii() and value.isdigit()):
        raise CorpusError(f"corpus {spec!r}: seed={value} must be a whole number, 0 or more")
    return int(value)
