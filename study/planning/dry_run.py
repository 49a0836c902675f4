"""`run --dry-run`: how long a study will take, in words. Nothing is stored.

A few variants are timed, a trial's seconds follow from its MACs, and the trials are those that the
sampler will propose: known exactly as far as they need no scores, and of typical sizes after that.
"""

import heapq
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import Any, NamedTuple

import numpy as np

from study.database.store import Database
from study.planning.measure import (
    Plan,
    Speeds,
    excerpt,
    load_average,
    mean_length_s,
    measure_together,
    step_macs,
)
from study.records import TRAINED, Budget, Settings
from study.search.inherit_recipe import first, recipe_of
from study.search.samplers import Proposals
from study.space.plan import StudyPlan
from study.space.space import Space, VariantList
from tasnet_core.backend.memory import available_bytes
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost.formulas import exact
from tasnet_core.errors import counted
from tasnet_core.evaluation.metric_workers import cores
from tasnet_core.records import Recipe, Variant

LENGTHS = 16            # mixtures of a split whose lengths stand for all
FAR = 100               # proposals ahead that are worked out
# Where later proposals lie on the way from the cheapest variant to the reference (log MACs), in
# five equal parts: of samplers that learn, from proposals 17 to 80 of studies of `quick` with
# made-up scores (mean 0.45, deviation 0.2); of others evenly.
LEARNED = (0.17, 0.34, 0.45, 0.56, 0.73)
MODELLED = (0.18, 0.39, 0.53, 0.7, 0.87)    # of the sampler `model`, from proposals 3 to 60
EVEN = (0.1, 0.3, 0.5, 0.7, 0.9)
DOUBT = 0.2             # by how much a prediction may be wrong (benchmarks/RESULTS.md)
SPARED = 0.1            # of the audio, that the stop rule saves at most (benchmarks/RESULTS.md)
ENOUGH_RUNS = 3         # finished here, whose times are believed more than what is measured now

Case = tuple[Variant, Recipe]


class Sizes(NamedTuple):
    """Mixtures of a corpus' fixed splits: how many, and how long they are on average."""

    valid: int
    test: int
    valid_s: float
    test_s: float


class Trial(NamedTuple):
    """Seconds of one trial, and of them those for its scores."""

    seconds: float
    scoring_s: float


class Forecast:
    """Predictions for one study on one machine."""

    def __init__(self, settings: Settings, space: Space, speeds: Speeds, sizes: Sizes,
                 workers: int, cores: int, budget: Budget | None = None):
        self.settings, self.space, self.budget = settings, space, budget or settings.budget
        self.first = first(settings, space)
        self.speeds, self.sizes = speeds, sizes
        self.workers = workers
        # Slow metrics are computed on as many cores as other workers leave.
        self.slow_s = speeds.slow_s * sizes.test / max(1.0, min(cores, sizes.test // 8) / workers)
        self.factor = 1.0       # times what was measured, by runs that have finished here

    def trial(self, variant: Variant, recipe: Recipe) -> Trial:
        """One trial from its cost to its scores."""
        slices = [self.smallest, self.at(0.5)[0]] if recipe.teaches else []
        steps = recipe.epoch_segments / recipe.batch_size
        step_s = sum(self.speeds.step(step_macs(one, recipe)) for one in (variant, *slices))
        separation = self.speeds.separation(exact(variant).macs_per_s)
        epoch_s = steps * step_s + separation * self.sizes.valid * self.sizes.valid_s
        scoring_s = separation * self.sizes.test * self.sizes.test_s + self.slow_s
        seconds = self.factor * (recipe.epochs * epoch_s + scoring_s) + self.speeds.overhead_s
        return Trial(seconds, self.factor * scoring_s)

    def believe(self, runs: Sequence[tuple[Case, float]]) -> None:
        """Correct by the seconds of runs that have finished on this machine, where enough have."""
        if len(runs) >= ENOUGH_RUNS:
            overhead_s = self.speeds.overhead_s
            self.factor *= statistics.median(
                seconds / (self.trial(*case).seconds - overhead_s) for case, seconds in runs)

    def trials(self, number: int, first: int = 0) -> list[Trial]:
        """The next `number` trials from trial `first` on."""
        known = self.proposals(number, first)
        shares = MODELLED if self.settings.sampler == "model" else EVEN
        if self.settings.sampler in ("tpe", "gp", "nsga2", "nsga3"):
            shares = LEARNED
        missing = number - len(known)
        if missing and not isinstance(self.space, VariantList):
            known += islice(cycle([self.at(share) for share in shares]), missing)
        return [self.trial(*case) for case in known]

    def hours(self, trials: Sequence[Trial]) -> float:
        """When the last trial ends, if each is begun, in this order, by the worker free first."""
        free = [0.0] * self.workers
        for trial in trials:
            heapq.heapreplace(free, free[0] + trial.seconds)
        return (max(free) + self.speeds.startup_s) / 3600

    def proposals(self, number: int, first: int = 0) -> list[Case]:
        """What a study trains from its trial `first` on, as far as that depends on no score and is
        not far away."""
        settings = self.settings
        sampler = Proposals(settings.sampler, self.space, self.budget, settings.recipe.seed)
        end = len(self.space) if isinstance(self.space, VariantList) else first + FAR
        found: list[Case] = []
        for place in range(first, end):
            if len(found) == number:
                break
            if place < len(self.first):
                found.append(self.case(self.first[place], self.settings.recipe, place))
            elif (point := sampler.unlearned(place)) is None:
                break
            elif self.fits((case := self._at(point))[0]):
                found.append(case)
        return found

    def fits(self, variant: Variant) -> bool:
        return not self.budget.excess(exact(variant), self.budget.on(variant))

    def at(self, share: float) -> Case:
        """A case at a share of the way from the cheapest to the reference, or to the budget."""
        rng = np.random.default_rng(round(1000 * share))
        most = self.budget.max_macs_per_s
        return self._at(self.space.spread(share, rng, "macs_per_s", most))

    @property
    def smallest(self) -> Variant:
        return self.space.extremes("macs_per_s")[0]

    def case(self, variant: Variant, recipe: Recipe, trial: int | None = None) -> Case:
        """A proposal, with the recipe it is trained by."""
        is_reference = variant == self.space.reference
        return variant, recipe_of(recipe, self.settings, is_reference, trial)

    def _at(self, point: Mapping[str, int]) -> Case:
        recipe = self.space.recipe_of(point, self.settings.recipe)
        return self.case(self.space.variant_of(point), recipe)


def cases(space: Space, recipe: Recipe) -> tuple[Case, ...]:
    """What is measured: the cheapest variant, one in the middle, and the reference."""
    middle = space.variant_of(space.spread(0.5, np.random.default_rng(recipe.seed), "macs_per_s"))
    sizes = {step_macs(one, recipe): one for one in (space.extremes("macs_per_s")[0], middle)}
    sizes[step_macs(space.reference, recipe)] = space.reference
    return tuple((sizes[macs], recipe) for macs in sorted(sizes))


def dry_run(study: StudyPlan, trials: int, seeds: int, corpus: Corpus,
            database: Database | None, budget: Budget | None = None) -> Iterator[str]:
    """The lines of a dry run; the second comes after what is measured in between.

    `budget` is the study's with what devices measured, where it names any.

    Raises:
        UserError: where nothing can be measured.
    """
    settings, space = study.settings, study.space
    workers = study.workers or 1
    few = excerpt(corpus, LENGTHS)
    sizes = Sizes(corpus.count("valid"), corpus.count("test"),
                  mean_length_s(few, "valid"), mean_length_s(few, "test"))
    # There is no teacher yet, and steps take as long without one.
    plain = replace(settings.recipe, init="scratch")
    plan = Plan(cases(space, plain), settings.metrics, study.device, settings.threads,
                study.open_corpus)
    yield (f"study {study.name!r}, a dry run: nothing is stored; "
           f"{counted(len(plan.cases), 'variant')} trained for some steps, "
           f"{workers} at once, on {study.device}")
    start = time.monotonic()
    speeds = measure_together(plan, workers)
    load = load_average()
    shown = f" (load {load:.1f})" if load is not None else ""
    yield (f"measured in {time.monotonic() - start:.0f} s{shown}; "
           f"steps of one variant vary by {100 * speeds.spread:.0f} %")
    if load is not None and load > cores() + 1:
        yield (f"  {counted(cores(), 'core')}, and {load:.0f} processes that want one: trainings "
               "of one variant may differ by a third; predict again on a quiet machine")
    known = database.runs(study.name) if database else []
    forecast = Forecast(settings, space, speeds, sizes, workers, cores(), budget)
    forecast.believe([
        (_case(run, database), run["seconds"]) for run in known
        if database and run["seconds"]
        and (run["state"], run["environment"]) == ("complete", speeds.environment)])
    yield from _facts(corpus, space, settings, sizes)
    yield from _sizes(forecast, settings.recipe)
    yield _memory(speeds, workers, study.device)
    yield from _prediction(forecast, known, trials, seeds, database)


def _case(run: Mapping[str, Any], database: Database) -> Case:
    return database.variant(run["variant"]), Recipe.of(run)


def _facts(corpus: Corpus, space: Space, settings: Settings, sizes: Sizes) -> Iterator[str]:
    recipe = settings.recipe
    tuned_s = recipe_of(recipe, settings, False, None).audio_s
    yield (f"corpus {settings.corpus}: {counted(corpus.C, 'speaker')}, {corpus.sample_rate_hz} Hz, "
           f"{sizes.valid} validation and {sizes.test} test mixtures")
    yield (f"space {settings.space}: {len(space):,} variants; sampler {settings.sampler}, "
           f"scores {', '.join(settings.metrics)}")
    for word, variant in (("reference", space.reference), ("smallest", space.extremes()[0])):
        cost = exact(variant)
        yield (f"  {word:10}{variant}: {cost.parameters:,} parameters, "
               f"{cost.macs_per_s:,} MACs per second of audio, "
               f"receptive field {cost.receptive_field_s:.2f} s")
    yield (f"recipe: {counted(recipe.epochs, 'epoch')} of "
           f"{counted(recipe.epoch_segments, 'segment')} of {recipe.segment_s:g} s, "
           f"batch {recipe.batch_size}: {recipe.audio_s:,.0f} s of audio a trial"
           + (f", {tuned_s:,.0f} where weights are inherited" if recipe.init == "inherit" else ""))


def _sizes(forecast: Forecast, recipe: Recipe) -> Iterator[str]:
    """What a large, a middle and a small trial take."""
    shown = {"reference": forecast.space.reference,
             "median": forecast.at(0.5)[0],
             "smallest": forecast.smallest}
    for word, variant in shown.items():
        trial = forecast.trial(*forecast.case(variant, recipe))
        minutes = f"{trial.seconds / 60:,.{2 if trial.seconds < 6000 else 0}f} minutes"
        step_s = forecast.speeds.step(step_macs(variant, recipe))
        audio_s = recipe.batch_size * recipe.segment_s / step_s
        yield (f"  {word:10}{minutes} a trial, {trial.scoring_s / 60:.2f} of them for scores; "
               f"{audio_s:.0f} s of audio trained a second ({variant})")


def _memory(speeds: Speeds, workers: int, device: str) -> str:
    if not speeds.memory_bytes:
        return "memory: this system does not report it"
    one, all_of_them, free = (f"{size / 1e9:.1f} GB" for size in (
        speeds.memory_bytes, workers * speeds.memory_bytes, available_bytes()))
    line = f"memory: {one} for the reference's training, {all_of_them} for {workers} at once"
    if device != "cpu":
        return f"{line}, on the device"
    enough = workers * speeds.memory_bytes < available_bytes()
    return f"{line}; {free} are free" + ("" if enough else ": too little, take fewer --workers")


def _prediction(forecast: Forecast, runs: Sequence[Mapping[str, Any]], trials: int, seeds: int,
                database: Database | None) -> Iterator[str]:
    recipe, stop = forecast.settings.recipe, forecast.settings.stop
    own = [run for run in runs if run["seed"] == recipe.seed]
    trained = sum(run["state"] in TRAINED for run in own)
    begun = [run for run in own if database and run["state"] == "running"]
    wanted = max(0, min(trials, len(forecast.space)) - trained - len(begun))
    if forecast.factor != 1.0:
        yield (f"the runs that have finished on this machine took {forecast.factor:.2f} times "
               "what is measured now; they are believed")
    yield f"{trained} of {trials} trials are trained" + (f", {len(begun)} begun" if begun else "")
    if not wanted + len(begun):
        yield "predicted: nothing is left to train"
        return
    rests = [Trial(*(share_left(run) * part for part in forecast.trial(*_case(run, database))))
             for run in begun if database]
    expected = rests + forecast.trials(wanted, 1 + max((run["trial"] for run in own), default=-1))
    share = sum(trial.scoring_s for trial in expected) / sum(trial.seconds for trial in expected)
    stops = stop is not None and recipe.init != "inherit"       # a tuning is short
    yield (f"predicted: {_range(forecast.hours(expected), SPARED * stops)} "
           f"for the other {wanted + len(begun)} with {counted(forecast.workers, 'worker')}, "
           f"{100 * share:.0f} % of it for scores")
    if stops:
        yield ("  the stop rule can save a tenth of that (benchmarks/RESULTS.md); "
               "only the lower end counts on it")
    if seeds > 1:
        yield (f"  not in it: {counted(seeds - 1, 'further training')} of the reference "
               "and of each variant of the front (--seeds)")


def share_left(run: Mapping[str, Any]) -> float:
    """The share of a run that is still to be done."""
    whole_s = Recipe.of(run).audio_s
    return max(0.0, 1 - (run["audio_s"] or 0.0) / whole_s) if whole_s else 1.0


def _range(hours: float, spared: float) -> str:
    low, high = hours * (1 - DOUBT) * (1 - spared), hours * (1 + DOUBT)
    if high < 1:
        return f"{60 * hours:.1f} minutes ({60 * low:.1f} to {60 * high:.1f})"
    return f"{hours:.1f} hours ({low:.1f} to {high:.1f})"
