"""What the folders of WSJ0-2mix and of LibriMix have in common: wav8k or wav16k, and in them min or max."""

import re
from collections.abc import Callable
from pathlib import Path

from tasnet_core import audio
from tasnet_core.errors import CorpusError
from tasnet_core.files import home

MODES = ("min", "max")


def find(corpus: str, path: str, inner: str, sample_rate_hz: int, mode: str | None,
         is_it: Callable[[Path], bool], wanted: str) -> tuple[Path, bool]:
    """The folder, `path` or below it, for which `is_it`; and whether its mixtures are of the mode max.

    On the way down may lie `inner`, then wav8k or wav16k, then min or max. Without the rate asked for, the
    highest there is serves, to be resampled. Where there is a choice and no mode is named, it is min.

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
    if not is_it(here) and (here / inner).is_dir():
        here = here / inner
    if not is_it(here) and (rates := _rates(here)):
        here = rates.get(sample_rate_hz) or rates[max(rates)]
    if not is_it(here) and (modes := [name for name in MODES if (here / name).is_dir()]):
        if (mode or "min") not in modes:
            raise CorpusError(f"{show}: {audio.readable(here)} holds {modes[0]} only, but mode={mode or 'min'} is wanted; "
                              f"add ?mode={modes[0]}")
        here = here / (mode or "min")
    if not is_it(here):
        names = sorted(audio.readable(entry.name) for entry in here.iterdir() if entry.is_dir())
        holds = f"no folder but {', '.join(names[:6])}{' …' * (len(names) > 6)}" if names else "no folder"
        raise CorpusError(f"{show}: {audio.readable(here)} holds {holds}, but {wanted} are wanted; "
                          f"give the folder that holds them, or one above it with wav8k/min between")
    name = here.resolve().name
    if mode and name in MODES and name != mode:
        raise CorpusError(f"{show}: these are mixtures of the mode {name}, but mode={mode} is wanted; "
                          f"give the folder above, or leave mode out")
    return here, (mode or name) == "max"


def _rates(folder: Path) -> dict[int, Path]:
    """The folders wav8k, wav16k and the like, by their rate in Hz."""
    found = ((re.fullmatch(r"wav(\d+)k", entry.name), entry) for entry in folder.iterdir() if entry.is_dir())
    return {1000 * int(match[1]): entry for match, entry in found if match}
