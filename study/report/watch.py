"""A report that is kept up to date while a study runs."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from study.database.store import open_database
from tasnet_core.terminal import say

# A study that trains has a run unfinished; between two runs, or two seeds, for a moment none.
QUIET_S = 30.0


def watch(
    storage: str,
    study: str | None,
    write: Callable[[str], Path],
    every_s: float,
    say: Callable[[str], None] = say,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Let `write` make a study's report, now and whenever the database has something new.

    Of the newest study where none is named. It ends when no run of the study is unfinished: at
    once where it finds it so, later only when it stays so.

    Raises:
        UserError: the database cannot be read, the report not be written, or the study ended
            without a finished run.
    """
    reported: Sequence[Mapping[str, Any]] | None = None
    quiet_s, waiting = QUIET_S, False
    while True:
        with open_database(storage) as database:
            study = database.choose(study)
            states = database.change_token(study)
        if not states or any(row["state"] == "running" for row in states):
            quiet_s = -every_s  # the next look is the first that can find it quiet
        ended = quiet_s >= QUIET_S
        ready = any(row["state"] == "complete" and row["scored"] for row in states)
        if states != reported and (ready or ended):
            reported = states
            say(f"report: {write(study)} ({_counts(states)})")
        elif not (ready or waiting):
            waiting = True
            say(f"study {study!r}: no run is finished yet; the report comes with the first")
        if ended:
            return
        sleep(every_s)
        quiet_s += every_s


def _counts(states: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{row['runs']} {row['state']}" for row in states)
