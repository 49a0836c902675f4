"""The view of a study that runs: live bars in a terminal, plain lines elsewhere."""

import sys
from typing import Any, Self, assert_never

from rich.box import SIMPLE_HEAVY
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from study.analysis.extrapolation import rising
from study.analysis.replicates import BESIDE, SCORE
from study.analysis.trials import RISING
from study.analysis.wording import SCORE_WORDS, engineering
from study.records import TRAINED, Result
from study.search.events import (
    EpochEnded,
    Event,
    FrontChanged,
    Message,
    MixtureScored,
    Rows,
    TrialEnded,
    TrialStarted,
)
from study.space.searched import configuration, varied
from tasnet_core.errors import counted
from tasnet_core.terminal import plain, say, written

FRAME_LINES = 6  # of a screen: the front's title, head and borders, and the line below everything

Run = tuple[int, int]  # trial and seed


class Printed(Console):
    """A console on which nothing acts that was read somewhere, rich's own markup included."""

    def __init__(self, **options: Any):
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        with written():
            inert = (plain(each) if isinstance(each, str) else each for each in objects)
            super().print(*inert, **options)

    def on_broken_pipe(self) -> None:
        raise       # what rich has caught: it would end the program with a status of its own


def outcome(result: Result) -> str:
    """How a trial ended, in a few words."""
    if result.state != "complete":
        kind = f"{result.kind}: " if result.kind else ""
        return f"{result.state}: {kind}{result.reason}"
    scores = result.scores
    known = [SCORE_WORDS[name].text(value) for name in (SCORE, *BESIDE)
             if (value := getattr(scores, name)) is not None]
    if scores.si_snri_db is None:
        known.insert(0, "no mixture could be scored")
    unscored = f" ({counted(scores.unscored, 'mixture')} unscored)" if scores.unscored else ""
    return ", ".join(known) + unscored


def front_table(front: Rows, title: str = "the front so far") -> Table:
    """The Pareto-optimal variants, the smallest first."""
    several = any(row.get("si_snri_sd_db") is not None for row in front)
    score = "SI-SNRi dB\n(seeds, sd)" if several else "SI-SNRi dB"
    # Without P and C, where they are all alike, and without vertical lines a row has 80 columns.
    numbers = (Column(name, justify="right") for name in ("parameters", "MACs/s", score))
    table = Table("trial", "variant", *numbers, title=title, box=SIMPLE_HEAVY, pad_edge=False,
                  show_edge=False)
    marked, telling = any(map(rising, front)), varied(front)
    for row in front:
        cell = f"{row['si_snri_db']:.2f}"
        if row.get("si_snri_sd_db") is not None:
            cell += f" ({row['seeds']}, {row['si_snri_sd_db']:.2f})"
        elif several:
            cell += " " * 10
        if marked:
            cell += f" {RISING if rising(row) else ' '}"
        variant = plain(configuration(row, "N L B H Sc X R".split(), telling))
        table.add_row(str(row["trial"]), variant, engineering(row["parameters"]),
                      engineering(row["macs_per_s"]), cell)
    return table


class Plain:
    """One line per event, each naming its trial: for logs and pipes."""

    def __init__(self, trials: int, done: int, epochs: int, base_seed: int = 0):
        self.trials, self.done, self.epochs, self.base_seed = trials, done, epochs, base_seed
        self.running: dict[Run, int] = {}   # epochs of each run
        self.known: dict[Run, int] = {}     # the last epoch of each run
        self.ended: set[Run] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        match event:
            case Message(text):
                self.line(text)
            case TrialStarted():
                self.trial_started(event)
            case EpochEnded(trial, seed, epoch):
                run = trial, seed
                if run not in self.ended and epoch.number > self.known.get(run, 0):
                    self.known[run] = epoch.number
                    self.epoch_ended(event)
            case MixtureScored():
                self.mixture_scored(event)
            case TrialEnded():
                self.trial_ended(event)
            case FrontChanged(front):
                self.front_changed(front)
            case _:
                assert_never(event)

    def line(self, text: str) -> None:
        say(text)

    def called(self, event: TrialStarted | EpochEnded | MixtureScored | TrialEnded) -> str:
        return called(event.trial, event.seed, self.base_seed)

    def trial_started(self, event: TrialStarted) -> None:
        run, again = (event.trial, event.seed), (event.trial, event.seed) in self.running
        self.running[run] = event.epochs
        self.ended.discard(run)
        if again:
            epoch = self.known.get(run, 0)
            self.line(f"{self.called(event)}: taken up again after epoch {epoch}")
        else:
            place = min(self.done + len(self.running), self.trials)
            self.line(f"{self.called(event)} ({place} of {self.trials}): {event.variant}, "
                      f"{engineering(event.cost.parameters)} parameters, "
                      f"{engineering(event.cost.macs_per_s)} MACs/s")

    def epoch_ended(self, event: EpochEnded) -> None:
        """Show an epoch that was not known before."""
        epoch, total = event.epoch, self.running.get((event.trial, event.seed), self.epochs)
        self.line(f"{self.called(event)}: epoch {epoch.number}/{total}, "
                  f"train {-epoch.train_loss_db:.2f} dB, "
                  f"valid {epoch.valid_si_snri_db:.2f} dB SI-SNRi, {epoch.seconds:.1f} s")

    def mixture_scored(self, event: MixtureScored) -> None:
        if event.done == event.total:
            self.line(f"{self.called(event)}: scored {counted(event.total, 'test mixture')}")

    def trial_ended(self, event: TrialEnded) -> None:
        run = event.trial, event.seed
        self.running.pop(run, None)
        self.ended.add(run)
        self.done += event.result.state in TRAINED
        self.line(f"{self.called(event)}: {outcome(event.result)}")

    def front_changed(self, front: Rows) -> None:
        pass


class Screen(Plain):
    """The live view: the study's progress with time left, a bar per running trial, the front."""

    def __init__(self, trials: int, done: int, epochs: int, front: Rows = (), base_seed: int = 0,
                 console: Console | None = None):
        super().__init__(trials, done, epochs, base_seed)
        self.front, self.console = front, console or Printed()
        self.bars: dict[Run, TaskID] = {}
        # An epoch takes minutes, so rich's last half minute does not foretell the time left.
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            speed_estimate_period=3600)
        # Counted in epochs, so that the time left moves within a trial too.
        self.study = self.progress.add_task(self.description, total=trials * epochs,
                                            completed=done * epochs)
        self.live = Live(console=self.console, refresh_per_second=4, get_renderable=self.view)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def view(self) -> Group:
        """The front, as much of it as fits above the bars, and the bars."""
        room = self.console.height - len(self.progress.tasks) - FRAME_LINES
        shown, title = thinned(self.front, room), "the front so far"
        if len(shown) < len(self.front):
            title += f", {len(shown)} of {len(self.front)}"
        if not shown:
            return Group(self.progress)
        return Group(front_table(shown, title), "", self.progress)

    def line(self, text: str) -> None:
        self.console.print(text)

    def trial_started(self, event: TrialStarted) -> None:
        super().trial_started(event)
        self.bar((event.trial, event.seed))
        self.move()

    def epoch_ended(self, event: EpochEnded) -> None:
        run, epoch = (event.trial, event.seed), event.epoch
        total = self.running.get(run, self.epochs)
        self.progress.update(
            self.bar(run), total=total, completed=epoch.number,
            description=f"{self.called(event)}, epoch {epoch.number} of {total}: "
            f"{epoch.valid_si_snri_db:.2f} dB")
        self.move()

    def mixture_scored(self, event: MixtureScored) -> None:
        run = event.trial, event.seed
        if run not in self.ended:
            of_all = f"{event.done} of {counted(event.total, 'mixture')}"
            self.progress.update(self.bar(run), total=event.total, completed=event.done,
                                 description=f"{self.called(event)}, scored {of_all}")

    def trial_ended(self, event: TrialEnded) -> None:
        super().trial_ended(event)
        run = event.trial, event.seed
        if run in self.bars:
            self.progress.remove_task(self.bars.pop(run))
        self.move()

    def front_changed(self, front: Rows) -> None:
        self.front = front

    def bar(self, run: Run) -> TaskID:
        """The run's bar; a new one for a run that was not seen to begin."""
        if run not in self.bars:
            self.bars[run] = self.progress.add_task(
                called(*run, self.base_seed), total=self.running.get(run, self.epochs),
                completed=self.known.get(run, 0))
        return self.bars[run]

    def move(self) -> None:
        """The study's bar: epochs of the trials that are done, and those known of running ones."""
        running = sum(min(self.known.get(run, 0), self.epochs) for run in self.bars)
        known = min(self.done * self.epochs + running, self.trials * self.epochs)
        self.progress.update(self.study, completed=known, description=self.description)

    @property
    def description(self) -> str:
        return f"study, {self.done} of {counted(self.trials, 'trial')}"


def called(trial: int, seed: int, base_seed: int) -> str:
    """The run's name, with its seed where that is not the study's own."""
    return f"trial {trial}" if seed == base_seed else f"trial {trial} seed {seed}"


def thinned(rows: Rows, most: int) -> Rows:
    """At most so many of the rows, evenly chosen, with both ends."""
    if len(rows) <= most:
        return rows
    return [rows[i * (len(rows) - 1) // (most - 1)] for i in range(most)] if most > 1 else []


def view_of(trials: int, done: int, epochs: int, front: Rows, base_seed: int = 0) -> Plain:
    """A live view where output is a terminal, lines elsewhere."""
    if sys.stdout.isatty():
        return Screen(trials, done, epochs, front, base_seed)
    return Plain(trials, done, epochs, base_seed)
