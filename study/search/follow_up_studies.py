"""Follow-up studies: the front of a study from scratch, or some of its variants for longer."""

import math
from collections.abc import Sequence
from dataclasses import replace

from study.analysis import trials
from study.analysis.hypervolume_curve import point_of
from study.analysis.pareto import gains
from study.analysis.replicates import SCORE, VALID, Row
from study.database.store import Database
from study.records import Settings
from study.search import optuna_study
from study.space.plan import StudyPlan
from tasnet_core.records import Variant


def from_scratch(settings: Settings) -> Settings:
    """The settings of a study that confirms one of inherited weights: all by the whole recipe."""
    recipe = replace(settings.recipe, init="scratch")
    return replace(settings, recipe=recipe, stop=None, inherit_epochs=None)


def tuned_whole(settings: Settings, adapted_in: str) -> Settings:
    """The settings of a study that confirms one of a given reference: each variant begins as the
    same slice, adapted in the study `adapted_in`, and is trained by the whole recipe."""
    return replace(settings, stop=None, inherit_epochs=settings.recipe.epochs,
                   adapted_in=adapted_in)


def longer(settings: Settings, times: int, grown_from: str) -> Settings:
    """The settings of a study with `times` the epochs, which goes on from the trainings of the
    study `grown_from`."""
    recipe = replace(settings.recipe, epochs=times * settings.recipe.epochs)
    return replace(settings, recipe=recipe, stop=None, grown_from=grown_from)


def derive(database: Database, plan: StudyPlan, variants: Sequence[Variant],
           notes: tuple[str, ...], fingerprint: str) -> int:
    """Enqueue variants in a study, making it if it is not there; returns its number of trials."""
    database.register(plan.name, plan.settings, notes, fingerprint)
    study = optuna_study.open_study(plan, database)
    with database.lock(plan.name):
        known = {database.variant(run["variant"]) for run in database.runs(plan.name)}
        known |= optuna_study.waiting(study, plan.space)
        for variant in variants:
            if variant not in known:
                optuna_study.enqueue(study, plan.space, plan.settings.recipe, variant)
    return len(known | set(variants))


def best(rows: Sequence[Row], count: int | None = None) -> list[int]:
    """The trials of the front and the reference; of the front at most the `count` that add most.

    Hypervolume is in dB and octaves of both costs; each trial adds most to those before it.
    """
    known = _by_validation(trials.finished(rows))
    reference = trials.reference(known)
    if count is None or reference is None:
        return sorted({row["trial"] for row in [*trials.front(known), *filter(None, [reference])]})
    point = point_of(reference["parameters"], reference["macs_per_s"])
    points = [[-row[SCORE], *(math.log2(row[name]) for name in trials.COSTS)] for row in known]
    # Untrained sub-networks may be worse than the mixture.
    lowest = min(point[SCORE], *(row[SCORE] - 1 for row in known))
    corner = [-lowest, *(math.log2(point[name]) for name in trials.COSTS)]
    order = gains(points, corner, [known.index(reference)])
    return sorted(known[place]["trial"] for place in order[:count + 1])


def _by_validation(rows: Sequence[Row]) -> list[Row]:
    """The rows with their validation scores in place of test scores, where all have one: nothing is
    chosen on the test set."""
    if any(row.get(VALID) is None for row in rows):
        return list(rows)
    return [{**row, SCORE: row[VALID]} for row in rows]


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """The reference and complete variants of evenly spread ranks of MACs, `count` in all."""
    known = sorted(trials.finished(rows),
                   key=lambda row: (row["macs_per_s"], row["parameters"], row["trial"]))
    places = {round(place * (len(known) - 1) / max(1, count - 1)) for place in range(count)}
    chosen = [known[place] for place in sorted(places)] if known else []
    base = [row for row in known if row["trial"] == 0 and row not in chosen]
    return [*base, *chosen[len(base) if len(chosen) == count else 0:]]
