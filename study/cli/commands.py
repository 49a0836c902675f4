"""What each command does with its options: `python -m study` and `study.api` call the same functions.

Imports of weight stand inside the command that needs them, so that `--help` answers at once.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasnet_core.__main__ import tell_unusable
from tasnet_core.errors import UserError, counted
from tasnet_core.terminal import say

if TYPE_CHECKING:
    from study.database.store import Database
    from study.engines.base import Engine
    from study.maintenance.doctor import Finding
    from study.records import Settings
    from study.space.plan import StudyPlan
    from tasnet_core.corpora.registry import Corpus
    from tasnet_core.records import Variant


def run(given: argparse.Namespace) -> str:
    """Train until the study has so many trials; its name."""
    import torch

    from study.cli.beforehand import meant
    from study.cli.settings import check_installed, default_space, settings_of
    from study.database.store import check_same, open_database, stored_settings
    from study.database.study_names import check_name
    from study.space.presets import SPACES
    from study.space.toml import space_named
    from tasnet_core.backend.devices import precision_of

    gpu = bool(_gpus(given)) if given.engine == "ray" else torch.cuda.is_available()
    space = space_named(given.space or default_space(gpu)).name
    name = given.study if given.study is not None else meant(given, space)
    known = stored_settings(given.storage, name, read_only=given.dry_run)
    if given.precision == "auto" or (not (given.precision or known) and space in SPACES):
        given.precision = known.recipe.precision if known else precision_of("auto", _device_here(given))
    settings = settings_of(given, known, gpu)
    if known:
        check_same(name, settings if given.corpus is None else replace(settings, corpus=known.corpus), known)
    else:
        check_name(name)
    check_installed(settings, chosen=bool(known or given.metrics))
    # Everything is looked at before anything is written.
    plan = _plan(given, name, settings)
    corpus = _prepared(given, plan)
    if given.dry_run:
        _dry_run(given, plan, corpus, begun=bool(known))
        return name
    with open_database(given.storage, read_only=False) as database:
        database.register(name, settings, corpus.notes, corpus.fingerprint)
        finished = _work(given, plan, database, given.trials)
        if finished and given.seeds > 1 and database.trained(name, settings.recipe.seed):
            _confirm(given, plan, database, corpus, _best(database, name))
    return name


def _plan(given: argparse.Namespace, name: str, settings: "Settings") -> "StudyPlan":
    """How the options want a study to be trained."""
    from study.cli.settings import default_workers
    from study.space.plan import StudyPlan
    from tasnet_core.backend.devices import device_of
    gpus = _gpus(given)
    if given.engine == "ray":
        device, workers = "cuda" if gpus else "cpu", given.workers
    else:
        device, gpus = device_of(given.device).type, 0.0
        workers = given.workers or default_workers(device == "cuda", settings.threads)
    micro_batches = int(getattr(given, "batch_size", None) != "auto")
    return StudyPlan.of(name, settings, device, workers, micro_batches, gpus)


def _prepared(given: argparse.Namespace, plan: "StudyPlan") -> "Corpus":
    """The corpus; what it and the compiled layers lack is said, once. Those are made here, before any worker wants them."""
    from tasnet_core.backend.devices import say_if_plain
    from tasnet_core.corpora.registry import open_corpus
    reference, spec = plan.space.reference, plan.settings.corpus
    say_if_plain(reference, _device_here(given), say)
    corpus = open_corpus(spec, reference.C, reference.sample_rate_hz, say=say)
    tell_unusable(corpus.unusable, spec)
    return corpus


def _device_here(given: argparse.Namespace) -> str:
    """The device that is asked about what it can do. Under Ray this machine need not have the nodes' GPUs."""
    return "auto" if given.engine == "ray" else given.device


def _gpus(given: argparse.Namespace) -> float:
    """The share of a GPU that each training has of a node's.

    Raises:
        UserError: nobody shares them out.
    """
    if given.gpus_per_trial and given.engine != "ray":
        raise UserError(f"--gpus-per-trial {given.gpus_per_trial:g}: only --engine ray shares GPUs out; "
                        "here --workers says how many trainings have one at a time")
    return given.gpus_per_trial or float(given.device == "cuda")


def _engine(name: str) -> type["Engine"]:
    if name == "ray":
        from study.engines.ray_engine import Ray
        return Ray
    from study.engines import local
    return local.Workers


def _dry_run(given: argparse.Namespace, plan: "StudyPlan", corpus: "Corpus", begun: bool) -> None:
    from study.cli.settings import default_workers
    from study.database.store import open_database
    from study.planning.dry_run import command, dry_run
    workers = plan.workers or default_workers(plan.device == "cuda", plan.settings.threads)
    with ExitStack() as stack:
        database = stack.enter_context(open_database(given.storage)) if begun else None
        if database:
            database.see_same(plan.name, plan.settings, corpus.fingerprint)
        for line in dry_run(replace(plan, workers=workers), given.trials, given.seeds, corpus, database):
            say(line)
    say(command(given.words, given))


def _work(given: argparse.Namespace, plan: "StudyPlan", database: "Database", trials: int) -> bool:
    """Let workers train until the study has so many trials, and say how far it came; whether the time was enough."""
    from study.analysis.replicates import per_trial
    from study.analysis.trials import front
    from study.cli import terminal
    from study.engines.base import Job
    name, settings, seed = plan.name, plan.settings, plan.settings.recipe.seed
    database.settle(name, print)
    job = Job(given.storage, plan, trials, database.held)
    wanted = trials or database.trained(name, seed)
    shown = terminal.watcher(wanted, database.trained(name, seed), settings.recipe.epochs,
                            front(per_trial(database.results(name))), seed)
    with shown:
        ended = _engine(given.engine)(job, database, shown).run(given.timeout)
    database = database.retrying(lambda reason: time.sleep(0.5))        # a server that is gone now comes back
    trained, states = database.trained(name, seed), database.counts(name, seed)
    beside = "".join(f", {states[state]} {state}" for state in ("stopped", "failed", "rejected") if states.get(state))
    say(f"study {name!r}: {trained} of {max(wanted, trained)} trials trained{beside}; all saved in {database.shown}"
          + ("; time is up: run the same command again to continue" if ended.why == "time" else
             "; the others are with workers elsewhere" if ended.finished and trained < wanted and states.get("running") else
             f"; space {settings.space!r} has no other variant{' within the budget' if states.get('rejected') else ''}"
             if ended.finished and trained < wanted else ""))
    if ended.why == "signal":
        raise KeyboardInterrupt
    return ended.finished


def _to_write(storage: str) -> "Database":
    """A database that is there, for writing: nothing is made by asking for what is not."""
    from study.database.store import open_database
    _see_there(storage)
    return open_database(storage, read_only=False)


def _see_there(storage: str) -> None:
    from study.database.migration import Outdated
    from study.database.store import open_database
    with suppress(Outdated):        # it is there, and comes from another version
        open_database(storage).close()


def _known(given: argparse.Namespace, database: "Database", to_derive: bool = False) -> tuple[str, "Settings"]:
    name = database.choose(given.study, to_derive)
    settings = database.settings(name)
    assert settings is not None
    return name, settings


def _trials(database: "Database", name: str, settings: "Settings", wanted: list[int], states: tuple[str, ...]) -> list[int]:
    """See that these trials are in the study, in one of the states.

    Raises:
        UserError: for the first that is not.
    """
    for trial in wanted:
        found = database.run_of(name, trial, settings.recipe.seed)
        if found is None:
            raise UserError(f"trial {trial}: not in study {name!r}; see: python -m study status --study {name}")
        if found["state"] not in states:
            raise UserError(f"trial {trial}: is {found['state']}, but only one that is {' or '.join(states)} can be taken; "
                            f"see: python -m study show {trial} --study {name}")
    return wanted


def _best(database: "Database", name: str, count: int | None = None) -> list[int]:
    from study.analysis.replicates import per_trial
    from study.search.follow_up_studies import best
    return best(per_trial(database.results(name)), count)


def enqueue(given: argparse.Namespace) -> None:
    from study.search import optuna_study
    from study.search.inherit_recipe import recipe_of
    from study.space.plan import StudyPlan
    from study.space.searched import TUNED
    from tasnet_core.records import as_word
    with _to_write(given.storage) as database:
        name, settings = _known(given, database)
        plan = StudyPlan.of(name, settings)
        space = plan.space
        wanted = [optuna_study.asked(text, space, settings.recipe) for text in given.variants]
        for variant, _ in wanted:
            _check_same_corpus(variant, space.reference)
            if settings.recipe.init == "inherit" and (why := variant.no_slice_of(space.reference)):
                raise UserError(f"{variant}: {why}, so it cannot inherit from the reference; train it in a study from scratch")
        study = optuna_study.open_study(plan, database)
        for variant, recipe in wanted:
            tuned = [as_word(field, getattr(recipe, field)) for field in TUNED if field in space.choices]
            named = " ".join([str(variant), *tuned])
            if known := database.first_run(name, variant, recipe_of(recipe, settings, variant == space.reference)):
                say(f"{named}: is trial {known['trial']} already ({known['state']}); nothing to train")
                continue
            optuna_study.enqueue(study, space, recipe, variant)
            say(f"{named}: waiting in study {name!r}; python -m study run trains it next")


def _check_same_corpus(variant: "Variant", reference: "Variant") -> None:
    for field in ("C", "sample_rate_hz"):
        if getattr(variant, field) != getattr(reference, field):
            raise UserError(f"{variant}: {field}={getattr(variant, field)}, but {getattr(reference, field)} in this study, "
                            "which has one corpus; make a study of its own for it")


def confirm(given: argparse.Namespace) -> None:
    with _to_write(given.storage) as database:
        name, settings = _known(given, database, to_derive=True)
        if given.trials and given.best:
            raise UserError(f"--best {given.best}: chooses trials, and {' '.join(map(str, given.trials))} are chosen; leave one "
                            "of them out")
        trials = _trials(database, name, settings, given.trials, ("complete", "stopped"))
        trials = trials or _best(database, name, given.best)
        if not trials:
            raise UserError(f"study {name!r}: no trial is complete, so there is nothing to confirm; run more of it first")
        plan = _plan(given, name, settings)
        corpus = _prepared(given, plan)
        database.register(name, settings, corpus.notes, corpus.fingerprint)
        say(f"trials {', '.join(map(str, trials))}: {counted(given.seeds, 'seed')} each")
        _confirm(given, plan, database, corpus, trials)


def _confirm(given: argparse.Namespace, plan: "StudyPlan", database: "Database", corpus: "Corpus", trials: list[int]) -> None:
    """Train these trials with further seeds; where weights were inherited, from scratch in a study of their own."""
    from study.analysis.rank_agreement import lines
    from study.analysis.replicates import per_trial
    inherited = plan.name
    if plan.settings.recipe.init == "inherit":
        from study.records import SCRATCH
        from study.search.follow_up_studies import from_scratch
        variants = _variants(database, plan.name, trials)
        plan = plan.of_study(plan.name + SCRATCH, from_scratch(plan.settings))
        say(f"their weights were inherited: trained from scratch in study {plan.name!r}")
        if not _derived(given, plan, database, corpus, variants):
            return
        trials = sorted({run["trial"] for run in database.runs(plan.name) if database.variant(run["variant"]) in variants} | {0})
    database.queue_replicates(plan.name, trials, given.seeds)
    if _work(given, plan, database, 0) and plan.name != inherited:
        say(*lines([(study, per_trial(database.results(study))) for study in (inherited, plan.name)]))


def _derived(given: argparse.Namespace, plan: "StudyPlan", database: "Database", corpus: "Corpus",
             variants: "list[Variant]") -> bool:
    """Train variants of one study in another; whether the time was enough."""
    from study.search.follow_up_studies import derive
    return _work(given, plan, database, derive(database, plan, variants, corpus.notes, corpus.fingerprint))


def _variants(database: "Database", name: str, trials: list[int]) -> "list[Variant]":
    keys = dict.fromkeys(run["variant"] for run in database.runs(name) if run["trial"] in trials)
    return list(map(database.variant, keys))


def fidelity(given: argparse.Namespace) -> None:
    from study.analysis.rank_agreement import lines
    from study.analysis.replicates import per_trial
    from study.cli.beforehand import see_checkpoints_to_lengthen
    from study.search.follow_up_studies import longer, spread
    from study.space.searched import TUNED
    with _to_write(given.storage) as database:
        name, settings = _known(given, database, to_derive=True)
        plan = _plan(given, name, settings)
        if settings.recipe.init != "scratch" or not TUNED.keys().isdisjoint(plan.space.choices):
            raise UserError(f"study {name!r}: its trainings differ in more than their variants; name one whose trainings all "
                            "begin from scratch by one recipe")
        chosen = spread(per_trial(database.results(name)), given.variants)
        if len(chosen) < 2:
            raise UserError(f"study {name!r}: {counted(len(chosen), 'trial')} complete, but at least 2 are needed to compare "
                            "orders; run more of it first")
        see_checkpoints_to_lengthen(database, name, [row["trial"] for row in chosen])
        studies, corpus = [name], _prepared(given, plan)
        variants = _variants(database, name, [row["trial"] for row in chosen])
        for times in sorted({budget for budget in given.budgets if budget > 1}):
            studies.append(f"{name}-x{times}")
            begun = database.settings(studies[-1])      # perhaps when other budgets were asked for
            base = (begun and begun.grown_from) or studies[-2]
            if not _derived(given, plan.of_study(studies[-1], longer(settings, times, base)), database, corpus, variants):
                return
        say(*lines([(study, per_trial(database.results(study))) for study in studies]))


def going_on(given: argparse.Namespace) -> None:
    from study.cli.beforehand import see_checkpoints_to_continue
    with _to_write(given.storage) as database:
        name, settings = _known(given, database)
        trials = _trials(database, name, settings, given.trials, ("stopped", "failed", "running"))
        see_checkpoints_to_continue(database, name, trials)
        plan = _plan(given, name, settings)
        corpus = _prepared(given, plan)
        database.register(name, settings, corpus.notes, corpus.fingerprint)
        for trial in trials:
            database.reopen(name, trial)
        _work(given, plan, database, 0)


def report(given: argparse.Namespace) -> Path:
    """Write the report; where its page is."""
    if given.watch:
        from study.report.watch import watch
        watch(given.storage, given.study, partial(_report, given), given.watch)
    else:
        say(f"report: {_report(given, given.study)}")
    return Path(given.out) / "index.html"


def _report(given: argparse.Namespace, study: str | None) -> Path:
    try:
        from study.report.write import write_report
    except ValueError as error:
        raise UserError(f"matplotlib cannot be loaded: {error}; "
                        "unset MPLBACKEND, or mend the matplotlibrc that is read here") from error
    limits = {"parameters": given.max_parameters, "macs_per_s": given.max_macs, "realtime_factor": given.max_realtime_factor}
    asked = {name: value for name, value in limits.items() if value is not None}
    return write_report(given.storage, study, given.out, [asked] if asked else [])


def status(given: argparse.Namespace) -> None:
    from study.analysis.replicates import per_trial
    from study.analysis.trials import front
    from study.cli import terminal
    from study.database.store import open_database
    with open_database(given.storage) as database:
        name = database.choose(given.study)
        results = database.results(name)
        terminal.show_status(name, database.settings(name), results, front(per_trial(results)), database.epochs(name),
                            database.runs(name))


def show(given: argparse.Namespace) -> None:
    from study.cli import terminal
    from study.database.store import open_database
    with open_database(given.storage) as database:
        name = database.choose(given.study)
        runs = [row for row in database.runs(name) if row["trial"] == given.trial]
        if not runs:
            raise UserError(f"trial {given.trial}: not in study {name!r}; see: python -m study status --study {name}")
        terminal.show_trial(runs, database.results(name), database.epochs(name), database.mixtures(name))


def compare(given: argparse.Namespace) -> None:
    from study.analysis.compare import compare as lines
    from study.database.store import open_database
    with open_database(given.storage) as database, database.snapshot():
        name = database.choose(given.study)
        say(*lines(database.results(name), database.test_scores(name), given.A, given.B))


def export(given: argparse.Namespace) -> list[Path]:
    """Write the tables; where they are."""
    from study.database.export import export
    written = []
    for path, rows in export(given.storage, given.study, given.out, given.format):
        say(f"{path}: {rows:,} row{'s' * (rows != 1)}")
        written.append(path)
    return written


def space(given: argparse.Namespace) -> None:
    from study.space.toml import describe_space, space_named
    say(*describe_space(space_named(given.name)).splitlines())


def doctor(given: argparse.Namespace) -> None:
    from study.database import recover
    from study.database.connection import url_of
    from study.maintenance.doctor import missing
    url = url_of(given.storage)
    if url.get_backend_name() != "sqlite":      # a server that cannot be reached is no damage
        _see_there(given.storage)
    if faults := recover.integrity(url):
        say(*faults)
        if url.get_backend_name() == "sqlite":
            say(recover.mend(Path(url.database or "")))
    with _to_write(given.storage) as database:
        for name in [database.choose(given.study)] if given.study else database.studies():
            found = [*_examined(name, database), *missing(database, name)]
            say(f"study {name!r}: " + ("all is well" if not found else counted(len(found), "finding")))
            for finding in found:
                say(f"  {finding.what}: {finding.mended}")


def _examined(name: str, database: "Database") -> list["Finding"]:
    from study.maintenance.doctor import examine
    from study.search import optuna_study
    from study.space.plan import StudyPlan
    settings = database.settings(name)
    assert settings is not None
    plan = StudyPlan.of(name, settings)
    patient = database.retrying(lambda reason: time.sleep(0.5 if reason else 0.05))     # for this alone
    study = patient.retry(lambda: optuna_study.open_study(plan, patient))
    return examine(database, name, optuna_study.trials(study), partial(optuna_study.tell_result, study, plan, database),
                   partial(optuna_study.mark_lost, study))


def backup(given: argparse.Namespace) -> None:
    from study.database import recover
    from study.database.connection import url_of
    _see_there(given.storage)
    recover.backup(url_of(given.storage), given.file)
    say(f"{given.file}: the database as it is now; go on with it by --storage {given.file}")


COMMANDS: dict[str, Callable[[argparse.Namespace], object]] = {
    "run": run, "enqueue": enqueue, "confirm": confirm, "fidelity": fidelity, "continue": going_on, "report": report,
    "status": status, "show": show, "compare": compare, "export": export, "space": space, "doctor": doctor, "backup": backup}
