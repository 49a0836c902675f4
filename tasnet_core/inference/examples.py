"""What three test mixtures sound like, kept as each run is scored: a report never loads a model.

Which mixtures is a function of how many there are: nobody chose them for how they sound. Outputs stand in the order of the
speakers that was scored, with the gains that bring their sum closest to the mixture; the mixture and its sources share one
scale. Nothing is clipped: what would pass full scale is turned down, a mixture's own sounds together and a run's together.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tasnet_core import audio
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.mixture import Mixture, Sound
from tasnet_core.corpora.registry import Corpus
from tasnet_core.evaluation.metrics import in_order
from tasnet_core.files import write_atomically
from tasnet_core.inference import example_files
from tasnet_core.inference.separate import levelled, separate, turned_down

MIXTURES = 3
CLIP_S = 4.0
VARIANTS = 6            # that a report lets hear, about
PAGE_BYTES = 4e6        # that they may take in it
FLAC_BYTES = 1.4        # for a sample of speech; 1.2 to 1.45 were measured, with MP3 0.42 to 0.47


def chosen(count: int) -> tuple[int, ...]:
    """Which of so many test mixtures are kept: the middles of three equal parts."""
    return tuple(sorted({(2 * part + 1) * count // (2 * MIXTURES) for part in range(MIXTURES)})) if count else ()


def kind(sample_rate_hz: int, C: int) -> str:
    """flac where a report has room for sounds without loss, as at 8 kHz with two speakers; else mp3."""
    samples = MIXTURES * (1 + C + VARIANTS * C) * CLIP_S * sample_rate_hz
    return "flac" if samples * FLAC_BYTES * 4 / 3 <= PAGE_BYTES else "mp3"      # base64 writes 3 bytes as 4


def keep(checkpoint: Path, index: int, mixture: Mixture, estimates: Sound, sample_rate_hz: int) -> None:
    """Write what a run made of a test mixture, its estimates [C, T] in any order, and the mixture itself.

    Estimates that are not finite leave no sound. Files that stand there already, with these very bytes, are left alone.

    Raises:
        OSError: when a file cannot be written.
        RuntimeError: when this machine cannot encode mp3, or none at this rate.
    """
    heard, truth = mixture.mixture[:mixture.length], mixture.sources[:, :mixture.length]
    scale = np.float32(turned_down(max(np.abs(heard).max(), np.abs(truth).max())))
    _write(checkpoint, example_files.stem(index), dict(enumerate([scale * heard, *scale * truth])), sample_rate_hz,
           id=mixture.id, speakers=mixture.speakers, sexes=mixture.sexes)
    if np.isfinite(estimates).all():
        outputs = levelled(scale * heard, in_order(mixture, estimates).estimates)
        _write(checkpoint, example_files.stem(index, checkpoint.stem), dict(enumerate(outputs, start=1)), sample_rate_hz)


def _write(checkpoint: Path, stem: str, signals: Mapping[int, Sound], sample_rate_hz: int, **facts: str | Sequence[str]) -> None:
    """Write a set of sounds by their number (0: the mixture, else the speaker), then its record."""
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


def keeper(checkpoint: Path, corpus: Corpus, say: Callable[[str], None]) -> Callable[[int, Mixture, Sound], None]:
    """What keeps the sounds of a run while `metrics.score_test` scores it.

    Where they cannot be kept, on a full disk say, that is told once and no error: the scores are worth more.
    """
    wanted = set(chosen(corpus.count("test")))

    def hear(index: int, mixture: Mixture, estimates: Sound) -> None:
        if index not in wanted:
            return
        try:
            keep(checkpoint, index, mixture, estimates, corpus.sample_rate_hz)
        except Exception as error:
            wanted.clear()
            say(f"its sounds are not kept: {error}")
    return hear


def render(checkpoint: Path, corpus: Corpus) -> None:
    """Keep the sounds of a run that was scored without.

    Raises:
        CheckpointError: when the checkpoint cannot be read.
        OSError, RuntimeError: as `keep`.
    """
    network = load(checkpoint)
    for index in chosen(corpus.count("test")):
        mixture = corpus.mixture("test", index)
        keep(checkpoint, index, mixture, separate(network, mixture.mixture), corpus.sample_rate_hz)
