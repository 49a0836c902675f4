"""The command `mix`: a corpus written to WAV files in the folders of WSJ0-2mix, for any toolkit that reads those."""

import csv
import os
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tasnet_core import audio
from tasnet_core.cells import as_cell
from tasnet_core.corpora import wsj0mix
from tasnet_core.corpora.registry import Corpus, Mixture
from tasnet_core.errors import UserError
from tasnet_core.progress import shown

DIGITS = string.digits + string.ascii_lowercase  # of the three characters that stand for a speaker

README = """Mixtures of {C} speakers at {rate} Hz, written by `python -m tasnet_core mix` from the corpus {spec}.

tr: {train} training mixtures of up to {seconds:g} s, drawn with seed {seed};
cv, tt: the corpus' fixed mixtures for validation and test.
In each: mix, s1 … s{C}{noise}; files of equal names belong together.
They are 32-bit float WAV, so that mix is exactly the sum of the others.
A name is utterance_level_utterance_level …, levels in dB; an utterance's first three characters are its speaker.
speakers.csv names the speakers and their sexes, mixtures.csv says which mixture of the corpus each file is.
"""


def write(corpus: Corpus, out: Path, train: int, seconds: float, seed: int) -> list[str]:
    """Write `train` drawn training mixtures and all fixed ones into the folder `out`, whole or not at all.

    Returns lines that say what was written.

    Raises:
        UserError: when `out` is not an empty or a new folder, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: {'holds files' if out.is_dir() else 'is no folder'}, and nothing is ever overwritten; "
                        f"name a folder that is new or empty")
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as scratch:
            made = Path(scratch) / "mixtures"
            lines = _fill(made, corpus, train, seconds, seed)
            os.replace(made, out)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}; make room or name another folder") from error
    return lines


def _mixtures(corpus: Corpus, train: int, seconds: float, seed: int) -> Iterator[tuple[str, Mixture]]:
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
    counts = dict.fromkeys(wsj0mix.FOLDERS, 0)
    noisy = False
    total = train + corpus.count("valid") + corpus.count("test")
    for split, mixture in shown(_mixtures(corpus, train, seconds, seed), total, "writing", "mixtures"):
        for speaker, sex in zip(mixture.speakers, mixture.sexes, strict=True):
            codes.setdefault(speaker, _code(len(codes)))
            sexes[speaker] = sex
        name = _name([codes[speaker] for speaker in mixture.speakers], counts[split], mixture)
        _write_one(folder / wsj0mix.FOLDERS[split], name, mixture, corpus.sample_rate_hz)
        counts[split] += 1
        noisy = mixture.noise is not None
        rows.append([wsj0mix.FOLDERS[split], name, mixture.id, "+".join(mixture.speakers), "".join(mixture.sexes),
                     f"{mixture.length / corpus.sample_rate_hz:.3f}"])
    _table(folder / "mixtures.csv", ["folder", "file", "mixture", "speakers", "sexes", "seconds"], rows)
    _table(folder / "speakers.csv", ["speaker", "sex", "name"],
           [[code, sexes[speaker], speaker] for speaker, code in codes.items()])
    text = README.format(C=corpus.C, rate=corpus.sample_rate_hz, spec=corpus.spec, train=train, seconds=seconds, seed=seed,
                         noise=" and noise" * noisy)
    (folder / "README.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    return [f"{wsj0mix.FOLDERS[split]}: {count} mixtures" for split, count in counts.items()]


def _write_one(folder: Path, name: str, mixture: Mixture, rate: int) -> None:
    sounds = {"mix": mixture.mixture, **{f"s{i + 1}": source for i, source in enumerate(mixture.sources)}}
    if mixture.noise is not None:
        sounds["noise"] = mixture.noise
    for part, sound in sounds.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        audio.write_exactly(folder / part / name, sound[:mixture.length], rate)


def _code(number: int) -> str:
    """Three characters for a speaker, as WSJ0 has them."""
    if number >= len(DIGITS) ** wsj0mix.SPEAKER:
        raise UserError(f"{number} speakers, but the names of WSJ0's files can tell {number - 1} apart; write fewer mixtures")
    return "".join(DIGITS[number // len(DIGITS)**place % len(DIGITS)] for place in reversed(range(wsj0mix.SPEAKER)))


def _name(codes: list[str], number: int, mixture: Mixture) -> str:
    """As WSJ0-2mix names files: each utterance and its level in dB against the mean of all, joined by _."""
    power = np.square(mixture.sources[:, :mixture.length], dtype=np.float64).mean(axis=1)
    levels = 10 * np.log10(np.maximum(power, 1e-10))
    parts = [f"{code}a{_base(number)}_{level:.5g}" for code, level in zip(codes, levels - levels.mean(), strict=True)]
    return "_".join(parts) + ".wav"


def _base(number: int) -> str:
    """Four characters, more where they do not suffice."""
    text = ""
    while number or len(text) < 4:
        number, digit = divmod(number, len(DIGITS))
        text = DIGITS[digit] + text
    return text


def _table(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *(map(as_cell, row) for row in rows)])
