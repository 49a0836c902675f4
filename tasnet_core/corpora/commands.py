"""The commands `check`, which reads a corpus once, and `mix`, which writes it to WAV files.

`mix` writes the folders of WSJ0-2mix, for any toolkit that reads those.
"""

import csv
import os
import string
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tasnet_core import audio
from tasnet_core.cells import as_cell
from tasnet_core.corpora.registry import Corpus, Mixture, open_corpus
from tasnet_core.corpora.wsj0mix import FOLDERS, SPEAKER
from tasnet_core.errors import UserError
from tasnet_core.progress import shown
from tasnet_core.terminal import say

DIGITS = string.digits + string.ascii_lowercase  # of the three characters that name a speaker

README = """Mixtures of {C} speakers at {rate} Hz, written by `python -m tasnet_core mix`
from the corpus {spec}.

tr: {train} training mixtures of up to {seconds:g} s, drawn with seed {seed};
cv, tt: the corpus' fixed mixtures for validation and test.
In each: mix, s1 … s{C}{noise}; files of equal names belong together.
They are 32-bit float WAV, so that mix is exactly the sum of the others.
A name is utterance_level_utterance_level …, levels in dB; an utterance's first three characters
are its speaker. speakers.csv names the speakers and their sexes, mixtures.csv has the mixture of
the corpus for each file.
"""


def check(spec: str, C: int, sample_rate_hz: int, headers: bool) -> int:
    """Open the corpus, read all of it (or its headers alone), and print its parts and faults."""
    start = time.perf_counter()
    corpus = open_corpus(spec, C, sample_rate_hz, say=say)
    if not headers:
        corpus.read_all()
        corpus = open_corpus(spec, C, sample_rate_hz)
    for part in corpus.describe():
        sexes = ", ".join(f"{count} {sex}" for sex, count in part.sexes.items())
        mixtures = "drawn anew each epoch"
        if part.mixtures is not None:
            mixtures = f"{part.mixtures} fixed mixtures"
        say(f"{part.split:6} {part.speakers:4} speakers ({sexes}), {part.recordings} recordings, "
            f"{part.seconds / 60:.1f} min; {mixtures}")
    for note in corpus.notes:
        say(f"note: {note}")
    for unusable in corpus.unusable:
        say(f"unusable: {unusable.path}: {unusable.reason}")
    if corpus.unusable:
        say(f"{len(corpus.unusable)} unusable files")
    else:
        say("every file can be used")
    what = "headers" if headers else "everything"
    say(f"{what} read in {time.perf_counter() - start:.1f} s")
    return 0


def write(corpus: Corpus, out: Path, train: int, seconds: float, seed: int) -> list[str]:
    """Write `train` drawn training mixtures and all fixed ones into a folder, whole or not at all.

    Returns lines about the folders written.

    Raises:
        UserError: when `out` is not an empty or a new folder, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found = "holds files" if out.is_dir() else "is no folder"
        raise UserError(f"--out {out}: {found}, and nothing is ever overwritten; "
                        f"name a folder that is new or empty")
    parent = out.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=parent) as scratch:
            made = Path(scratch) / "mixtures"
            lines = _fill(made, corpus, train, seconds, seed)
            os.replace(made, out)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}; "
                        f"make room or name another folder") from error
    return lines


def _mixtures(corpus: Corpus, train: int, seconds: float,
              seed: int) -> Iterator[tuple[str, Mixture]]:
    samples = round(seconds * corpus.sample_rate_hz)
    for index in range(train):
        yield "train", corpus.segment(seed, 1, index, samples)
    for split in ("valid", "test"):
        for index in range(corpus.count(split)):
            yield split, corpus.mixture(split, index)


def _fill(folder: Path, corpus: Corpus, train: int, seconds: float, seed: int) -> list[str]:
    codes: dict[str, str] = {}  # in the order of their first mixture
    sexes: dict[str, str] = {}
    rows: list[list[str]] = []
    counts = dict.fromkeys(FOLDERS, 0)
    noisy, rate = False, corpus.sample_rate_hz
    total = train + corpus.count("valid") + corpus.count("test")
    every = _mixtures(corpus, train, seconds, seed)
    for split, mixture in shown(every, total, "writing", "mixtures"):
        for speaker, sex in zip(mixture.speakers, mixture.sexes, strict=True):
            codes.setdefault(speaker, _code(len(codes)))
            sexes[speaker] = sex
        mine = [codes[speaker] for speaker in mixture.speakers]
        name = _name(mine, counts[split], mixture)
        _write_one(folder / FOLDERS[split], name, mixture, rate)
        counts[split] += 1
        noisy = mixture.noise is not None
        rows.append([FOLDERS[split], name, mixture.id, "+".join(mixture.speakers),
                     "".join(mixture.sexes), f"{mixture.length / rate:.3f}"])
    columns = ["folder", "file", "mixture", "speakers", "sexes", "seconds"]
    _table(folder / "mixtures.csv", columns, rows)
    _table(folder / "speakers.csv", ["speaker", "sex", "name"],
           [[code, sexes[speaker], speaker] for speaker, code in codes.items()])
    text = README.format(C=corpus.C, rate=rate, spec=corpus.spec, train=train, seconds=seconds,
                         seed=seed, noise=" and noise" * noisy)
    (folder / "README.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    return [f"{FOLDERS[split]}: {count} mixtures" for split, count in counts.items()]


def _write_one(folder: Path, name: str, mixture: Mixture, rate: int) -> None:
    sounds = {"mix": mixture.mixture}
    sounds |= {f"s{i + 1}": source for i, source in enumerate(mixture.sources)}
    if mixture.noise is not None:
        sounds["noise"] = mixture.noise
    for part, sound in sounds.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        audio.write_exactly(folder / part / name, sound[:mixture.length], rate)


def _code(number: int) -> str:
    """Three characters for a speaker, as WSJ0 has them."""
    if number >= len(DIGITS) ** SPEAKER:
        raise UserError(f"{number} speakers, but the names of WSJ0's files can tell {number - 1} "
                        f"apart; write fewer mixtures")
    return _base(number, SPEAKER)


def _name(codes: list[str], number: int, mixture: Mixture) -> str:
    """A name as WSJ0-2mix has it: each utterance and its level in dB against the mean of all."""
    power = np.square(mixture.sources[:, :mixture.length], dtype=np.float64).mean(axis=1)
    levels = 10 * np.log10(np.maximum(power, 1e-10))
    parts = [f"{code}a{_base(number, 4)}_{level:.5g}"
             for code, level in zip(codes, levels - levels.mean(), strict=True)]
    return "_".join(parts) + ".wav"


def _base(number: int, digits: int) -> str:
    """A number in so many characters, more where they do not suffice."""
    text = ""
    while number or len(text) < digits:
        number, digit = divmod(number, len(DIGITS))
        text = DIGITS[digit] + text
    return text


def _table(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [columns, *(map(as_cell, row) for row in rows)])
