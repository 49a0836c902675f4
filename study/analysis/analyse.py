"""Everything a report says beyond the rows themselves: intervals, chances, picks, advice. From rows alone, no model is loaded."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from study.analysis import effects, trials
from study.analysis import recommendations as picks
from study.analysis import reduction_path as advice
from study.analysis.bootstrap import Difference, Repeated, SeedSpread, holm, on_front
from study.analysis.effects import Effects, Importance, Interaction
from study.analysis.hypervolume_curve import Progress, point_of, progress
from study.analysis.learned import finding
from study.analysis.mixture_scores import Mixtures
from study.analysis.recommendations import Pick
from study.analysis.reduction_path import Model
from study.analysis.replicates import SCORE, Row, counts, failed_trainings, per_trial, unlearned
from study.analysis.wording import Table, decibels
from study.records import Estimate
from tasnet_core.errors import counted
from tasnet_core.records import Variant


class Analysis(NamedTuple):
    """One study, worked out."""

    runs: list[Row]                         # those that are comparable with the reference
    tested: Mixtures                        # their scores, owners are (trial, seed)
    rows: list[dict[str, Any]]              # one per variant
    heard: Mixtures                         # their scores, owners are trials
    repeated: Repeated
    scores: Mapping[int, Estimate]          # by trial, SI-SNRi
    losses: Mapping[int, Estimate]          # by trial, below the reference
    # These only where some variants were trained with several seeds.
    differences: Mapping[int, Difference]   # by trial, of the front and what is picked: against the reference, p-values corrected
    chance: Mapping[int, float]             # by trial, of being on the front
    effects: Effects
    importance: list[Importance]
    interaction: Interaction
    progress: Progress | None
    finding: str                            # why nothing can be recommended; then there are neither picks nor a path
    picks: list[Pick]
    advice: list[str]
    path: Table
    notes: list[str]                        # what was left out, and why; seeds that learned nothing


def comparable(runs: Sequence[Row], heard: Mixtures) -> tuple[list[Row], Mixtures, list[str]]:
    """The runs and scores without those of other mixtures than the reference's, and a sentence on what is left out.

    Without a reference most decide. A run that is left out stays in the table of all runs.
    """
    tests = {owner: int(test) for owner, test in zip(heard.owners, heard.tests, strict=True)}
    tested = [run for run in runs if counts(run) and (run["trial"], run["seed"]) in tests]
    of = [tests[run["trial"], run["seed"]] for run in tested]
    first = [test for run, test in zip(tested, of, strict=True) if run["trial"] == 0]
    right = first[0] if first else max(of, key=of.count, default=0)
    others = [run for run, test in zip(tested, of, strict=True) if test != right]
    if not others:
        return list(runs), heard, []
    named = ", ".join(f"{run['trial']} (seed {run['seed']})" for run in others[:8]) + (" …" if len(others) > 8 else "")
    note = (f"{counted(len(others), 'run')} {'was' if len(others) == 1 else 'were'} tested on other mixtures than the "
            f"{'reference' if first else 'most'}, and {'is' if len(others) == 1 else 'are'} left out of every comparison: "
            f"trial {named}.")
    left_out = {(run["trial"], run["seed"]) for run in others}
    kept = [run for run in runs if (run["trial"], run["seed"]) not in left_out]
    return kept, heard.only(owner for owner in heard.owners if owner not in left_out), [note]


def learned_nothing(runs: Sequence[Row]) -> list[str]:
    """A sentence for each run that learned nothing where another seed of its variant did."""
    best = {row["trial"]: row.get("si_snri_high_db") or row[SCORE] for row in per_trial(runs)}
    return [f"Seed {run['seed']} of trial {run['trial']} learned next to nothing: {decibels(run[SCORE])} dB, where another seed "
            f"has {decibels(best[run['trial']])}. It is in no mean and no spread, which are of trainings that learned; more "
            "seeds tell how often that happens." for run in unlearned(runs)]


def _failed(rows: Sequence[Row]) -> list[str]:
    """A sentence for each variant whose training failed without an error."""
    return [f"Trial {row['trial']} learned next to nothing ({decibels(row[SCORE])} dB), where one that costs no more did: its "
            f"training failed, and it is left out of what is said of hyperparameters; "
            f"python -m study confirm {row['trial']} trains it again." for row in rows]


def analyse(runs: Sequence[Row], heard: Mixtures, reference: Variant | None, point: Mapping[str, float] | None = None,
            limits: Sequence[Mapping[str, float]] = ()) -> Analysis:
    """Work a study out from its runs and their scores, owners (trial, seed)."""
    kept, heard, notes = comparable(runs, heard)
    rows, by_trial = per_trial(kept), heard.per_trial(kept)
    known = trials.finished(rows)
    repeated = Repeated(by_trial, {row["trial"]: row["seeds"] for row in known}, SeedSpread.of(known))
    numbers = [row["trial"] for row in known]
    losses = repeated.losses(numbers, 0)
    failed = failed_trainings(known)
    learned = [row for row in known if row not in failed]
    design = effects.design(learned, trials.reference(rows) or max(learned, key=lambda row: row["parameters"]))
    why = finding(rows, losses, by_trial.of(0, SCORE))
    model = why or (advice.model_of(design, reference) if reference else "the reference is missing")
    # Without the spread of seeds every chance would speak of these trainings alone, and be far too sure of itself.
    told = repeated if repeated.spread else None
    made = picks.picks(rows, losses, told, limits)
    shown = {row["trial"] for row in trials.front(rows)} | {pick.trial for pick in made if pick.trial is not None}
    return Analysis(
        kept, heard, rows, by_trial, repeated, repeated.scores(numbers), losses,
        against_reference(told, sorted(shown)) if told else {},
        on_front(known, trials.COSTS, told) if told else {}, effects.main_effects(design), effects.importance(design),
        effects.interaction(design), _progress(kept, rows, point), why, made,
        advice.sentences(model) if isinstance(model, Model) else
        [] if why else [f"Which letter to lower first cannot be said yet: {model}."],
        advice.path(model, known, {trial: loss.value for trial, loss in losses.items()}) if isinstance(model, Model)
        else Table(advice.PATH, []), [*notes, *learned_nothing(kept), *_failed(failed)])


def against_reference(repeated: Repeated, trials: Sequence[int]) -> dict[int, Difference]:
    """Each of these variants against the reference, with p-values corrected for their number (Holm)."""
    found = {trial: one for trial in trials if trial and (one := repeated.difference(trial, 0))}
    corrected = holm({trial: one.p for trial, one in found.items()})
    return {trial: one._replace(p=corrected[trial]) for trial, one in found.items()}


def _progress(runs: Sequence[Row], rows: Sequence[Row], point: Mapping[str, float] | None) -> Progress | None:
    """From the point stored with the study; one that was begun before there was any has that of its reference."""
    base = trials.reference(rows)
    if point is None and base is not None:
        point = point_of(base["parameters"], base["macs_per_s"])
    return progress(runs, point) if point else None
