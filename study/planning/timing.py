"""Seconds of real training steps, validations and scorings, as `training` and `metrics` do them: short ones, of anything."""

import statistics
import time
from dataclasses import replace

import torch

from study.planning.cost_model import Work, work
from tasnet_core.corpora.mixed import MixedCorpus
from tasnet_core.corpora.registry import Corpus, Mixture, Part
from tasnet_core.cost.count import LiveBytes
from tasnet_core.evaluation.metrics import score, score_test
from tasnet_core.network.model import seeded
from tasnet_core.records import Recipe, Variant
from tasnet_core.training.trainer import Training

MIXTURES = 2            # of a split that are timed
EPOCHS = 1_000          # more than anybody times: where a training stands in its schedule costs no time


class Excerpt:
    """A corpus of which few fixed mixtures are left, evenly chosen; others at each `turn`."""

    def __init__(self, corpus: Corpus, mixtures: int = MIXTURES, turn: int = 0):
        self.corpus, self.mixtures, self.turn = corpus, mixtures, turn
        self.spec, self.sample_rate_hz, self.C = corpus.spec, corpus.sample_rate_hz, corpus.C
        self.speakers_known, self.notes, self.unusable = corpus.speakers_known, corpus.notes, corpus.unusable

    @property
    def fingerprint(self) -> str:
        return self.corpus.fingerprint

    @property
    def planned(self) -> MixedCorpus | None:
        return self.corpus.planned

    def segment(self, seed: int, epoch: int, index: int, samples: int) -> Mixture:
        return self.corpus.segment(seed, epoch, index, samples)

    def count(self, split: str) -> int:
        return min(self.mixtures, self.corpus.count(split))

    def mixture(self, split: str, index: int) -> Mixture:
        whole = self.corpus.count(split)
        return self.corpus.mixture(split, (index * whole // self.count(split) + self.turn) % whole)

    def lengths(self, split: str) -> list[int]:
        """Samples of each mixture that is left."""
        return [self.mixture(split, index).length for index in range(self.count(split))]

    def describe(self) -> tuple[Part, ...]:
        return self.corpus.describe()

    def read_all(self) -> None:
        self.corpus.read_all()


def steps_work(variant: Variant, recipe: Recipe, segments: int) -> Work:
    """What the training steps on so many segments compute."""
    return work(variant, segments, recipe.segment_s * variant.sample_rate_hz, -(-segments // recipe.batch_size))


def score_work(variant: Variant, lengths: list[int], mixtures: int) -> Work:
    """What the network computes for the scores of so many mixtures, of which some have these lengths in samples."""
    return work(variant, mixtures, statistics.fmean(lengths or [0]), mixtures)


class Timed:
    """One training whose steps, validations and scorings are timed, round after round."""

    def __init__(self, variant: Variant, recipe: Recipe, corpus: Corpus, device: torch.device, steps: int = 2):
        self.variant, self.device, self.corpus = variant, device, Excerpt(corpus)
        self.recipe = replace(recipe, epochs=EPOCHS, epoch_segments=steps * recipe.batch_size)
        self.training, self.count = Training(variant, self.recipe, self.corpus, device), steps
        self.network = seeded(variant, recipe.seed).to(device).eval()
        self.step_s: list[float] = []
        self.valid_s: list[float] = []
        self.scored: list[tuple[Work, float]] = []      # of each scoring its work and seconds
        self.turn = 0

    def round(self, warm: bool = True) -> None:
        """Time some steps, a validation and a scoring; a round that is not `warm` is the first and does not count."""
        if not warm and self.training.captured:
            self.epoch()        # more steps, so that a GPU has recorded them when others count
        times, scored = self.epoch(), self._score()
        if warm:
            self.step_s += times[:self.count]
            self.valid_s.append(sum(times[self.count:]))
            self.scored.append(scored)

    def epoch(self) -> list[float]:
        """Seconds from each stop of a short epoch to the next: its steps, then its validated mixtures."""
        times, start = [], time.perf_counter()
        for _ in self.training.steps():
            self._wait()
            now = time.perf_counter()
            times.append(now - start)
            start = now
        return times

    def _score(self) -> tuple[Work, float]:
        """Score mixtures that were not scored before: what torch prepares for each length anew is half of a small variant's
        time."""
        some, self.turn = Excerpt(self.corpus.corpus, MIXTURES, self.turn), self.turn + 1
        lengths, start = some.lengths("test"), time.perf_counter()
        score_test(self.network, some, processes=0)
        self._wait()
        return score_work(self.variant, lengths, len(lengths)), time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":      # where work is only begun when a call returns
            torch.cuda.synchronize(self.device)

    @property
    def works(self) -> tuple[Work, Work]:
        """What one step and one validation of those timed compute."""
        valid = self.corpus.lengths("valid")
        return (steps_work(self.variant, self.recipe, self.recipe.batch_size),
                score_work(self.variant, valid, len(valid)))

    def step_bytes(self) -> int:
        """Memory of a training: weights, gradients, Adam's two moments, the best weights, and the most that one more step
        has alive at once. Counted, not sampled."""
        weights = sum(one.numel() * one.element_size() for one in self.training.network.parameters())
        steps = self.training.steps()
        with LiveBytes() as live:
            next(steps)
        for _ in steps:     # to the epoch's end: a training stands between two of them
            pass
        return 5 * weights + int(live.peak)


def slow_seconds(corpus: Corpus, metrics: tuple[str, ...]) -> float:
    """Seconds of one core for what one test mixture takes beside the network and SI-SNR."""
    few = Excerpt(corpus, 2)
    if set(metrics) == {"si_snr"} or not few.count("test"):
        return 0.0
    times = []
    for index in (0, *range(few.count("test"))):        # the first loads the libraries
        mixture = few.mixture("test", index)
        unseparated = mixture.mixture[None].repeat(few.C, 0)
        start = time.perf_counter()
        score(mixture, unseparated, few.sample_rate_hz, metrics)
        times.append(time.perf_counter() - start)
    return statistics.fmean(times[1:])
