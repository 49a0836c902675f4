"""A folder of recordings of one person each: found, read once completely, and dealt to the splits."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasnet_core import audio
from tasnet_core.corpora import copies as doubles
from tasnet_core.corpora import speaker_names
from tasnet_core.corpora.audio_cache import SPLITS, AudioCache, AudioEntry, Making, Recording, Unusable, cached
from tasnet_core.corpora.mixture import Speaker
from tasnet_core.corpora.sound_files import Found, contents, find_sound
from tasnet_core.corpora.speaker_sex import known_speakers
from tasnet_core.errors import CorpusError, counted
from tasnet_core.files import home
from tasnet_core.progress import in_order, shown

EDITION = 2  # raised when the same files would be read as something else
SHORTEST = 40  # samples at the corpus' rate; shorter than the longest encoder filter anyone uses
SILENT = 1e-5  # peak to peak, a third of the smallest step of 16 bits
SHARE = 0.1  # of the speakers or recordings, for validation and again for test
# At least so many speakers, where that is no more than a third of them, a sixth: two speakers are one pair, which says
# nothing of other people.
TESTED, VALIDATED = 8, 4
TRIM_DB = 40.0  # what is further below a recording's loudest frame is silence, before and after it
FRAME_S, MARGIN_S = 0.02, 0.1  # of which loudness is taken; what stays beside the speech
SHARED_SPEAKERS = "test speakers also occur in training (split by recording)"


class Folder(NamedTuple):
    """What was found in a folder."""

    cache: AudioCache
    recordings: list[Recording]
    unusable: tuple[Unusable, ...]
    notes: tuple[str, ...]


def read_folder(path: str, C: int, sample_rate_hz: int, speaker: str | None, split: str, seed: int,
                say: Callable[[str], None], *, stereo: str = "first", speakers: str | None = None,
                trim_db: float | None = TRIM_DB) -> Folder:
    """All sound files below `path`, each with its speaker and split.

    speaker: a pattern for the path within the folder; without one, folders and names tell, see speaker_names.py.
    split: "speaker" or "recording", what the splits do not share.
    stereo: "first" takes the first of several channels, "refuse" leaves such files out.
    speakers: a list that tells their sexes; without one, the nearest list in the folder or above it.
    trim_db: as in `trimmed`; None leaves recordings as they are.

    Raises:
        CorpusError: when there is no such folder, no sound in it, too few speakers for C and the split, or when it is
            not clear who they are.
    """
    root = home(path)
    known, notes = known_speakers(root if root.is_dir() else Path(), speakers)
    cache, entries, unusable, found = _usable(root, sample_rate_hz, say, stereo, trim_db)
    names = [entry.id for entry in entries]
    told = speaker_names.by_pattern(names, speaker) if speaker is not None else speaker_names.by_folders(names, _show(root))
    by_speaker: dict[str, list[AudioEntry]] = {}
    for entry, name in zip(entries, told.speakers, strict=True):
        if name:
            by_speaker.setdefault(name, []).append(entry)
        else:
            unusable.append(Unusable(entry.id, f"its path does not match speaker={speaker}"))
    by_speaker, copies = doubles.without_copies(by_speaker, cache.sound)
    unusable += copies
    if not by_speaker:
        raise _nothing(root, found, unusable)
    deal = _deal_speakers if split == "speaker" else _deal_recordings
    recordings, dealt = deal(root, dict(sorted(by_speaker.items())), C, seed)
    sexes = {name: known.get(name, known.get(name.lower(), Speaker(name, "?"))).sex for name in by_speaker}
    recordings = [recording._replace(sex=sexes[recording.speaker]) for recording in recordings]
    notes = [*told.notes, *dealt, *notes, *found.notes, *_notes(cache, recordings, unusable)]
    if off_s := sum(cache.facts["trimmed_s"].get(recording.entry.id, 0) for recording in recordings):
        whole_s = off_s + sum(recording.entry.length for recording in recordings) / sample_rate_hz
        notes.append(f"silence before and after recordings taken off: {off_s / 60:.1f} of {whole_s / 60:.1f} min "
                     f"({trim_db:g} dB below the loudest {1000 * FRAME_S:g} ms of each)")
    return Folder(cache, recordings, tuple(sorted(unusable)), tuple(notes))


def read_noise(path: str, sample_rate_hz: int, seed: int, say: Callable[[str], None], stereo: str) -> Folder:
    """All sound files below `path`, as noise: each is heard in one split, or in all where there are too few.

    Raises:
        CorpusError: when there is no such folder or no sound in it.
    """
    root = home(path)
    cache, entries, unusable, found = _usable(root, sample_rate_hz, say, stereo, None)
    if not entries:
        raise _nothing(root, found, unusable)
    alone, copies = doubles.without_copies({"noise": entries}, cache.sound)
    groups, unusable = doubles.together(alone["noise"]), unusable + copies
    order = [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    held_out = max(1, round(SHARE * len(groups)))
    dealt = {"test": order[:held_out], "valid": order[held_out:2 * held_out], "train": order[2 * held_out:]}
    notes = []
    if len(groups) < len(SPLITS):
        dealt = dict.fromkeys(SPLITS, order)
        notes = [f"noise: only {counted(len(groups), 'recording')}, heard in training, validation and test alike"]
    recordings = [Recording(entry, "noise", "?", split) for split in SPLITS for group in dealt[split] for entry in group]
    notes += [f"noise: {note}" for note in (*doubles.note(groups), *found.notes, *_notes(cache, recordings, unusable))]
    return Folder(cache, recordings, tuple(sorted(unusable)), tuple(notes))


def _usable(root: Path, sample_rate_hz: int, say: Callable[[str], None],
            stereo: str, trim_db: float | None) -> tuple[AudioCache, list[AudioEntry], list[Unusable], Found]:
    """The cache of a folder, what of it can be used, what cannot, and what was found there."""
    found = _find(root)
    cache = _cache(root, found.files, sample_rate_hz, trim_db, say)
    unusable = found.unusable + [Unusable(*pair) for pair in cache.facts["unusable"]]
    refused = cache.facts["channels"] if stereo == "refuse" else {}
    unusable += [Unusable(name, f"{channels} channels, and stereo=refuse") for name, channels in refused.items()]
    return cache, [entry for entry in cache.entries if entry.id not in refused], unusable, found


def _nothing(root: Path, found: Found, unusable: list[Unusable]) -> CorpusError:
    first = f"the first, {unusable[0].path}: {unusable[0].reason}"
    return CorpusError(f"{_show(root)}: none of its {counted(len(found.files), 'sound file')} can be used "
                       f"({first}), but recordings are wanted; mend them or give another folder")


def _show(root: Path) -> str:
    return f"folder {audio.readable(root)}"


def _find(root: Path) -> Found:
    if not root.is_dir():
        found = "not a folder" if root.exists() else "does not exist"
        raise CorpusError(f"{_show(root)}: {found}, but recordings are wanted there; "
                          f"check the path, it is taken from the current folder")
    found_here = find_sound(root)
    if not found_here.files:
        found = f"{counted(found_here.every, 'file')}, but none of them sound" if found_here.every else "empty"
        found += "".join(f" ({note})" for note in found_here.notes)
        raise CorpusError(f"{_show(root)}: {found}; {', '.join(audio.SUFFIXES)} files are wanted, "
                          f"so give a folder that holds some, at any depth")
    return found_here


def _cache(root: Path, files: list[Path], sample_rate_hz: int, trim_db: float | None, say: Callable[[str], None]) -> AudioCache:
    names = [audio.readable(path.relative_to(root).as_posix()) for path in files]
    digests = contents(names, files)

    def make(facts: dict[str, Any]) -> Making:
        say(f"{_show(root)}: reading {counted(len(files), 'file')}, once")
        facts["unusable"], facts["rates"], facts["channels"], facts["trimmed_s"] = [], {}, {}, {}
        facts["contents"] = dict(zip(names, digests, strict=True))
        read = in_order(lambda path: _attempt(path, sample_rate_hz, trim_db), files)
        for name, found in zip(names, shown(read, len(files), "reading recordings"), strict=True):
            if isinstance(found, str):
                facts["unusable"].append([name, found])
                continue
            sound, rate, channels, off = found
            if rate != sample_rate_hz:
                facts["rates"][name] = rate
            if channels > 1:
                facts["channels"][name] = channels
            if off:
                facts["trimmed_s"][name] = off / sample_rate_hz
            yield name, sound

    return cached("folder", [EDITION, sample_rate_hz, trim_db, list(zip(names, digests, strict=True))], make)


def _attempt(path: Path, sample_rate_hz: int, trim_db: float | None) -> tuple[NDArray[np.float32], int, int, int] | str:
    try:
        return _read_one(path, sample_rate_hz, trim_db)
    except CorpusError as error:
        return str(error).removeprefix(f"{audio.readable(path)}: ")


def _read_one(path: Path, sample_rate_hz: int, trim_db: float | None) -> tuple[NDArray[np.float32], int, int, int]:
    """The first channel at the corpus' rate, the file's own rate, its channels, samples taken off; CorpusError when unusable."""
    samples, rate = audio.read(path)
    if not samples.size:
        raise CorpusError("empty")
    if np.ptp(samples[0]) < SILENT:
        raise CorpusError("silent")
    whole = audio.resample(samples[0], rate, sample_rate_hz)
    sound = whole if trim_db is None else trimmed(whole, sample_rate_hz, trim_db)
    if len(sound) < SHORTEST:
        raise CorpusError(f"{len(sound)} samples, shorter than one frame ({SHORTEST})")
    return sound, rate, len(samples), len(whole) - len(sound)


def trimmed(sound: NDArray[np.float32], rate: int, below_db: float) -> NDArray[np.float32]:
    """[T] without the silence before and after: frames that are more than `below_db` quieter than the loudest, but for a
    margin. Loudness is a frame's power about its mean, so neither a constant nor the level of the recording matters."""
    size = max(1, round(FRAME_S * rate))
    starts, exact = np.arange(0, len(sound), size), sound.astype(np.float64)
    lengths = np.diff(starts, append=len(sound))
    power = np.add.reduceat(exact ** 2, starts) - np.add.reduceat(exact, starts) ** 2 / lengths
    spoken = np.flatnonzero(power >= power.max() * 10 ** (-below_db / 10))
    margin = round(MARGIN_S * rate)
    return sound[max(0, spoken[0] * size - margin):(spoken[-1] + 1) * size + margin]


def _deal_speakers(root: Path, by_speaker: dict[str, list[AudioEntry]], C: int,
                   seed: int) -> tuple[list[Recording], list[str]]:
    """Each speaker, with all recordings, into one split."""
    names = list(by_speaker)
    _check_speakers(root, names, C)
    if len(names) < 3 * C:
        raise CorpusError(f"{_show(root)}: {len(names)} speakers, but train, valid and test need {C} each, "
                          f"{3 * C} in all; add speakers or let the splits share them with split=recording")
    tested = max(C, round(SHARE * len(names)), min(TESTED, len(names) // 3))
    validated = max(C, round(SHARE * len(names)), min(VALIDATED, len(names) // 6))
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    place = dict.fromkeys(order, "train")
    place |= dict.fromkeys(order[:tested], "test")
    place |= dict.fromkeys(order[tested:tested + validated], "valid")
    few = [split for split, count in (("valid", validated), ("test", tested)) if count == C]
    notes = [f"only {counted(C, 'speaker')} in {' and '.join(few)}: all mixtures there are of the same people"] if few else []
    return [Recording(entry, name, "?", place[name]) for name in names for entry in by_speaker[name]], notes


def _deal_recordings(root: Path, by_speaker: dict[str, list[AudioEntry]], C: int,
                     seed: int) -> tuple[list[Recording], list[str]]:
    """Each speaker's recordings into all splits; who has fewer than three is heard in training only."""
    _check_speakers(root, list(by_speaker), C)
    recordings, few, every = [], 0, []
    for number, (name, entries) in enumerate(by_speaker.items()):
        groups = doubles.together(entries)
        every += groups
        order = [groups[i] for i in np.random.default_rng((seed, number)).permutation(len(groups))]
        held_out = max(1, round(SHARE * len(groups))) if len(groups) >= len(SPLITS) else 0
        few += not held_out
        for place, group in enumerate(order):
            split = "test" if place < held_out else "valid" if place < 2 * held_out else "train"
            recordings += [Recording(entry, name, "?", split) for entry in group]
    if (enough := len(by_speaker) - few) < C:
        raise CorpusError(f"{_show(root)}: {counted(enough, 'speaker')} with three recordings or more, "
                          f"but {C} are wanted; cut long recordings into several")
    notes = [SHARED_SPEAKERS, *doubles.note(every)]
    if few:
        notes.append(f"{counted(few, 'speaker')} with fewer than three recordings: heard in training only")
    return recordings, notes


def _check_speakers(root: Path, names: list[str], C: int) -> None:
    if len(names) < max(2, C):
        found = f"{counted(len(names), 'speaker')} ({', '.join(names)})"
        raise CorpusError(f"{_show(root)}: {found}, but a mixture needs {max(2, C)}; give each a folder of "
                          f"recordings, or say how paths name the speaker with folder:PATH?speaker=REGEX")


def _notes(cache: AudioCache, recordings: list[Recording], unusable: list[Unusable]) -> list[str]:
    """What was done to the recordings that are used, and how many are not."""
    used = {recording.entry.id for recording in recordings}
    rates = Counter(rate for name, rate in cache.facts["rates"].items() if name in used)
    several = sum(name in used for name in cache.facts["channels"])
    notes = [f"{counted(count, 'file')} resampled from {rate} Hz" for rate, count in sorted(rates.items())]
    if several:
        notes.append(f"{counted(several, 'file')} with more than one channel: first channel taken")
    if unusable:
        notes.append(f"{counted(len(unusable), 'file')} left out as unusable")
    return notes
