"""Mixtures drawn from cached recordings: the same for every corpus that mixes on the fly."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasnet_core import audio
from tasnet_core.corpora.audio_cache import (
    SPLITS,
    AudioCache,
    AudioEntry,
    Recording,
    Slice,
    Unusable,
)
from tasnet_core.corpora.mixture import Mixture, Part, Sound
from tasnet_core.errors import CorpusError

MIXTURES = {"valid": 40, "test": 120}  # at most; fewer where there is little sound
LEVEL_DB = 2.5  # two sources differ in level by up to this
MIXTURE_RMS = 0.1  # about; the sources share it
QUIET = 0.01  # of the recordings' peak: what stays below is silence, which levelling would blow up
PEAK = 0.9  # a mixture that would be louder is turned down as a whole
WHOLE_S = 4.0  # recordings of one speaker are joined until a test mixture has this length
LONGEST_S = 20.0  # longer recordings are cut to this in test mixtures
KEPT_BYTES = 64e6  # of fixed mixtures in memory; all of the default corpus have 48
REUSE = 10  # times a second of sound occurs in the mixtures of its split, about


class Plan(NamedTuple):
    """The random choices of a training segment; its sound follows from them."""

    slices: tuple[list[Slice], ...]  # of each source, one after the other
    levels: NDArray[np.float64]  # [C]: RMS of each, before a loud mixture is turned down

    @property
    def length(self) -> int:
        """Samples that are sound: all sources end with the shortest."""
        return min(sum(part.length for part in slices) for slices in self.slices)


class Background:
    """Noise behind mixtures, for each split from recordings of its own, at a level drawn in dB."""

    def __init__(self, cache: AudioCache, recordings: list[Recording],
                 levels_db: tuple[float, float]) -> None:
        self.cache, self.levels_db = cache, levels_db
        self.entries = {split: [each.entry for each in recordings if each.split == split]
                         for split in SPLITS}
        self.made_of = [levels_db, [
            (each.entry.id, each.entry.length, each.split, *cache.content(each.entry))
            for each in recordings]]

    def draw(self, rng: np.random.Generator, split: str, speech: Sound) -> Sound:
        """Noise as long as the speech [T], whose power is the drawn level above the noise's."""
        entries = self.entries[split]
        noise = self._piece(rng, entries[int(rng.integers(len(entries)))], len(speech))
        level_db = rng.uniform(*self.levels_db)
        speech_power, power = (float(np.square(sound, dtype=np.float64).sum())
                               for sound in (speech, noise))
        gain = np.sqrt(speech_power / max(power, 1e-30)) * 10 ** (-level_db / 20)
        return noise * np.float32(gain)

    def _piece(self, rng: np.random.Generator, entry: AudioEntry, samples: int) -> Sound:
        """A part from a random place, not of silence; a shorter recording is repeated."""
        if entry.length < samples:
            whole = self.cache.read(entry)
            return np.resize(np.roll(whole, -int(rng.integers(entry.length))), samples)
        latest = entry.length - samples
        piece = self.cache.read(entry, int(rng.integers(latest + 1)), samples)
        if np.abs(piece).max() < QUIET * entry.peak:
            loudest = int(np.abs(self.cache.read(entry)).argmax())
            start = min(latest, max(0, loudest - int(rng.integers(samples))))
            piece = self.cache.read(entry, start, samples)
        return piece


class MixedCorpus:
    """Mixtures of C people out of recordings of one person each.

    `segment` draws for training; `mixture` returns the fixed ones for validation and test. Both
    depend on their arguments, the recordings, C and the seed alone: in any process, in any order
    the same sound.
    """

    def __init__(self, spec: str, C: int, sample_rate_hz: int, cache: AudioCache,
                 recordings: list[Recording], *, seed: int = 0, speakers_known: bool = False,
                 notes: tuple[str, ...] = (), unusable: tuple[Unusable, ...] = (),
                 background: Background | None = None, speed: tuple[float, float] | None = None,
                 levels_db: float | None = None) -> None:
        self.spec, self.C, self.sample_rate_hz, self.seed = spec, C, sample_rate_hz, seed
        self.speakers_known, self.notes, self.unusable = speakers_known, notes, unusable
        self.recordings = tuple(recordings)
        self.cache, self.background = cache, background
        self._speed, self._levels_db = speed, levels_db
        self._sexes = {recording.speaker: recording.sex for recording in recordings}
        self._entries: dict[str, dict[str, list[AudioEntry]]] = {split: {} for split in SPLITS}
        for recording in recordings:
            of_split = self._entries[recording.split]
            of_split.setdefault(recording.speaker, []).append(recording.entry)
        self._names = {split: sorted(speakers) for split, speakers in self._entries.items()}
        for split, names in self._names.items():
            if len(names) < C:
                raise CorpusError(
                    f"corpus {spec!r}: {len(names)} speakers in {split}, but a mixture of "
                    f"C={C} needs {C}; lower C or give a folder of more speakers")
        self._groups = {split: self._choose_groups(split) for split in MIXTURES}
        self._kept: dict[tuple[str, int], Mixture] = {}     # those that each epoch and trial needs

    def segment(self, seed: int, epoch: int, index: int, samples: int) -> Mixture:
        """Training segment `index` of an epoch: sources float32 [C, samples].

        Where a speaker has less sound than that, all sources end with his, and zeros follow.
        """
        rng = np.random.default_rng((seed, epoch, index))
        names = self._draw_speakers(rng)
        speeds = [1.0] * self.C
        if self._speed:  # from a generator of its own, so that all else is drawn as without speed
            own = np.random.default_rng((seed, epoch, index, 1))
            speeds = own.uniform(*self._speed, self.C).tolist()
        sounds = [self._at_speed(rng, self._entries["train"][name], samples, speed)
                  for name, speed in zip(names, speeds, strict=True)]
        mixed = self._mixture(f"train/{seed}/{epoch}/{index}", rng, sounds, names)
        missing = samples - mixed.length
        if not missing:
            return mixed
        noise = None if mixed.noise is None else np.pad(mixed.noise, (0, missing))
        return mixed._replace(sources=np.pad(mixed.sources, ((0, 0), (0, missing))), noise=noise)

    @property
    def planned(self) -> "MixedCorpus | None":
        """Itself if `plan` and `stored` determine a segment: not with noise or other speeds."""
        return None if self.background or self._speed else self

    def plan(self, seed: int, epoch: int, index: int, samples: int) -> Plan:
        """The choices of `segment`, to mix it elsewhere: the same sources, but for rounding."""
        rng = np.random.default_rng((seed, epoch, index))
        slices = tuple(self._draw_slices(rng, self._entries["train"][name], samples)
                       for name in self._draw_speakers(rng))
        return Plan(slices, _levels(rng, self.C, self._levels_db))

    def stored(self) -> Iterator[tuple[AudioEntry, NDArray[np.int16]]]:
        """The recordings of training as they lie in the cache: sample = number * entry.scale."""
        for recording in self.recordings:
            if recording.split == "train":
                whole = Slice(recording.entry, 0, recording.entry.length)
                yield recording.entry, self.cache.numbers(whole)

    def count(self, split: str) -> int:
        """How many fixed mixtures the split ("valid" or "test") has."""
        return len(self._groups[split])

    def mixture(self, split: str, index: int) -> Mixture:
        """Fixed mixture `index` of a split: whole recordings, cut to the shortest, no zeros."""
        if (kept := self._kept.get((split, index))) is not None:
            return kept
        names = self._groups[split][index]
        rng = np.random.default_rng((self.seed, SPLITS.index(split), index))
        joined = [self._join(rng, self._entries[split][name]) for name in names]
        made = self._mixture(f"{split}/{index:03}", rng, joined, names)
        if sum(each.sources.nbytes for each in self._kept.values()) < KEPT_BYTES:
            self._kept[split, index] = made
        return made

    def describe(self) -> tuple[Part, ...]:
        """Speakers, recordings, seconds and mixtures of each split."""
        return tuple(self._part(split) for split in SPLITS)

    @property
    def fingerprint(self) -> str:
        """16 hex digits for the mixtures' material, without path or time: equal on any machine."""
        made_of = [self.C, self.sample_rate_hz, self.seed, [
            (each.entry.id, each.entry.length, each.speaker, each.split,
             *self.cache.content(each.entry)) for each in self.recordings]]
        if self.background or self._speed:
            made_of += [self.background and self.background.made_of, self._speed]
        if self._levels_db is not None:
            made_of += ["levels_db", self._levels_db]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]

    def read_all(self) -> None:
        """Nothing: the first opening has read every file completely."""

    def _part(self, split: str) -> Part:
        sexes = [self._sexes[name] for name in self._names[split]]
        recordings = sum(map(len, self._entries[split].values()))
        mixtures = self.count(split) if split in MIXTURES else None
        return Part(split, len(sexes), dict(sorted(Counter(sexes).items())), recordings,
                    self._seconds(split), mixtures)

    def _seconds(self, split: str) -> float:
        every = (entry for entries in self._entries[split].values() for entry in entries)
        return sum(entry.length for entry in every) / self.sample_rate_hz

    def _mixture(self, name: str, rng: np.random.Generator, sounds: list[Sound],
                 names: list[str]) -> Mixture:
        """The sounds at drawn levels, cut to the shortest, in front of noise if there is any."""
        length = min(map(len, sounds))
        sources = _levelled(sounds, length, _levels(rng, self.C, self._levels_db))
        noise = None
        if self.background:
            noise = self.background.draw(rng, name.split("/")[0], sources.sum(axis=0))
        sexes = tuple(self._sexes[each] for each in names)
        mixed = Mixture(name, sources, length, tuple(names), sexes, noise)
        peak = float(np.abs(mixed.mixture).max())
        if peak > PEAK:
            gain = np.float32(PEAK / peak * (1 - 1e-6))  # float32 must not round it above
            quieter = None if noise is None else noise * gain
            mixed = mixed._replace(sources=sources * gain, noise=quieter)
        return mixed

    def _choose_groups(self, split: str) -> list[list[str]]:
        """The speakers of each fixed mixture: no group and no speaker much more than another."""
        names = self._names[split]
        enough = math.ceil(REUSE * self._seconds(split) / (self.C * WHOLE_S))
        rng = np.random.default_rng((self.seed, SPLITS.index(split)))
        group_uses: Counter[frozenset[int]] = Counter()
        speaker_uses = np.zeros(len(names), int)
        groups = []
        for _ in range(min(MIXTURES[split], enough)):
            # Of fifty groups the least used; of those, the one whose speakers are used least.
            drawn = [rng.permutation(len(names))[:self.C] for _ in range(50)]
            uses = [(group_uses[frozenset(group)], speaker_uses[group].sum()) for group in drawn]
            best = drawn[uses.index(min(uses))]
            group_uses[frozenset(best)] += 1
            speaker_uses[best] += 1
            groups.append([names[i] for i in best])
        return groups

    def _draw_speakers(self, rng: np.random.Generator) -> list[str]:
        names = self._names["train"]
        return [names[i] for i in rng.permutation(len(names))[:self.C]]

    def _at_speed(self, rng: np.random.Generator, entries: list[AudioEntry], samples: int,
                  speed: float) -> Sound:
        """`samples` of one speaker at another speed; or all there is."""
        if speed == 1:
            return self._read(self._draw_slices(rng, entries, samples))
        piece = self._read(self._draw_slices(rng, entries, math.ceil(samples * speed) + 1))
        return audio.resample(piece, self.sample_rate_hz * speed, self.sample_rate_hz)[:samples]

    def _draw_slices(self, rng: np.random.Generator, entries: list[AudioEntry],
                     samples: int) -> list[Slice]:
        """`samples` of one speaker from a random place in recordings joined at random; or all.

        A place of silence is given up for one with the loudest moment: no source is silence.
        """
        chosen, total = [], 0
        for i in rng.permutation(len(entries)):
            chosen.append(entries[i])
            total += entries[i].length
            if total >= samples:
                break
        latest = max(0, total - samples)
        slices = _slices(chosen, int(rng.integers(latest + 1)), samples)
        if self._silent(slices, QUIET * max(entry.peak for entry in chosen)):
            loudest = int(np.abs(self._read(_slices(chosen, 0, total))).argmax())
            start = min(latest, max(0, loudest - int(rng.integers(samples))))
            slices = _slices(chosen, start, samples)
        return slices

    def _silent(self, slices: list[Slice], level: float) -> bool:
        """Whether all samples are below a level; one in sixteen mostly shows that they are not."""
        return all(self.cache.peak(part, step) < level for step in (16, 1) for part in slices)

    def _read(self, slices: list[Slice]) -> Sound:
        return np.concatenate([self.cache.read(*part) for part in slices])

    def _join(self, rng: np.random.Generator, entries: list[AudioEntry]) -> Sound:
        """Whole recordings of one speaker in random order, until WHOLE_S of them or no more."""
        longest = round(LONGEST_S * self.sample_rate_hz)
        pieces: list[Sound] = []
        for i in rng.permutation(len(entries)):
            pieces.append(self.cache.read(entries[i], 0, min(entries[i].length, longest)))
            if sum(map(len, pieces)) >= WHOLE_S * self.sample_rate_hz:
                break
        return np.concatenate(pieces)


def _slices(entries: list[AudioEntry], start: int, samples: int) -> list[Slice]:
    """The places of `samples` from `start` on in recordings that follow each other."""
    found = []
    for entry in entries:
        begin, end = max(0, start), min(entry.length, start + samples)
        if begin < end:
            found.append(Slice(entry, begin, end - begin))
        start -= entry.length
    return found


def _levelled(sounds: list[Sound], length: int, levels: NDArray[np.float64]) -> Sound:
    """[C, length]: each at its RMS."""
    sources = np.stack([sound[:length] for sound in sounds])
    rms = np.sqrt(np.einsum("ct,ct->c", sources, sources) / length)
    gains = levels / np.maximum(rms, 1e-12)
    sources *= gains.astype(np.float32)[:, None]
    return sources


def _levels(rng: np.random.Generator, C: int, span_db: float | None) -> NDArray[np.float64]:
    """[C]: the drawn RMS of each source.

    Each is within ± span_db, as in WSJ0-2mix, where it is 2.5 and two are up to 5 dB apart. By
    default two are up to LEVEL_DB apart, and of more each is within ± LEVEL_DB.
    """
    if span_db is None and C == 2:
        difference = rng.uniform(-LEVEL_DB, LEVEL_DB)
        levels_db = np.array([difference / 2, -difference / 2])
    else:
        span_db = LEVEL_DB if span_db is None else span_db
        levels_db = rng.uniform(-span_db, span_db, C)
    return MIXTURE_RMS / math.sqrt(C) * 10 ** (levels_db / 20)
