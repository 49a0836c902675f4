"""Everything a report contains beyond the rows: intervals, probabilities, recommendations.

From rows alone; no model is loaded.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from study.analysis import effects, reduction_path, trials
from study.analysis.effects import Effects, Importance, Interaction
from study.analysis.hypervolume_curve import Progress, point_of, progress
from study.analysis.learned import finding
from study.analysis.mixture_scores import Mixtures
from study.analysis.predicted_front import PredictedFront, Step, predicted_front
from study.analysis.proposals import suggestions
from study.analysis.recommendations import Compared, Recommendation, recommend
from study.analysis.replicates import (
    SCORE,
    Row,
    counts,
    failed_trainings,
    given,
    per_trial,
    seeds_in_means,
    unlearned,
)
from study.analysis.score_model import ScoreModel, score_model
from study.analysis.shrinkage import Shrunk, shrunk
from study.analysis.uncertainty import Difference, SeedSpread, Uncertainty, holm, on_front
from study.analysis.wording import Table, decibels
from study.records import Budget, Estimate
from study.space.space import Space
from tasnet_core.errors import counted
from tasnet_core.records import Variant

NAMED_AT_MOST = 8  # runs that are left out
SUGGESTED = 3  # trainings


class Analysis(NamedTuple):
    """One study, worked out."""

    runs: list[Row]  # those comparable with the reference
    tested: Mixtures  # their scores, owners are (trial, seed)
    rows: list[dict[str, Any]]  # one per variant
    per_variant: Mixtures  # their scores, owners are trials
    uncertainty: Uncertainty
    scores: Mapping[int, Estimate]  # by trial, SI-SNRi
    losses: Mapping[int, Estimate]  # by trial, below the reference
    shrunk: Shrunk | None  # the losses drawn towards the score model
    # These only where some variants were trained with several seeds: without their spread every
    # probability would hold for these trainings alone, and be far too sure.
    differences: Mapping[int, Difference]  # of the front and the recommended, p-values corrected
    chance: Mapping[int, float]  # by trial, probability of being Pareto-optimal
    effects: Effects
    importance: list[Importance]
    interaction: Interaction
    progress: Progress | None
    finding: str  # why nothing can be recommended; then there are no picks and no path
    picks: list[Recommendation]
    advice: list[str]
    path: Table
    predicted: PredictedFront | None  # where enough is known, and something learned
    suggested: list[Step]  # the trainings that would say most about it
    notes: list[str]  # what was left out, and why; seeds that learned nothing

    @property
    def compared(self) -> Compared:
        return Compared.of(self.rows, self.losses, self.shrunk)

    @property
    def with_seeds(self) -> Uncertainty | None:
        """The bootstrap, where it contains the spread of seeds."""
        return self.uncertainty if self.uncertainty.spread else None


def comparable(
    runs: Sequence[Row], scores: Mixtures
) -> tuple[list[Row], Mixtures, list[str]]:
    """The runs tested on the reference's mixtures, their scores, and a note on those left out.

    Without a reference the mixtures of most runs decide. A run left out stays in the table of runs.
    """
    tests = {owner: int(test) for owner, test in zip(scores.owners, scores.tests, strict=True)}
    tested = {}
    for run in runs:
        owner = run["trial"], run["seed"]
        if counts(run) and owner in tests:
            tested[owner] = tests[owner]
    of_reference = [test for (trial, _), test in tested.items() if trial == 0]
    found = list(tested.values())
    right = of_reference[0] if of_reference else max(found, key=found.count, default=0)
    others = [owner for owner, test in tested.items() if test != right]
    if not others:
        return list(runs), scores, []
    named = ", ".join(f"{trial} (seed {seed})" for trial, seed in others[:NAMED_AT_MOST])
    named += " …" if len(others) > NAMED_AT_MOST else ""
    was, is_ = ("was", "is") if len(others) == 1 else ("were", "are")
    note = (f"{counted(len(others), 'run')} {was} tested on other mixtures than the "
            f"{'reference' if of_reference else 'most'}, and {is_} left out of every comparison: "
            f"trial {named}.")
    kept = [run for run in runs if (run["trial"], run["seed"]) not in others]
    return kept, scores.only(owner for owner in scores.owners if owner not in others), [note]


def learned_nothing(runs: Sequence[Row]) -> list[str]:
    """A sentence for each run that learned nothing where another seed of its variant did."""
    best = {row["trial"]: row.get("si_snri_high_db") or row[SCORE] for row in per_trial(runs)}
    return [
        f"Seed {run['seed']} of trial {run['trial']} learned next to nothing: "
        f"{decibels(run[SCORE])} dB, where another seed has {decibels(best[run['trial']])}. It is "
        "in no mean and no spread, which are of trainings that learned; more seeds tell how often "
        "that happens."
        for run in unlearned(runs)]


def _failed(rows: Sequence[Row]) -> list[str]:
    """A sentence for each variant whose training failed without an error."""
    return [
        f"Trial {row['trial']} learned next to nothing ({decibels(row[SCORE])} dB), where one that "
        "costs no more did: its training failed, and it is left out of what is said of "
        f"hyperparameters; python -m study confirm {row['trial']} trains it again."
        for row in rows]


def analyse(
    runs: Sequence[Row],
    scores: Mixtures,
    reference: Variant | None,
    point: Mapping[str, float] | None = None,
    limits: Sequence[Mapping[str, float]] = (),
    searched: tuple[Space, Budget] | None = None,
) -> Analysis:
    """Work a study out from its runs and their scores, owners (trial, seed)."""
    kept, tested, notes = comparable(runs, scores)
    rows, per_variant = per_trial(kept), tested.per_trial(kept)
    known = trials.finished(rows)
    seeds = seeds_in_means(known)
    uncertainty = Uncertainty(per_variant, seeds, SeedSpread.of(known))
    with_seeds = uncertainty if uncertainty.spread else None
    losses = uncertainty.losses(list(seeds), 0)
    failed = failed_trainings(known)
    learned = [row for row in known if row not in failed and not given(row)]
    base = trials.reference(rows) or max(learned, key=lambda row: row["parameters"])
    design = effects.design(learned, base)

    why = finding(rows, losses, per_variant.of(0, SCORE))
    model, refused = _model(design, reference, trials.reference(known))
    drawn = shrunk(model, uncertainty) if model else None
    picks = []
    if not why:
        picks = recommend(Compared.of(rows, losses, drawn), with_seeds, limits, searched)
    advice, path = _reduction(model, refused, known, losses) if not why else ([], None)
    predicted, suggested = None, list[Step]()
    if searched and not why:
        predicted = predicted_front(*searched, rows)
        suggested = suggestions(*searched, rows, SUGGESTED)
    shown = {row["trial"] for row in trials.front(rows)}
    shown |= {pick.trial for pick in picks if pick.trial is not None}
    return Analysis(
        runs=kept, tested=tested, rows=rows, per_variant=per_variant, uncertainty=uncertainty,
        scores=uncertainty.scores(list(seeds)), losses=losses, shrunk=drawn,
        differences=against_reference(with_seeds, sorted(shown)) if with_seeds else {},
        chance=on_front(known, trials.COSTS, with_seeds) if with_seeds else {},
        effects=effects.main_effects(design), importance=effects.importance(design),
        interaction=effects.interaction(design), progress=_progress(kept, rows, point),
        finding=why, picks=picks, advice=advice, path=path or Table(reduction_path.PATH, []),
        predicted=predicted, suggested=suggested,
        notes=[*notes, *learned_nothing(kept), *_failed(failed)])


def _model(
    design: effects.Design, reference: Variant | None, measured: Row | None
) -> tuple[ScoreModel | None, str]:
    """The score model; or None, and why there is none."""
    if reference is None or measured is None:
        return None, "the reference is missing"
    if refused := effects.refusal(design):
        return None, refused
    return score_model(design, reference, measured[SCORE]), ""


def _reduction(
    model: ScoreModel | None,
    refused: str,
    known: Sequence[Row],
    losses: Mapping[int, Estimate],
) -> tuple[list[str], Table | None]:
    """The reduction path in sentences and as a table; or why there is none."""
    if model is None:
        return [f"Which hyperparameter to lower first cannot be said yet: {refused}."], None
    measured = {trial: loss.value for trial, loss in losses.items()}
    return reduction_path.sentences(model), reduction_path.path(model, known, measured)


def against_reference(uncertainty: Uncertainty, trials: Sequence[int]) -> dict[int, Difference]:
    """Each of these variants against the reference, p-values corrected for their number (Holm)."""
    found = {}
    for trial in trials:
        if trial and (difference := uncertainty.difference(trial, 0)):
            found[trial] = difference
    corrected = holm({trial: one.p for trial, one in found.items()})
    return {trial: one._replace(p=corrected[trial]) for trial, one in found.items()}


def _progress(
    runs: Sequence[Row], rows: Sequence[Row], point: Mapping[str, float] | None
) -> Progress | None:
    """From the point stored with the study, else from the one of its reference."""
    base = trials.reference(rows)
    if point is None and base is not None:
        point = point_of(base["parameters"], base["macs_per_s"])
    return progress(runs, point) if point else None
