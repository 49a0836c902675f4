"""What each command does with its options: `python -m study` and `study.api` call the same.

Imports of weight stand inside the command that needs them, so that `--help` answers at once.
"""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.cli import options
from tasnet_core.errors import UserError, counted
from tasnet_core.progress import phase
from tasnet_core.terminal import say

if TYPE_CHECKING:
    from study.database.store import Database
    from study.maintenance.doctor import Finding
    from tasnet_core.records import Variant


def perform(asked: options.Options) -> Any:
    """Do what a command is asked to; its result is for `study.api`."""
    if isinstance(asked, options.Training):
        if asked.engine == "local":
            from study.engines import forkserver
            forkserver.begin()
        loaded = "torch" in sys.modules
        with nullcontext() if loaded else phase("loading torch and Optuna"):
            from study.cli.training import TRAININGS
        return TRAININGS[type(asked)](asked)
    return COMMANDS[type(asked)](asked)


def enqueue(asked: options.Enqueue) -> None:
    from study.cli.stored import settings_in, to_write
    from study.search import optuna_study
    from study.search.inherit_recipe import recipe_of
    from study.space.plan import StudyPlan
    from study.space.searched import TUNED
    from tasnet_core.records import as_word
    with to_write(asked.storage) as database:
        name, settings = settings_in(database, asked.study)
        plan = StudyPlan.of(name, settings)
        reference, choices = plan.space.reference, plan.space.choices
        wanted = [optuna_study.asked(text, plan.space, settings.recipe) for text in asked.variants]
        for variant, _ in wanted:
            _check_same_corpus(variant, reference)
            if settings.recipe.init == "inherit" and (why := variant.no_slice_of(reference)):
                raise UserError(f"{variant}: {why}, so it cannot inherit from the reference; "
                                "train it in a study from scratch")
        study = optuna_study.open_study(plan, database)
        for variant, recipe in wanted:
            tuned = [as_word(field, getattr(recipe, field)) for field in TUNED if field in choices]
            named = " ".join([str(variant), *tuned])
            own_recipe = recipe_of(recipe, settings, variant == reference, None)
            if known := database.first_run(name, variant, own_recipe):
                say(f"{named}: is trial {known['trial']} already ({known['state']}); "
                    "nothing to train")
                continue
            optuna_study.enqueue(study, plan.space, recipe, variant)
            say(f"{named}: waiting in study {name!r}; python -m study run trains it next")


def suggest(asked: options.Suggest) -> list[str]:
    """Print the trainings that would say most, and enqueue those chosen; all in `enqueue`'s words.
    """
    from study.analysis.predicted_front import AT_LEAST, name_of
    from study.analysis.proposals import suggestions
    from study.analysis.replicates import per_trial
    from study.analysis.trials import finished
    from study.cli.stored import settings_in, to_write
    from study.database.device_costs import budget_of
    from study.report.predicted import suggestion
    from study.search import optuna_study
    from study.space.plan import StudyPlan
    from study.space.searched import words
    with to_write(asked.storage) as database:
        name, settings = settings_in(database, asked.study)
        plan = StudyPlan.of(name, settings)
        budget = budget_of(database, settings)
        rows = per_trial(database.results(name))
        if len(finished(rows)) < AT_LEAST:
            raise UserError(f"study {name!r}: {len(finished(rows))} finished variants, and "
                            f"{AT_LEAST} are needed to say what to train next; go on with: "
                            f"python -m study run --study {name} --trials {AT_LEAST}")
        study = optuna_study.open_study(plan, database)
        queued: list[tuple[Variant, dict[str, Any]]] = [
            (variant, {}) for variant in optuna_study.waiting(study, plan.space)]
        steps = suggestions(plan.space, budget, rows, asked.count, queued)
        if not steps:
            raise UserError(f"study {name!r}: every variant of its space within the budget has "
                            "been trained; nothing is left to suggest")
        base = plan.space.reference
        say(*(suggestion(place, step, base) for place, step in enumerate(steps, 1)))
    named = [name_of(step, base, words) for step in steps]
    chosen = [named[place] for place in _chosen(asked.enqueue, len(steps))]
    if chosen:
        enqueue(options.Enqueue(storage=asked.storage, study=name, variants=tuple(chosen)))
    return named


def _chosen(numbers: tuple[str, ...], count: int) -> list[int]:
    """Places of the suggestions that these words name."""
    if numbers == ("all",):
        return list(range(count))
    for word in numbers:
        if not (word.isdecimal() and 1 <= int(word) <= count):
            raise UserError(f"--enqueue {word}: no number of a suggestion; choose from 1 to "
                            f"{count}, or all")
    return [int(word) - 1 for word in numbers]


def _check_same_corpus(variant: "Variant", reference: "Variant") -> None:
    for field in ("C", "sample_rate_hz"):
        own, other = getattr(variant, field), getattr(reference, field)
        if own != other:
            raise UserError(f"{variant}: {field}={own}, but {other} in this study, which has one "
                            "corpus; make a study of its own for it")


def report(asked: options.Report) -> Path:
    """Write the report; where its page is."""
    if asked.watch:
        from study.report.watch import watch
        watch(asked.storage, asked.study, partial(_report, asked), asked.watch)
    else:
        say(f"report: {_report(asked, asked.study)}")
    return asked.out / "index.html"


def _report(asked: options.Report, study: str | None) -> Path:
    try:
        from study.report.write import write_report
    except ValueError as error:
        raise UserError(f"matplotlib cannot be loaded: {error}; unset MPLBACKEND, or mend the "
                        "matplotlibrc that is read here") from error
    limits = {"parameters": asked.max_parameters, "macs_per_s": asked.max_macs,
              "realtime_factor": asked.max_realtime_factor}
    known = {name: value for name, value in limits.items() if value is not None}
    known |= dict(asked.at_most)
    return write_report(asked.storage, study, asked.out, [known] if known else [])


def status(asked: options.Status) -> None:
    from study.analysis.replicates import per_trial
    from study.analysis.trials import front
    from study.cli.show import show_status
    from study.database.store import open_database
    with open_database(asked.storage) as database:
        name = database.choose(asked.study)
        results = database.results(name)
        show_status(name, database.settings(name), results, front(per_trial(results)),
                    database.epochs(name), database.runs(name))


def show(asked: options.Show) -> None:
    from study.cli.show import show_trial
    from study.database.store import open_database
    with open_database(asked.storage) as database:
        name = database.choose(asked.study)
        runs = [row for row in database.runs(name) if row["trial"] == asked.trial]
        if not runs:
            raise UserError(f"trial {asked.trial}: not in study {name!r}; "
                            f"see: python -m study status --study {name}")
        show_trial(runs, database.results(name), database.epochs(name), database.mixtures(name))


def compare(asked: options.Compare) -> None:
    from study.analysis.compare import compare as lines
    from study.database.store import open_database
    with open_database(asked.storage) as database, database.snapshot():
        name = database.choose(asked.study)
        say(*lines(database.results(name), database.test_scores(name), asked.A, asked.B))


def export(asked: options.Export) -> list[Path]:
    """Write the tables; where they are."""
    from study.database.export import export
    written = []
    for path, rows in export(asked.storage, asked.study, asked.out, asked.format):
        say(f"{path}: {rows:,} row{'s' * (rows != 1)}")
        written.append(path)
    return written


def bundle(asked: options.Bundle) -> list[Path]:
    """Write networks for a device; the files."""
    from study.cli.stored import corpus_there
    from study.database.store import open_database
    from study.devices import bundle as networks
    if asked.front and asked.trials:
        raise UserError("--front: chooses trials, and "
                        f"{' '.join(map(str, asked.trials))} are chosen; leave one of them out")
    with open_database(asked.storage) as database:
        name = database.choose(asked.study)
        trials = list(asked.trials)
        if asked.front:
            trials = networks.of_front(networks.complete(database, name))
        networks.check_free(asked.out)
        corpus = None if asked.float_only else corpus_there(database, name)
        written = networks.write_bundle(database, name, trials, asked.out, say, corpus)
    say(f"{asked.out}: copy it to the device, and there: python measure.py; see its README.md")
    return written


def measured(asked: options.Measured) -> None:
    from study.analysis.cost_axes import device_of
    from study.analysis.device_fit import fits_of
    from study.analysis.wording import percent
    from study.cli.stored import to_write
    from study.devices.measured import bring_in
    with to_write(asked.storage) as database:
        found = bring_in(database, asked.file, asked.device, asked.study)
        fits = fits_of(database.results(found.study))
    threads = counted(found.costs[0].threads, "thread")
    known = len(found.costs) - found.new
    twice = f"; {known} of them are from a file that was brought in before" if known else ""
    say(*found.failed, f"{asked.device}: {counted(len(found.costs), 'variant')} of study "
                       f"{found.study!r}, measured with {threads}{twice}")
    for axis, fit in fits.items():
        if device_of(axis) == asked.device:
            say(f"{axis}: predicted for other variants from {', '.join(fit.factors)}, typically "
                f"within {percent(fit.error)} of variants that were left out one at a time")


def take(asked: options.Take) -> list[Path]:
    from study.cli.take import take as taken
    return taken(asked)


def space(asked: options.DescribeSpace) -> None:
    from study.space.toml import describe_space, space_named
    say(*describe_space(space_named(asked.name)).splitlines())


def doctor(asked: options.Doctor) -> None:
    from study.cli.stored import check_there, to_write
    from study.database import recover
    from study.database.connection import url_of
    from study.maintenance.doctor import missing
    url = url_of(asked.storage)
    is_file = url.get_backend_name() == "sqlite"
    if not is_file:     # a server that cannot be reached is no damage
        check_there(asked.storage)
    if faults := recover.integrity(url):
        say(*faults)
        if is_file:
            say(recover.mend(Path(url.database or "")))
    with to_write(asked.storage) as database:
        for name in [database.choose(asked.study)] if asked.study else database.studies():
            found = [*_examined(name, database), *missing(database, name)]
            how = counted(len(found), "finding") if found else "all is well"
            say(f"study {name!r}: {how}")
            for finding in found:
                say(f"  {finding.what}: {finding.mended}")


def _examined(name: str, database: "Database") -> "list[Finding]":
    from study.maintenance.doctor import examine
    from study.search import optuna_study
    from study.space.plan import StudyPlan
    settings = database.settings(name)
    assert settings is not None
    plan = StudyPlan.of(name, settings)
    patient = database.retrying(lambda reason: time.sleep(0.5 if reason else 0.05))
    study = patient.retry(lambda: optuna_study.open_study(plan, patient))
    return examine(database, name, optuna_study.trials(study),
                   partial(optuna_study.tell_result, study, plan, database),
                   partial(optuna_study.mark_lost, study))


def backup(asked: options.Backup) -> None:
    from study.cli.stored import check_there
    from study.database.backup import backup as write_backup
    from study.database.connection import url_of
    check_there(asked.storage)
    write_backup(url_of(asked.storage), asked.file)
    say(f"{asked.file}: the database as it is now; go on with it by --storage {asked.file}")


COMMANDS: dict[type[options.Options], Callable[[Any], Any]] = {
    options.Enqueue: enqueue, options.Suggest: suggest, options.Report: report,
    options.Status: status, options.Show: show,
    options.Compare: compare, options.Export: export, options.Bundle: bundle,
    options.Measured: measured, options.Take: take,
    options.DescribeSpace: space, options.Doctor: doctor, options.Backup: backup}
