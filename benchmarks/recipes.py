"""Which recipe is the default of `quick`? The reference and a small variant, each candidate on the same seconds of sound.

Prints a table of test SI-SNRi; choose by it, and keep it in RESULTS.md.

    python benchmarks/recipes.py [AUDIO_S]
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from study.space.presets import QUICK
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.evaluation import metrics
from tasnet_core.records import Recipe
from tasnet_core.training.trainer import train

SMALL = replace(QUICK.reference, N=64, B=32, H=64, Sc=32, X=4, R=1)
CANDIDATES = [   # batch size, segment in s, rate
    (8, 2.0, 2e-3), (4, 2.0, 2e-3), (4, 2.0, 1e-3), (4, 1.0, 2e-3), (4, 1.0, 3e-3), (8, 1.0, 4e-3)]


def main(audio_s: float = 3000) -> None:
    corpus = open_corpus("voices", say=print)
    print("| batch | segment s | rate | schedule | reference dB | seconds | small dB | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for batch_size, segment_s, rate in CANDIDATES:
        recipe = Recipe(epochs=5, epoch_segments=round(audio_s / 5 / segment_s), segment_s=segment_s, batch_size=batch_size,
                        learning_rate=rate, schedule="decay")
        cells = []
        for variant in (QUICK.reference, SMALL):
            with tempfile.TemporaryDirectory() as folder:
                start, path = time.monotonic(), Path(folder) / "a.pt"
                list(train(variant, recipe, corpus, path))
                seconds = time.monotonic() - start
                scores = metrics.summary(metrics.score_test(load(path), corpus))
            cells += [f"{scores.si_snri_db:.2f}", f"{seconds:.0f}"]
        print(f"| {batch_size} | {segment_s:g} | {rate:g} | decay | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
