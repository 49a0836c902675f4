"""Recordings and folders of them, made for tests."""

import numpy as np

from tasnet_core import audio
from tests.support import ROOT

SHARED = ROOT.parent / "shared/data"  # real recordings: tests of them skip where they are not
FSDD, ORDERS = SHARED / "fsdd/recordings", SHARED / "orders/recordings"


def voice(speaker, number, seconds, rate=8000):
    """A stand-in for speech: noise whose level moves, different for every speaker and recording."""
    rng = np.random.default_rng((speaker, number))
    t = np.arange(round(seconds * rate)) / rate
    level = 0.3 * (1.1 + np.sin(2 * np.pi * (2 + speaker) * t))
    return (level * rng.uniform(-1, 1, len(t))).astype(np.float32)


def people(folder, speakers=7, recordings=5, seconds=1.3, rate=8000):
    for speaker in range(speakers):
        (folder / f"s{speaker}").mkdir(parents=True)
        for number in range(recordings):
            audio.write(folder / f"s{speaker}" / f"{number}.wav", voice(speaker, number, seconds, rate), rate)
    return folder


def levels_db(mixture):
    rms = np.sqrt(np.square(mixture.sources[:, :mixture.length], dtype=np.float64).mean(axis=1))
    return 20 * np.log10(rms)
