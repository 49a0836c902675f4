"""One recording under two names: copies are left out, and what was recorded or stored twice at once stays together."""

import os
import re
from collections.abc import Callable, Hashable, Mapping, Sequence

from tasnet_core.corpora.audio_cache import AudioEntry, Unusable
from tasnet_core.errors import counted

# What tells microphones and formats of one sentence apart: p225_001_mic1.flac, 48k/001.wav, a.CH2.wav
_MICROPHONE = r"(mic|microphone|ch|chan|channel)[-_ ]?\d+"
_TAG = re.compile(rf"[-_. ]{_MICROPHONE}(?=$|[-_. ])", re.IGNORECASE)
_FOLDER = re.compile(rf"{_MICROPHONE}|(wav|flac|ogg)\d*k?|\d+k(hz)?", re.IGNORECASE)

BySpeaker = Mapping[str, Sequence[AudioEntry]]


def without_copies(by_speaker: BySpeaker, sound: Callable[[AudioEntry], Hashable],
                   ) -> tuple[dict[str, list[AudioEntry]], list[Unusable]]:
    """The recordings but for those that are there under another name before, be it as another speaker's.

    sound: equal for recordings of which every sample is.
    """
    owners: dict[Hashable, tuple[str, AudioEntry]] = {}
    kept: dict[str, list[AudioEntry]] = {}
    left_out = []
    for speaker, entries in by_speaker.items():
        for entry in entries:
            owner, first = owners.setdefault(sound(entry), (speaker, entry))
            if first is entry:
                kept.setdefault(speaker, []).append(entry)
            else:
                left_out.append(Unusable(entry.id, f"the same sound as {first.id}{', of another speaker' * (owner != speaker)}"))
    return kept, left_out


def together(entries: Sequence[AudioEntry]) -> list[list[AudioEntry]]:
    """One speaker's recordings, those of one sentence by several microphones or in several formats side by side."""
    groups: dict[tuple[str, ...], list[AudioEntry]] = {}
    for entry in entries:
        *folders, name = entry.id.split("/")
        key = (*(folder for folder in folders if not _FOLDER.fullmatch(folder)), _TAG.sub("", os.path.splitext(name)[0]))
        groups.setdefault(key, []).append(entry)
    return list(groups.values())


def note(groups: Sequence[Sequence[AudioEntry]]) -> list[str]:
    """What must be said where recordings have several names."""
    several = [group for group in groups if len(group) > 1]
    if not several:
        return []
    return [f"{counted(len(several), 'recording')} under several names ({several[0][0].id} and {several[0][1].id}): "
            f"each is in one split"]
