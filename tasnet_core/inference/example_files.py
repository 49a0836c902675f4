"""The audio examples of a study as files: their names, and those that are whole. No torch.

They are in the folder `sounds` beside the checkpoints: of each mixture that is kept, by its index
in the test set, the mixture and its true sources, and of each run what its network made of it. Each
of these sets has a record, written after its files and with their checksums: so nothing that is
missing, cut short or half replaced is taken for an example.
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
    """Audio as a browser plays it."""

    content: bytes
    mime: str


class Example(NamedTuple):
    """A test mixture, its sources, and what each run made of it."""

    number: int  # in the test set, from 0
    id: str
    speakers: tuple[str, ...]
    sexes: tuple[str, ...]  # "F", "M" or "?"
    mixture: Clip
    truths: tuple[Clip, ...]  # in the order of the speakers, like the outputs
    outputs: dict[tuple[int, int], tuple[Clip, ...]]  # by (trial, seed)


def stem(number: int, run: str = "") -> str:
    """The name of a mixture's files, or of a run's outputs for it, by its checkpoint's name."""
    return f"mixture-{number:04}" + (f"-{run}" if run else "")


def record(contents: Mapping[str, bytes], **facts: Any) -> bytes:
    """The record of a set of files, by their names."""
    checksums = {name: zlib.crc32(content) for name, content in contents.items()}
    return json.dumps({**facts, "files": checksums}, indent=1).encode()


def read(folder: Path, checkpoints: Mapping[tuple[int, int], str | Path]) -> list[Example]:
    """The audio examples of a study, mixture by mixture in the order of the test set.

    `folder` is where the study's checkpoints lie, and `checkpoints` those of the runs that are
    wanted, of which the name alone counts. A run of which not every output is whole is left out,
    and so is a mixture.
    """
    found = []
    for number in sorted(int(match[1]) for path in (folder / FOLDER).glob("mixture-*.json")
                        if (match := re.fullmatch(r"mixture-(\d+)\.json", path.name))):
        facts, clips = _read(folder / FOLDER, stem(number))
        speakers, sexes = tuple(facts.get("speakers", ())), tuple(facts.get("sexes", ()))
        if not clips or not len(speakers) == len(sexes) == len(clips) - 1:
            continue
        sets = {
            run: _read(folder / FOLDER, stem(number, Path(path).stem))[1]
            for run, path in checkpoints.items()}
        outputs = {run: signals for run, signals in sets.items() if len(signals) == len(clips) - 1}
        name = str(facts.get("id", ""))
        found.append(Example(number, name, speakers, sexes, clips[0], clips[1:], outputs))
    return found


def _read(folder: Path, name: str) -> tuple[dict[str, Any], tuple[Clip, ...]]:
    """The record and the clips of a set; nothing of one that is not whole."""
    try:
        facts = json.loads((folder / f"{name}.json").read_bytes())
        clips = {
            file: Clip((folder / file).read_bytes(), MIME[Path(file).suffix])
            for file in facts["files"]}
        whole = all(
            zlib.crc32(clips[file].content) == checksum
            for file, checksum in facts["files"].items())
        return (facts, tuple(clips.values())) if whole else ({}, ())
    # Not there, or not what was written.
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}, ()
