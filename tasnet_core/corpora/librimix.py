"""Mixtures that LibriMix' metadata list: mixture_train-360_mix_clean.csv and its like, a row for each."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from tasnet_core import audio
from tasnet_core.corpora.stored import Listing
from tasnet_core.errors import CorpusError

TASKS = ("mix_clean", "mix_both", "mix_single")
TRAINS = ("train-360", "train-100")  # the larger first: it is taken where both are there and none is named


def is_set(folder: Path) -> bool:
    """Whether the metadata of mixtures are here."""
    return (folder / "metadata").is_dir() and any((folder / "metadata").glob("mixture_*.csv"))


def choose_train(root: Path, task: str, named: str | None) -> str:
    """The part to train on: the one named, else the larger of those that are there."""
    there = [name for name in TRAINS if _table(root, name, task).is_file()]
    return named or (there or TRAINS)[0]


def listings(root: Path, above: Path, C: int, task: str, train: str) -> list[Listing]:
    """All mixtures of all splits in the order of their tables.

    Tables hold the paths of the machine that made them. Of each, the longest end is taken that leads to a
    folder below `root` (where the metadata are) or `above` (what the user gave).

    Raises:
        CorpusError: when a table is missing or lacks a column, holds an ID twice, or C is another.
    """
    folders = _Folders(root, (above, root))
    found: list[Listing] = []
    for split, part in (("train", train), ("valid", "dev"), ("test", "test")):
        path = _table(root, part, task)
        seen: dict[str, int] = {}
        for number, row in _rows(path, C, task):
            name = row["mixture_ID"]
            if name in seen:
                raise CorpusError(f"{audio.readable(path)}: mixture_ID {audio.readable(name)} in line {seen[name]} and again in "
                                  f"line {number}, but each mixture has an ID of its own; take one of them away")
            seen[name] = number
            told = [row["mixture_path"], *(row[f"source_{i + 1}_path"] for i in range(C))]
            noise = row.get("noise_path") if task != "mix_clean" else None
            paths = [folders.find(each) for each in told]
            missing = [each for each, path in zip(told, paths, strict=True) if not path]
            fault = f"{audio.readable(missing[0])}: no end of this path is below {audio.readable(above)}" if missing else ""
            found.append(Listing(f"{split}/{audio.readable(name)}", split, paths[0], tuple(paths[1:]),
                                 speakers(row.get("original_mixture_ID") or name, C), fault,
                                 folders.find(noise) if noise else ""))
    return found


def speakers(name: str, C: int) -> tuple[str, ...]:
    """Who talks, from an ID such as 4077-13754-0001_5142-33396-0065; "?" for each where it is of another kind.

    With one source there are two names all the same: the first is its speaker.
    """
    parts = name.split("_")
    told = len(parts) >= C and all("-" in part for part in parts)
    return tuple(part.split("-")[0] for part in parts[:C]) if told else ("?",) * C


def _table(root: Path, part: str, task: str) -> Path:
    return root / "metadata" / f"mixture_{part}_{task}.csv"


def _rows(path: Path, C: int, task: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row of a table and its line number."""
    show = audio.readable(path)
    try:
        if path.exists() and not path.is_file():
            raise OSError(0, "not a file")  # opening a FIFO would wait for ever
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        there = ", ".join(sorted(audio.readable(each.name) for each in path.parent.glob("mixture_*.csv")))
        raise CorpusError(f"{show}: {error.strerror}, but this table of mixtures is wanted; {there} are there: choose "
                          f"with ?task= and train=, or make the missing one with LibriMix' scripts") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = reader.fieldnames or ()
    for wanted in ("mixture_ID", "mixture_path", "source_1_path"):
        if wanted not in columns:
            raise CorpusError(f"{show}: no column {wanted!r}, only {', '.join(map(audio.readable, columns)) or 'none'}; "
                              f"is this a table LibriMix has made?")
    sources = sum(f"source_{i + 1}_path" in columns for i in range(len(columns)))
    if sources != C:
        raise CorpusError(f"{show}: {task} has {sources} speaker{'s' * (sources != 1)}, but C={C} is wanted; choose "
                          f"C={sources}{' or task=mix_both' * (task == 'mix_single')} or another corpus")
    for row in _as_csv(reader, show):
        if any(row[name] is None for name in columns):
            raise CorpusError(f"{show}: line {reader.line_num} has fewer columns than the first; was the copy cut short?")
        yield reader.line_num, row


def _as_csv(reader: "csv.DictReader[str]", show: str) -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise CorpusError(f"{show}: line {reader.line_num} is no line of a CSV file: {error}") from error


class _Folders:
    """The folders of this machine for the folders that tables name; each is looked for once."""

    def __init__(self, root: Path, bases: tuple[Path, ...]) -> None:
        self._root, self._bases = root, bases
        self._known: dict[str, str] = {}

    def find(self, told: str) -> str:
        """The path relative to the root, or "" where no end of its folder is there. The file may be missing."""
        folder, _, name = told.replace("\\", "/").rpartition("/")
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
