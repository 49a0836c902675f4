"""What is looked at before a command begins: which study is meant, and whether the files are there that it needs."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from study.database.connection import url_of
from study.database.store import Database, begun_studies
from study.maintenance.doctor import checkpoint_of, ranges
from tasnet_core.errors import UserError
from tasnet_core.records import DEFAULT_CORPUS
from tasnet_core.terminal import say


def meant(given: argparse.Namespace, space: str) -> str:
    """The study that a run without --study is of: that of its space and corpus or, where no corpus is named, the only one there.

    Raises:
        UserError: there are several, and none has the name that a new one would have.
    """
    name = f"{space}-{(given.corpus or DEFAULT_CORPUS).partition(':')[0].partition('?')[0]}"
    begun = {} if given.corpus else begun_studies(given.storage, given.dry_run)
    found = [study for study, settings in begun.items() if given.space is None or settings.space == space]
    if name in begun or not found:
        return name
    shown = url_of(given.storage).render_as_string(hide_password=True)
    if len(found) > 1:
        raise UserError(f"{shown}: holds the studies {', '.join(map(repr, found))}; say with --study which one to go on with, or "
                        "begin another with --corpus")
    say(f"goes on with study {found[0]!r} in {shown}; to begin another, name its --corpus or --study")
    return found[0]


def see_checkpoints_to_lengthen(database: Database, name: str, trials: Sequence[int]) -> None:
    """See that complete trials can be trained for longer from where they are.

    Raises:
        UserError: naming those whose checkpoints are not there.
    """
    settings = database.settings(name)
    assert settings is not None
    _see_there(database, name, (run for run in database.runs(name) if run["trial"] in trials
                                and (run["seed"], run["state"]) == (settings.recipe.seed, "complete")),
               f"train for longer from the start: python -m study run --study {name}-longer --epochs E")


def see_checkpoints_to_continue(database: Database, name: str, trials: Sequence[int]) -> None:
    """See that trials can go on from where they are, or begin as slices of the reference where they are to.

    Raises:
        UserError: naming the trials whose checkpoints are not there.
    """
    settings, runs = database.settings(name), database.runs(name)
    assert settings is not None
    teacher = settings.recipe.init == "inherit" and set(trials) != {0}
    _see_there(database, name, (run for run in runs if (run["trial"] == 0 and teacher and run["state"] == "complete") or (
        run["trial"] in trials and run["state"] != "complete" and database.curve(run["id"]))), "leave these trials out")


def _see_there(database: Database, name: str, runs: Iterable[Mapping[str, Any]], otherwise: str) -> None:
    folder = database.checkpoints(name)
    if lost := sorted({run["trial"] for run in runs if not checkpoint_of(run, folder).is_file()}):
        whose = "checkpoint of trial" if len(lost) == 1 else "checkpoints of trials"
        raise UserError(f"study {name!r}: {folder} lacks the {whose} {ranges(lost)}, to go on from; put back what was there, or "
                        f"{otherwise}")
