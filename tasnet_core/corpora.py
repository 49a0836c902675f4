"""Where mixtures come from: every corpus behind one contract, opened by its name."""

import re
from collections.abc import Callable
from typing import Any, Protocol

from tasnet_core import audio, voices
from tasnet_core.errors import CorpusError
from tasnet_core.folder import read_folder
from tasnet_core.mixing import MixedCorpus, Mixture, Part
from tasnet_core.shelf import Making, Recording, Unusable, cached

__all__ = ["CORPORA", "Corpus", "Mixture", "Part", "Unusable", "open_corpus", "open_folder", "open_voices"]

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

    def count(self, split: str) -> int:
        """How many fixed mixtures "valid" or "test" has."""

    def mixture(self, split: str, index: int) -> Mixture:
        """Fixed mixture `index` of "valid" or "test", whole recordings: the same on every machine."""

    def describe(self) -> tuple[Part, ...]:
        """What each split has, for people."""


def _quiet(message: str) -> None:
    pass


def open_voices(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet,
                settings: voices.VoicesSettings | None = None) -> Corpus:
    """`voices`, `voices?seed=S`: speech of espeak-ng, nothing to download; spoken once, kept in the cache."""
    if spec.partition("?")[0] != "voices":
        raise CorpusError(f"corpus {spec!r}: voices takes no path; write voices, or folder:PATH")
    seed = _seed(spec, _options(spec, ("seed",)))
    lines = voices.script(settings or voices.VoicesSettings())

    def make(facts: dict[str, Any]) -> Making:
        say(f"corpus voices: speaking {len(lines)} sentences, once")
        for line, sound in voices.speak(lines):
            yield line.id, audio.resample(sound, voices.RATE_HZ / line.speaker.tract, sample_rate_hz)

    # The key holds the script itself, so that no change of words or cast can meet old sound.
    shelf = cached("voices", [voices.EDITION, voices.espeak_edition(), sample_rate_hz, lines], make)
    recordings = [Recording(item, line.speaker.name, line.speaker.sex, line.speaker.split)
                  for item, line in zip(shelf.items, lines, strict=True)]
    return MixedCorpus(spec, C, sample_rate_hz, shelf, recordings, seed=seed)


def open_folder(spec: str, C: int = 2, sample_rate_hz: int = 8000, say: Say = _quiet) -> Corpus:
    """Recordings of one person each: `folder:PATH?speaker=REGEX&split=speaker|recording&seed=S`.

    The options, from the '?' on, may be missing. The first opening reads every file completely, which is the
    check before training; later ones use the cache.
    """
    options = _options(spec, ("speaker", "split", "seed"))
    path = spec.partition(":")[2].partition("?")[0]
    if not path:
        raise CorpusError(f"corpus {spec!r}: no folder is named; write folder:PATH")
    split = options.get("split", "speaker")
    if split not in ("speaker", "recording"):
        raise CorpusError(f"corpus {spec!r}: split={split} is unknown; choose from speaker, recording")
    pattern, seed = options.get("speaker"), _seed(spec, options)
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise CorpusError(f"corpus {spec!r}: speaker={pattern} is no regular expression: {error}; "
                          f"write one whose first group is the speaker, as in speaker=_([a-z]+)_") from error
    found = read_folder(path, C, sample_rate_hz, pattern, split, seed, say)
    return MixedCorpus(spec, C, sample_rate_hz, found.shelf, found.recordings, seed=seed,
                       speakers_known=split == "recording", notes=found.notes, unusable=found.unusable)


# A corpus is added by one entry here and, for more than a few lines, a file of its own.
CORPORA: dict[str, Callable[[str, int, int, Say], Corpus]] = {"voices": open_voices, "folder": open_folder}


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
    return CORPORA[name](spec, C, sample_rate_hz, say)


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


def _seed(spec: str, options: dict[str, str]) -> int:
    value = options.get("seed", "0")
    if not (value.isascii() and value.isdigit()):
        raise CorpusError(f"corpus {spec!r}: seed={value} must be a whole number, 0 or more")
    return int(value)
