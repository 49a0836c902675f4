"""What is wrong with a study whose database can be read, and what is done about each finding.

Nothing of worth is deleted: files that belong to no run go to the folder `orphans`, rows to tables
of that name. What a living process holds is left alone. A second examination finds nothing.
"""

import functools
import itertools
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from study.database.leases import LEASE_S, is_held, started
from study.database.store import Database
from study.database.study_names import ADAPTED, GIVEN
from study.maintenance import repairs
from tasnet_core.checkpoints.training_files import checkpoint_beside, within_epoch
from tasnet_core.errors import CheckpointError, counted
from tasnet_core.inference import example_files
from tasnet_core.records import Epoch, differences

SCRATCH_S = 3600.0      # a scratch file this old is written by nobody any more

Run = Mapping[str, Any]


class Finding(NamedTuple):
    """One thing that is wrong, and what was done."""

    what: str
    mended: str


def examine(database: Database, study: str, optuna_trials: Sequence[tuple[int, str]],
            tell: Callable[[int], None] | None = None,
            mark_lost: Callable[[int], None] | None = None,
            now_s: float | None = None) -> list[Finding]:
    """Look at everything of a study and mend it.

    `optuna_trials` are Optuna's trials, number and state, without those that repeat another one or
    were marked as lost. `tell` tells Optuna the result of a trial, `mark_lost` marks a trial whose
    run is lost.
    """
    now_s = repairs.now_s(database) if now_s is None else now_s
    folder = database.checkpoints(study)
    # Before the runs: a file is younger than its run.
    files = sorted(path for path in folder.glob("*") if path.is_file())
    epochs: dict[int, list[int]] = defaultdict(list)
    for row in database.epochs(study):
        epochs[row["run"]].append(row["number"])
    scored = Counter(row["run"] for row in database.mixtures(study))
    free = [run for run in database.runs(study) if not is_held(run, now_s)]
    return [*_leases(database, free, now_s),
            *_scratch([*files, *(folder / example_files.FOLDER).glob("*")]),
            *_strangers(database, study, files),
            *_checkpoints(database, _again(database, study, free), folder, epochs),
            *_curves(database, free, folder, epochs),
            *_scores(database, _again(database, study, free), folder, scored),
            *_untold(database, study, optuna_trials, tell, mark_lost)]


def _again(database: Database, study: str, some: Iterable[Run]) -> list[Run]:
    """The runs as they are by now."""
    known = {run["id"] for run in some}
    return [run for run in database.runs(study) if run["id"] in known]


def _called(run: Run) -> str:
    return f"trial {run['trial']} (seed {run['seed']})"


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────


def _leases(database: Database, free: Iterable[Run], now_s: float) -> Iterator[Finding]:
    for run in free:
        if run["state"] == "running" and run["owner"] is not None:
            until = run["lease_until_s"] or 0
            if until > now_s + LEASE_S:
                why = "was leased until a time that no lease reaches: a clock was set back"
            elif until >= now_s:
                why = "is held by a process that is gone"
            else:
                why = "has a lease that ran out"
            if repairs.release(database, run):
                yield Finding(f"{_called(run)}: {why} ({run['owner']})",
                              "released; the next worker goes on with it")


def gaps(numbers: Iterable[int]) -> list[int]:
    """Which epochs from 1 to the last are not there."""
    there = set(numbers)
    return sorted(set(range(1, max(there, default=0) + 1)) - there)


def _curves(database: Database, free: Iterable[Run], folder: Path,
            epochs: Mapping[int, Sequence[int]]) -> Iterator[Finding]:
    for run in free:
        numbers = [*epochs.get(run["id"], ()), run["epochs"] + 1]       # all that its recipe says
        lacking = gaps(numbers)
        word = "epoch" if len(lacking) == 1 else "epochs"
        said = f"{word} {ranges(lacking)} of its curve {_are(lacking)} lost"
        if run["state"] != "complete" or not lacking or said in (run["reason"] or ""):
            continue
        known = [epoch for epoch in _epochs_in(database, run, folder) if epoch.number in lacking]
        if len(known) == len(lacking):
            repairs.add_epochs(database, run, known)
            yield Finding(f"{_called(run)}: {said}", "taken from its checkpoint")
        elif repairs.note(database, run, said):
            yield Finding(f"{_called(run)}: {said}",
                          "its checkpoint does not have them; written on the run as its reason")


def _scores(database: Database, free: Iterable[Run], folder: Path,
            scored: Mapping[int, int]) -> Iterator[Finding]:
    for run in free:
        there, told = scored.get(run["id"], 0), run["mixtures"]
        said = f"scores of {counted(there, 'mixture')} are kept, of {told} it was tested on"
        if run["state"] != "complete" or told in (None, there) or said in (run["reason"] or ""):
            continue
        if len(_epochs_in(database, run, folder)) >= run["epochs"]:
            if repairs.score_again(database, run):
                yield Finding(
                    f"{_called(run)}: {said}",
                    "the next run scores it again from its checkpoint, without training")
        elif repairs.note(database, run, said):
            yield Finding(f"{_called(run)}: {said}",
                          "its checkpoint cannot be scored again; written on the run as its reason")


def _untold(database: Database, study: str, trials: Sequence[tuple[int, str]],
            tell: Callable[[int], None] | None,
            mark_lost: Callable[[int], None] | None) -> Iterator[Finding]:
    settings = database.settings(study)
    seed = settings.recipe.seed if settings else 0
    runs = {run["trial"]: run for run in database.runs(study) if run["seed"] == seed}
    for number, state in trials:
        if state == "RUNNING" and number in runs and runs[number]["state"] != "running":
            if tell:
                tell(number)
            yield Finding(f"trial {number}: is {runs[number]['state']}, but Optuna was never told",
                          "told" if tell else "the next run tells it")
        elif state == "COMPLETE" and number not in runs:
            if mark_lost:
                mark_lost(number)
            yield Finding(
                f"trial {number}: Optuna knows its scores, but its run is not in our tables",
                "marked there as lost" if mark_lost
                else "nothing can be done: the sampler still learns from it")


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def checkpoint_of(run: Run, folder: Path) -> Path:
    """A run's checkpoint: where it was written, or by its name in the study's folder, which may
    have been moved."""
    path = Path(run["checkpoint"] or "none")
    return path if path.is_file() else folder / path.name


def _scratch(files: Iterable[Path]) -> Iterator[Finding]:
    for path in files:
        process = re.search(r"\.(\d+)\.tmp$", path.name)
        if path.suffix != ".tmp" or not path.exists():
            continue
        old = time.time() - path.stat().st_mtime > SCRATCH_S
        if old and not (process and started(int(process[1]))):
            path.unlink()
            yield Finding(f"{path.name}: a scratch file of a process that is gone", "removed")


def _strangers(database: Database, study: str, files: Iterable[Path]) -> Iterator[Finding]:
    """Files in the study's folder that no run of this database has, nor of one beside it, nor
    another study by its stamp."""
    # By folder and file name: the database's folder may have another path than when the checkpoint
    # was written.
    known = {(path.parent.name, path.name) for path in map(Path, repairs.checkpoints(database))}
    beside = functools.cache(lambda: repairs.checkpoints_beside(database))
    home = (database.folder / "checkpoints").resolve()
    for path in files:
        place = (path.parent.name, checkpoint_beside(path.name))
        if path.suffix == ".tmp" or place in known or path.name in (GIVEN, ADAPTED):
            continue
        # Of a name such as `..`, which older versions took, the folder is no folder of checkpoints.
        if path.parent.resolve().parent != home:
            continue
        others = beside()
        if others is None or place in {(one.parent.name, one.name) for one in map(Path, others)}:
            continue
        stamps = (None, "", database.identity(study))
        if not repairs.is_database(path) and _stamp(path) in stamps:
            yield Finding(f"{path.name}: a checkpoint of no run", f"moved to {_lay_aside(path)}")


def _stamp(path: Path) -> str | None:
    """The study that a checkpoint says it is of; None where it says nothing."""
    from tasnet_core.checkpoints import checkpoint
    try:
        return str(checkpoint.read(path)["study"])
    except (CheckpointError, KeyError):
        return None


def missing(database: Database, study: str) -> list[Finding]:
    """What only the user can mend, and is therefore named each time: complete runs whose
    checkpoints are lost, and runs that cannot go on because a copy of the database trains in the
    same folder."""
    folder, runs = database.checkpoints(study), database.runs(study)
    complete = (run for run in runs if run["state"] == "complete")
    lost = [run for run in complete if not checkpoint_of(run, folder).is_file()]
    found = [_blocked(database, run, folder) for run in runs if run["state"] == "running"]
    if lost:
        trials = sorted({run["trial"] for run in lost})
        word = "trial" if len(trials) == 1 else "trials"
        found.append(Finding(
            f"{folder}: {counted(len(lost), 'checkpoint')} of complete runs {_are(lost)} "
            f"not there, of {word} {ranges(trials)}",
            "their scores are whole; "
            "put the files back to separate, export or train on with these networks"))
    return [finding for finding in found if finding]


def _blocked(database: Database, run: Run, folder: Path) -> Finding | None:
    """The finding of a run whose checkpoint has another variant: within a study only who has a
    copy of its database gives a trial of one number two variants."""
    from tasnet_core.checkpoints import checkpoint
    try:
        content = checkpoint.read(checkpoint_of(run, folder))
    except CheckpointError:
        return None
    different = differences(content["variant"], database.variant(run["variant"]))
    if not different or content.get("study") != database.identity(run["study"]):
        return None
    return Finding(
        f"{_called(run)}: its checkpoint was trained with {'; '.join(different)}, by a copy of "
        "this database, which has this folder, too; the run cannot go on",
        "nothing changed; move one of the two databases, with a copy of the checkpoints, "
        "to a folder of its own")


def _checkpoints(database: Database, free: Iterable[Run], folder: Path,
                 epochs: Mapping[int, Sequence[int]]) -> Iterator[Finding]:
    for run in free:
        if run["state"] not in ("running", "stopped"):
            continue
        path = checkpoint_of(run, folder)
        for file in (path, within_epoch(path)):
            if file.is_file() and (error := _unreadable(file)):
                yield Finding(f"{_called(run)}: its checkpoint cannot be read: {error}",
                              f"moved to {_lay_aside(file)}")
        known = epochs.get(run["id"])
        if run["state"] == "running" and known and not path.is_file():
            repairs.begin_anew(database, run)
            yield Finding(
                f"{_called(run)}: its checkpoint is not there, "
                f"though {counted(len(known), 'epoch')} {_are(known)} known",
                "its training begins anew; the old epochs are in orphans_epochs")


def _unreadable(path: Path) -> str:
    from tasnet_core.checkpoints import checkpoint
    try:
        checkpoint.read(path)
    except CheckpointError as error:
        return str(error)
    return ""


def _epochs_in(database: Database, run: Run, folder: Path) -> list[Epoch]:
    """The epochs that a run's checkpoint has, if it is this run's: of this study or, where it does
    not say so, of this curve."""
    from tasnet_core.checkpoints import checkpoint
    try:
        content = checkpoint.read(checkpoint_of(run, folder))
    except CheckpointError:
        return []
    settings = database.settings(run["study"])
    base = settings.grown_from if settings else ""
    if "study" in content:
        ours = {database.identity(one) for one in (run["study"], base) if one}
        return list(content["epochs"]) if content["study"] in ours else []
    known = {row["number"]: row["valid_si_snri_db"] for row in database.epochs(run["study"])
             if row["run"] == run["id"]}
    agree = all(known.get(epoch.number, epoch.valid_si_snri_db) == epoch.valid_si_snri_db
                for epoch in content["epochs"])
    return list(content["epochs"]) if agree else []


def _lay_aside(path: Path) -> Path:
    """Move a file to the folder `orphans` beside it, under a name that none has there."""
    folder = path.parent / "orphans"
    folder.mkdir(exist_ok=True)
    names = (f"{path.stem}{f'-{number}' if number else ''}{path.suffix}"
             for number in itertools.count())
    goal = next(folder / name for name in names if not (folder / name).exists())
    os.replace(path, goal)
    return goal


# ── words ─────────────────────────────────────────────────────────────────────────────────────────


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in order as people write them: 3, 5 to 8."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in found)


def _are(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"
