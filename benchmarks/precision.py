"""Does bf16 cost anything? The same trainings in float32 and with --precision bf16, seed by seed.

Two variants, several seeds, the recipe of `quick`; test SI-SNRi on unseen voices. Beside the mean difference its 95 % interval
(Student's, over seeds), and how far two seeds of one precision lie apart (standard deviation).

    python benchmarks/precision.py [SEEDS [AUDIO_S]]
"""

import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from scipy.stats import t

from study.space.presets import QUICK
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.evaluation import metrics
from tasnet_core.records import PRECISIONS, Recipe, Variant
from tasnet_core.training.trainer import train

VARIANTS = {"middle": replace(QUICK.reference, N=64, B=32, H=64, Sc=32, X=4, R=1), "smallest": next(QUICK.variants())}


def trained(variant: Variant, recipe: Recipe) -> float:
    """Test SI-SNRi in dB."""
    corpus = open_corpus("voices")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pt"
        list(train(variant, recipe, corpus, path))
        found = metrics.summary(metrics.score_test(load(path), corpus)).si_snri_db
    assert found is not None
    return found


def main(seeds: int = 5, audio_s: float = QUICK.recipe.audio_s) -> None:
    torch.set_num_threads(1)
    recipe = replace(QUICK.recipe, epoch_segments=round(audio_s / QUICK.recipe.epochs / QUICK.recipe.segment_s))
    print(f"{seeds} seeds, {recipe.audio_s:,.0f} s of sound each\n")
    print("| variant | float32 dB | bf16 dB | bf16 − float32 | 95 % | seeds apart |\n|---|---|---|---|---|---|")
    for name, variant in VARIANTS.items():
        scores = [[trained(variant, replace(recipe, seed=seed, precision=precision)) for precision in PRECISIONS]
                  for seed in range(seeds)]
        differences = [half - single for single, half in scores]
        mean, error = statistics.mean(differences), statistics.stdev(differences) / seeds**0.5
        margin = float(t.ppf(0.975, seeds - 1)) * error
        single, half = (statistics.mean(column) for column in zip(*scores, strict=True))
        apart = statistics.mean(statistics.stdev(column) for column in zip(*scores, strict=True))
        interval = f"{mean - margin:+.2f} to {mean + margin:+.2f}"
        print(f"| {name} | {single:.2f} | {half:.2f} | {mean:+.2f} | {interval} | {apart:.2f} |", flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
