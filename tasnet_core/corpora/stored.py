"""Corpora of mixtures that lie in files beside their sources: files are read as needed."""

import hashlib
import json
import math
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tasnet_core import audio
from tasnet_core.corpora.audio_cache import (
    SPLITS,
    AudioEntry,
    Recording,
    Unusable,
    recall,
    remember,
)
from tasnet_core.corpora.mixture import SHORTEST, SILENT, Mixture, Part, Sound, Speaker
from tasnet_core.errors import CorpusError, counted
from tasnet_core.files import state
from tasnet_core.progress import in_order, shown

EDITION = 2  # raised when the same files would be read as something else
MIDDLE = 4096  # bytes of a file by which it is told from another of its name and length
# A mixture less above the difference belongs to other sources: exchanged with its like it is at -3.
ANOTHER_DB = 3.0
EXAMINED = 3  # mixtures of each split that opening compares with their sources; `check` reads all
SHARED_SPEAKERS = "test speakers also occur in training"

Say = Callable[[str], None]


class Listing(NamedTuple):
    """A mixture as its corpus lists it. Paths are relative to the corpus' root."""

    id: str  # split/name
    split: str
    mix: str
    sources: tuple[str, ...]
    speakers: tuple[str, ...]  # as file names call them
    fault: str = ""  # why it cannot be used, when that is known already
    noise: str = ""  # the file of what else is in the mixture, where there is one


class Rules(NamedTuple):
    """How the files of a corpus are to be read."""

    sample_rate_hz: int
    pad: bool  # zeros after the shorter of unequal files, instead of a cut of the longer
    noisy: bool  # the mixture holds more than its sources
    stereo: str  # "first" or "refuse"


class StoredFile(NamedTuple):
    """The header of a file, and a digest of its middle."""

    rate: int
    channels: int
    frames: int
    middle: str


class StoredMixture(NamedTuple):
    """A mixture that can be used."""

    listing: Listing
    files: tuple[StoredFile, ...]  # of the mixture and of each source
    length: int  # samples at the corpus' rate
    speakers: tuple[Speaker, ...]

    @property
    def id(self) -> str:
        """The mixture's name."""
        return self.listing.id


class Finding(NamedTuple):
    """The result of reading one mixture completely."""

    fault: str  # why it cannot be used, or ""
    difference_db: float | None  # see `difference_db`


class StoredCorpus:
    """Fixed mixtures, for training cut without overlap in an order drawn anew for each epoch."""

    planned = None  # its mixtures are mixed already

    def __init__(self, spec: str, root: Path, listings: Sequence[Listing], rules: Rules,
                 known: dict[str, Speaker], notes: Sequence[str] = (),
                 say: Say = lambda message: None) -> None:
        self.spec, self.root, self._rules = spec, root, rules
        self.C, self.sample_rate_hz = len(listings[0].sources), rules.sample_rate_hz
        state_of_files, files = _read_headers(root, listings, say)
        self._depends_on = [EDITION, state_of_files, rules]
        faults: dict[str, str] = {}
        mixtures: list[StoredMixture] = []
        for listing in listings:
            found = _usable(listing, files, rules, known)
            if isinstance(found, str):
                faults[listing.id] = found
            else:
                mixtures.append(found)
        examined = self._findings(mixtures)
        faults |= {name: finding.fault for name, finding in examined.items() if finding.fault}
        self._mixtures = {split: [mixture for mixture in mixtures if mixture.listing.split == split
                                  and mixture.id not in faults] for split in SPLITS}
        self.unusable = tuple(Unusable(*each) for each in faults.items())
        self._check_splits(listings, faults)
        names = {split: {speaker.name for mixture in self._mixtures[split]
                         for speaker in mixture.speakers} - {"?"} for split in SPLITS}
        self.speakers_known = bool(names["test"] & names["train"])
        self.notes = (*notes, *_notes(self._mixtures, rules, len(faults), examined),
                      *[SHARED_SPEAKERS] * self.speakers_known)
        self._counts: dict[int, list[int]] = {}
        self._order: tuple[tuple[int, ...], np.ndarray] = (), np.zeros(0, int)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """Every source that is used, each a recording of its own."""
        return tuple(
            Recording(AudioEntry(audio.readable(path), 0, mixture.length, 1.0), *speaker, split)
            for split in SPLITS for mixture in self._mixtures[split]
            for path, speaker in zip(mixture.listing.sources, mixture.speakers, strict=True))

    def segment(self, seed: int, epoch: int, index: int, samples: int) -> Mixture:
        """Training segment `index` of an epoch: a part of a training mixture.

        They come in an order drawn for the epoch, none twice before all have come once; `index`
        may go beyond, into the next order.
        """
        counts = self._counts.get(samples)
        if counts is None:
            lengths = (mixture.length for mixture in self._mixtures["train"])
            counts = list(accumulate(-(-length // samples) for length in lengths))
            self._counts[samples] = counts
        again, place = divmod(index, counts[-1])
        key = (seed, epoch, again, counts[-1])
        if self._order[0] != key:
            rng = np.random.default_rng((seed, epoch, again))
            self._order = key, rng.permutation(counts[-1])
        which = int(self._order[1][place])
        number = bisect_right(counts, which)
        mixture = self._mixtures["train"][number]
        part = which - (counts[number - 1] if number else 0)
        # Without overlap, but the last part from the end.
        start = max(0, min(part * samples, mixture.length - samples))
        length = min(samples, mixture.length)
        return self._read(mixture, f"{mixture.id}/{start}", start, length, samples)

    def count(self, split: str) -> int:
        """How many mixtures a split has."""
        return len(self._mixtures[split])

    def mixture(self, split: str, index: int) -> Mixture:
        """Mixture `index` of a split, whole."""
        mixture = self._mixtures[split][index]
        return self._read(mixture, mixture.id, 0, mixture.length, mixture.length)

    def describe(self) -> tuple[Part, ...]:
        """Speakers, recordings, seconds and mixtures of each split."""
        parts = []
        for split, mixtures in self._mixtures.items():
            sexes = dict(speaker for mixture in mixtures for speaker in mixture.speakers)
            seconds = sum(mixture.length for mixture in mixtures) * self.C / self.sample_rate_hz
            parts.append(Part(split, len(sexes), dict(sorted(Counter(sexes.values()).items())),
                              len(mixtures) * self.C, seconds, len(mixtures)))
        return tuple(parts)

    @property
    def fingerprint(self) -> str:
        """16 hex digits for the mixtures, without path or time: equal on every machine."""
        made_of = [self.C, self.sample_rate_hz, self._rules.noisy, [
            (mixture.id, mixture.length, mixture.listing.speakers,
             [file.middle for file in mixture.files])
            for split in SPLITS for mixture in self._mixtures[split]]]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]

    def read_all(self) -> None:
        """Read every file completely, once; later openings leave out what cannot be used.

        Raises:
            UserError: when the cache folder, where that is remembered, cannot be written.
        """
        mixtures = [mixture for split in SPLITS for mixture in self._mixtures[split]]
        findings = {unusable.path: Finding(unusable.reason, None) for unusable in self.unusable}
        each = shown(in_order(self._examine, mixtures), len(mixtures), "reading mixtures")
        for mixture, finding in zip(mixtures, each, strict=True):
            findings[mixture.id] = finding
        remember("checked", self._depends_on, findings)

    def _findings(self, mixtures: list[StoredMixture]) -> dict[str, Finding]:
        """The findings on all mixtures after a check, else on the first few of each split."""
        checked = recall("checked", self._depends_on)
        if checked is not None:
            return {mixture.id: Finding(*checked.get(mixture.id, ("", None)))
                    for mixture in mixtures}
        found = {}
        for split in SPLITS:
            first = [mixture for mixture in mixtures if mixture.listing.split == split][:EXAMINED]
            found.update({mixture.id: self._examine(mixture) for mixture in first})
        return found

    def _examine(self, mixture: StoredMixture) -> Finding:
        """Read a mixture and its sources completely."""
        listing, sounds = mixture.listing, []
        try:
            for path in filter(None, (listing.mix, *listing.sources, listing.noise)):
                samples, rate = audio.read(self.root / path)
                if np.ptp(samples[0]) < SILENT:
                    return Finding(f"{audio.readable(path)}: silent", None)
                sound = audio.resample(samples[0], rate, self.sample_rate_hz)
                sounds.append(_fitted(sound, mixture.length))
        except CorpusError as error:
            return Finding(_short(error, self.root), None)
        parts = np.sum(sounds[1:], axis=0)
        if self._rules.noisy and not listing.noise:  # the noise is unknown
            fault = "" if holds(sounds[0], parts) else "its sources are not in its mixture"
            return Finding(fault, None)
        difference = difference_db(sounds[0], parts, len(sounds) - 1)
        another = self._rules.noisy and difference is not None and difference < ANOTHER_DB
        return Finding("its mixture is of other sources or other noise" * another, difference)

    def _read(self, mixture: StoredMixture, name: str, start: int, length: int,
              samples: int) -> Mixture:
        """`length` samples of a mixture from `start` on, with zeros after them up to `samples`."""
        listing, files = mixture.listing, mixture.files
        sources = np.zeros((self.C, samples), np.float32)
        for source, path, file in zip(sources, listing.sources, files[1:], strict=True):
            source[:length] = self._part(path, file.rate, start, length)
        noise = None
        if self._rules.noisy:
            noise = np.zeros(samples, np.float32)
            noise[:length] = self._part(listing.mix, files[0].rate, start, length)
            noise[:length] -= sources[:, :length].sum(axis=0, dtype=np.float32)
        names, sexes = zip(*mixture.speakers, strict=True)
        return Mixture(name, sources, length, names, sexes, noise)

    def _part(self, path: str, rate: int, start: int, length: int) -> Sound:
        if rate == self.sample_rate_hz:
            return _fitted(audio.read_part(self.root / path, start, length)[0], length)
        # A part resampled alone would differ at its ends; whole files of a corpus are short.
        whole = audio.resample(audio.read(self.root / path)[0][0], rate, self.sample_rate_hz)
        return _fitted(whole[start:], length)

    def _check_splits(self, listings: Sequence[Listing], faults: dict[str, str]) -> None:
        for split, mixtures in self._mixtures.items():
            if mixtures:
                continue
            listed = [listing.id for listing in listings if listing.split == split]
            first = next((f" (the first, {name}: {fault})" for name, fault in faults.items()
                          if name in listed), "")
            raise CorpusError(
                f"corpus {self.spec!r}: none of the {len(listed)} mixtures for {split} can be used"
                f"{first}, but some are wanted; see that the whole corpus lies in "
                f"{audio.readable(self.root)}")


def difference_db(mixture: Sound, speech: Sound, C: int) -> float | None:
    """Level of the mixture above its difference to the sum of its sources, in dB.

    None where rounding each file to 16 bits explains the difference.
    """
    difference = mixture - speech
    # Half a step of each file, twice for resampling.
    if np.abs(difference).max(initial=0.0) <= (C + 1) / 32768:
        return None
    whole = float(np.square(mixture, dtype=np.float64).sum())
    left = float(np.square(difference, dtype=np.float64).sum())
    return 10 * math.log10(max(whole, 1e-30) / left)


def holds(mixture: Sound, speech: Sound) -> bool:
    """Whether at least half of the speech is in a mixture with unknown noise.

    The share is 1 where all of it is, about 0 for other speech.
    """
    power = float(np.square(speech, dtype=np.float64).sum())
    return float(np.dot(mixture.astype(np.float64), speech)) > 0.5 * power


def _fitted(sound: Sound, length: int) -> Sound:
    """Exactly so many samples: cut, or with zeros after them."""
    return sound[:length] if len(sound) >= length else np.pad(sound, (0, length - len(sound)))


def _short(error: Exception, root: Path) -> str:
    return str(error).removeprefix(f"{audio.readable(root)}/")


def _read_headers(root: Path, listings: Sequence[Listing],
                  say: Say) -> tuple[str, dict[str, StoredFile | str]]:
    """A digest of all files' names, sizes and times; and each file, or why it has no header."""
    paths = sorted({path for listing in listings
                    for path in (listing.mix, *listing.sources, listing.noise) if path})
    states = [(audio.readable(path), state(root / path)) for path in paths]
    digest = hashlib.sha256(json.dumps([EDITION, states]).encode()).hexdigest()
    found = recall("files", digest)
    if found is None:
        say(f"{audio.readable(root)}: reading the headers of {len(paths)} files, once")
        each = in_order(lambda path: _read_header(root, path), paths)
        found = list(shown(each, len(paths), "reading headers"))
        remember("files", digest, found)
    return digest, {path: one if isinstance(one, str) else StoredFile(*one)
                    for path, one in zip(paths, found, strict=True)}


def _read_header(root: Path, path: str) -> StoredFile | str:
    try:
        header = audio.header(root / path)
        with open(root / path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, (size - MIDDLE) // 2))
            return StoredFile(*header, hashlib.sha256(file.read(MIDDLE)).hexdigest()[:16])
    except (CorpusError, OSError) as error:
        return _short(error, root)


def _usable(listing: Listing, files: dict[str, StoredFile | str], rules: Rules,
            known: dict[str, Speaker]) -> StoredMixture | str:
    """The mixture with its length, or why it cannot be used."""
    if listing.fault:
        return listing.fault
    found = []
    for path in (listing.mix, *listing.sources):
        file = files[path]
        if isinstance(file, str):
            return file
        if file.channels > 1 and rules.stereo == "refuse":
            return f"{audio.readable(path)}: {file.channels} channels, and stereo=refuse"
        found.append(file)
    length = (max if rules.pad else min)(_lengths(found, rules))
    if length < SHORTEST:
        return f"{length} samples, shorter than one frame ({SHORTEST})"
    speakers = tuple(known.get(name, Speaker(name, "?")) for name in listing.speakers)
    return StoredMixture(listing, tuple(found), length, speakers)


def _lengths(files: Sequence[StoredFile], rules: Rules) -> list[int]:
    return [audio.resampled_length(file.frames, file.rate, rules.sample_rate_hz) for file in files]


def _notes(by_split: dict[str, list[StoredMixture]], rules: Rules, unusable: int,
           examined: dict[str, Finding]) -> list[str]:
    """Sentences on what is done to the files that are used, and on what they lack."""
    used = [mixture for mixtures in by_split.values() for mixture in mixtures]
    files = [file for mixture in used for file in mixture.files]
    rates = Counter(file.rate for file in files if file.rate != rules.sample_rate_hz)
    notes = [f"{counted(count, 'file')} resampled from {rate} Hz"
             for rate, count in sorted(rates.items())]
    if several := sum(file.channels > 1 for file in files):
        notes.append(f"{counted(several, 'file')} with more than one channel: first channel taken")
    lengths = [_lengths(mixture.files, rules) for mixture in used]
    apart = [max(each) - min(each) for each in lengths]
    if uneven := sum(difference > 0 for difference in apart):
        rule = "zeros added to the shorter" if rules.pad else "cut to the shortest"
        notes.append(f"{counted(uneven, 'mixture')} whose files differ in length, by up to "
                     f"{max(apart)} samples: {rule}")
    differences = {name: finding.difference_db for name, finding in examined.items()
                   if finding.difference_db is not None and not finding.fault}
    if differences:
        worst = min(differences, key=lambda name: differences[name])
        parts, instead = "sources", "the sum"
        if rules.noisy:
            parts, instead = "sources and noise", "the mixture's file"
        notes.append(
            f"not the sum of their {parts}: {len(differences)} of "
            f"{counted(len(examined), 'mixture')} looked at; in {worst} the mixture is "
            f"{differences[worst]:.1f} dB above the difference; {instead} is used")
    if unusable:
        notes.append(f"{counted(unusable, 'mixture')} left out as unusable")
    return notes
