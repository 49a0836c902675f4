"""How variants are proposed: one table of samplers, and what all of them share.

Every proposal is a function of (seed, trial number) and of what the study has measured: a restart draws what one long
run would have drawn. The first `LADDER` proposals of a sampler that learns (fewer in a small space) climb through the
sizes instead, in even steps of log cost, so that no part of the range between the cheapest variant and the reference
stays empty.
"""

import math
import warnings
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.analysis.pareto import front
from study.records import Budget
from study.space.space import Space
from tasnet_core.cost import count

# Proposals spread over the sizes before a sampler that learns has its way. By measurement, benchmarks/RESULTS.md: 16 are
# right for thousands of variants, but of a space of 54 a third, so it is at most one in eight of the space.
LADDER, LADDER_SHARE = 16, 1 / 8
# Of the genetic samplers: Optuna's 50 is more than most studies train in all. Their ladder is their first generation.
POPULATION = LADDER
MOST_NEIGHBOURS = 5_000     # of a proposal that are looked at for one that nobody has measured
MOST_LEARNT = 1_000         # of the trials, beside the front, that a sampler looks at (benchmarks/RESULTS.md)


def tpe(seed: int) -> BaseSampler:
    """TPE; the letters depend on each other, so they are drawn together. Its own start by chance is what the ladder is for."""
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=1)


def nsga2(seed: int) -> BaseSampler:
    return NSGAIISampler(population_size=POPULATION, seed=seed)


def nsga3(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return NSGAIIISampler(population_size=POPULATION, seed=seed)


def gp(seed: int) -> BaseSampler:
    """A Gaussian process; two trainings of one variant differ, so what it has measured once it does not take as certain."""
    return GPSampler(seed=seed, deterministic_objective=False)


# The samplers that learn are Optuna's; the others need none: they know the cost of what they propose.
LEARNING: dict[str, Callable[[int], BaseSampler]] = {"tpe": tpe, "nsga2": nsga2, "nsga3": nsga3, "gp": gp}
MODELS = ("tpe", "gp")      # those that look at every trial each time; genetic ones look at a generation


class Learnt:
    """A study as a sampler sees it that would take longer with every trial: its front and its newest trials."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]):
        self.study, self.trials = study, trials
        if len(trials) > MOST_LEARNT:
            signs = [-1 if one == StudyDirection.MAXIMIZE else 1 for one in study.directions]
            complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
            points = np.array([trial.values for trial in complete]).reshape(-1, len(signs)) * signs
            best = {complete[place].number for place in np.flatnonzero(front(points))}
            first = len(trials) - MOST_LEARNT
            self.trials = [trial for place, trial in enumerate(trials) if place >= first or trial.number in best]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.study, name)

    def _get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None,
                    use_cache: bool = False) -> list[FrozenTrial]:
        return [trial for trial in self.trials if states is None or trial.state in states]


class Proposals(BaseSampler):
    """A sampler of `records.SAMPLERS` on a space, as Optuna sees it."""

    def __init__(self, name: str, space: Space, budget: Budget, seed: int):
        self.name, self.space, self.budget, self.seed = name, space, budget, seed
        self.ladder = POPULATION if name in ("nsga2", "nsga3") else min(LADDER, max(1, int(len(space) * LADDER_SHARE)))
        self.inner: BaseSampler | None = LEARNING[name](seed) if name in LEARNING else None
        self.trials: list[FrozenTrial] | None = None    # of the study, from whoever has just read them

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if self.inner is not None:
            chance = np.random.SeedSequence((self.seed, trial.number)).generate_state(1)
            self.inner = LEARNING[self.name](int(chance[0]))
            self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        # The space itself: what Optuna would infer is empty once a trial stands outside of it.
        return {name: IntDistribution(values[0], values[-1], step=values.step) for name, values in self.space.ranges().items()}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial,
                        search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        point = self.proposal(study, trial, search_space)
        return point if self.name == "grid" else self.fresh(study, trial.number, point)

    def proposal(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        if (known := self.unlearned(trial.number)) is not None:
            return known
        assert self.inner is not None
        varying = {name: one for name, one in search_space.items() if not one.single()}
        seen: Any = Learnt(study, self.known(study)) if self.name in MODELS else study
        drawn = self.inner.sample_relative(seen, trial, varying) if varying else {}
        if drawn:
            point: dict[str, Any] = {**{name: values[0] for name, values in self.space.ranges().items()}, **drawn}
            return self.lowered(point) if self.name == "gp" else point
        return self.spread(halved(trial.number), trial.number)

    def unlearned(self, number: int) -> dict[str, Any] | None:
        """The proposal of a trial from its number alone; None where it depends on what the study has measured."""
        if self.name == "grid":
            return self.grid_point(number)
        climbing = self.inner is not None and number <= self.ladder  # trial 0 is the reference, the upper end
        if self.inner is not None and not climbing:
            return None
        return self.spread(None if self.name == "random" else halved(number % self.ladder if climbing else number), number)

    def spread(self, share: float | None, number: int) -> dict[str, Any]:
        """A point at a share of the log range of sizes, without one at any; of parameters and of MACs by turns."""
        rng = np.random.default_rng((self.seed, number))
        axis, limit = (("macs_per_s", self.budget.max_macs_per_s) if number % 2 else
                       ("parameters", self.budget.max_parameters))
        return dict(self.space.spread(float(rng.random()) if share is None else share, rng, axis, limit))

    def known(self, study: optuna.Study) -> list[FrozenTrial]:
        return study.get_trials(False) if self.trials is None else self.trials

    def fresh(self, study: optuna.Study, number: int, point: dict[str, Any]) -> dict[str, Any]:
        """The point, or the nearest one within the budget that no trial has had: in a space of whole numbers a sampler
        that learns comes back to the same points again and again."""
        names, ranges = sorted(point), self.space.ranges()
        met = {tuple(map(trial.params.get, names)) for trial in self.known(study) if trial.number != number}
        rng, seen = np.random.default_rng((self.seed, number)), {tuple(point[name] for name in names)}
        ring: list[dict[str, Any]] = [point]
        if not seen & met:
            return point
        while ring and len(seen) < MOST_NEIGHBOURS:     # one step of one letter further away each time
            ring = [{**one, name: one[name] + step} for one in ring for name in names
                    for step in (-ranges[name].step, ranges[name].step) if one[name] + step in ranges[name]]
            ring = list({key: one for one in ring if (key := tuple(one[name] for name in names)) not in seen}.values())
            seen |= {tuple(one[name] for name in names) for one in ring}
            for place in rng.permutation(len(ring)).tolist():
                one = ring[int(place)]
                if tuple(one[name] for name in names) not in met and not self.excess(one) > 0:
                    return one
        return point

    def excess(self, point: dict[str, Any]) -> float:
        """How far a point is over the budget, as a share of it; 0 or less where it fits."""
        limits = self.budget.max_parameters or self.budget.max_macs_per_s
        return max(self.budget.ratios(count.exact(self.space.variant_of(point))).values()) if limits else 0.0

    def lowered(self, point: dict[str, Any]) -> dict[str, Any]:
        """The point, or the one within the budget that lowering letter after letter comes to.

        For a sampler that never hears of what was rejected: it learns from trained trials alone.
        """
        while self.excess(point) > 0:
            below = [{**point, name: point[name] - values.step} for name, values in self.space.ranges().items()
                     if point[name] > values[0]]
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

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        if self.inner is not None:
            self.inner.after_trial(study, trial, state, values)


def stride(size: int) -> int:
    """The step with which `size` points are all visited once, evenly spread at any moment: their golden section."""
    step = max(1, round(size * 0.618))
    while math.gcd(step, size) != 1:
        step += 1
    return step


def halved(number: int) -> float:
    """The number's binary digits mirrored behind the point: 0, 1/2, 1/4, 3/4, 1/8 … (van der Corput)."""
    return float(int(f"{number:b}"[::-1], 2) / 2 ** max(1, number.bit_length()))
