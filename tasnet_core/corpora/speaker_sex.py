"""Names and sexes of speakers: the lists of LibriSpeech and WSJ0, or a speakers.csv by a corpus."""

import csv
import re
from pathlib import Path
from typing import NamedTuple

from tasnet_core import audio
from tasnet_core.cells import of_cell
from tasnet_core.corpora.mixture import Speaker
from tasnet_core.errors import CorpusError
from tasnet_core.files import home

LISTS = re.compile(r"speakers\.csv|speakers\.txt|.*spkrinfo\.txt", re.IGNORECASE)
BESIDE = (".", "LibriSpeech", "doc", "wsj0/doc")  # where corpora keep their lists
UPWARDS = 3  # folders above are looked in too: a corpus is often given by its part wav8k/min


class Known(NamedTuple):
    """The speakers of a list, by what file names hold of them; and the lists that were none."""

    speakers: dict[str, Speaker]
    notes: list[str]


def known_speakers(root: Path, named: str | None = None) -> Known:
    """The speakers in the file `named`; by default in the nearest list in `root` or above it.

    A file that was only found, and is no such list, belongs to something else.

    Raises:
        CorpusError: when the named file is missing or no list.
    """
    if named is not None:
        path = home(named)
        if not path.is_file():
            raise CorpusError(
                f"speakers={named}: no such file, but a list of speakers is wanted; it is "
                f"SPEAKERS.TXT, spkrinfo.txt or a CSV file with the columns speaker,sex")
        return Known(_read(path), [])
    notes: list[str] = []
    here = root.resolve()
    for folder in (here, *list(here.parents)[:UPWARDS]):
        known: dict[str, Speaker] = {}
        for path in reversed(_lists(folder)):
            try:
                known |= _read(path)
            except CorpusError as error:
                notes.append(f"ignored: {error}")
        if known:
            return Known(known, notes)
    return Known({}, notes)


def _lists(folder: Path) -> list[Path]:
    return [path for name in BESIDE if (folder / name).is_dir()
            for path in sorted((folder / name).iterdir())
            if LISTS.fullmatch(path.name) and path.is_file()]


def _read(path: Path) -> dict[str, Speaker]:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise CorpusError(f"{audio.readable(path)}: cannot be read: "
                          f"{error.strerror or error}") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(";")]
    if path.suffix.lower() == ".csv":
        return _from_csv(audio.readable(path), lines)
    # LibriSpeech: `14 | F | train-clean-360 | 25.03 | name`; WSJ0: `011 F …`, in file names with
    # small letters.
    speakers = {}
    for line in lines:
        name, sex, *_ = *(word.strip() for word in line.split("|" if "|" in line else None)), "", ""
        if sex.upper() in ("F", "M"):
            speakers[name.lower()] = Speaker(name.lower(), sex.upper())
    return speakers


def _from_csv(show: str, lines: list[str]) -> dict[str, Speaker]:
    """Columns speaker and sex; a third, name, where the first is only what file names hold."""
    try:
        rows = list(reader := csv.DictReader(lines))
    except csv.Error as error:
        raise CorpusError(f"{show}: no CSV file: {error}; "
                          f"a list of speakers has the columns speaker,sex") from error
    columns = {name.strip().lower(): name for name in reader.fieldnames or ()}
    for wanted in ("speaker", "sex"):
        if wanted not in columns:
            raise CorpusError(f"{show}: no column {wanted!r}, only {', '.join(columns) or 'none'}; "
                              f"a list of speakers has the columns speaker,sex")
    speakers = {}
    for row in rows:
        cells = {column: (row[name] or "").strip() for column, name in columns.items()}
        name = of_cell(cells.get("name", "")) or cells["speaker"]
        sex = cells["sex"][:1].upper() or "?"
        speakers[cells["speaker"]] = Speaker(audio.readable(name), sex if sex in "FM" else "?")
    return speakers
