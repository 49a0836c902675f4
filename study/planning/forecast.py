"""How long a study will take: which variants will be trained, what each takes, and when the last of them is done.

A sampler's first proposals are known exactly, from their numbers alone; so are all of some samplers. What one that learns
proposes later depends on scores nobody has, so a hundred studies are drawn, and the range is theirs.
"""

import heapq
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from study.planning.cost_model import Growth
from study.planning.measure import Speeds
from study.planning.timing import score_work, steps_work
from study.records import Settings
from study.search.inherit_recipe import recipe_of
from study.search.samplers import Proposals
from study.space.space import Space, VariantList
from tasnet_core.cost.formulas import exact
from tasnet_core.records import Recipe, Variant

STUDIES = 100
RUNGS = 41              # sizes at which a trial is predicted, for those that are drawn
FAR = 100               # proposals ahead that are worked out
# Where proposals of samplers that learn lie on the way from the cheapest variant to the reference (log MACs): mean of many
# studies, spread between studies and within one. From proposals 17 to 80 of studies of `quick` with made-up scores.
LEARNED = {"tpe": (0.43, 0.09, 0.18), "gp": (0.43, 0.09, 0.18), "nsga2": (0.47, 0.03, 0.24), "nsga3": (0.47, 0.03, 0.24)}
MACHINE = 0.1           # by how much a machine is slower or faster than when it was measured, at least
SPARED = 0.1            # of the sound, that the stop rule saves at most (benchmarks/RESULTS.md)
ENOUGH_RUNS = 3         # finished on this machine, whose times are believed more than what is measured now

Case = tuple[Variant, Recipe]


class Sizes(NamedTuple):
    """Mixtures of a corpus' fixed splits: how many, and the lengths of some in samples."""

    valid: int
    test: int
    valid_lengths: list[int]
    test_lengths: list[int]


class Trial(NamedTuple):
    """Seconds of one trial, and of them those for its scores."""

    seconds: float
    scoring_s: float


class Hours(NamedTuple):
    """What a study is expected to take, with a range; and the share of work that goes into scores."""

    hours: float
    low: float
    high: float
    scoring_share: float


class Forecast:
    """Predictions for one study on one machine."""

    def __init__(self, settings: Settings, space: Space, speeds: Speeds, sizes: Sizes, workers: int, cores: int):
        self.settings, self.space, self.speeds, self.sizes, self.workers = settings, space, speeds, sizes, workers
        # Slow metrics are computed on as many cores as other workers leave.
        self.slow_s = speeds.slow_s * sizes.test / max(1.0, min(cores, sizes.test // 8) / workers)
        self.stops = settings.stop is not None and settings.recipe.init != "inherit"    # a tuning is short
        self.factor = 1.0       # times what was measured, by runs that have finished here

    def trial(self, variant: Variant, recipe: Recipe) -> Trial:
        """One trial from its cost to its scores."""
        speeds, sizes = self.speeds, self.sizes
        slices = [self.space.extremes("macs_per_s")[0], self.at(0.5)[0]] if recipe.init == "teacher" else []
        training = sum(recipe.epochs * speeds.step(steps_work(one, recipe, recipe.epoch_segments)) for one in slices)
        training += recipe.epochs * (speeds.step(steps_work(variant, recipe, recipe.epoch_segments))
                                    + speeds.validation(score_work(variant, sizes.valid_lengths, sizes.valid)))
        scoring = self.slow_s + speeds.scoring(score_work(variant, sizes.test_lengths, sizes.test))
        return Trial(self.factor * (training + scoring) + speeds.overhead_s, self.factor * scoring)

    def believe(self, runs: Sequence[tuple[Case, float]]) -> None:
        """Take the seconds of runs that have finished on this machine for what it really does, where there are enough."""
        if len(runs) >= ENOUGH_RUNS:
            self.factor *= statistics.median(
                seconds / (self.trial(*case).seconds - self.speeds.overhead_s) for case, seconds in runs)

    def hours(self, trials: int, first: int = 0, begun: Mapping[Case, float] = {}) -> Hours:
        """`trials` more trials, of which the first has the number `first`; after what is left (a share) of those begun."""
        left = [Trial(*(share * part for part in self.trial(*case))) for case, share in begun.items()]
        known = [None if case is None else self.trial(*case) for case in self.proposals(trials, first)]
        ladder = [self.trial(*self.at(share)) for share in np.linspace(0, 1, RUNGS)] if None in known else []
        drawn = [left + self._drawn(known, ladder, np.random.default_rng(study)) for study in range(STUDIES)]
        taken = [makespan([trial.seconds for trial in one], self.workers) + self.speeds.startup_s for one in drawn]
        work = sum(trial.seconds for one in drawn for trial in one)
        low, high = np.quantile(taken, (0.1, 0.9)).tolist()
        doubt = max(MACHINE, self.speeds.step.error / 2)
        return Hours(statistics.fmean(taken) / 3600, low * (1 - doubt) * (1 - SPARED * self.stops) / 3600,
                     high * (1 + doubt) / 3600, sum(trial.scoring_s for one in drawn for trial in one) / work if work else 0.0)

    def proposals(self, trials: int, first: int = 0) -> list[Case | None]:
        """What a study trains from its trial `first` on; None where that depends on scores, or is far away."""
        known = Proposals(self.settings.sampler, self.space, self.settings.budget, self.settings.recipe.seed)
        found: list[Case | None] = []
        for number in range(first, len(self.space) if isinstance(self.space, VariantList) else first + 2 * trials + RUNGS):
            if len(found) >= trials:
                break
            if number < len(self.space.first):
                found.append(self.case(self.space.first[number], self.settings.recipe))
                continue
            point = known.unlearned(number) if number < first + FAR else None
            case = self._at(point) if point is not None else None
            if case is None or not self.settings.budget.excess(exact(case[0])):
                found.append(case)
        return found

    def at(self, share: float) -> Case:
        """A case at a share of the way from the cheapest to the reference, or to the budget."""
        rng = np.random.default_rng(round(1000 * share))
        return self._at(self.space.spread(share, rng, "macs_per_s", self.settings.budget.max_macs_per_s))

    def case(self, variant: Variant, recipe: Recipe) -> Case:
        """A proposal, with the recipe it is trained by."""
        return variant, recipe_of(recipe, self.settings, variant == self.space.reference)

    def _at(self, point: Mapping[str, int]) -> Case:
        return self.case(self.space.variant_of(point), self.space.recipe_of(point, self.settings.recipe))

    def _drawn(self, known: Sequence[Trial | None], ladder: Sequence[Trial], rng: np.random.Generator) -> list[Trial]:
        """One study's trials: those that are known, and for the others chance ones from the cheapest to the reference."""
        if self.settings.sampler in LEARNED:
            mean, between, within = LEARNED[self.settings.sampler]
            shares = np.clip(rng.normal(rng.normal(mean, between), within, len(known)), 0, 1)
        else:
            shares = rng.random(len(known))
        return [trial or ladder[round(share * (len(ladder) - 1))] for trial, share in zip(known, shares.tolist(), strict=True)]


def makespan(seconds: Sequence[float], workers: int) -> float:
    """When the last trial ends, if each is begun, in this order, by whichever worker is free first."""
    free = [0.0] * workers
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def cases(space: Space, recipe: Recipe, seed: int) -> tuple[Case, ...]:
    """What is measured to predict a space: its smallest variant first, some between, each at a recipe of the space, and the
    reference at last."""
    rng = np.random.default_rng(seed)
    points = [space.spread(share, rng, axis) for share, axis in
              zip((0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9), ("parameters", "macs_per_s") * 4, strict=False)]
    return tuple(dict.fromkeys([*((space.variant_of(point), space.recipe_of(point, recipe)) for point in points),
                                (space.reference, recipe)]))


def rate(growth: Growth, variant: Variant, recipe: Recipe) -> float:
    """Seconds of sound that a second of training takes in, without validations."""
    return recipe.epoch_segments * recipe.segment_s / growth(steps_work(variant, recipe, recipe.epoch_segments))
