"""Mixtures in the folders of WSJ0-2mix: tr, cv, tt; in each of them mix, s1, s2 … with files of equal names.

Where WHAM! has its fourth folder, noise, the mixture holds more than its sources.
"""

import os
import re
from pathlib import Path

from tasnet_core import audio
from tasnet_core.errors import CorpusError
from tasnet_core.listed import Listing
from tasnet_core.shelf import SPLITS

FOLDERS = dict(zip(SPLITS, ("tr", "cv", "tt"), strict=True))
SPEAKER = 3  # the first characters of an utterance's name are its speaker's


def is_set(folder: Path) -> bool:
    """Whether these are the mixtures themselves."""
    return any((folder / name).is_dir() for name in FOLDERS.values())


def listings(root: Path, C: int) -> tuple[list[Listing], bool]:
    """All mixtures of all splits, sorted by name, and whether there is noise in them.

    A mixture is listed where any of its files is; what is missing makes it unusable, and is named.

    Raises:
        CorpusError: when a folder is missing, C is another, or two files claim to be the same mixture.
    """
    found: list[Listing] = []
    noisy = set()
    for split, name in FOLDERS.items():
        folder = root / name
        _see_folders(folder, C)
        noisy.add((folder / "noise").is_dir())
        each = [_files(root, f"{name}/{part}") for part in ("mix", *(f"s{i + 1}" for i in range(C)))]
        for stem in sorted(set().union(*each), key=os.fsencode):
            paths = [files.get(stem, "") for files in each]
            missing = [part for part, path in zip(("mix", *(f"s{i + 1}" for i in range(C))), paths, strict=True) if not path]
            found.append(Listing(f"{split}/{audio.readable(stem)}", split, paths[0], tuple(paths[1:]), speakers(stem, C),
                                 f"no file of this name in {name}/{missing[0]}" if missing else ""))
    if len(noisy) > 1:
        raise CorpusError(f"wsj0mix {audio.readable(root)}: a folder noise beside some of tr, cv and tt but not beside all; "
                          f"it says that there is noise in the mixtures: add it or take it away everywhere")
    return found, noisy == {True}


def _see_folders(folder: Path, C: int) -> None:
    show = f"wsj0mix {audio.readable(folder)}"
    if not folder.is_dir():
        raise CorpusError(f"{show}: no such folder, but tr, cv and tt are wanted beside each other; "
                          f"was the corpus copied completely?")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    sources = [name for name in names if re.fullmatch(r"s[1-9]\d*", name)]
    if "mix" not in names or not sources:
        raise CorpusError(f"{show}: holds {', '.join(map(audio.readable, names)) or 'no folder'}, but mix, s1, s2 … are wanted")
    if set(sources) != {f"s{i + 1}" for i in range(C)}:
        raise CorpusError(f"{show}: holds {', '.join(sources)}, mixtures of {len(sources)} speakers, but C={C} is wanted; "
                          f"choose C={len(sources)} or another corpus")


def _files(root: Path, part: str) -> dict[str, str]:
    """The sound files in a folder of the corpus: their paths by their names without suffix."""
    files: dict[str, str] = {}
    for name in sorted(os.listdir(root / part), key=os.fsencode):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in audio.SUFFIXES:
            continue
        if stem in files:
            raise CorpusError(f"wsj0mix {audio.readable(root)}: {audio.readable(files[stem])} and {audio.readable(name)} "
                              f"are the same mixture twice; take one of them away")
        files[stem] = f"{part}/{name}"
    return files


def speakers(stem: str, C: int) -> tuple[str, ...]:
    """Who talks, from a name such as 011a0101_0.061105_401c020r_-0.061105: utterance, its level, the next …

    "?" for each where the name is of another kind.
    """
    parts = stem.split("_")
    utterances, levels = parts[0::2], parts[1::2]
    told = (len(utterances) == C and all(len(part) > SPEAKER for part in utterances)
            and all(re.fullmatch(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", part, re.IGNORECASE) for part in levels))
    return tuple(part[:SPEAKER].lower() for part in utterances) if told else ("?",) * C
