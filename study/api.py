"""The commands from Python: `study.run` returns a `Study`, whose methods are the others.

Arguments are named as the options are.

In a folder with recordings in `speech` and a space of your own in `tiny.toml`:

>>> import study
>>> found = study.run(trials=2, corpus="folder:speech", space="tiny.toml", workers=1, timeout="11h")
folder speech: ...
study 'tiny-folder': 2 of 2 trials trained; all saved in sqlite:///results/study.db
>>> found = study.run(trials=3, study="tiny-folder", workers=1)     # goes on
trial 2 ...
study 'tiny-folder': 3 of 3 trials trained; all saved in sqlite:///results/study.db
>>> found.states
{'complete': 3}
>>> page = found.report(max_parameters="50k")       # where it is
report: reports/index.html
>>> found.load().runs[["trial", "state", "parameters"]].shape
(3, 3)

A study that is there already, by its database, and by its name where that holds several:

>>> found = study.Study(storage="results/study.db")
>>> found.show(0)
trial 0, seed 0: ...
>>> found.enqueue("X2 H4")
N8 L4 B4 H4 Sc4 P3 X2 R1 C2: waiting in study 'tiny-folder'; python -m study run trains it next
>>> [str(path) for path in found.export(format="json")]
exports/runs.json: 3 rows
...
['exports/runs.json', 'exports/epochs.json', 'exports/mixtures.json']

What cannot be used is an error of one line:

>>> found.show(9)
Traceback (most recent call last):
tasnet_core.errors.UserError: trial 9: not in study 'tiny-folder'; see: python -m study status ...
>>> study.run(trials=3, timeout="soon")
Traceback (most recent call last):
tasnet_core.errors.UserError: timeout: 'soon' is no duration such as 600, 90m or 11h
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.cli import options
from study.cli.commands import perform
from study.records import DEFAULT_URL
from tasnet_core.terminal import encodable

if TYPE_CHECKING:
    from study.database.export import Frames


def run(trials: int, *, study: str | None = None, storage: str = DEFAULT_URL,
        corpus: str | None = None, space: str | None = None,
        objectives: Sequence[str] | None = None, metrics: Sequence[str] | None = None,
        sampler: str | None = None, tune: Sequence[str] | None = None,
        reference: Path | str | None = None, hyperparameters: str | None = None,
        init: str | None = None, adapt_epochs: int | None = None, distill: float | None = None,
        inherit_epochs: int | None = None, epochs: int | None = None,
        epoch_segments: int | None = None, segment_s: float | None = None,
        batch_size: int | str | None = None, precision: str | None = None,
        optimizer: str | None = None, seed: int | None = None,
        max_parameters: int | str | None = None, max_macs: int | str | None = None,
        at_most: Sequence[str] | None = None,
        stop_margin: float | str | None = None, threads: int | None = None,
        until: float | str | None = None, seeds: int = 1, dry_run: bool = False,
        workers: int | None = None, timeout: float | str | None = None,
        device: str = "auto", engine: str = "local",
        gpus_per_trial: float | None = None) -> "Study":
    """Train variants until the study has `trials` of them in all, or the time is up; the same call
    again goes on.

    What is left out is as it is for the command: the known study's, or the space's. Interrupting
    the kernel pauses it with everything saved, and raises KeyboardInterrupt.

    Raises:
        UserError: what cannot be used, in one line.
    """
    asked = options.Run.of(
        trials=trials, study=study, storage=storage, corpus=corpus, space=space,
        objectives=objectives, metrics=metrics, sampler=sampler, tune=tune, reference=reference,
        hyperparameters=hyperparameters, init=init, adapt_epochs=adapt_epochs,
        distill=distill, inherit_epochs=inherit_epochs, epochs=epochs,
        epoch_segments=epoch_segments, segment_s=segment_s, batch_size=batch_size,
        precision=precision, optimizer=optimizer, seed=seed,
        max_parameters=max_parameters, max_macs=max_macs, at_most=at_most,
        stop_margin=stop_margin, threads=threads,
        until=until, seeds=seeds, dry_run=dry_run, workers=workers, timeout=timeout, device=device,
        engine=engine, gpus_per_trial=gpus_per_trial)
    return Study(_perform(asked), storage)


def describe_space(name: str) -> str:
    """A space, a preset or a file, as a file to start your own from."""
    from study.space import toml
    return toml.describe_space(toml.space_named(name))


@dataclass(frozen=True)
class Study:
    """A study in a database. Without a name it is the newest there.

    Every method raises a UserError, in one line, where the database or what is asked of it cannot
    be used. What the commands print is printed here, too.
    """

    name: str | None = None
    storage: str = DEFAULT_URL      # an SQLAlchemy URL, or the path of an SQLite file

    @property
    def states(self) -> dict[str, int]:
        """How many trials are in each state."""
        from study.database.store import open_database
        with open_database(self.storage) as database:
            name = database.choose(self.name)
            settings = database.settings(name)
            assert settings is not None
            return database.counts(name, settings.recipe.seed)

    def load(self) -> "Frames":
        """All that was measured, as pandas frames: `runs`, `epochs`, `mixtures`."""
        from study.database import export as frames
        return frames.load(self.storage, self.name)

    def status(self) -> None:
        """Print how far it is, and the front so far."""
        self._do(options.Status)

    def show(self, trial: int) -> None:
        """Print everything about one trial."""
        self._do(options.Show, trial=trial)

    def compare(self, A: int, B: int) -> None:
        """Print two trials side by side, and whether their difference is one."""
        self._do(options.Compare, A=A, B=B)

    def answer(self, at_most: Sequence[str] = ()) -> list[str]:
        """What the report says first, in sentences: how small, at what loss; or why nothing can be
        recommended yet. `at_most`: limits such as realtime_factor@phone=0.5, all of them at once.
        """
        from study.report.write import answer
        limits = dict(options.Report.of(at_most=at_most).at_most)
        return answer(self.storage, self.name, [limits] if limits else [])

    def report(self, out: str | Path = "reports", *, watch: float | None = None,
               max_parameters: int | str | None = None, max_macs: int | str | None = None,
               max_realtime_factor: float | None = None,
               at_most: Sequence[str] = ()) -> Path:
        """Write the answer, index.html with figures/ and tables/; where it is. `watch`: again and
        again, every so many s. `at_most`: limits such as realtime_factor@phone=0.5."""
        return Path(self._do(
            options.Report, out=out, watch=watch, max_parameters=max_parameters, max_macs=max_macs,
            max_realtime_factor=max_realtime_factor, at_most=at_most))

    def export(self, out: str | Path = "exports", *, format: str = "csv") -> list[Path]:
        """Write runs, epochs, mixtures and what devices measured as csv, parquet or json; where."""
        return list(self._do(options.Export, out=out, format=format))

    def bundle(self, *trials: int, out: str | Path = "bundle", front: bool = False,
               float_only: bool = False) -> list[Path]:
        """Write networks as ONNX, with a program that measures them on a device; the files.

        All complete ones, these trials, or the `front`; in int8, too, where that pays on the test
        mixtures, or else `float_only`.
        """
        return list(self._do(options.Bundle, trials=trials, out=out, front=front,
                             float_only=float_only))

    def measured(self, file: str | Path, device: str) -> None:
        """Bring what a bundle's measure.py measured on a device into the database."""
        self._do(options.Measured, file=file, device=device)

    def take(self, trial: int, out: str | Path, *, audio_s: float | None = None, seeds: int = 1,
             device: str = "auto") -> list[Path]:
        """Write one network with its model card, ONNX, examples and a program that separates; the
        files. `audio_s`: trained on first, to so many seconds of audio."""
        return list(self._do(options.Take, trial=trial, out=out, audio_s=audio_s, seeds=seeds,
                             device=device))

    def enqueue(self, *variants: str) -> None:
        """Let variants such as "X4 R1 H64" be the next trials of `run`."""
        self._do(options.Enqueue, variants=variants)

    def suggest(self, *, count: int = 3, enqueue: Sequence[int] = ()) -> list[str]:
        """Print the trainings that would say most about the front, and let those with these numbers
        be the next trials of `run`; all in the words of `enqueue`."""
        return list(self._do(options.Suggest, count=count, enqueue=tuple(map(str, enqueue))))

    def confirm(self, *trials: int, seeds: int = 3, best: int | None = None,
                workers: int | None = None, timeout: float | str | None = None,
                device: str = "auto", engine: str = "local",
                gpus_per_trial: float | None = None) -> None:
        """Train these trials, or the reference and the front, or its `best`, with further seeds,
        `seeds` of each in all."""
        self._do(options.Confirm, trials=trials, seeds=seeds, best=best, workers=workers,
                 timeout=timeout, device=device, engine=engine, gpus_per_trial=gpus_per_trial)

    def fidelity(self, *, budgets: Sequence[int] = (2, 4), variants: int = 8,
                 workers: int | None = None, timeout: float | str | None = None,
                 device: str = "auto", engine: str = "local",
                 gpus_per_trial: float | None = None) -> None:
        """Train some variants for so many times the epochs, and print how well shorter trainings
        rank."""
        self._do(options.Fidelity, budgets=budgets, variants=variants, workers=workers,
                 timeout=timeout, device=device, engine=engine, gpus_per_trial=gpus_per_trial)

    def go_on(self, *trials: int, workers: int | None = None, timeout: float | str | None = None,
              device: str = "auto", engine: str = "local",
              gpus_per_trial: float | None = None) -> None:
        """Train stopped or failed trials to their end: the command `continue`."""
        self._do(options.Continue, trials=trials, workers=workers, timeout=timeout, device=device,
                 engine=engine, gpus_per_trial=gpus_per_trial)

    def doctor(self) -> None:
        """Find what is inconsistent in the database, mend it, and print that."""
        self._do(options.Doctor)

    def backup(self, file: str | Path) -> None:
        """Copy the whole database as it is now into a new SQLite file."""
        _perform(options.Backup.of(storage=self.storage, file=file))

    def _do(self, command: type[options.OfStudy], **values: Any) -> Any:
        return _perform(command.of(study=self.name, storage=self.storage, **values))


def _perform(asked: options.Options) -> Any:
    encodable()
    if isinstance(asked, options.Training):     # each worker imports the script
        from study.engines.forkserver import end_if_imported
        end_if_imported()
    return perform(asked)
