"""Corpora of mixtures that lie in files, each beside its sources. Nothing is copied: files are read as needed."""

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
from tasnet_core.corpora.audio_cache import SPLITS, AudioEntry, Recording, Unusable, recall, remember
from tasnet_core.corpora.mixture import Mixture, Part, Sound, Speaker
from tasnet_core.errors import CorpusError, counted
from tasnet_core.files import state
from tasnet_core.progress import in_order, shown

EDITION = 2  # raised when the same files would be read as something else
SHORTEST = 40  # samples at the corpus' rate, as in a folder
SILENT = 1e-5  # peak to peak, a third of the smallest step of 16 bits
MIDDLE = 4096  # bytes from the middle of a file by which it is told from another of its name and length
ANOTHER_DB = 3.0  # a mixture that is less above the difference belongs to other sources: exchanged with its like it is at -3
LOOKED_AT = 3  # mixtures of each split that opening compares with the sum of their sources; `check` compares all
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


class StoredMixture(NamedTuple):
    """A mixture that can be used."""

    listing: Listing
    rates: tuple[int, ...]  # of the mixture's file and of each source's
    length: int  # samples at the corpus' rate
    middles: tuple[str, ...]  # a digest of the middle of each of these files

    @property
    def id(self) -> str:
        """The mixture's name."""
        return self.listing.id


class Rules(NamedTuple):
    """How the files of a corpus are to be read."""

    sample_rate_hz: int
    pad: bool  # files of unequal length: zeros at the end of the shorter, instead of a cut of the longer
    noisy: bool  # the mixture holds more than its sources
    stereo: str  # "first" or "refuse"


class Finding(NamedTuple):
    """What reading one mixture completely has shown."""

    fault: str  # why it cannot be used, or ""
    difference_db: float | None  # the mixture against what differs from the sum of its parts; None: only rounding


class ListedCorpus:
    """Fixed mixtures for training too: cut without overlap, in an order drawn anew for each epoch."""

    planned = None  # its mixtures are mixed already

    def __init__(self, spec: str, root: Path, listings: Sequence[Listing], rules: Rules,
                 known: dict[str, Speaker], notes: Sequence[str] = (), say: Say = lambda message: None) -> None:
        self.spec, self.C, self.sample_rate_hz = spec, len(listings[0].sources), rules.sample_rate_hz
        self.root, self._rules, self._known = root, rules, known
        self._depends_on, headers, middles = _headers(root, listings, say)
        usable = [_entry(listing, headers, middles, rules) for listing in listings]
        unusable = [Unusable(listing.id, found) for listing, found in zip(listings, usable, strict=True)
                    if isinstance(found, str)]
        entries = [found for found in usable if not isinstance(found, str)]
        findings, looked_at = self._findings(entries)
        unusable += [Unusable(entry.id, findings[entry.id].fault) for entry in entries if _bad(entry, findings)]
        self._entries = {split: [entry for entry in entries if entry.listing.split == split and not _bad(entry, findings)]
                         for split in SPLITS}
        self.unusable = tuple(unusable)
        self._see_that_each_split_has_some(listings)
        heard = {split: {name for entry in self._entries[split] for name in self._speakers(entry) if name != "?"}
                 for split in SPLITS}
        self.speakers_known = bool(heard["test"] & heard["train"])
        self.notes = (*notes, *_notes(self._entries, headers, rules, len(unusable), looked_at, findings),
                      *[SHARED_SPEAKERS] * self.speakers_known)
        self._counts: dict[int, list[int]] = {}
        self._order: tuple[tuple[int, ...], np.ndarray] = (), np.zeros(0, int)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """Every source that is used, each a recording of its own."""
        return tuple(
            Recording(AudioEntry(audio.readable(path), 0, entry.length, 1.0), name, sex, split)
            for split in SPLITS for entry in self._entries[split]
            for path, name, sex in zip(entry.listing.sources, self._speakers(entry), self._sexes(entry), strict=True))

    def segment(self, seed: int, epoch: int, index: int, samples: int) -> Mixture:
        """Training segment `index` of an epoch: one of the cuts of all training mixtures, in an order drawn for
        the epoch. None comes twice before all have come once; `index` may go beyond, into the next order."""
        counts = self._counts.get(samples)
        if counts is None:
            lengths = (entry.length for entry in self._entries["train"])
            counts = self._counts[samples] = list(accumulate(-(-length // samples) for length in lengths))
        again, place = divmod(index, counts[-1])
        key = (seed, epoch, again, counts[-1])
        if self._order[0] != key:
            self._order = key, np.random.default_rng((seed, epoch, again)).permutation(counts[-1])
        which = int(self._order[1][place])
        number = bisect_right(counts, which)
        entry = self._entries["train"][number]
        # As segments.cuts: without overlap, but the last one from the end.
        cut = which - (counts[number - 1] if number else 0)
        start = max(0, min(cut * samples, entry.length - samples))
        return self._read(entry, f"{entry.id}/{start}", start, min(samples, entry.length), samples)

    def count(self, split: str) -> int:
        """How many mixtures a split has."""
        return len(self._entries[split])

    def mixture(self, split: str, index: int) -> Mixture:
        """Mixture `index` of a split, whole."""
        entry = self._entries[split][index]
        return self._read(entry, entry.id, 0, entry.length, entry.length)

    def describe(self) -> tuple[Part, ...]:
        """What each split has, for people."""
        parts = []
        for split in SPLITS:
            entries = self._entries[split]
            sexes = {name: sex for entry in entries
                     for name, sex in zip(self._speakers(entry), self._sexes(entry), strict=True)}
            seconds = sum(entry.length for entry in entries) * self.C / self.sample_rate_hz
            parts.append(Part(split, len(sexes), dict(sorted(Counter(sexes.values()).items())),
                              len(entries) * self.C, seconds, len(entries)))
        return tuple(parts)

    @property
    def fingerprint(self) -> str:
        """16 hex digits for what the mixtures are; no path or time in it, so it is equal on every machine."""
        made_of = [self.C, self.sample_rate_hz, self._rules.noisy, [
            (entry.id, entry.length, entry.listing.speakers, entry.middles)
            for split in SPLITS for entry in self._entries[split]]]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]

    def read_all(self) -> None:
        """Read every file completely, once, and remember what cannot be used: later openings leave it out.

        Raises:
            UserError: when the cache folder, where that is remembered, cannot be written.
        """
        entries = [entry for split in SPLITS for entry in self._entries[split]]
        findings = {unusable.path: Finding(unusable.reason, None) for unusable in self.unusable}
        each = in_order(self._examine, entries)
        for entry, finding in zip(entries, shown(each, len(entries), "reading mixtures"), strict=True):
            findings[entry.id] = finding
        remember("checked", self._depends_on_all(), findings)

    def _depends_on_all(self) -> object:
        return [EDITION, self._depends_on, self._rules]

    def _findings(self, entries: list[StoredMixture]) -> tuple[dict[str, Finding], list[StoredMixture]]:
        """What is known of the mixtures' sound, and of which: of all after a check, else of the first few."""
        checked = recall("checked", self._depends_on_all())
        if checked is not None:
            return {name: Finding(*finding) for name, finding in checked.items()}, entries
        some = [entry for split in SPLITS
                for entry in [entry for entry in entries if entry.listing.split == split][:LOOKED_AT]]
        return {entry.id: self._examine(entry) for entry in some}, some

    def _examine(self, entry: StoredMixture) -> Finding:
        """Read a mixture and its sources completely."""
        sounds = []
        try:
            for path in filter(None, (entry.listing.mix, *entry.listing.sources, entry.listing.noise)):
                samples, rate = audio.read(self.root / path)
                if np.ptp(samples[0]) < SILENT:
                    return Finding(f"{audio.readable(path)}: silent", None)
                sounds.append(_fitted(audio.resample(samples[0], rate, self.sample_rate_hz), entry.length))
        except CorpusError as error:
            return Finding(_short(error, self.root), None)
        if self._rules.noisy and not entry.listing.noise:  # what else is in it is not known, but its sources must be
            return Finding("" if holds(sounds[0], np.sum(sounds[1:], axis=0)) else "its sources are not in its mixture", None)
        difference = difference_db(sounds[0], np.sum(sounds[1:], axis=0), len(sounds) - 1)
        another = self._rules.noisy and difference is not None and difference < ANOTHER_DB
        return Finding("its mixture is of other sources or other noise" * another, difference)

    def _read(self, entry: StoredMixture, name: str, start: int, length: int, samples: int) -> Mixture:
        """`length` samples of a mixture from `start` on, with zeros after them up to `samples`."""
        sources = np.zeros((self.C, samples), np.float32)
        for source, path, rate in zip(sources, entry.listing.sources, entry.rates[1:], strict=True):
            source[:length] = self._part(path, rate, start, length)
        noise = None
        if self._rules.noisy:
            noise = np.zeros(samples, np.float32)
            noise[:length] = self._part(entry.listing.mix, entry.rates[0], start, length)
            noise[:length] -= sources[:, :length].sum(axis=0, dtype=np.float32)
        return Mixture(name, sources, length, self._speakers(entry), self._sexes(entry), noise)

    def _part(self, path: str, rate: int, start: int, length: int) -> Sound:
        if rate == self.sample_rate_hz:
            return _fitted(audio.read_part(self.root / path, start, length)[0], length)
        # A part resampled alone would differ at its ends; whole files of a corpus are short.
        whole = audio.resample(audio.read(self.root / path)[0][0], rate, self.sample_rate_hz)
        return _fitted(whole[start:], length)

    def _speakers(self, entry: StoredMixture) -> tuple[str, ...]:
        return tuple(self._known[name].name if name in self._known else name for name in entry.listing.speakers)

    def _sexes(self, entry: StoredMixture) -> tuple[str, ...]:
        return tuple(self._known[name].sex if name in self._known else "?" for name in entry.listing.speakers)

    def _see_that_each_split_has_some(self, listings: Sequence[Listing]) -> None:
        for split, entries in self._entries.items():
            mine = [listing for listing in listings if listing.split == split]
            if not entries:
                ids = {listing.id for listing in mine}
                first = next((f" (the first, {path}: {reason})" for path, reason in self.unusable if path in ids), "")
                raise CorpusError(f"corpus {self.spec!r}: none of the {len(mine)} mixtures for {split} can be used{first}, "
                                  f"but some are wanted; see that the whole corpus lies in {audio.readable(self.root)}")


def difference_db(mixture: Sound, speech: Sound, C: int) -> float | None:
    """How far the mixture is above what differs between it and the sum of its sources, in dB.

    None where rounding each file to 16 bits explains the difference.
    """
    difference = mixture - speech
    if np.abs(difference).max(initial=0.0) <= (C + 1) / 32768:  # half a step of each file, twice for resampling
        return None
    power = [float(np.square(sound, dtype=np.float64).sum()) for sound in (mixture, difference)]
    return 10 * math.log10(max(power[0], 1e-30) / power[1])


def holds(mixture: Sound, speech: Sound) -> bool:
    """Whether at least half of the speech is in a mixture with unknown noise: 1 where all is, about 0 for other speech."""
    power = float(np.square(speech, dtype=np.float64).sum())
    return float(np.dot(mixture.astype(np.float64), speech)) > 0.5 * power


def _bad(entry: StoredMixture, findings: dict[str, Finding]) -> bool:
    return bool(findings.get(entry.id, Finding("", None)).fault)


def _fitted(sound: Sound, length: int) -> Sound:
    """Exactly so many samples: cut, or with zeros after them."""
    return sound[:length] if len(sound) >= length else np.pad(sound, (0, length - len(sound)))


def _short(error: Exception, root: Path) -> str:
    return str(error).removeprefix(f"{audio.readable(root)}/")


Headers = dict[str, audio.Header | str]
Middles = dict[str, str]


def _headers(root: Path, listings: Sequence[Listing], say: Say) -> tuple[str, Headers, Middles]:
    """What stands for all files' names, sizes and times; each file's header, or why it has none; and its middle."""
    paths = sorted({path for listing in listings for path in (listing.mix, *listing.sources, listing.noise) if path})
    names = [audio.readable(path) for path in paths]
    digest = hashlib.sha256(json.dumps([EDITION, [
        (name, state(root / path)) for name, path in zip(names, paths, strict=True)]]).encode()).hexdigest()
    found = recall("headers", digest)
    if found is None:
        say(f"{audio.readable(root)}: reading the headers of {len(paths)} files, once")
        found = list(shown(in_order(lambda path: _header(root, path), paths), len(paths), "reading headers"))
        remember("headers", digest, found)
    headers = {path: one if isinstance(one, str) else audio.Header(*one) for path, (one, _) in zip(paths, found, strict=True)}
    return digest, headers, {path: middle for path, (_, middle) in zip(paths, found, strict=True)}


def _header(root: Path, path: str) -> tuple[audio.Header | str, str]:
    try:
        return audio.header(root / path), _middle(root / path)
    except (CorpusError, OSError) as error:
        return _short(error, root), ""


def _middle(path: Path) -> str:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, (size - MIDDLE) // 2))
        return hashlib.sha256(file.read(MIDDLE)).hexdigest()[:16]


def _entry(listing: Listing, headers: Headers, middles: Middles, rules: Rules) -> StoredMixture | str:
    """The mixture with its length, or why it cannot be used."""
    if listing.fault:
        return listing.fault
    found = []
    for path in (listing.mix, *listing.sources):
        header = headers[path]
        if isinstance(header, str):
            return header
        if header.channels > 1 and rules.stereo == "refuse":
            return f"{audio.readable(path)}: {header.channels} channels, and stereo=refuse"
        found.append(header)
    length = (max if rules.pad else min)(_lengths(found, rules))
    if length < SHORTEST:
        return f"{length} samples, shorter than one frame ({SHORTEST})"
    return StoredMixture(listing, tuple(header.rate for header in found), length,
                 tuple(middles[path] for path in (listing.mix, *listing.sources)))


def _lengths(headers: Sequence[audio.Header], rules: Rules) -> list[int]:
    return [audio.resampled_length(header.frames, header.rate, rules.sample_rate_hz) for header in headers]


def _notes(entries: dict[str, list[StoredMixture]], headers: Headers, rules: Rules, unusable: int,
           looked_at: list[StoredMixture], findings: dict[str, Finding]) -> list[str]:
    """What was done to the files that are used, and what must be known of them."""
    used = [[headers[path] for path in (entry.listing.mix, *entry.listing.sources)]
            for each in entries.values() for entry in each]
    found = [[header for header in each if not isinstance(header, str)] for each in used]
    rates = Counter(header.rate for each in found for header in each if header.rate != rules.sample_rate_hz)
    notes = [f"{counted(count, 'file')} resampled from {rate} Hz" for rate, count in sorted(rates.items())]
    if several := sum(header.channels > 1 for each in found for header in each):
        notes.append(f"{counted(several, 'file')} with more than one channel: first channel taken")
    apart = [max(lengths) - min(lengths) for lengths in (_lengths(each, rules) for each in found)]
    if uneven := sum(difference > 0 for difference in apart):
        rule = "zeros added to the shorter" if rules.pad else "cut to the shortest"
        notes.append(f"{counted(uneven, 'mixture')} whose files differ in length, by up to {max(apart)} samples: {rule}")
    differences = {entry.id: difference for entry in looked_at if not _bad(entry, findings)
                   and (difference := findings.get(entry.id, Finding("", None)).difference_db) is not None}
    if differences:
        worst = min(differences, key=lambda name: differences[name])
        parts, used_instead = ("sources and noise", "the mixture's file") if rules.noisy else ("sources", "the sum")
        notes.append(f"not the sum of their {parts}: {len(differences)} of {counted(len(looked_at), 'mixture')} looked at; "
                     f"in {worst} the mixture is {differences[worst]:.1f} dB above the difference; {used_instead} is used")
    if unusable:
        notes.append(f"{counted(unusable, 'mixture')} left out as unusable")
    return notes
