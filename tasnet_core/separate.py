"""Separating recordings: a mixture in, one WAV per speaker beside each other out.

A network trained without regard to scale gives out any level. Each speaker's signal gets the gain with which
the signals together come closest to the mixture (least squares), and if a sample would then pass full scale,
all of them are turned down by one factor: so their levels can be compared, and nothing is clipped.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasnet_core import audio
from tasnet_core.errors import UserError
from tasnet_core.model import ConvTasNet

FULL_SCALE = 0.99

Sound = NDArray[np.float32]


def separate(network: ConvTasNet, mixture: Sound) -> Sound:
    """Every speaker of one recording, at the network's own level: float32 [T] -> [C, T]."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        estimates = network(torch.from_numpy(np.ascontiguousarray(mixture, np.float32)).to(device)[None])[0]
    return np.asarray(estimates.cpu().numpy())


def levelled(mixture: Sound, estimates: Sound) -> Sound:
    """The estimates with the gains that bring their sum closest to the mixture: [T], [C, T] -> [C, T]."""
    gains, *_ = np.linalg.lstsq(estimates.T.astype(np.float64), mixture.astype(np.float64), rcond=None)
    loud = estimates * gains[:, None]
    peak = np.abs(loud).max(initial=0.0)
    return np.asarray(loud * min(1.0, FULL_SCALE / peak) if peak else loud, dtype=np.float32)


def separate_file(network: ConvTasNet, path: Path, out: Path) -> list[Path]:
    """Separate one file; writes `NAME_1.wav`, `NAME_2.wav` … at the network's rate into `out`.

    Raises:
        UserError: when the file cannot be read or has several channels, or `out` cannot be written.
    """
    sound, rate = audio.read(path)
    if len(sound) != 1:
        raise UserError(f"{path}: {len(sound)} channels, but a mixture of one channel is wanted; "
                        "pick one, for example with: sox in.wav out.wav remix 1")
    mixture = audio.resample(sound[0], rate, network.variant.sample_rate_hz)
    if not np.any(mixture):
        raise UserError(f"{path}: silent or empty, so there is nothing to separate")
    return write_all(levelled(mixture, separate(network, mixture)), out, Path(path).stem, network.variant.sample_rate_hz)


def write_all(signals: Sound, out: Path, stem: str, rate: int) -> list[Path]:
    """One WAV per signal: [C, T].

    Raises:
        UserError: when the folder cannot be written.
    """
    paths = [out / f"{stem}_{number}.wav" for number in range(1, len(signals) + 1)]
    try:
        for path, signal in zip(paths, signals, strict=True):
            audio.write(path, signal, rate)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}; choose another folder with --out") from error
    return paths
