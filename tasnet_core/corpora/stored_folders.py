"""The folders that WSJ0-2mix and LibriMix share: wav8k or wav16k, and in them min or max."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tasnet_core import audio
from tasnet_core.errors import CorpusError
from tasnet_core.files import home

MODES = ("min", "max")


class MixtureFolder(NamedTuple):
    """The folder of a corpus' mixtures, and their mode: "min", "max", or what it is called."""

    path: Path
    mode: str


def find(corpus: str, path: str, inner: str, sample_rate_hz: int, mode: str | None,
         is_set: Callable[[Path], bool], wanted: str) -> MixtureFolder:
    """The first folder for which `is_set`: `path`, or below it `inner`/wav8k/min or a part of it.

    Without the rate asked for the highest there is serves, to be resampled; where there is a
    choice and no mode is named, it is min.

    Raises:
        CorpusError: when there is no such folder.
    """
    root = home(path)
    show = f"{corpus} {audio.readable(root)}"
    if not root.is_dir():
        found = "not a folder" if root.exists() else "does not exist"
        raise CorpusError(f"{show}: {found}, but a folder with {wanted} is wanted; "
                          f"check the path, it is taken from the current folder")
    here = root
    for here in _candidates(root, inner, sample_rate_hz, mode or "min"):
        if is_set(here):
            break
    else:
        raise CorpusError(f"{show}: {_other_folders(here, wanted, mode)}")
    name = here.resolve().name
    if mode and name in MODES and name != mode:
        raise CorpusError(f"{show}: these are mixtures of the mode {name}, but mode={mode} is "
                          f"wanted; give the folder above, or leave mode out")
    return MixtureFolder(here, mode or name)


def _candidates(root: Path, inner: str, sample_rate_hz: int, mode: str) -> Iterator[Path]:
    """The folder given, and those further down, as WSJ0-2mix and LibriMix have them."""
    here = root
    yield here
    if (here / inner).is_dir():
        here /= inner
        yield here
    matches = ((re.fullmatch(r"wav(\d+)k", entry.name), entry) for entry in here.iterdir()
               if entry.is_dir())
    rates = {1000 * int(match[1]): entry for match, entry in matches if match}
    if rates:
        here = rates.get(sample_rate_hz) or rates[max(rates)]
        yield here
    if any((here / name).is_dir() for name in MODES):
        yield here / mode


def _other_folders(here: Path, wanted: str, mode: str | None) -> str:
    """The message where no candidate has the mixtures: what lies in the last of them instead."""
    if not here.is_dir():
        there = next(name for name in MODES if name != here.name)
        return (f"{audio.readable(here.parent)} holds {there} only, but mode={mode or 'min'} is "
                f"wanted; add ?mode={there}")
    names = sorted(audio.readable(entry.name) for entry in here.iterdir() if entry.is_dir())
    holds = "no folder"
    if names:
        holds += f" but {', '.join(names[:6])}{' …' * (len(names) > 6)}"
    return (f"{audio.readable(here)} holds {holds}, but {wanted} are wanted; "
            f"give the folder that holds them, or one above it with wav8k/min between")
