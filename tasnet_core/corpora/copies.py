"""One recording under several names: equal copies, processed copies, several microphones.

Equal copies are left out. A processed copy (another level, rate or format) of another speaker is
left out, too; one of the same speaker, and what several microphones recorded at once, stays in the
split of the first.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasnet_core.corpora.audio_cache import AudioCache, AudioEntry, Unusable, recall, remember
from tasnet_core.errors import counted

EDITION = 2  # raised when other copies would be found among the same recordings

# Microphones and formats of one sentence: p225_001_mic1.flac, 48k/001.wav, a.CH2.wav
_MICROPHONE = r"(mic|microphone|ch|chan|channel)[-_ ]?\d+"
_TAG = re.compile(rf"[-_. ]{_MICROPHONE}(?=$|[-_. ])", re.IGNORECASE)
_FOLDER = re.compile(rf"{_MICROPHONE}|(wav|flac|ogg)\d*k?|\d+k(hz)?", re.IGNORECASE)

STEPS = 64  # parts of a recording whose loudness is compared first
# Of 1,500 recordings of digits the most similar two have 0.906 and 0.82, copies as Ogg or MP3
# nearly all above 0.95 and 0.98; GSM is found now and then.
ENVELOPE_ALIKE, ALIKE = 0.9, 0.95
_BLOCK = 128  # recordings compared at once with all others of their length

BySpeaker = Mapping[str, Sequence[AudioEntry]]
Copies = dict[AudioEntry, AudioEntry]  # the first recording for each processed copy of it


def without_copies(by_speaker: BySpeaker, cache: AudioCache, copies: Copies,
                   ) -> tuple[dict[str, list[AudioEntry]], list[Unusable]]:
    """The recordings but for equal copies, and for processed copies of another speaker's."""
    owners = {entry: name for name, entries in by_speaker.items() for entry in entries}
    firsts: dict[Any, AudioEntry] = {}
    kept: dict[str, list[AudioEntry]] = {}
    left_out = []
    for speaker, entries in by_speaker.items():
        for entry in entries:
            first = firsts.setdefault(cache.identity(entry), entry)
            processed = first is entry and owners.get(copies.get(entry, entry), speaker) != speaker
            if first is entry and not processed:
                kept.setdefault(speaker, []).append(entry)
                continue
            first = copies[entry] if processed else first
            reason = f"the same sound as {first.id}" + ", of another speaker" * (
                owners[first] != speaker)
            left_out.append(Unusable(
                entry.id, reason + ", at another level or in another format" * processed))
    return kept, left_out


def together(entries: Sequence[AudioEntry], copies: Copies) -> list[list[AudioEntry]]:
    """One speaker's recordings; those of one sentence, or of one recording, side by side."""
    groups: dict[tuple[str, ...], list[AudioEntry]] = {}
    for entry in entries:
        *folders, name = copies.get(entry, entry).id.split("/")
        key = (*(folder for folder in folders if not _FOLDER.fullmatch(folder)),
               _TAG.sub("", os.path.splitext(name)[0]))
        groups.setdefault(key, []).append(entry)
    return list(groups.values())


def note(groups: Sequence[Sequence[AudioEntry]]) -> list[str]:
    """The sentence on recordings with several names, if there are any."""
    several = [group for group in groups if len(group) > 1]
    if not several:
        return []
    return [f"{counted(len(several), 'recording')} under several names ({several[0][0].id} and "
            f"{several[0][1].id}): each is in one split"]


def processed_copies(cache: AudioCache, entries: Sequence[AudioEntry]) -> Copies:
    """The recordings that are another one at another level, rate or in another format.

    Found once and remembered. The loudness of two must go up and down alike, then their samples.
    """
    depends_on = [EDITION, [(entry.id, *cache.content(entry)) for entry in entries]]
    found = recall("copies", depends_on)
    if found is None:
        firsts: dict[int, int] = {}
        for first, second in _alike(cache, entries):
            if second not in firsts:  # of many equal ones each is compared in full once
                sounds = (cache.read(entries[i]) for i in (first, second))
                if correlation(*sounds) > ALIKE:
                    firsts[second] = first
        found = sorted(firsts.items())
        remember("copies", depends_on, found)
    copies: Copies = {}
    for second, first in found:
        copies[entries[second]] = copies.get(entries[first], entries[first])
    return copies


def _alike(cache: AudioCache, entries: Sequence[AudioEntry]) -> Iterator[tuple[int, int]]:
    """Pairs of recordings of about equal length whose envelopes are alike."""
    order = sorted(range(len(entries)), key=lambda i: entries[i].length)
    lengths = np.array([entries[i].length for i in order])
    envelopes = np.array([_envelope(cache.read(entries[i])) for i in order])
    for start in range(0, len(order), _BLOCK):
        block = envelopes[start:start + _BLOCK]
        longest = 1.02 * lengths[min(start + _BLOCK, len(order)) - 1] + 400
        end = int(np.searchsorted(lengths, longest, "right"))
        for i, j in np.argwhere(block @ envelopes[start:end].T > ENVELOPE_ALIKE):
            if i < j:
                one, other = order[start + i], order[start + j]
                yield min(one, other), max(one, other)


def _envelope(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """[STEPS - 1], norm 1: how the loudness changes from part to part, whatever the level."""
    starts = np.linspace(0, len(sound), STEPS, endpoint=False).astype(int)
    changes = np.diff(np.sqrt(np.add.reduceat(sound.astype(np.float64) ** 2, starts)))
    return np.asarray(changes / max(np.linalg.norm(changes), 1e-30), np.float32)


def correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The largest normalized correlation at any shift: 1 for copies, with either sign."""
    size = 1 << (len(one) + len(other) - 1).bit_length()
    product = np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size))
    power = float(np.vdot(one, one)) * float(np.vdot(other, other))
    return float(np.abs(np.fft.irfft(product, size)).max() / max(power, 1e-30) ** 0.5)
