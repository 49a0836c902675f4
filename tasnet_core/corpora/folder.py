"""A folder of recordings of one person each: found, read once, and assigned to the splits."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasnet_core import audio
from tasnet_core.corpora import copies, speaker_names
from tasnet_core.corpora.audio_cache import (
    SPLITS,
    AudioCache,
    AudioEntry,
    Making,
    Recording,
    Unusable,
    cached,
)
from tasnet_core.corpora.mixture import SHORTEST, SILENT, Speaker
from tasnet_core.corpora.sound_files import Found, contents, find_sound
from tasnet_core.corpora.speaker_sex import known_speakers
from tasnet_core.errors import CorpusError, counted
from tasnet_core.files import home
from tasnet_core.progress import in_order, shown

EDITION = 2  # raised when the same files would be read as something else
SHARE = 0.1  # of the speakers or recordings, for validation and again for test
# At least so many speakers, but no more than a third of them, a sixth: two speakers are one pair,
# which says nothing of other people.
TESTED, VALIDATED = 8, 4
TRIM_DB = 40.0  # below a recording's loudest frame is silence, taken off before and after it
FRAME_S, MARGIN_S = 0.02, 0.1  # for that loudness; kept beside the speech
SHARED_SPEAKERS = "test speakers also occur in training (split by recording)"

Say = Callable[[str], None]
Groups = dict[str, list[list[AudioEntry]]]  # recordings that stay together, by speaker


class Folder(NamedTuple):
    """The recordings of a folder, those left out, and sentences on what was done."""

    cache: AudioCache
    recordings: list[Recording]
    unusable: tuple[Unusable, ...]
    notes: tuple[str, ...]


class _Usable(NamedTuple):
    cache: AudioCache
    entries: list[AudioEntry]
    unusable: list[Unusable]
    found: Found


def read_folder(path: str, C: int, sample_rate_hz: int, speaker: str | None, split: str, seed: int,
                say: Say, *, stereo: str = "first", speakers: str | None = None,
                trim_db: float | None = TRIM_DB) -> Folder:
    """All sound files below `path`, each with its speaker and split.

    speaker: a pattern for the path within the folder; by default folders and names decide.
    split: "speaker" or "recording", which no two splits share.
    stereo: "first" takes the first of several channels, "refuse" leaves such files out.
    speakers: a list of their sexes; by default the nearest in the folder or above it.
    trim_db: as in `trimmed`; None leaves recordings as they are.

    Raises:
        CorpusError: when there is no such folder, no sound in it, too few speakers for C and the
            split, or when it is not clear who they are.
    """
    root = home(path)
    known, sex_notes = known_speakers(root if root.is_dir() else Path(), speakers)
    usable = _read(root, sample_rate_hz, say, stereo, trim_db)
    cache, unusable = usable.cache, usable.unusable
    paths = [entry.id for entry in usable.entries]
    named = (speaker_names.by_folders(paths, _show(root)) if speaker is None
             else speaker_names.by_pattern(paths, speaker))
    by_speaker: dict[str, list[AudioEntry]] = {}
    for entry, name in zip(usable.entries, named.speakers, strict=True):
        if name:
            by_speaker.setdefault(name, []).append(entry)
        else:
            unusable.append(Unusable(entry.id, f"its path does not match speaker={speaker}"))
    processed = copies.processed_copies(cache, usable.entries)
    by_speaker, left_out = copies.without_copies(by_speaker, cache, processed)
    unusable += left_out
    if not by_speaker:
        raise _nothing_usable(root, usable)
    groups = {name: copies.together(entries, processed)
              for name, entries in sorted(by_speaker.items())}
    _check_speakers(root, list(groups), C)
    assign = assign_speakers if split == "speaker" else assign_recordings
    recordings, notes = assign(root, groups, C, seed)
    if split == "speaker":
        every = [group for mine in groups.values() for group in mine]
        notes += copies.note([group for group in every if processed.keys() & group])
    sexes = {name: known.get(name, known.get(name.lower(), Speaker(name, "?"))).sex
             for name in groups}
    recordings = [each._replace(sex=sexes[each.speaker]) for each in recordings]
    notes = [*named.notes, *notes, *sex_notes, *usable.found.notes,
             *_notes(cache, recordings, unusable)]
    trimmed_s = cache.facts["trimmed_s"]
    if off_s := sum(trimmed_s.get(each.entry.id, 0) for each in recordings):
        whole_s = off_s + sum(each.entry.length for each in recordings) / sample_rate_hz
        off, whole = (f"{length_s:.1f} s" if length_s < 60 else f"{length_s / 60:.1f} min"
                      for length_s in (off_s, whole_s))
        notes.append(f"silence before and after recordings taken off: {off} of {whole} "
                     f"({trim_db:g} dB below the loudest {1000 * FRAME_S:g} ms of each)")
    return Folder(cache, recordings, tuple(sorted(unusable)), tuple(notes))


def read_noise(path: str, sample_rate_hz: int, seed: int, say: Say, stereo: str) -> Folder:
    """All sound files below `path`, as noise: each in one split, or in all where they are few.

    Raises:
        CorpusError: when there is no such folder or no sound in it.
    """
    root = home(path)
    usable = _read(root, sample_rate_hz, say, stereo, None)
    if not usable.entries:
        raise _nothing_usable(root, usable)
    processed = copies.processed_copies(usable.cache, usable.entries)
    alone, left_out = copies.without_copies({"noise": usable.entries}, usable.cache, processed)
    unusable = usable.unusable + left_out
    groups = copies.together(alone["noise"], processed)
    order = [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    held_out = max(1, round(SHARE * len(groups)))
    assigned = {"test": order[:held_out], "valid": order[held_out:2 * held_out],
                "train": order[2 * held_out:]}
    notes = []
    if len(groups) < len(SPLITS):
        assigned = dict.fromkeys(SPLITS, order)
        notes = [f"noise: only {counted(len(groups), 'recording')}, in training, validation and "
                 f"test alike"]
    recordings = [Recording(entry, "noise", "?", split)
                  for split in SPLITS for group in assigned[split] for entry in group]
    more = (*copies.note(groups), *usable.found.notes, *_notes(usable.cache, recordings, unusable))
    notes += [f"noise: {note}" for note in more]
    return Folder(usable.cache, recordings, tuple(sorted(unusable)), tuple(notes))


def _read(root: Path, sample_rate_hz: int, say: Say, stereo: str,
          trim_db: float | None) -> _Usable:
    found = _find(root)
    cache = _decode(root, found.files, sample_rate_hz, trim_db, say)
    refused = cache.facts["channels"] if stereo == "refuse" else {}
    unusable = [*found.unusable, *(Unusable(*pair) for pair in cache.facts["unusable"]),
                *(Unusable(name, f"{channels} channels, and stereo=refuse")
                  for name, channels in refused.items())]
    entries = [entry for entry in cache.entries if entry.id not in refused]
    return _Usable(cache, entries, unusable, found)


def _nothing_usable(root: Path, usable: _Usable) -> CorpusError:
    first = usable.unusable[0]
    return CorpusError(
        f"{_show(root)}: none of its {counted(len(usable.found.files), 'sound file')} can be used "
        f"(the first, {first.path}: {first.reason}), but recordings are wanted; mend them or give "
        f"another folder")


def _show(root: Path) -> str:
    return f"folder {audio.readable(root)}"


def _find(root: Path) -> Found:
    if not root.is_dir():
        there = "not a folder" if root.exists() else "does not exist"
        raise CorpusError(f"{_show(root)}: {there}, but recordings are wanted there; "
                          f"check the path, it is taken from the current folder")
    found = find_sound(root)
    if not found.files:
        there = "empty"
        if found.every:
            there = f"{counted(found.every, 'file')}, but none of them sound"
        there += "".join(f" ({note})" for note in found.notes)
        raise CorpusError(f"{_show(root)}: {there}; {', '.join(audio.SUFFIXES)} files are wanted, "
                          f"so give a folder that holds some, at any depth")
    return found


def _decode(root: Path, files: list[Path], sample_rate_hz: int, trim_db: float | None,
            say: Say) -> AudioCache:
    names = [audio.readable(path.relative_to(root).as_posix()) for path in files]
    digests = contents(names, files)

    def make(facts: dict[str, Any]) -> Making:
        say(f"{_show(root)}: reading {counted(len(files), 'file')}, once")
        facts |= {"unusable": [], "rates": {}, "channels": {}, "trimmed_s": {}}
        facts["contents"] = dict(zip(names, digests, strict=True))
        read = in_order(lambda path: _attempt(path, sample_rate_hz, trim_db), files)
        progress = shown(read, len(files), "reading recordings")
        for name, found in zip(names, progress, strict=True):
            if isinstance(found, str):
                facts["unusable"].append([name, found])
                continue
            if found.rate != sample_rate_hz:
                facts["rates"][name] = found.rate
            if found.channels > 1:
                facts["channels"][name] = found.channels
            if found.trimmed:
                facts["trimmed_s"][name] = found.trimmed / sample_rate_hz
            yield name, found.sound

    key = [EDITION, sample_rate_hz, trim_db, list(zip(names, digests, strict=True))]
    return cached("folder", key, make)


class _Decoded(NamedTuple):
    sound: NDArray[np.float32]  # the first channel, at the corpus' rate
    rate: int  # of the file
    channels: int
    trimmed: int  # samples


def _attempt(path: Path, sample_rate_hz: int, trim_db: float | None) -> _Decoded | str:
    """A recording, or why it cannot be used."""
    try:
        samples, rate = audio.read(path)
    except CorpusError as error:
        return str(error).removeprefix(f"{audio.readable(path)}: ")
    if not samples.size:
        return "empty"
    if np.ptp(samples[0]) < SILENT:
        return "silent"
    whole = audio.resample(samples[0], rate, sample_rate_hz)
    sound = whole if trim_db is None else trimmed(whole, sample_rate_hz, trim_db)
    if len(sound) < SHORTEST:
        return f"{len(sound)} samples, shorter than one frame ({SHORTEST})"
    return _Decoded(sound, rate, len(samples), len(whole) - len(sound))


def trimmed(sound: NDArray[np.float32], rate: int, below_db: float) -> NDArray[np.float32]:
    """[T] without the silence before and after, but for a margin.

    Silence are frames more than `below_db` quieter than the loudest. Loudness is a frame's power
    about its mean, so neither a constant nor the level of the recording matters.
    """
    size = max(1, round(FRAME_S * rate))
    starts, exact = np.arange(0, len(sound), size), sound.astype(np.float64)
    lengths = np.diff(starts, append=len(sound))
    sums = np.add.reduceat(exact, starts)
    power = np.add.reduceat(exact ** 2, starts) - sums ** 2 / lengths
    spoken = np.flatnonzero(power >= power.max() * 10 ** (-below_db / 10))
    margin = round(MARGIN_S * rate)
    return sound[max(0, spoken[0] * size - margin):(spoken[-1] + 1) * size + margin]


def assign_speakers(root: Path, groups: Groups, C: int,
                     seed: int) -> tuple[list[Recording], list[str]]:
    """Each speaker, with all recordings, into one split; and notes."""
    names = list(groups)
    if len(names) < 3 * C:
        raise CorpusError(
            f"{_show(root)}: {len(names)} speakers, but train, valid and test need {C} each, "
            f"{3 * C} in all; add speakers or let the splits share them with split=recording")
    tested = max(C, round(SHARE * len(names)), min(TESTED, len(names) // 3))
    validated = max(C, round(SHARE * len(names)), min(VALIDATED, len(names) // 6))
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    place = dict.fromkeys(order, "train")
    place |= dict.fromkeys(order[:tested], "test")
    place |= dict.fromkeys(order[tested:tested + validated], "valid")
    few = [split for split, count in (("valid", validated), ("test", tested)) if count == C]
    notes = []
    if few:
        notes = [f"only {counted(C, 'speaker')} in {' and '.join(few)}: all mixtures there are of "
                 f"the same people"]
    recordings = []
    for name in names:
        entries = [entry for group in groups[name] for entry in group]
        entries.sort(key=lambda entry: entry.start)  # as they lie in the folder
        recordings += [Recording(entry, name, "?", place[name]) for entry in entries]
    return recordings, notes


def assign_recordings(root: Path, groups: Groups, C: int,
                       seed: int) -> tuple[list[Recording], list[str]]:
    """Each speaker's recordings into all splits, fewer than three into training only; and notes."""
    recordings, few = [], 0
    for number, (name, mine) in enumerate(groups.items()):
        held_out = max(1, round(SHARE * len(mine))) if len(mine) >= len(SPLITS) else 0
        few += not held_out
        for place, i in enumerate(np.random.default_rng((seed, number)).permutation(len(mine))):
            split = "test" if place < held_out else "valid" if place < 2 * held_out else "train"
            recordings += [Recording(entry, name, "?", split) for entry in mine[i]]
    if (enough := len(groups) - few) < C:
        raise CorpusError(f"{_show(root)}: {counted(enough, 'speaker')} with three recordings or "
                          f"more, but {C} are wanted; cut long recordings into several")
    every = [group for mine in groups.values() for group in mine]
    notes = [SHARED_SPEAKERS, *copies.note(every)]
    if few:
        notes.append(f"{counted(few, 'speaker')} with fewer than three recordings: "
                     f"in training only")
    return recordings, notes


def _check_speakers(root: Path, names: list[str], C: int) -> None:
    if len(names) < max(2, C):
        raise CorpusError(
            f"{_show(root)}: {counted(len(names), 'speaker')} ({', '.join(names)}), but a mixture "
            f"needs {max(2, C)}; give each a folder of recordings, or say how paths name the "
            f"speaker with folder:PATH?speaker=REGEX")


def _notes(cache: AudioCache, recordings: list[Recording], unusable: list[Unusable]) -> list[str]:
    """Sentences on what was done to the recordings that are used, and how many are not."""
    used = {recording.entry.id for recording in recordings}
    rates = Counter(rate for name, rate in cache.facts["rates"].items() if name in used)
    several = sum(name in used for name in cache.facts["channels"])
    notes = [f"{counted(count, 'file')} resampled from {rate} Hz"
             for rate, count in sorted(rates.items())]
    if several:
        notes.append(f"{counted(several, 'file')} with more than one channel: first channel taken")
    if unusable:
        notes.append(f"{counted(len(unusable), 'file')} left out as unusable")
    return notes
