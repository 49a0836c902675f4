"""The sampler `model`: trains what tells most about the predicted front.

Its model, and the rule by which it chooses, are those of the report (`analysis.predicted_front`);
here are Optuna's trials in their terms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.analysis.proposals import proposals
from study.analysis.replicates import LEARNED_DB, SCORE, failed_trainings
from study.analysis.score_surface import Trained
from study.records import Budget
from study.space.points import Columns, indices_of, of_variants
from study.space.searched import TUNED
from study.space.space import Space
from tasnet_core.cost import count
from tasnet_core.records import Variant

GIVEN = "given"     # an attribute of Optuna's trial of a network that was trained elsewhere
AT_LEAST = 2  # scores, before there is anything to learn from

Case = tuple[Variant, Mapping[str, Any]]  # with the tuned fields of its recipe


def proposal(
    space: Space,
    budget: Budget,
    known: Sequence[FrozenTrial],
    recent: Sequence[FrozenTrial],
    directions: Sequence[StudyDirection],
    rng: np.random.Generator,
) -> dict[str, Any] | None:
    """The point to train next; None where too little is known, or nothing is left within the
    budget. `recent` are those of the `known` trials to learn from."""
    quality = list(directions).index(StudyDirection.MAXIMIZE)
    scored = [(case, float(trial.values[quality])) for trial in recent
              if trial.state == TrialState.COMPLETE and GIVEN not in trial.user_attrs
              and (case := case_of(space, trial))]
    scored = _learned(scored)
    if len(scored) < AT_LEAST:
        return None
    running = [case for trial in recent
               if trial.state == TrialState.RUNNING and (case := case_of(space, trial))]
    trained = Trained(columns([case for case, _ in scored]),
                      np.array([score for _, score in scored]), np.ones(len(scored)))
    ranges = space.ranges()
    inside = [asked for trial in known if (asked := trial.params).keys() == ranges.keys()
              and all(asked[name] in numbers for name, numbers in ranges.items())]
    tried = indices_of(space, inside)
    found = proposals(space, budget, trained, tried, rng, columns(running) if running else None)
    return dict(space.point(found[0])) if found else None


def case_of(space: Space, trial: FrozenTrial) -> Case | None:
    """The variant of a trial, and the tuned fields of its recipe; None before it is proposed."""
    ranges = space.ranges()
    own = {name: getattr(space.recipe, name) for name in TUNED}
    inside = all(trial.params.get(name) in numbers for name, numbers in ranges.items())
    if inside:
        recipe = space.recipe_of(trial.params, space.recipe)
        return space.variant_of(trial.params), {name: getattr(recipe, name) for name in TUNED}
    by_hand = trial.user_attrs.get("variant")
    return (Variant(**by_hand), {**own, **trial.user_attrs.get("recipe", {})}) if by_hand else None


def columns(cases: Sequence[Case]) -> Columns:
    return of_variants([variant for variant, _ in cases], [recipe for _, recipe in cases])


def _learned(scored: list[tuple[Case, float]]) -> list[tuple[Case, float]]:
    """Without trainings that failed by chance, which say nothing of their hyperparameters."""
    if all(score >= LEARNED_DB for _, score in scored):
        return scored
    rows = []
    for place, ((variant, _), score) in enumerate(scored):
        cost = count.exact(variant)
        rows.append({"trial": place, "state": "complete", SCORE: score,
                     "parameters": cost.parameters, "macs_per_s": cost.macs_per_s})
    failed = {row["trial"] for row in failed_trainings(rows)}
    return [one for place, one in enumerate(scored) if place not in failed]
