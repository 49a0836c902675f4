"""The commands that train: run, confirm, fidelity and continue.

Imports all that trainings need, so commands that train nothing never import it.
"""

import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from study.analysis.rank_agreement import lines
from study.analysis.replicates import per_trial
from study.analysis.trials import front
from study.cli import terminal
from study.cli.options import Confirm, Continue, Fidelity, Run, Training
from study.cli.settings import (
    check_installed,
    check_possible,
    default_space,
    default_workers,
    device_here,
    gpus_per_trial,
    plan_of,
    settings_of,
    study_of,
    with_reference,
)
from study.cli.stored import budget_in, settings_in, to_write
from study.database.connection import url_of
from study.database.device_costs import budget_of
from study.database.store import Database, check_same, open_database, stored_settings
from study.database.study_names import check_name
from study.engines import local
from study.engines.base import Engine, Job, Outcome
from study.maintenance.doctor import checkpoint_of, ranges
from study.records import SCRATCH, TUNED_ON, Budget
from study.search import given_reference
from study.search.follow_up_studies import best, derive, from_scratch, longer, spread, tuned_whole
from study.search.inherit_recipe import teacher_of
from study.search.known_front import half_width_db
from study.space.around import around
from study.space.plan import StudyPlan
from study.space.presets import SPACES
from study.space.searched import TUNED
from study.space.space import Space
from study.space.toml import space_named
from tasnet_core.arguments import listed_hyperparameters
from tasnet_core.backend.devices import make_layers, precision_of, say_if_plain
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.checkpoints.weights import digest
from tasnet_core.corpora.registry import Corpus, open_corpus, tell_unusable
from tasnet_core.errors import UserError, counted
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import Variant
from tasnet_core.terminal import complain, say


def run(asked: Run) -> str:
    """Train until the study has so many trials; its name."""
    gpu = bool(gpus_per_trial(asked)) if asked.engine == "ray" else torch.cuda.is_available()
    space = space_named(asked.space) if asked.space else None
    preset = space.name if space else default_space(gpu)
    network, own_space = _given_reference(asked, space, SPACES[default_space(gpu)])
    name = study_of(asked, own_space.name if own_space else preset)
    known = stored_settings(asked.storage, name, read_only=asked.dry_run)
    if own_space and not (known and space is None):
        space = own_space
    elif not (space or known):
        space = SPACES[preset]
    resolved = asked
    if asked.precision == "auto" or not (asked.precision or known or preset not in SPACES):
        precision = known.recipe.precision if known else precision_of("auto", device_here(asked))
        resolved = replace(asked, precision=precision)
    settings = settings_of(resolved, known, space)
    if network:
        settings = with_reference(settings, asked, digest(network), known)
    plan = replace(plan_of(asked, name, settings), until_db=asked.until)
    budget = budget_in(asked.storage, settings)
    check_possible(plan, budget)
    if known:       # a corpus is known by what it holds, wherever that lies now
        same = settings if asked.corpus is None else replace(settings, corpus=known.corpus)
        check_same(name, same, known)
    else:
        check_name(name)
    check_installed(plan, chosen=bool(known or asked.metrics))
    corpus = _opened(asked, plan)       # everything is looked at before anything is written
    if asked.dry_run:
        _dry_run(asked, plan, corpus, budget, begun=bool(known))
        return name
    with open_database(asked.storage, read_only=False) as database:
        database.register(name, settings, corpus.notes, corpus.fingerprint)
        given_reference.keep(database, name, settings, network)
        finished = _train(asked, plan, database, asked.trials)
        if finished and asked.seeds > 1 and database.trained(name, settings.recipe.seed):
            trials = best(per_trial(database.results(name)))
            _confirm(asked, asked.seeds, plan, database, corpus, trials)
    return name


def _given_reference(asked: Run, named: Space | None,
                     default: Space) -> tuple[ConvTasNet | None, Space | None]:
    """The network that is the reference, and the space around it; nothing where none is given."""
    if asked.reference is None:
        if asked.hyperparameters is not None:
            raise UserError("--hyperparameters: belong to a network; add --reference FILE")
        return None, None
    network = load(asked.reference, **listed_hyperparameters(asked.hyperparameters or ""))
    return network, around(network.variant, named or default, named is not None, asked.reference)


def confirm(asked: Confirm) -> None:
    with to_write(asked.storage) as database:
        name, settings = settings_in(database, asked.study, to_derive=True)
        if asked.trials and asked.best:
            raise UserError(f"--best {asked.best}: chooses trials, and "
                            f"{' '.join(map(str, asked.trials))} are chosen; leave one of them out")
        plan = plan_of(asked, name, settings)
        _check_trials(database, plan, asked.trials, ("complete", "stopped"))
        trials = list(asked.trials) or best(per_trial(database.results(name)), asked.best)
        if not trials:
            raise UserError(f"study {name!r}: no trial is complete, so there is nothing to "
                            "confirm; run more of it first")
        corpus = _opened(asked, plan)
        database.register(name, settings, corpus.notes, corpus.fingerprint)
        say(f"trials {', '.join(map(str, trials))}: {counted(asked.seeds, 'seed')} each")
        _confirm(asked, asked.seeds, plan, database, corpus, trials)


def _confirm(asked: Training, seeds: int, plan: StudyPlan, database: Database, corpus: Corpus,
             trials: list[int]) -> None:
    """Train these trials with further seeds; where weights were inherited, by the whole recipe in a
    study of their own: from scratch, or from the slices of a reference that was given."""
    inherited, tuned_on = plan.name, bool(plan.settings.reference)
    if plan.settings.recipe.init == "inherit" and not plan.settings.adapted_in:
        variants = _variants(database, plan.name, trials)
        if tuned_on:
            _check_adapted(database, plan)
            following = tuned_whole(plan.settings, plan.name)
            plan = plan.of_study(plan.name + TUNED_ON, following)
            say("their weights were tuned for a short while: trained on from the slices of the "
                f"reference, by the whole recipe, in study {plan.name!r}")
        else:
            plan = plan.of_study(plan.name + SCRATCH, from_scratch(plan.settings))
            say(f"their weights were inherited: trained from scratch in study {plan.name!r}")
        if not _follow_up(asked, plan, database, corpus, variants):
            return
        trials = sorted({0, *(run["trial"] for run in database.runs(plan.name)
                              if database.variant(run["variant"]) in variants)})
    if tuned_on:        # the given reference is the same with every seed
        trials = [trial for trial in trials if trial]
    database.queue_replicates(plan.name, trials, seeds)
    if _train(asked, plan, database, 0) and plan.name != inherited:
        say(*lines([(study, per_trial(database.results(study)))
                    for study in (inherited, plan.name)]))


def _check_adapted(database: Database, plan: StudyPlan) -> None:
    """See that the given reference has been adapted to the end, before a study begins from it.

    Raises:
        UserError: it has not, or its checkpoint is not there.
    """
    teacher = teacher_of(plan.settings)
    assert teacher is not None
    _check_trials(database, plan, (teacher,), ("complete",))
    _check_checkpoints(
        database, plan.name, (run for run in database.runs(plan.name) if run["trial"] == teacher),
        "begin another study")


def fidelity(asked: Fidelity) -> None:
    with to_write(asked.storage) as database:
        name, settings = settings_in(database, asked.study, to_derive=True)
        plan = plan_of(asked, name, settings)
        if settings.recipe.init != "scratch" or not TUNED.keys().isdisjoint(plan.space.choices):
            raise UserError(f"study {name!r}: its trainings differ in more than their variants; "
                            "name one whose trainings all begin from scratch by one recipe")
        chosen = [row["trial"] for row in spread(per_trial(database.results(name)), asked.variants)]
        if len(chosen) < 2:
            raise UserError(f"study {name!r}: {counted(len(chosen), 'trial')} complete, but at "
                            "least 2 are needed to compare orders; run more of it first")
        _check_checkpoints(
            database, name, (run for run in database.runs(name) if run["trial"] in chosen
                             and (run["seed"], run["state"]) == (settings.recipe.seed, "complete")),
            "train for longer from the start: python -m study run "
            f"--study {name}-longer --epochs E")
        corpus, studies = _opened(asked, plan), [name]
        variants = _variants(database, name, chosen)
        for times in sorted({budget for budget in asked.budgets if budget > 1}):
            studies.append(f"{name}-x{times}")
            begun = database.settings(studies[-1])      # perhaps when other budgets were asked for
            base = (begun and begun.grown_from) or studies[-2]
            following = plan.of_study(studies[-1], longer(settings, times, base))
            if not _follow_up(asked, following, database, corpus, variants):
                return
        say(*lines([(study, per_trial(database.results(study))) for study in studies]))


def go_on(asked: Continue) -> None:
    with to_write(asked.storage) as database:
        name, settings = settings_in(database, asked.study)
        plan = plan_of(asked, name, settings)
        _check_trials(database, plan, asked.trials, ("stopped", "failed", "running"))
        teacher = teacher_of(settings)
        inherits = teacher is not None and set(asked.trials) != {teacher}
        _check_checkpoints(
            database, name, (run for run in database.runs(name) if (
                run["trial"] == teacher and inherits and run["state"] == "complete") or (
                run["trial"] in asked.trials and run["state"] != "complete"
                and database.curve(run["id"]))), "leave these trials out")
        corpus = _opened(asked, plan)
        database.register(name, settings, corpus.notes, corpus.fingerprint)
        given_reference.keep(database, name, settings, None)
        for trial in asked.trials:
            database.reopen(name, trial)
        _train(asked, plan, database, 0)


def _opened(asked: Training, plan: StudyPlan) -> Corpus:
    """The corpus; prints what it and the compiled layers lack, which no worker builds later."""
    reference, spec = plan.space.reference, plan.settings.corpus
    # The compiler is another process: voices are spoken and recordings are read meanwhile.
    with ThreadPoolExecutor(1) as beside:
        beside.submit(make_layers, reference, device_here(asked), complain)
        corpus = open_corpus(spec, reference.C, reference.sample_rate_hz, say=say)
    say_if_plain(reference, device_here(asked), say)
    tell_unusable(corpus.unusable, spec)
    return corpus


def _dry_run(asked: Run, plan: StudyPlan, corpus: Corpus, budget: Budget, begun: bool) -> None:
    from study.planning.dry_run import dry_run
    if plan.workers is None:
        workers = default_workers(plan.device != "cpu", plan.settings.threads)
        plan = replace(plan, workers=workers)
    with ExitStack() as stack:
        database = stack.enter_context(open_database(asked.storage)) if begun else None
        if database:
            database.see_same(plan.name, plan.settings, corpus.fingerprint)
        for line in dry_run(plan, asked.trials, asked.seeds, corpus, database, budget):
            say(line)
    say(f"to do it: {for_real(asked)}")


def for_real(asked: Run) -> str:
    """The command line of a dry run that trains, without a password."""
    url, storage = url_of(asked.storage), asked.storage
    if url.password:
        storage = url.render_as_string(hide_password=True)
    return f"python -m study {shlex.join(replace(asked, dry_run=False, storage=storage).line())}"


def _train(asked: Training, plan: StudyPlan, database: Database, trials: int) -> bool:
    """Let workers train until the study has so many trials; whether the time was enough."""
    name, seed = plan.name, plan.settings.recipe.seed
    database.settle(name, print)
    wanted, begun = trials or database.trained(name, seed), database.trained(name, seed)
    screen = terminal.view_of(wanted, begun, plan.settings.recipe.epochs,
                              front(per_trial(database.results(name))), seed)
    job = Job(asked.storage, plan, trials, database.held)
    with screen:
        ended = _engine(asked)(job, database, screen).run(asked.timeout)
    # A server that is gone now comes back.
    say(_progress(plan, database.retrying(lambda reason: time.sleep(0.5)), wanted, ended))
    if ended.why == "signal":
        raise KeyboardInterrupt
    return ended.finished


def _engine(asked: Training) -> type[Engine]:
    if asked.engine == "ray":
        from study.engines.ray_engine import Ray
        return Ray
    return local.Workers


def _progress(plan: StudyPlan, database: Database, wanted: int, ended: Outcome) -> str:
    """How many trials are trained, and why no more of them are."""
    seed = plan.settings.recipe.seed
    trained, states = database.trained(plan.name, seed), database.counts(plan.name, seed)
    others = "".join(f", {states[state]} {state}" for state in ("stopped", "failed", "rejected")
                     if states.get(state))
    why = ""
    if ended.why == "time":
        why = "; time is up: run the same command again to continue"
    elif ended.finished and trained < wanted and states.get("running"):
        why = "; the others are with workers elsewhere"
    elif ended.finished and trained < wanted and _known_enough(plan, database):
        why = f"; the front is known to {plan.until_db:g} dB, as asked for"
    elif ended.finished and trained < wanted:
        budget = " within the budget" if states.get("rejected") else ""
        why = f"; space {plan.settings.space!r} has no other variant{budget}"
    return (f"study {plan.name!r}: {trained} of {max(wanted, trained)} trials trained{others}; "
            f"all saved in {database.shown}{why}")


def _known_enough(plan: StudyPlan, database: Database) -> bool:
    if plan.until_db is None:
        return False
    budget = budget_of(database, plan.settings)
    width = half_width_db(database, plan.name, plan.space, budget)
    return width is not None and width <= plan.until_db


def _follow_up(asked: Training, plan: StudyPlan, database: Database, corpus: Corpus,
               variants: list[Variant]) -> bool:
    """Train variants of one study in another; whether the time was enough."""
    trials = derive(database, plan, variants, corpus.notes, corpus.fingerprint)
    if plan.settings.adapted_in:
        given_reference.copy(database, plan.name, plan.settings.adapted_in)
    return _train(asked, plan, database, trials)


def _variants(database: Database, name: str, trials: Iterable[int]) -> list[Variant]:
    keys = dict.fromkeys(run["variant"] for run in database.runs(name) if run["trial"] in trials)
    return list(map(database.variant, keys))


def _check_trials(database: Database, plan: StudyPlan, trials: Iterable[int],
                  states: tuple[str, ...]) -> None:
    """See that these trials are in the study, in one of the states.

    Raises:
        UserError: for the first that is not.
    """
    for trial in trials:
        found = database.run_of(plan.name, trial, plan.settings.recipe.seed)
        if found is None:
            raise UserError(f"trial {trial}: not in study {plan.name!r}; "
                            f"see: python -m study status --study {plan.name}")
        if found["state"] not in states:
            raise UserError(f"trial {trial}: is {found['state']}, but only one that is "
                            f"{' or '.join(states)} can be taken; "
                            f"see: python -m study show {trial} --study {plan.name}")


def _check_checkpoints(database: Database, name: str, runs: Iterable[Mapping[str, Any]],
                       otherwise: str) -> None:
    """See that the checkpoints are there from which these runs are to go on.

    Raises:
        UserError: naming the trials whose checkpoints are not there.
    """
    folder = database.checkpoints(name)
    lost = sorted({run["trial"] for run in runs if not checkpoint_of(run, folder).is_file()})
    if lost:
        whose = "checkpoint of trial" if len(lost) == 1 else "checkpoints of trials"
        raise UserError(f"study {name!r}: {folder} lacks the {whose} {ranges(lost)}, to go on "
                        f"from; put back what was there, or {otherwise}")


TRAININGS: dict[type[Training], Callable[[Any], Any]] = {
    Run: run, Confirm: confirm, Fidelity: fidelity, Continue: go_on}
