"""Mixtures in the folders of WSJ0-2mix: tr, cv, tt; in each mix, s1, s2 … with equal file names.

WHAM! has three folders instead of mix: mix_clean, mix_both with the noise of its folder noise, and
mix_single, where that noise is behind s1 alone. Where noise lies beside mix, it is in the mixture.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from tasnet_core import audio
from tasnet_core.corpora.audio_cache import SPLITS
from tasnet_core.corpora.sound_files import skipped
from tasnet_core.corpora.stored import Listing
from tasnet_core.errors import CorpusError

FOLDERS = dict(zip(SPLITS, ("tr", "cv", "tt"), strict=True))
TASKS = ("mix_clean", "mix_both", "mix_single")  # WHAM!'s and LibriMix'
SPEAKER = 3  # the first characters of an utterance's name are its speaker's

_LEVEL = re.compile(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", re.IGNORECASE)


def is_set(folder: Path) -> bool:
    """Whether these are the mixtures themselves."""
    return any((folder / name).is_dir() for name in FOLDERS.values())


class Listed(NamedTuple):
    """The mixtures that lie in the folders."""

    listings: list[Listing]  # of all splits, sorted by name
    noisy: bool  # there is more in the mixtures than their sources
    notes: list[str]


def listings(root: Path, C: int, task: str | None = None) -> Listed:
    """All mixtures of all splits: in mix, or of one of WHAM!'s tasks, by default mix_clean.

    A mixture is listed where any of its files is; a missing one makes it unusable, and is named.

    Raises:
        CorpusError: when a folder is missing, C is another, or two files are the same mixture.
    """
    found: list[Listing] = []
    noisy, names = set(), []
    for split, name in FOLDERS.items():
        folder = root / name
        mix, count = _check_folders(folder, C, task)
        beside = (folder / "noise").is_dir()
        noisy.add(beside if mix == "mix" else mix != "mix_clean")
        parts = (mix, *(f"s{i + 1}" for i in range(C)))
        each = [_files(root, f"{name}/{part}") for part in parts]
        noise = _files(root, f"{name}/noise") if beside and mix != "mix_clean" else {}
        names += [file for part in parts for file in os.listdir(folder / part)]
        for stem in sorted(set().union(*each), key=os.fsencode):
            paths = [files.get(stem, "") for files in each]
            fault = ""
            if "" in paths:
                fault = f"no file of this name in {name}/{parts[paths.index('')]}"
            found.append(Listing(
                f"{split}/{audio.readable(stem)}", split, paths[0], tuple(paths[1:]),
                speakers(stem, count)[:C], fault, noise.get(stem, "")))
    if len(noisy) > 1:
        raise CorpusError(
            f"wsj0mix {audio.readable(root)}: a folder noise beside some of tr, cv and tt but not "
            f"beside all; it says that there is noise in the mixtures: add it or take it away "
            f"everywhere")
    return Listed(found, noisy == {True}, skipped(names))


def _check_folders(folder: Path, C: int, task: str | None) -> tuple[str, int]:
    """The name of the folder of mixtures, and how many folders of sources there are."""
    show = f"wsj0mix {audio.readable(folder)}"
    if not folder.is_dir():
        raise CorpusError(f"{show}: no such folder, but tr, cv and tt are wanted beside each "
                          f"other; was the corpus copied completely?")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    sources = [name for name in names if re.fullmatch(r"s[1-9]\d*", name)]
    mix = task or next((name for name in ("mix", *TASKS) if name in names), "mix")
    if mix not in names or not sources:
        there = ", ".join(map(audio.readable, names)) or "no folder"
        raise CorpusError(f"{show}: holds {there}, but {mix}, s1, s2 … are wanted")
    used = ["s1"] if mix == "mix_single" else sources
    if set(used) != {f"s{i + 1}" for i in range(C)}:
        holds = f"{', '.join(sources)}, mixtures of {len(sources)} speakers"
        if mix == "mix_single":
            holds = "mix_single, one speaker and noise"
        raise CorpusError(f"{show}: holds {holds}, but C={C} is wanted; "
                          f"choose C={len(used)} or another corpus")
    return mix, len(sources)


def _files(root: Path, part: str) -> dict[str, str]:
    """The sound files in a folder of the corpus: their paths by their names without suffix."""
    files: dict[str, str] = {}
    for name in sorted(os.listdir(root / part), key=os.fsencode):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in audio.SUFFIXES:
            continue
        if stem in files:
            raise CorpusError(
                f"wsj0mix {audio.readable(root)}: {audio.readable(files[stem])} and "
                f"{audio.readable(name)} are the same mixture twice; take one of them away")
        files[stem] = f"{part}/{name}"
    return files


def speakers(stem: str, C: int) -> tuple[str, ...]:
    """The speakers in a name such as 011a0101_0.061105_401c020r_-0.061105: utterance, level, …

    "?" for each where the name is of another kind.
    """
    parts = stem.split("_")
    utterances, levels = parts[0::2], parts[1::2]
    if (len(utterances) != C or any(len(part) <= SPEAKER for part in utterances)
            or not all(map(_LEVEL.fullmatch, levels))):
        return ("?",) * C
    return tuple(part[:SPEAKER].lower() for part in utterances)
