"""The sounds of a study as they lie on disk: their names, and those that are whole. Standard library only.

They are in the folder `sounds` beside the checkpoints: of each mixture that is kept, by its index in the test set, the
mixture and its true sources, and of each run what its network made of it. Each of these sets has a record, written after
its files and with their checksums: so nothing that is missing, cut short or half replaced is taken for a sound.
"""

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = "sounds"
MIME = {".flac": "audio/flac", ".mp3": "audio/mpeg"}


class Clip(NamedTuple):
    """A sound as a browser takes it."""

    content: bytes
    mime: str


class Kept(NamedTuple):
    """A test mixture and all that is kept of it."""

    number: int  # in the test set, from 0
    id: str
    speakers: tuple[str, ...]
    sexes: tuple[str, ...]  # "F", "M" or "?"
    mixture: Clip
    truths: tuple[Clip, ...]  # in the order of the speakers, like the outputs
    outputs: dict[tuple[int, int], tuple[Clip, ...]]  # by (trial, seed)


def stem(number: int, run: str = "") -> str:
    """What the files of a mixture are called, or those of what a run, by its checkpoint's name, made of it."""
    return f"mixture-{number:04}" + (f"-{run}" if run else "")


def record(contents: Mapping[str, bytes], **facts: Any) -> bytes:
    """The record of a set of files, by their names."""
    return json.dumps({**facts, "files": {name: zlib.crc32(content) for name, content in contents.items()}}, indent=1).encode()


def kept(folder: Path, checkpoints: Mapping[tuple[int, int], str | Path]) -> list[Kept]:
    """What can be heard of a study, mixture by mixture in the order of the test set; empty when there is nothing.

    `folder` is where the study's checkpoints lie, and `checkpoints` those of the runs that are wanted, of which the name alone
    counts. A run of which not every output is whole is left out, and so is a mixture.
    """
    found = []
    for number in sorted(int(match[1]) for path in (folder / FOLDER).glob("mixture-*.json")
                        if (match := re.fullmatch(r"mixture-(\d+)\.json", path.name))):
        facts, sounds = _read(folder / FOLDER, stem(number))
        if not sounds or {len(facts.get(name, ())) for name in ("speakers", "sexes")} != {len(sounds) - 1}:
            continue
        sets = {run: _read(folder / FOLDER, stem(number, Path(path).stem))[1] for run, path in checkpoints.items()}
        outputs = {run: signals for run, signals in sets.items() if len(signals) == len(sounds) - 1}
        found.append(Kept(number, str(facts.get("id", "")), tuple(facts["speakers"]), tuple(facts["sexes"]),
                          sounds[0], sounds[1:], outputs))
    return found


def _read(folder: Path, name: str) -> tuple[dict[str, Any], tuple[Clip, ...]]:
    """The record and the clips of a set; nothing of one that is not whole."""
    try:
        facts = json.loads((folder / f"{name}.json").read_bytes())
        sounds = {file: Clip((folder / file).read_bytes(), MIME[Path(file).suffix]) for file in facts["files"]}
        whole = all(zlib.crc32(sounds[file].content) == checksum for file, checksum in facts["files"].items())
        return (facts, tuple(sounds.values())) if whole else ({}, ())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):     # not there, or not what was written
        return {}, ()
