"""How variants are proposed: one table of samplers, and what all of them share.

Every proposal is a function of (seed, trial number) and of what the study has measured: a restart
draws what one long run would have drawn. The first `LADDER` proposals of a sampler that learns
(fewer in a small space) climb through the sizes instead, in even steps of log cost, so that no part
of the range between the cheapest variant and the reference stays empty.
"""

import math
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.analysis.pareto import front
from study.records import Budget
from study.search import model_sampler
from study.space.space import Space
from tasnet_core.cost import count

# Proposals spread over the sizes before those of a sampler that learns. By measurement, in
# benchmarks/RESULTS.md: 16 are right for thousands of variants, but a third of a space of 54, so it
# is at most one in eight of the space.
LADDER, LADDER_SHARE = 16, 1 / 8
# Of the genetic samplers: Optuna's 50 is more than most studies train in all. Their ladder is their
# first generation.
POPULATION = LADDER
MOST_NEIGHBOURS = 5_000     # points looked at for one without a trial
MOST_LEARNT = 1_000         # trials, beside the front, for a model (benchmarks/RESULTS.md)
MOST_MODELLED = 150         # the same for the score surface


def tpe(seed: int) -> BaseSampler:
    """TPE. Hyperparameters depend on each other, so they are drawn together. The ladder replaces
    its random start."""
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=1)


def nsga2(seed: int) -> BaseSampler:
    return NSGAIISampler(population_size=POPULATION, seed=seed)


def nsga3(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return NSGAIIISampler(population_size=POPULATION, seed=seed)


def gp(seed: int) -> BaseSampler:
    """A Gaussian process. Two trainings of one variant differ, so its measurements have noise."""
    return GPSampler(seed=seed, deterministic_objective=False)


# Samplers that learn are Optuna's. The others are ours: they spread over the cost of what they
# propose, within the budget, and need only a trial's number.
LEARNING: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": tpe, "nsga2": nsga2, "nsga3": nsga3, "gp": gp}
MODELS = ("tpe", "gp")      # fitted to every trial each time; genetic ones look at a generation


class Known:
    """A study whose trials were just read: Optuna reads all that are running anew each time."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]):
        self.study, self.trials = study, trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self.study, name)

    def get_trials(self, deepcopy: bool = False) -> list[FrozenTrial]:
        return list(self.trials)


class Recent(Known):
    """A study for samplers that take longer with every trial: its front and its newest trials."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial], most: int):
        super().__init__(study, trials)
        if len(trials) > most:
            signs = [-1 if one == StudyDirection.MAXIMIZE else 1 for one in study.directions]
            complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
            points = np.array([trial.values for trial in complete]).reshape(-1, len(signs)) * signs
            best = {complete[place].number for place in np.flatnonzero(front(points))}
            first = len(trials) - most
            self.trials = [trial for place, trial in enumerate(trials)
                           if place >= first or trial.number in best]

    def _get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None,
                    use_cache: bool = False) -> list[FrozenTrial]:
        return [trial for trial in self.trials if states is None or trial.state in states]


class Proposals(BaseSampler):
    """A sampler of `records.SAMPLERS` on a space, as Optuna sees it."""

    def __init__(self, name: str, space: Space, budget: Budget, seed: int):
        self.name, self.space, self.budget, self.seed = name, space, budget, seed
        is_genetic = name in ("nsga2", "nsga3")
        share = min(LADDER, max(1, int(len(space) * LADDER_SHARE)))
        self.ladder = POPULATION if is_genetic else share
        self.inner: BaseSampler | None = LEARNING[name](seed) if name in LEARNING else None

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if self.inner is not None:
            chance = np.random.SeedSequence((self.seed, trial.number)).generate_state(1)
            self.inner = LEARNING[self.name](int(chance[0]))
            self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study,
                                    trial: FrozenTrial) -> dict[str, BaseDistribution]:
        # The space itself: what Optuna would infer is empty once a trial stands outside of it.
        return {name: IntDistribution(values[0], values[-1], step=values.step)
                for name, values in self.space.ranges().items()}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial,
                        search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        point = self.unlearned(trial.number)
        if point is None and self.name == "model":
            point = self.modelled(study, trial)
        elif point is None:
            point = self.learned(study, trial, search_space)
        return point if self.name == "grid" else self.nearest_untried(study, trial.number, point)

    def learned(self, study: optuna.Study, trial: FrozenTrial,
                search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """The proposal of Optuna's sampler."""
        assert self.inner is not None
        varying = {name: one for name, one in search_space.items() if not one.single()}
        seen: Any = study
        if self.name in MODELS:
            seen = Recent(study, study.get_trials(False), MOST_LEARNT)
        drawn = self.inner.sample_relative(seen, trial, varying) if varying else {}
        if not drawn:
            return self.spread(halved(trial.number), trial.number)
        point: dict[str, Any] = {name: values[0] for name, values in self.space.ranges().items()}
        point |= drawn
        return self.lowered(point) if self.name == "gp" else point

    def modelled(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """The proposal of the score surface; one of the sizes while nothing is known."""
        known = [one for one in study.get_trials(False) if one.number != trial.number]
        recent = Recent(study, known, MOST_MODELLED).trials
        rng = np.random.default_rng((self.seed, trial.number))
        point = model_sampler.proposal(
            self.space, self.budget, known, recent, study.directions, rng)
        return point or self.spread(halved(trial.number), trial.number)

    def unlearned(self, number: int) -> dict[str, Any] | None:
        """The proposal of a trial from its number alone; None where it depends on measurements."""
        if self.name == "grid":
            return self.grid_point(number)
        if self.name == "random":
            return self.spread(None, number)
        if self.name == "model":        # its second trial is the other end of the sizes
            return self.spread(0.0, number) if number == 1 else None
        if self.inner is None:
            return self.spread(halved(number), number)
        if number <= self.ladder:       # trial 0 is the reference, the upper end
            return self.spread(halved(number % self.ladder), number)
        return None

    def spread(self, share: float | None, number: int) -> dict[str, Any]:
        """A point at a share of the log range of sizes, None for a random one; of parameters and of
        MACs by turns."""
        rng = np.random.default_rng((self.seed, number))
        if share is None:
            share = float(rng.random())
        if number % 2:
            return dict(self.space.spread(share, rng, "macs_per_s", self.budget.max_macs_per_s))
        return dict(self.space.spread(share, rng, "parameters", self.budget.max_parameters))

    def nearest_untried(self, study: optuna.Study, number: int,
                        point: dict[str, Any]) -> dict[str, Any]:
        """The point, or the nearest one within the budget that no trial has had.

        In a space of whole numbers, a sampler that learns proposes the same points again and again.
        """
        names = sorted(point)
        tried = {tuple(map(trial.params.get, names))
                 for trial in study.get_trials(False) if trial.number != number}

        def key(one: Mapping[str, Any]) -> tuple[Any, ...]:
            return tuple(one[name] for name in names)

        if key(point) not in tried:
            return point
        rng = np.random.default_rng((self.seed, number))
        seen, distance = {key(point)}, [point]      # all points at one distance, in steps
        while distance and len(seen) < MOST_NEIGHBOURS:
            further = {key(one): one for nearer in distance for one in self.neighbours(nearer)}
            distance = [one for its_key, one in further.items() if its_key not in seen]
            seen |= further.keys()
            for place in rng.permutation(len(distance)):
                one = distance[int(place)]
                if key(one) not in tried and not self.excess(one) > 0:
                    return one
        return point

    def neighbours(self, point: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The points that differ by one step of one hyperparameter."""
        for name, values in sorted(self.space.ranges().items()):
            for step in (-values.step, values.step):
                if point[name] + step in values:
                    yield {**point, name: point[name] + step}

    def excess(self, point: dict[str, Any]) -> float:
        """How far a point is over the budget, as a share of it; 0 or less where it fits."""
        budget = self.budget
        if not (budget.max_parameters or budget.max_macs_per_s or budget.on_devices):
            return 0.0
        variant = self.space.variant_of(point)
        return max(budget.ratios(count.exact(variant), budget.on(variant)).values())

    def lowered(self, point: dict[str, Any]) -> dict[str, Any]:
        """The point, or one within the budget, by lowering one hyperparameter after the other.

        For a sampler that is not told what was rejected: it learns from trained trials alone.
        """
        while self.excess(point) > 0:
            below = [{**point, name: point[name] - values.step}
                     for name, values in self.space.ranges().items() if point[name] > values[0]]
            best = min(below, key=self.excess, default=point)
            if self.excess(best) >= self.excess(point):     # nothing gets cheaper any more
                break
            point = best
        return point

    def grid_point(self, number: int) -> dict[str, int]:
        """The points one after another, in strides that first visit all corners of the space."""
        size = len(self.space)
        return self.space.point((self.seed + number * stride(size)) % size)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        raise AssertionError(f"{param_name} is drawn together with all others")

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState,
                    values: Any) -> None:
        if self.inner is not None:
            self.inner.after_trial(study, trial, state, values)


def stride(size: int) -> int:
    """The step that visits all of `size` points once, evenly spread at any moment: their golden
    section."""
    step = max(1, round(size * 0.618))
    while math.gcd(step, size) != 1:
        step += 1
    return step


def halved(number: int) -> float:
    """The number's binary digits mirrored behind the point: 0, 1/2, 1/4, 3/4 … (van der Corput)."""
    return float(int(f"{number:b}"[::-1], 2) / 2 ** max(1, number.bit_length()))
