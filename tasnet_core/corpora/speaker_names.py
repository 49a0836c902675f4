"""The speaker of each recording, by its path: from folders, from file names, or by a pattern.

A layout is a claim. Where folders can be read in two ways that would make other people of the same
files, their names must decide (LibriSpeech's `1000/200/1000-200-0000.flac`), or the user: a person
who counts as two would be mixed with himself, and be in training and test.
"""

import re
import time
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import regex  # as re, and it can be told to stop

from tasnet_core.errors import CorpusError

PATTERN_S = 2.0  # for all paths together; a pattern that does not run away needs microseconds each

# Words that name no person: a split, a format, a sex, a region of TIMIT's, a session, a batch.
_NOBODY = re.compile(r"""
    (train(ing)?|tr|dev|valid(ation)?|val|cv|test|tt|eval(uation)?|si|sd)([-_.]\w.*)?
    | (wav|wave|flac|ogg|audio|sound|speech|clip|recording|utterance|data)s?
      ([-_]?\d+k?(hz)?)?([-_].*)? | \d+k(hz)?
    | f|m|female|male|women|men | dr[1-8]
    | (session|sess|chapter|chap|book|day|part|disc|disk|cd|take|visit|block|video|mic|microphone
      |ch|channel|batch|chunk|shard|fold|bucket|set|subset|section|vol|volume|tape|folder|dir
      |archive|upload|round)[-_ ]?\d+([-_ ]?of[-_ ]?\d+)?""", re.IGNORECASE | re.VERBOSE)
_SOMEBODY = re.compile(  # id10001: VoxCeleb
    r"(id|spk|spkr|speaker|person|subject|subj|talker)[-_ ]?\d+", re.IGNORECASE)
# Speaker, chapter, utterance: LibriSpeech, LibriTTS, MLS.
_NUMBERS = re.compile(r"(\d+)[-_](\d+)[-_]\d")

Folders = tuple[str, ...]
Chains = dict[Folders, Folders]


class Named(NamedTuple):
    """The speaker of each path, None where there is none; and sentences on how they were found."""

    speakers: list[str | None]
    notes: list[str]


def by_pattern(paths: Sequence[str], pattern: str) -> Named:
    """The pattern's group `speaker`, its group 1, or all of it in each path.

    Raises:
        CorpusError: when the pattern takes too long.
    """
    program, end = compiled(pattern), time.monotonic() + PATTERN_S
    group = "speaker" if "speaker" in program.groupindex else 1 if program.groups else 0
    speakers: list[str | None] = []
    for path in paths:
        try:
            found = program.search(path, timeout=max(1e-3, end - time.monotonic()))
        except TimeoutError as error:
            raise CorpusError(
                f"speaker={pattern}: after {PATTERN_S:g} s it had not come to an end, at {path}; "
                f"it tries too many ways, as repeats within repeats do: write one that finds the "
                f"speaker directly, such as speaker=^([^/]+)/") from error
        speakers.append(found[group] if found else None)
    return Named(speakers, [])


def compiled(pattern: str) -> "regex.Pattern[str]":
    """The pattern, ready for use.

    Raises:
        ValueError: when it is no regular expression.
    """
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(str(error)) from error


def by_folders(paths: Sequence[str], show: str) -> Named:
    """The one level of folders that can be people; names of files decide where there are several.

    Raises:
        CorpusError: when nothing decides, with the patterns that would.
    """
    chains = _chains({_folders(path) for path in paths})
    lowest = sorted({folders[-1] for folders in chains if folders})
    mix = next((name for name in lowest if re.fullmatch(r"mix(_\w+)?", name)), None)
    if mix and "s1" in lowest:
        raise CorpusError(f"{show}: folders {mix} and s1 hold mixtures and their sources, but "
                          f"recordings of one person each are wanted; give them as wsj0mix:PATH")
    if not any(chains.values()) and len(chains) > 1:
        raise CorpusError(
            f"{show}: its folders are named {', '.join(lowest[:4])}, and such names are no "
            f"people's; say how paths name the speaker with folder:PATH?speaker=REGEX")
    for rule in (_numbered, _single, _somebody, _begun):
        speakers = rule(paths, chains)
        if speakers is not None:
            speakers, notes = _one_spelling(speakers)
            return Named(list(speakers), [*_notes(paths, speakers, chains), *notes])
    raise _undecided(paths, chains, show)


def _notes(paths: Sequence[str], speakers: list[str], chains: Chains) -> list[str]:
    notes = []
    for path, speaker in zip(paths, speakers, strict=True):
        folders = _folders(path) or (".",)
        if _alike(speaker) != _alike(folders[-1]):
            notes.append(f"the speaker is not the parent folder: {speaker} in {path}, and so on")
            break
    above = {folders[:length] for folders in chains for length in range(len(folders))}
    for path, speaker in zip(paths, speakers, strict=True):
        folders = _folders(path)
        if folders in above and not chains[folders]:
            notes.append(f"what lies beside the speakers' folders is taken for one more speaker, "
                         f"{speaker}: {path}, and so on")
            break
    return notes


def _one_spelling(speakers: list[str]) -> tuple[list[str], list[str]]:
    """Anna0 for anna0, too: one person twice is worse than two people as one."""
    first: dict[str, str] = {}
    for speaker in speakers:
        first.setdefault(_alike(speaker), speaker)
    notes = []
    if others := sorted({name for name in speakers if first[_alike(name)] != name}):
        notes = [f"names that differ in case alone are one speaker: "
                 f"{', '.join(f'{first[_alike(name)]} and {name}' for name in others[:4])}"
                 f"{' …' * (len(others) > 4)}; to tell them apart give speaker=([^/]+)/[^/]+$"]
    return [first[_alike(speaker)] for speaker in speakers], notes


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _folders(path: str) -> Folders:
    return tuple(path.split("/")[:-1])


def _chains(every: Iterable[Folders]) -> Chains:
    """The folders around each file that may be a person.

    None whose names are words for other things, and none that all files have.
    """
    chains = {folders: tuple(name for name in folders if not _NOBODY.fullmatch(name))
              for folders in every}
    for end, rest in ((0, slice(1, None)), (-1, slice(None, -1))):
        while (all(len(chain) > 1 for chain in chains.values())
               and len({chain[end] for chain in chains.values()}) == 1):
            chains = {folders: chain[rest] for folders, chain in chains.items()}
    return chains


def _numbered(paths: Sequence[str], chains: Chains) -> list[str] | None:
    """1000 of 200/1000-200-0000.flac: the folder is the chapter, whose number comes second."""
    people: dict[Folders, str] = {}
    for path in paths:
        folders, found = _folders(path), _NUMBERS.match(path.rpartition("/")[2])
        if not (found and folders and found[2] == folders[-1]
                and people.setdefault(folders, found[1]) == found[1]):
            return None
    return [people[_folders(path)] for path in paths]


def _single(paths: Sequence[str], chains: Chains) -> list[str] | None:
    """The lowest folder, where the highest would make the same people of the files."""
    ends = {(chain[0], chain[-1]) for chain in chains.values() if chain}
    if not len(ends) == len({first for first, _ in ends}) == len({last for _, last in ends}):
        return None
    return [(chains[folders] or folders or (".",))[-1] for folders in map(_folders, paths)]


def _somebody(paths: Sequence[str], chains: Chains) -> list[str] | None:
    """The folder whose name is a person's: id10001."""
    people = {folders: [name for name in chain if _SOMEBODY.fullmatch(name)]
              for folders, chain in chains.items()}
    if any(len(each) != 1 for each in people.values()):
        return None
    return [people[_folders(path)][0] for path in paths]


def _begun(paths: Sequence[str], chains: Chains) -> list[str] | None:
    """A folder above the lowest with whose name its files' names begin: anna/monday/anna_3.wav.

    Where they begin with the lowest's, nothing is decided: group/anna/anna_3.wav looks like
    anna/novel/novel_3.wav.
    """
    speakers = []
    for path in paths:
        stem = path.rpartition("/")[2]
        found = [folder for folder in chains[_folders(path)][:-1] if stem.startswith(folder)
                 and not stem[len(folder):len(folder) + 1].isalnum()]
        if len(found) != 1:
            return None
        speakers += found
    return speakers


def _undecided(paths: Sequence[str], chains: Chains, show: str) -> CorpusError:
    path = max(paths, key=lambda path: len(chains[_folders(path)]))
    folders, chain = _folders(path), chains[_folders(path)]
    first, last = folders.index(chain[0]), len(folders) - 1 - folders[::-1].index(chain[-1])
    above = f"^{f'(?:[^/]+/){{{first}}}' * bool(first)}([^/]+)/"
    below = f"([^/]+)(?:/[^/]+){{{len(folders) - last}}}$"
    return CorpusError(
        f"{show}: {path}: is {chain[0]} the speaker or {chain[-1]}? Folders and names allow both; "
        f"say it with folder:PATH?speaker={above} for {chain[0]}, ?speaker={below} for {chain[-1]}")
