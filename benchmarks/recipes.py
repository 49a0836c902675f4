"""Which recipe is the default of `quick`? The reference and a small variant, each candidate on the same seconds of audio.

Prints a table of test SI-SNRi; choose by validation, and keep it in RESULTS.md. Without a corpus: batch, segment and rate on
`voices`. With one, such as recordings of one's own: what was tried to learn more from them, all by the recipe of `quick` but for
what a row says. A row per seed.

    python benchmarks/recipes.py [AUDIO_S [CORPUS [SEEDS]]]
"""

import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from study.space.presets import QUICK
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.registry import Corpus, open_corpus
from tasnet_core.evaluation import metrics
from tasnet_core.records import Recipe, Variant
from tasnet_core.training.slimmable import Lineage
from tasnet_core.training.trainer import train

SMALL = replace(QUICK.reference, N=64, B=32, H=64, Sc=32, X=4, R=1)
OF_RECORDINGS = replace(QUICK.reference, B=32, H=64, Sc=16)


@dataclass(frozen=True)
class Candidate:
    """A recipe in words, what it changes in that of `quick`, and options of the corpus in training."""

    words: str
    recipe: dict[str, Any] = field(default_factory=dict)
    options: str = ""
    pretrained: str = ""    # the corpus of the first half of the audio


ADAM, MUON = {"optimizer": "adam"}, {"optimizer": "muon"}
ON_VOICES = [
    Candidate(f"{batch} × {segment_s:g} s, {rate:g}", ADAM | {"batch_size": batch, "segment_s": segment_s, "learning_rate": rate})
    for batch, segment_s, rate in (
        (8, 2.0, 2e-3), (4, 2.0, 2e-3), (4, 2.0, 1e-3), (4, 1.0, 2e-3), (4, 1.0, 3e-3), (8, 1.0, 4e-3))]
ON_RECORDINGS = [
    Candidate("Adam", ADAM),
    Candidate("Adam, batch 2, rate 2e-3", ADAM | {"batch_size": 2, "learning_rate": 2e-3}),
    Candidate("Adam, half on voices2 before", ADAM, pretrained="voices2"),
    Candidate("Muon", MUON),
    Candidate("Muon, rate 6e-3", MUON | {"learning_rate": 6e-3}),
    Candidate("Muon, 4 × 2 s", MUON | {"segment_s": 2.0}),
    Candidate("Muon, 2 × 2 s", MUON | {"segment_s": 2.0, "batch_size": 2}),
    Candidate("Muon, 4 × 0.5 s", MUON | {"segment_s": 0.5}),
    Candidate("Muon, 2 × 1 s", MUON | {"batch_size": 2}),
    Candidate("Muon, 1 × 1 s, rate 2e-3", MUON | {"batch_size": 1, "learning_rate": 2e-3}),
    Candidate("Muon, 2 × 1 s, speed 0.9 to 1.1", MUON | {"batch_size": 2}, "speed=0.9..1.1"),
    Candidate("Muon, speed 0.8 to 1.25, levels 5 dB", MUON, "speed=0.8..1.25&levels_db=5")]


class Trained:
    """A corpus whose training segments are those of another: options for training leave the test as it is."""

    def __init__(self, corpus: Corpus, training: Corpus):
        self.corpus, self.segment, self.planned = corpus, training.segment, training.planned
        self.fingerprint = training.fingerprint

    def __getattr__(self, name: str) -> Any:
        return getattr(self.corpus, name)


def recipe_of(candidate: Candidate, audio_s: float, seed: int) -> Recipe:
    recipe = replace(QUICK.recipe, seed=seed, **candidate.recipe)
    return replace(recipe, epoch_segments=round(audio_s / recipe.epochs / recipe.segment_s))


def score(variant: Variant, candidate: Candidate, corpus: Corpus, audio_s: float, seed: int) -> tuple[float, float]:
    """Validation and test SI-SNRi in dB of a variant trained by a candidate."""
    with tempfile.TemporaryDirectory() as folder:
        recipe, lineage, path = recipe_of(candidate, audio_s, seed), Lineage(), Path(folder) / "a.pt"
        if candidate.pretrained:
            first = Path(folder) / "first.pt"
            half = replace(recipe, epoch_segments=recipe.epoch_segments // 2)
            constant = replace(half, schedule="plateau", patience=recipe.epochs)
            list(train(variant, constant, open_corpus(candidate.pretrained), first))
            recipe, lineage = replace(half, init="inherit"), Lineage(first)
        with_options = f"{corpus.spec}{'&' if '?' in corpus.spec else '?'}{candidate.options}"
        drawn: Any = Trained(corpus, open_corpus(with_options)) if candidate.options else corpus
        epochs = list(train(variant, recipe, drawn, path, lineage=lineage))
        scores = metrics.summary(metrics.score_test(load(path), corpus))
    return max(epoch.valid_si_snri_db for epoch in epochs), scores.si_snri_db or float("nan")


def table(candidates: Iterable[Candidate], variants: dict[str, Variant], corpus: Corpus, audio_s: float, seeds: int) -> None:
    print(f"| recipe | seed | {' | '.join(f'{name}: valid dB | test dB | seconds' for name in variants)} |")
    print(f"|---|---|{'---|---|---|' * len(variants)}")
    for candidate in candidates:
        for seed in range(seeds):
            cells = []
            for variant in variants.values():
                start = time.monotonic()
                valid_db, test_db = score(variant, candidate, corpus, audio_s, seed)
                cells += [f"{valid_db:.2f}", f"{test_db:.2f}", f"{time.monotonic() - start:.0f}"]
            print(f"| {candidate.words} | {seed} | {' | '.join(cells)} |", flush=True)


def main(audio_s: str = "3000", corpus: str = "", seeds: str = "1") -> None:
    opened = open_corpus(corpus or "voices", say=print)
    variants = {"reference": QUICK.reference, "small": OF_RECORDINGS if corpus else SMALL}
    table(ON_RECORDINGS if corpus else ON_VOICES, variants, opened, float(audio_s), int(seeds))


if __name__ == "__main__":
    main(*sys.argv[1:])
