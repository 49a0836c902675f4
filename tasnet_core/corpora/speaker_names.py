"""Whose recording a file is, told from its path: by the folders it lies in, by its name, or by a pattern.

A layout is a claim. Where folders can be read in two ways that would make other people of the same files, their names must
decide (LibriSpeech's `1000/200/1000-200-0000.flac`), or the user: a person who is two would be mixed with himself, and be
in training and test.
"""

import re
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import regex  # as re, and it can be told to stop

from tasnet_core.errors import CorpusError

PATTERN_S = 2.0  # for all paths together; a pattern that does not run away needs microseconds for each

# Words that name no person: a part of a corpus, a format, a sex, a region of TIMIT's, a session.
_NOBODY = re.compile(r"""
    (train(ing)?|tr|dev|valid(ation)?|val|cv|test|tt|eval(uation)?|si|sd)([-_.]\w.*)?
    | (wav|wave|flac|ogg|audio|sound|speech|clip|recording|utterance|data)s?([-_]?\d+k?(hz)?)?([-_].*)? | \d+k(hz)?
    | f|m|female|male|women|men | dr[1-8]
    | (session|sess|chapter|chap|book|day|part|disc|disk|cd|take|visit|block|video|mic|microphone|ch|channel)[-_ ]?\d+""",
                     re.IGNORECASE | re.VERBOSE)
_SOMEBODY = re.compile(r"(id|spk|spkr|speaker|person|subject|subj|talker)[-_ ]?\d+", re.IGNORECASE)  # id10001: VoxCeleb
_NUMBERS = re.compile(r"(\d+)[-_](\d+)[-_]\d")  # speaker, chapter, utterance: LibriSpeech, LibriTTS, MLS

Folders = tuple[str, ...]


class Told(NamedTuple):
    """The speaker of each path, None where there is none; and what must be said of how they were told."""

    speakers: list[str | None]
    notes: list[str]


def by_pattern(names: Sequence[str], pattern: str) -> Told:
    """What the pattern's group `speaker`, its group 1, or all of it finds in each path.

    Raises:
        CorpusError: when the pattern takes too long.
    """
    program, end = compiled(pattern), time.monotonic() + PATTERN_S
    speakers: list[str | None] = []
    for name in names:
        try:
            found = program.search(name, timeout=max(1e-3, end - time.monotonic()))
        except TimeoutError as error:
            raise CorpusError(f"speaker={pattern}: after {PATTERN_S:g} s it had not come to an end, at {name}; it tries too many "
                              f"ways, as repeats within repeats do: write one that finds the speaker directly, such as "
                              f"speaker=^([^/]+)/") from error
        group = "speaker" if "speaker" in program.groupindex else 1 if program.groups else 0
        speakers.append(found[group] if found else None)
    return Told(speakers, [])


def compiled(pattern: str) -> "regex.Pattern[str]":
    """The pattern, ready for use.

    Raises:
        ValueError: when it is no regular expression.
    """
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(str(error)) from error


def by_folders(names: Sequence[str], show: str) -> Told:
    """The one level of folders that can tell people apart; names of files decide where there are several.

    Raises:
        CorpusError: when nothing decides, with the patterns that would.
    """
    chains = _chains({_folders(name) for name in names})
    lowest = sorted({folders[-1] for folders in chains if folders})
    if "s1" in lowest and (mix := next((name for name in lowest if re.fullmatch(r"mix(_\w+)?", name)), None)):
        raise CorpusError(f"{show}: folders {mix} and s1 hold mixtures and their sources, but recordings of one person each are "
                          f"wanted; give them as wsj0mix:PATH")
    if not any(chains.values()) and len(chains) > 1:
        raise CorpusError(f"{show}: its folders are named {', '.join(lowest[:4])}, and such names are no people's; "
                          f"say how paths name the speaker with folder:PATH?speaker=REGEX")
    for tell in (_numbered, _single, _somebody, _begun):
        if (speakers := tell(names, chains)) is not None:
            parents = [folders[-1] if (folders := _folders(name)) else "." for name in names]
            odd = next((i for i, pair in enumerate(zip(speakers, parents, strict=True)) if pair[0] != pair[1]), None)
            notes = [] if odd is None else [f"the speaker is not the parent folder: {speakers[odd]} in {names[odd]}, and so on"]
            above = {folders[:length] for folders in chains for length in range(len(folders))}
            if beside := [i for i, name in enumerate(names) if _folders(name) in above and not chains[_folders(name)]]:
                notes.append(f"what lies beside the speakers' folders is taken for one more speaker, {speakers[beside[0]]}: "
                             f"{names[beside[0]]}, and so on")
            return Told(list(speakers), notes)
    raise _undecided(names, chains, show)


def _folders(name: str) -> Folders:
    return tuple(name.split("/")[:-1])


def _chains(every: Iterable[Folders]) -> dict[Folders, Folders]:
    """Of the folders around a file those that may be a person: no words for anything else, and none that all have."""
    chains = {folders: tuple(name for name in folders if not _NOBODY.fullmatch(name)) for folders in every}
    for end, rest in ((0, slice(1, None)), (-1, slice(None, -1))):
        while all(len(chain) > 1 for chain in chains.values()) and len({chain[end] for chain in chains.values()}) == 1:
            chains = {folders: chain[rest] for folders, chain in chains.items()}
    return chains


def _numbered(names: Sequence[str], chains: dict[Folders, Folders]) -> list[str] | None:
    """1000 of 200/1000-200-0000.flac: the folder is the chapter, whose number all its names have, behind one person's."""
    people: dict[Folders, str] = {}
    for name in names:
        folders, found = _folders(name), _NUMBERS.match(name.rpartition("/")[2])
        if not (found and folders and found[2] == folders[-1] and people.setdefault(folders, found[1]) == found[1]):
            return None
    return [people[_folders(name)] for name in names]


def _single(names: Sequence[str], chains: dict[Folders, Folders]) -> list[str] | None:
    """The lowest folder, where the highest would tell the same people apart."""
    ends = {(chain[0], chain[-1]) for chain in chains.values() if chain}
    if not len(ends) == len({first for first, _ in ends}) == len({last for _, last in ends}):
        return None
    return [(chains[folders] or folders or (".",))[-1] for folders in map(_folders, names)]


def _somebody(names: Sequence[str], chains: dict[Folders, Folders]) -> list[str] | None:
    """The folder whose name says that it is a person's: id10001."""
    people = {folders: [name for name in chain if _SOMEBODY.fullmatch(name)] for folders, chain in chains.items()}
    if any(len(each) != 1 for each in people.values()):
        return None
    return [people[_folders(name)][0] for name in names]


def _begun(names: Sequence[str], chains: dict[Folders, Folders]) -> list[str] | None:
    """A folder above the lowest with whose name the names of its files begin: anna/monday/anna_3.wav.

    Where they begin with the lowest's, nothing is decided: group/anna/anna_3.wav looks like anna/novel/novel_3.wav.
    """
    speakers = []
    for name in names:
        stem = name.rpartition("/")[2]
        found = [folder for folder in chains[_folders(name)][:-1] if stem.startswith(folder)
                 and not stem[len(folder):len(folder) + 1].isalnum()]
        if len(found) != 1:
            return None
        speakers += found
    return speakers


def _undecided(names: Sequence[str], chains: dict[Folders, Folders], show: str) -> CorpusError:
    name = max(names, key=lambda name: len(chains[_folders(name)]))
    folders, chain = _folders(name), chains[_folders(name)]
    first, last = folders.index(chain[0]), len(folders) - 1 - folders[::-1].index(chain[-1])
    above = f"^{f'(?:[^/]+/){{{first}}}' * bool(first)}([^/]+)/"
    below = f"([^/]+)(?:/[^/]+){{{len(folders) - last}}}$"
    return CorpusError(f"{show}: {name}: is {chain[0]} the speaker or {chain[-1]}? Folders and names allow both; "
                       f"say it with folder:PATH?speaker={above} for {chain[0]}, ?speaker={below} for {chain[-1]}")

