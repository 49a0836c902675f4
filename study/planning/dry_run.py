"""`run --dry-run`: what a study would take, in words. Nothing is trained for good, nothing is stored."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from study.database.store import Database
from study.planning.forecast import Case, Forecast, Hours, Sizes, Trial, cases, rate
from study.planning.measure import Plan, Speeds, load_average, rehearse
from study.planning.timing import Excerpt
from study.records import TRAINED, Settings
from study.search.inherit_recipe import recipe_of
from study.space.plan import StudyPlan
from study.space.space import Space
from tasnet_core.backend.memory import available_bytes
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost.formulas import exact
from tasnet_core.errors import counted
from tasnet_core.evaluation.metric_workers import cores
from tasnet_core.records import Recipe

LENGTHS = 16            # recordings of a split whose lengths stand for all


def dry_run(study: StudyPlan, trials: int, seeds: int, corpus: Corpus, database: Database | None) -> Iterator[str]:
    """The lines of a dry run; the second comes after what is measured in between.

    Raises:
        UserError: where nothing can be measured.
    """
    name, settings, space, device = study.name, study.settings, study.space, study.device
    workers, few = study.workers or 1, Excerpt(corpus, LENGTHS)
    sizes = Sizes(corpus.count("valid"), corpus.count("test"), few.lengths("valid"), few.lengths("test"))
    plain = replace(settings.recipe, init="scratch")        # there is no teacher yet, and steps take as long without one
    plan = Plan(cases(space, plain, plain.seed), settings.metrics, device, settings.threads, study.open_corpus)
    yield (f"study {name!r}, a dry run: nothing is stored; {counted(len(plan.cases), 'variant')} trained for some steps, "
           f"{workers} at once, on {device}")
    start = time.monotonic()
    speeds = rehearse(plan, workers)
    load = load_average()
    yield (f"measured in {time.monotonic() - start:.0f} s" + (f" (load {load:.1f})" if load is not None else "")
           + f"; the fit is {100 * speeds.step.error:.0f} % off these steps")
    known = _runs(name, database)
    forecast = Forecast(settings, space, speeds, sizes, workers, cores())
    forecast.believe(_finished(known, database, speeds))
    yield from _facts(corpus, space, settings, sizes)
    yield from _trials(forecast, space, settings, speeds)
    yield _memory(speeds, workers, device)
    yield from _prediction(forecast, space, settings, known, trials, seeds, database)


def _runs(name: str, database: Database | None) -> list[dict[str, Any]]:
    return database.runs(name) if database else []


def _case(run: dict[str, Any], database: Database) -> Case:
    return database.variant(run["variant"]), Recipe.of(run)


def _finished(runs: Sequence[dict[str, Any]], database: Database | None, speeds: Speeds) -> list[tuple[Case, float]]:
    """The runs this machine and software trained to their end, and their seconds."""
    return [(_case(run, database), run["seconds"]) for run in runs if database and run["state"] == "complete"
            and run["environment"] == speeds.environment and run["seconds"]]


def _facts(corpus: Corpus, space: Space, settings: Settings, sizes: Sizes) -> Iterator[str]:
    recipe = settings.recipe
    tuned_s = recipe_of(recipe, settings, False).audio_s
    yield (f"corpus {settings.corpus}: {counted(corpus.C, 'speaker')}, {corpus.sample_rate_hz} Hz, {sizes.valid} validation and "
           f"{sizes.test} test mixtures")
    yield f"space {settings.space}: {len(space):,} variants; sampler {settings.sampler}, scores {', '.join(settings.metrics)}"
    for word, variant in (("reference", space.reference), ("smallest", space.extremes()[0])):
        cost = exact(variant)
        yield (f"  {word:10}{variant}: {cost.parameters:,} parameters, {cost.macs_per_s:,} MACs per second of sound, "
               f"receptive field {cost.receptive_field_s:.2f} s")
    yield (f"recipe: {counted(recipe.epochs, 'epoch')} of {counted(recipe.epoch_segments, 'segment')} of {recipe.segment_s:g} s, "
           f"batch {recipe.batch_size}: {recipe.audio_s:,.0f} s of sound a trial"
           + (f", {tuned_s:,.0f} where weights are inherited" if recipe.init == "inherit" else ""))


def _trials(forecast: Forecast, space: Space, settings: Settings, speeds: Speeds) -> Iterator[str]:
    """What a large, a middle and a small trial take."""
    smallest = space.extremes("macs_per_s")[0]
    for word, variant in (("reference", space.reference), ("median", forecast.at(0.5)[0]), ("smallest", smallest)):
        trial = forecast.trial(*forecast.case(variant, settings.recipe))
        yield (f"  {word:10}{_minutes(trial)} a trial, {trial.scoring_s / 60:.2f} of them for scores; "
               f"{rate(speeds.step, variant, settings.recipe):.0f} s of sound trained a second ({variant})")


def _minutes(trial: Trial) -> str:
    return f"{trial.seconds / 60:.2f} minutes" if trial.seconds < 6000 else f"{trial.seconds / 60:,.0f} minutes"


def _memory(speeds: Speeds, workers: int, device: str) -> str:
    if not speeds.memory_bytes:
        return "memory: this system does not say"
    needed = workers * speeds.memory_bytes
    line = f"memory: {_gigabytes(speeds.memory_bytes)} for the reference's training, {_gigabytes(needed)} for {workers} at once"
    if device != "cpu":
        return f"{line}, on the device"
    free = available_bytes()
    return f"{line}; {_gigabytes(free)} are free" + ("" if needed < free else ": too little, take fewer --workers")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _prediction(forecast: Forecast, space: Space, settings: Settings, runs: Sequence[dict[str, Any]], trials: int, seeds: int,
                database: Database | None) -> Iterator[str]:
    own = [run for run in runs if run["seed"] == settings.recipe.seed]
    trained, begun = (sum(run["state"] in states for run in own) for states in (TRAINED, ("running",)))
    wanted = max(0, min(trials, len(space)) - trained - begun)
    left = {_case(run, database): _left(run) for run in own if database and run["state"] == "running"}
    found = forecast.hours(wanted, 1 + max((run["trial"] for run in own), default=-1), left)
    if forecast.factor != 1.0:
        yield (f"the runs that have finished on this machine took {forecast.factor:.2f} times what is measured now; "
               "they are believed")
    yield f"{trained} of {trials} trials are trained" + (f", {begun} begun" if begun else "")
    if not wanted + begun:
        yield "predicted: nothing is left to train"
        return
    yield f"predicted: {_range(found)} for the other {wanted + begun} with {counted(forecast.workers, 'worker')}, " \
          f"{100 * found.scoring_share:.0f} % of it for scores"
    if forecast.stops:
        yield "  the stop rule can save a tenth of that (benchmarks/RESULTS.md); only the lower end counts on it"
    if seeds > 1:
        yield f"  not in it: {counted(seeds - 1, 'further training')} of the reference and of each variant of the front (--seeds)"


def _left(run: dict[str, Any]) -> float:
    """The share of a run that is still to be done."""
    whole_s = Recipe.of(run).audio_s
    return max(0.0, 1 - (run["audio_s"] or 0.0) / whole_s) if whole_s else 1.0


def _range(found: Hours) -> str:
    if found.high < 1:
        return f"{60 * found.hours:.1f} minutes ({60 * found.low:.1f} to {60 * found.high:.1f})"
    return f"{found.hours:.1f} hours ({found.low:.1f} to {found.high:.1f})"
