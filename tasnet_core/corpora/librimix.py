"""Mixtures that LibriMix' metadata list: a row for each in mixture_train-360_mix_clean.csv etc."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from tasnet_core import audio
from tasnet_core.corpora.stored import Listing
from tasnet_core.errors import CorpusError

TRAINS = ("train-360", "train-100")  # where both are there and none is named, the first


def is_set(folder: Path) -> bool:
    """Whether the metadata of mixtures are here."""
    return (folder / "metadata").is_dir() and any((folder / "metadata").glob("mixture_*.csv"))


def choose_train(root: Path, task: str, named: str | None) -> str:
    """The part to train on: the one named, else the larger of those that are there."""
    there = [name for name in TRAINS if _table(root, name, task).is_file()]
    return named or (there or TRAINS)[0]


def listings(root: Path, above: Path, C: int, task: str, train: str) -> list[Listing]:
    """All mixtures of all splits in the order of their tables.

    Tables hold the paths of the machine that made them. Of each, the longest end is taken that
    leads to a folder below `root` (where the metadata are) or `above` (the folder given).

    Raises:
        CorpusError: when a table is missing or lacks a column, has an ID twice, or C is another.
    """
    folders = _Folders(root, (above, root))
    found: list[Listing] = []
    for split, part in (("train", train), ("valid", "dev"), ("test", "test")):
        table = _table(root, part, task)
        lines: dict[str, int] = {}
        for number, row in _rows(table, C, task):
            name = row["mixture_ID"]
            if name in lines:
                raise CorpusError(
                    f"{audio.readable(table)}: mixture_ID {audio.readable(name)} in line "
                    f"{lines[name]} and again in line {number}, but each mixture has an ID of its "
                    f"own; take one of them away")
            lines[name] = number
            listed = [row["mixture_path"], *(row[f"source_{i + 1}_path"] for i in range(C))]
            noise = row.get("noise_path") if task != "mix_clean" else None
            paths = [folders.find(each) for each in listed]
            fault = ""
            if "" in paths:
                fault = (f"{audio.readable(listed[paths.index('')])}: no end of this path is below "
                         f"{audio.readable(above)}")
            found.append(Listing(
                f"{split}/{audio.readable(name)}", split, paths[0], tuple(paths[1:]),
                speakers(row.get("original_mixture_ID") or name, C), fault,
                folders.find(noise) if noise else ""))
    return found


def speakers(name: str, C: int) -> tuple[str, ...]:
    """The speakers in an ID such as 4077-13754-0001_5142-33396-0065; "?" for each in another kind.

    With one source there are two names all the same: the first is its speaker.
    """
    parts = name.split("_")
    if len(parts) < C or not all("-" in part for part in parts):
        return ("?",) * C
    return tuple(part.split("-")[0] for part in parts[:C])


def _table(root: Path, part: str, task: str) -> Path:
    return root / "metadata" / f"mixture_{part}_{task}.csv"


def _rows(path: Path, C: int, task: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row of a table and its line number."""
    show = audio.readable(path)
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    columns = reader.fieldnames or ()
    for wanted in ("mixture_ID", "mixture_path", "source_1_path"):
        if wanted not in columns:
            there = ", ".join(map(audio.readable, columns)) or "none"
            raise CorpusError(f"{show}: no column {wanted!r}, only {there}; "
                              f"is this a table LibriMix has made?")
    sources = sum(f"source_{i + 1}_path" in columns for i in range(len(columns)))
    if sources != C:
        raise CorpusError(
            f"{show}: {task} has {sources} speaker{'s' * (sources != 1)}, but C={C} is wanted; "
            f"choose C={sources}{' or task=mix_both' * (task == 'mix_single')} or another corpus")
    try:
        for row in reader:
            if any(row[name] is None for name in columns):
                raise CorpusError(f"{show}: line {reader.line_num} has fewer columns than the "
                                  f"first; was the copy cut short?")
            yield reader.line_num, row
    except csv.Error as error:
        raise CorpusError(f"{show}: line {reader.line_num} is no line of a CSV file: "
                          f"{error}") from error


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise OSError(0, "not a file")  # opening a FIFO would wait for ever
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        tables = path.parent.glob("mixture_*.csv")
        there = ", ".join(sorted(audio.readable(each.name) for each in tables))
        raise CorpusError(
            f"{audio.readable(path)}: {error.strerror}, but this table of mixtures is wanted; "
            f"{there} are there: choose with ?task= and train=, or make the missing one with "
            f"LibriMix' scripts") from error


class _Folders:
    """The folders of this machine for the folders that tables name; each is looked for once."""

    def __init__(self, root: Path, bases: tuple[Path, ...]) -> None:
        self._root, self._bases = root, bases
        self._known: dict[str, str] = {}

    def find(self, listed: str) -> str:
        """The path relative to the root; "" if no end of its folder is there.

        The file itself may be missing.
        """
        folder, _, name = listed.replace("\\", "/").rpartition("/")
        if folder not in self._known:
            self._known[folder] = self._look(folder)
        return f"{self._known[folder]}/{name}" if self._known[folder] else ""

    def _look(self, folder: str) -> str:
        parts = [part for part in folder.split("/") if part and part not in (".", "..")]
        for first in range(len(parts)):
            for base in self._bases:
                if (place := base.joinpath(*parts[first:])).is_dir():
                    return os.path.relpath(place, self._root)
        return ""
