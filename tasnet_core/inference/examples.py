"""Audio examples of three test mixtures, written as each run is scored: a report loads no model.

Which mixtures is a function of how many there are, and not of their content. Outputs
stand in the order of the speakers that was scored, with the gains that bring their sum closest to
the mixture; the mixture and its sources share one scale. Nothing is clipped: what would pass full
scale is turned down, a mixture with its sources, and a run's outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tasnet_core import audio
from tasnet_core.corpora.mixture import Mixture, Sound
from tasnet_core.corpora.registry import Corpus
from tasnet_core.evaluation.metrics import in_order
from tasnet_core.files import write_atomically
from tasnet_core.inference import example_files
from tasnet_core.inference.separate import levelled, turned_down

MIXTURES = 3
CLIP_S = 4.0
VARIANTS = 6            # that a report lets hear, about
PAGE_BYTES = 4e6        # that they may take in it
FLAC_BYTES = 1.4        # for a sample of speech; 1.2 to 1.45 were measured, with MP3 0.42 to 0.47


def chosen(count: int) -> tuple[int, ...]:
    """Which of so many test mixtures are kept: the middles of three equal parts."""
    if not count:
        return ()
    middles = {(2 * part + 1) * count // (2 * MIXTURES) for part in range(MIXTURES)}
    return tuple(sorted(middles))


def kind(sample_rate_hz: int, C: int) -> str:
    """flac where a report has room for it, as at 8 kHz with two speakers; else mp3."""
    samples = MIXTURES * (1 + C + VARIANTS * C) * CLIP_S * sample_rate_hz
    in_base64 = samples * FLAC_BYTES * 4 / 3
    return "flac" if in_base64 <= PAGE_BYTES else "mp3"


def write(
    checkpoint: Path, index: int, mixture: Mixture, estimates: Sound, sample_rate_hz: int
) -> None:
    """Write a test mixture and a run's estimates of it, [C, T] in any order.

    Estimates that are not finite leave no example. Files that stand there already, with these very
    bytes, are left alone.

    Raises:
        OSError: when a file cannot be written.
        RuntimeError: when this machine cannot encode mp3, or none at this rate.
    """
    signal, truth = mixture.mixture[:mixture.length], mixture.sources[:, :mixture.length]
    scale = np.float32(turned_down(max(np.abs(signal).max(), np.abs(truth).max())))
    _write(
        checkpoint, example_files.stem(index), dict(enumerate([scale * signal, *scale * truth])),
        sample_rate_hz, id=mixture.id, speakers=mixture.speakers, sexes=mixture.sexes)
    if np.isfinite(estimates).all():
        outputs = levelled(scale * signal, in_order(mixture, estimates).estimates)
        _write(
            checkpoint, example_files.stem(index, checkpoint.stem),
            dict(enumerate(outputs, start=1)), sample_rate_hz)


def _write(checkpoint: Path, stem: str, signals: Mapping[int, Sound], sample_rate_hz: int,
           **facts: str | Sequence[str]) -> None:
    """Write a set of signals by number (0: the mixture, else the speaker), then its record."""
    form, length = kind(sample_rate_hz, max(signals)), round(CLIP_S * sample_rate_hz)
    files = {f"{stem}-{number}.{form}": audio.encoded(signal[:length], sample_rate_hz, form)
             for number, signal in signals.items()}
    for name, content in (*files.items(), (f"{stem}.json", example_files.record(files, **facts))):
        _put(checkpoint.parent / example_files.FOLDER / name, content)


def _put(path: Path, content: bytes) -> None:
    """Write a file, unless it is there as it should be."""
    if not (path.is_file() and path.read_bytes() == content):
        # Not lasting: what a power failure leaves of it is found by its checksum.
        write_atomically(path, lambda file: file.write(content), lasting=False)


def writer(
    checkpoint: Path, corpus: Corpus, log: Callable[[str], None]
) -> Callable[[int, Mixture, Sound], None]:
    """A function that writes the examples of a run while `metrics.score_test` scores it.

    Where they cannot be kept, on a full disk say, that is logged once and no error: the scores are
    worth more.
    """
    wanted = set(chosen(corpus.count("test")))

    def write_some(index: int, mixture: Mixture, estimates: Sound) -> None:
        if index not in wanted:
            return
        try:
            write(checkpoint, index, mixture, estimates, corpus.sample_rate_hz)
        except Exception as error:
            wanted.clear()
            log(f"its sounds are not kept: {error}")
    return write_some
