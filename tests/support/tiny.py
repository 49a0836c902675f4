"""A corpus that fits in a test: two kinds of band-limited noise, mixed; and variants that train in a second."""

import numpy as np

from tasnet_core.corpora.mixed import Mixture
from tasnet_core.records import Recipe, Variant

TINY = Variant(N=8, L=4, B=4, H=8, Sc=4, X=2, R=1)
RECIPE = Recipe(epochs=5, epoch_segments=6, segment_s=0.05, batch_size=2, learning_rate=1e-2, schedule="decay")


class Tiny:
    """The contract of a corpus, from nothing but numbers; recordings of unequal length."""

    spec, sample_rate_hz, C, speakers_known = "tiny", 8000, 2, False
    fingerprint = "tiny"
    notes: tuple[str, ...] = ()
    unusable: tuple[object, ...] = ()
    planned = None

    def __init__(self, mixtures: int = 3, lengths: tuple[int, ...] = (900, 500, 300)):
        self.mixtures, self.lengths = mixtures, lengths

    def segment(self, seed: int, epoch: int, index: int, samples: int) -> Mixture:
        length = max(1, samples - 40 * (index % 3))         # some are padded
        return self.draw((seed, epoch, index), f"train/{seed}/{epoch}/{index}", length, samples)

    def count(self, split: str) -> int:
        return self.mixtures

    def mixture(self, split: str, index: int) -> Mixture:
        length = self.lengths[index % len(self.lengths)]
        return self.draw((len(split), index), f"{split}/{index:03}", length, length)

    def draw(self, key: tuple[int, ...], name: str, length: int, samples: int) -> Mixture:
        rng = np.random.default_rng(key)
        noise = rng.standard_normal((2, length + 1)).astype(np.float32)
        sources = np.zeros((2, samples), np.float32)
        sources[0, :length] = noise[0, 1:] + noise[0, :-1]      # low
        sources[1, :length] = noise[1, 1:] - noise[1, :-1]      # high
        return Mixture(name, sources * np.float32(0.1), length, ("low", "high"), ("F", "M"))
