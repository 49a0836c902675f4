"""Can the training learn by heart? Four one-second mixtures, the `quick` reference, until it passes 20 dB SI-SNR.

A network, a loss or an optimizer with a fault somewhere stays far below; prints a line per epoch.

    python benchmarks/overfit.py
"""

import sys
import tempfile
from pathlib import Path

from study.space.presets import QUICK
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.registry import Mixture, open_corpus
from tasnet_core.evaluation import metrics
from tasnet_core.records import Recipe
from tasnet_core.training.trainer import train

GOAL_DB = 20.0


class Four:
    """The same four mixtures for training, validation and test."""

    spec, sample_rate_hz, C, speakers_known, fingerprint, notes, unusable = "four", 8000, 2, True, "", (), ()
    planned = None

    def __init__(self) -> None:
        voices = open_corpus("voices", say=print)
        self.mixtures = [voices.segment(0, 0, index, 8000) for index in range(4)]

    def segment(self, seed: int, epoch: int, index: int, samples: int) -> Mixture:
        return self.mixtures[index % 4]

    def count(self, split: str) -> int:
        return 4

    def mixture(self, split: str, index: int) -> Mixture:
        return self.mixtures[index]


def main() -> int:
    recipe = Recipe(epochs=60, epoch_segments=40, segment_s=1.0, batch_size=4, learning_rate=2e-3, schedule="decay")
    corpus = Four()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "overfit.pt"
        for epoch in train(QUICK.reference, recipe, corpus, path):
            print(f"epoch {epoch.number:3}: train {-epoch.train_loss_db:6.2f} dB SI-SNR, {epoch.seconds:.1f} s", flush=True)
        scores = metrics.summary(metrics.score_test(load(path), corpus))
    print(f"{scores.si_snr_db:.2f} dB SI-SNR on the four mixtures, goal {GOAL_DB:.0f} dB")
    return scores.si_snr_db < GOAL_DB


if __name__ == "__main__":
    sys.exit(main())
