"""Who the speakers are: the lists of LibriSpeech and WSJ0, or a speakers.csv, found beside a corpus."""

import csv
import re
from pathlib import Path

from tasnet_core import audio
from tasnet_core.cells import of_cell
from tasnet_core.errors import CorpusError
from tasnet_core.files import home
from tasnet_core.mixture import Speaker

LISTS = re.compile(r"speakers\.csv|speakers\.txt|.*spkrinfo\.txt", re.IGNORECASE)
BESIDE = (".", "LibriSpeech", "doc", "wsj0/doc")  # where corpora keep their lists
UPWARDS = 3  # folders above the one given are looked in too: a corpus is often given by its part wav8k/min


def known_speakers(root: Path, named: str | None = None) -> dict[str, Speaker]:
    """The speakers that the file `named` tells of; without one, the nearest list in `root` or above it.

    Raises:
        CorpusError: when the named file is missing or a list cannot be read.
    """
    if named is not None:
        path = home(named)
        if not path.is_file():
            raise CorpusError(f"speakers={named}: no such file, but a list of speakers is wanted; it is "
                              f"SPEAKERS.TXT, spkrinfo.txt or a CSV file with the columns speaker,sex")
        return _read(path)
    here = root.resolve()
    for folder in (here, *list(here.parents)[:UPWARDS]):
        found = [path for name in BESIDE if (folder / name).is_dir() for path in sorted((folder / name).iterdir())
                 if LISTS.fullmatch(path.name) and path.is_file()]
        if found:
            return {key: speaker for path in reversed(found) for key, speaker in _read(path).items()}
    return {}


def _read(path: Path) -> dict[str, Speaker]:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise CorpusError(f"{audio.readable(path)}: cannot be read: {error.strerror or error}") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(";")]
    if path.suffix.lower() == ".csv":
        return _from_csv(path, lines)
    # LibriSpeech: `14 | F | train-clean-360 | 25.03 | name`; WSJ0: `011 F …`, whose files have small letters.
    rows = [[word.strip() for word in (line.split("|") if "|" in line else line.split())] for line in lines]
    return {row[0].lower(): Speaker(row[0].lower(), row[1].upper()) for row in rows
            if len(row) > 1 and row[1].upper() in ("F", "M")}


def _from_csv(path: Path, lines: list[str]) -> dict[str, Speaker]:
    """Columns speaker and sex; a third, name, where the first is only what file names hold."""
    reader = csv.DictReader(lines)
    columns = {name.strip().lower(): name for name in reader.fieldnames or ()}
    for wanted in ("speaker", "sex"):
        if wanted not in columns:
            raise CorpusError(f"{audio.readable(path)}: no column {wanted!r}, only {', '.join(columns) or 'none'}; "
                              f"a list of speakers has the columns speaker,sex")
    speakers = {}
    for row in reader:
        key, sex = ((row[columns[name]] or "").strip() for name in ("speaker", "sex"))
        name = of_cell((row[columns["name"]] or "").strip()) if "name" in columns else ""
        letter = sex[:1].upper()
        speakers[key] = Speaker(audio.readable(name or key), letter if letter in ("F", "M") else "?")
    return speakers
