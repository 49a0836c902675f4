"""Optuna's study beside our tables: opened, extended by queued trials, told what was measured."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from study.database.device_costs import budget_of
from study.database.store import Database
from study.records import OnDevice, Result, Selection, Settings, direction_of
from study.search.inherit_recipe import first
from study.search.model_sampler import GIVEN
from study.search.samplers import Known, Proposals
from study.space.plan import StudyPlan
from study.space.searched import TUNED
from study.space.space import Space, on_as_much_audio
from tasnet_core.arguments import variant_of
from tasnet_core.errors import UserError
from tasnet_core.records import Cost, Recipe, Scores, Variant

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(plan: StudyPlan, database: Database) -> optuna.Study:
    """Optuna's study beside our tables, with the reference waiting as trial 0, or a whole list."""
    connect = {"connect_args": {"timeout": 5}} if database.is_sqlite else {"pool_pre_ping": True}
    settings, space = plan.settings, plan.space
    metrics = settings.objectives
    with database.lock(""):     # of all studies: the first one makes Optuna's tables
        storage = optuna.storages.RDBStorage(database.optuna_url, engine_kwargs=connect)
        study = optuna.create_study(
            study_name=plan.name, storage=storage, load_if_exists=True,
            directions=list(map(direction_of, metrics)),
            sampler=Proposals(settings.sampler, space, budget_of(database, settings),
                              settings.recipe.seed))
        known = len(study.get_trials(deepcopy=False))
        if not known:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(metrics))     # for optuna-dashboard's axes
        # Also those that a process died before queueing.
        for place, variant in enumerate(first(settings, space)):
            if place >= known:
                study.enqueue_trial(
                    space.parameters_of(variant, settings.recipe) or {},
                    user_attrs={GIVEN: True} if settings.reference and not place else None)
    return study


def asked(text: str, space: Space, recipe: Recipe) -> tuple[Variant, Recipe]:
    """The variant and recipe of words such as 'X4 R1 learning_rate=0.002'; what they leave out is
    as in the reference and the recipe.

    Raises:
        UserError: they make no network or recipe, or name a field of the recipe that the study does
            not search.
    """
    tuned: dict[str, str] = {}
    letters = []
    for word in text.split():
        name, is_one, value = word.partition("=")
        if is_one and name in TUNED:
            if name not in space.choices:
                raise UserError(f"{word!r}: all trainings of this study share one {name}, "
                                f"{getattr(recipe, name)}; a study that searches it is begun with "
                                f"--tune {name}")
            tuned[name] = value
        else:
            letters.append(word)
    try:
        return variant_of(letters, space.reference), on_as_much_audio(
            recipe, {name: type(getattr(Recipe, name))(value) for name, value in tuned.items()})
    except ValueError as error:
        raise UserError(f"{text!r}: {error}") from None


def enqueue(study: optuna.Study, space: Space, recipe: Recipe, variant: Variant) -> None:
    """Let a variant, trained by a recipe, be the next trial, whether the space has it or not."""
    tuned = {name: getattr(recipe, name) for name in TUNED if name in space.choices}
    study.enqueue_trial(space.parameters_of(variant, recipe) or {},
                        user_attrs={"variant": asdict(variant), "recipe": tuned})


def waiting(study: optuna.Study, space: Space) -> set[Variant]:
    """The variants that are queued in a study."""
    found = set()
    for trial in study.get_trials(False, (TrialState.WAITING,)):
        by_hand, fixed = trial.user_attrs.get("variant"), trial.system_attrs.get("fixed_params", {})
        if by_hand is not None:
            found.add(Variant(**by_hand))
        elif not _outside(fixed, space) and fixed.keys() == space.ranges().keys():
            # Any other is completed by the sampler.
            found.add(space.variant_of({name: int(value) for name, value in fixed.items()}))
    return found


def refuse_outside(study: optuna.Study, trial: Trial, space: Space) -> str:
    """End a trial that was queued with values outside of its space, which Optuna would warn of and
    use; returns which they are, or ""."""
    fixed = study._storage.get_trial(trial._trial_id).system_attrs.get("fixed_params", {})
    if why := _outside(fixed, space):
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
    return why


def _outside(fixed: Mapping[str, Any], space: Space) -> str:
    ranges = space.ranges()
    names = f"{', '.join(map(repr, ranges))} can be"
    wrong = []
    for name, value in fixed.items():
        if value not in ranges.get(name, ()):
            possible = f"{_listed(ranges[name])} can be chosen" if name in ranges else names
            wrong.append(f"{name} = {value!r}, but only {possible}")
    return "; ".join(wrong)


def _listed(numbers: range) -> str:
    if len(numbers) < 9:
        return ", ".join(map(str, numbers))
    return f"{numbers[0]}, {numbers[1]} … {numbers[-1]}"


def opened(study: optuna.Study, trial: FrozenTrial, known: Sequence[FrozenTrial]) -> Trial:
    """A trial of the study that can be asked, and told a result. `known` are all trials."""
    return Trial(Known(study, known), trial._trial_id)  # type: ignore[arg-type]


def created(study: optuna.Study, known: Sequence[FrozenTrial]) -> Trial:
    """A new trial, as `study.ask()` makes it where none is queued; to find that out, it would read
    all that are running."""
    number = study._storage.create_new_trial(study._study_id)
    return Trial(Known(study, known), number)  # type: ignore[arg-type]


def measured(run: Mapping[str, Any], on_devices: Mapping[str, OnDevice]) -> Result:
    """The result in a row of `runs` with its exact cost, and those on devices."""
    cost = Cost(**{field.name: run[field.name] for field in fields(Cost)})
    scores = Scores(**{field.name: run[field.name] for field in fields(Scores)})
    selection = Selection(**{field.name: run[field.name] for field in fields(Selection)})
    return Result(run["state"], cost=cost, scores=scores, selection=selection,
                  on_devices=on_devices)


def tell(study: optuna.Study, settings: Settings, trial: Trial, result: Result) -> None:
    assert result.cost is not None
    values = _values(settings, result)
    excesses = settings.budget.ratios(result.cost, result.on_devices)
    try:
        for limit, excess in excesses.items():
            trial.set_constraint(limit, excess)     # feasible at 0 or less, for the sampler
        if result.state == "complete" and None not in values:
            study.tell(trial, values, skip_if_finished=True)
        else:
            state = TrialState.FAIL if result.state in ("failed", "complete") else TrialState.PRUNED
            study.tell(trial, state=state, skip_if_finished=True)
    except optuna.exceptions.UpdateFinishedTrialError:
        pass        # another worker told it at the same moment


def tell_continued(study: optuna.Study, settings: Settings, trial: FrozenTrial,
                   result: Result) -> None:
    """Tell the score of a trial that was over for Optuna: as another one, for it stays as it is."""
    values = _values(settings, result)
    was_over = trial.state in (TrialState.PRUNED, TrialState.FAIL)
    if was_over and result.state == "complete" and None not in values:
        study.add_trial(optuna.create_trial(
            values=values, params=trial.params, distributions=trial.distributions,
            user_attrs={"repeats_trial": trial.number}))


def trials(study: optuna.Study) -> list[tuple[int, str]]:
    """Number and state of the trials that should have a run: no duplicates, none marked as lost."""
    lost = study.user_attrs.get("lost_trials", [])
    return [(trial.number, trial.state.name) for trial in study.get_trials(False)
            if "repeats_trial" not in trial.user_attrs and trial.number not in lost]


def tell_result(study: optuna.Study, plan: StudyPlan, database: Database, number: int) -> None:
    """Tell the result of a trial that still runs for Optuna."""
    run = database.run_of(plan.name, number, plan.settings.recipe.seed)
    known = study.get_trials(False)
    assert run is not None
    budget = budget_of(database, plan.settings)
    result = measured(run, budget.on(database.variant(run["variant"])))
    tell(study, plan.settings, opened(study, known[number], known), result)


def mark_lost(study: optuna.Study, number: int) -> None:
    """Remember that a trial's run is lost: Optuna keeps what it was told."""
    study.set_user_attr("lost_trials", [*study.user_attrs.get("lost_trials", []), number])


def _values(settings: Settings, result: Result) -> list[Any]:
    """What Optuna is told: costs, and quality on the validation mixtures."""
    found = {**vars(result.cost), **vars(result.scores)}
    found |= {axis: cost.value if math.isfinite(cost.value) else None
              for axis, cost in result.on_devices.items()}
    if settings.selection == "validation":
        found |= {name.removeprefix("valid_"): db for name, db in vars(result.selection).items()}
    return [found[name] for name in settings.objectives]
