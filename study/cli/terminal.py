"""What a running study shows: a live view in a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping
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

from study.analysis import trials
from study.analysis.extrapolation import crossings, forecast, rising
from study.analysis.learned import finding
from study.analysis.mixture_scores import from_rows
from study.analysis.replicates import OUTLOOK, SCORES, per_trial, with_seeds
from study.analysis.trials import COSTS, RISING, spared_s
from study.analysis.wording import TITLES, engineering
from study.database.leases import Owner
from study.records import STATES, TRAINED, Result, Settings
from study.report.tables import sexes_table
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
from study.search.inherit_recipe import tuned_epochs
from study.space.searched import configuration, varied
from tasnet_core.errors import counted
from tasnet_core.records import Cost, Epoch, Variant
from tasnet_core.terminal import plain, say, written

PASSES_AT_MOST = 5  # variants with which one may change places
FRAME_LINES = 6  # of a screen: the front's title, head and borders, and the line below everything


class Printed(Console):
    """A console on which nothing acts that was read somewhere, rich's own markup included."""

    def __init__(self, **options: Any):
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        with written():
            super().print(*(plain(each) if isinstance(each, str) else each for each in objects), **options)

    def on_broken_pipe(self) -> None:
        raise       # what rich has caught: it would end the program with a status of its own


def outcome(result: Result) -> str:
    """How a trial ended, in a few words."""
    if result.state != "complete":
        return f"{result.state}: {result.kind + ': ' if result.kind else ''}{result.reason}"
    score = result.scores.si_snri_db
    text = "no mixture could be scored" if score is None else f"{score:.2f} dB SI-SNRi"
    for name, words in (("sdri_db", "{:.2f} dB SDRi"), ("stoi", "STOI {:.3f}"), ("pesq", "PESQ {:.2f}")):
        value = getattr(result.scores, name)
        text += "" if value is None else f", {words.format(value)}"
    return text + (f" ({counted(result.scores.unscored, 'mixture')} unscored)" if result.scores.unscored else "")


def front_table(front: Rows, title: str = "the front so far") -> Table:
    """The variants nothing beats, the smallest first."""
    several = any(row.get("seeds", 1) > 1 for row in front)
    # Without P and C, where they are all alike, and without vertical lines a row fits into 80 columns.
    table = Table("trial", "variant", *(Column(name, justify="right") for name in (
        "parameters", "MACs/s", "SI-SNRi dB\n(seeds, sd)" if several else "SI-SNRi dB")), title=title,
                  box=SIMPLE_HEAVY, pad_edge=False, show_edge=False)
    mark, telling = any(map(rising, front)), varied(front)
    for row in front:
        seeds = f" ({row['seeds']}, {row['si_snri_sd_db']:.2f})" if row.get("seeds", 1) > 1 else " " * 10 * several
        letters = plain(configuration(row, "N L B H Sc X R".split(), telling))
        table.add_row(str(row["trial"]), letters, engineering(row["parameters"]), engineering(row["macs_per_s"]),
                      f"{row['si_snri_db']:.2f}{seeds}" + (f" {RISING if rising(row) else ' '}" if mark else ""))
    return table


Run = tuple[int, int]  # trial and seed


class Plain:
    """One line per event, each naming its trial: for logs and pipes, and for several trials at once."""

    def __init__(self, trials: int, done: int, epochs: int, base_seed: int = 0):
        self.trials, self.done, self.epochs, self.base_seed = trials, done, epochs, base_seed
        self.running: dict[Run, int] = {}  # epochs of each run
        self.told: dict[Run, int] = {}  # the last epoch of each run
        self.ended: set[Run] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        match event:
            case Message(text):
                self.says(text)
            case TrialStarted():
                self.trial_begins(event.trial, event.seed, event.variant, event.cost, event.epochs)
            case EpochEnded():
                self.epoch_ends(event.trial, event.seed, event.epoch)
            case MixtureScored():
                self.mixture_scored(event.trial, event.seed, event.done, event.total)
            case TrialEnded():
                self.trial_ends(event.trial, event.seed, event.variant, event.result)
            case FrontChanged(front):
                self.front_is(front)
            case _:
                assert_never(event)

    def says(self, text: str) -> None:
        say(text)

    def trial_begins(self, trial: int, seed: int, variant: Variant, cost: Cost, epochs: int) -> None:
        run, name = (trial, seed), called(trial, seed, self.base_seed)
        again = run in self.running
        self.running[run] = epochs
        self.ended.discard(run)
        if again:
            self.says(f"{name}: taken up again after epoch {self.told.get(run, 0)}")
        else:
            place = min(self.done + len(self.running), self.trials)
            self.says(f"{name} ({place} of {self.trials}): {variant}, {engineering(cost.parameters)} parameters, "
                      f"{engineering(cost.macs_per_s)} MACs/s")

    def epoch_ends(self, trial: int, seed: int, epoch: Epoch) -> None:
        run = trial, seed
        if run in self.ended or epoch.number <= self.told.get(run, 0):
            return
        self.told[run] = epoch.number
        self.epoch_is(run, epoch)

    def epoch_is(self, run: Run, epoch: Epoch) -> None:
        """Show an epoch that was not known before."""
        self.says(f"{called(*run, self.base_seed)}: epoch {epoch.number}/{self.running.get(run, self.epochs)}, "
                  f"train {-epoch.train_loss_db:.2f} dB, valid {epoch.valid_si_snri_db:.2f} dB SI-SNRi, {epoch.seconds:.1f} s")

    def mixture_scored(self, trial: int, seed: int, done: int, total: int) -> None:
        if done == total:
            self.says(f"{called(trial, seed, self.base_seed)}: scored {counted(total, 'test mixture')}")

    def trial_ends(self, trial: int, seed: int, variant: Variant, result: Result) -> None:
        self.running.pop((trial, seed), None)
        self.ended.add((trial, seed))
        self.done += result.state in TRAINED
        self.says(f"{called(trial, seed, self.base_seed)}: {outcome(result)}")

    def front_is(self, front: Rows) -> None:
        pass


class Screen(Plain):
    """The live view: the study's progress with time left, a bar per running trial, the front so far."""

    def __init__(self, trials: int, done: int, epochs: int, front: Rows = (), base_seed: int = 0,
                 console: Console | None = None):
        super().__init__(trials, done, epochs, base_seed)
        self.front, self.console = front, console or Printed()
        self.bars: dict[Run, TaskID] = {}
        # An epoch takes minutes, so the time left cannot follow from the last half minute, as rich would have it.
        self.progress = Progress(TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(),
                                 TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), speed_estimate_period=3600)
        # Counted in epochs, so that the time left moves within a trial too.
        self.study = self.progress.add_task(self.description, total=trials * epochs, completed=done * epochs)
        self.live = Live(console=self.console, refresh_per_second=4, get_renderable=self.view)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def view(self) -> Group:
        """The front, as much of it as fits above the bars, and the bars."""
        shown = thinned(self.front, self.console.height - len(self.progress.tasks) - FRAME_LINES)
        title = "the front so far" + (f", {len(shown)} of {len(self.front)}" if len(shown) < len(self.front) else "")
        return Group(front_table(shown, title), "", self.progress) if shown else Group(self.progress)

    def says(self, text: str) -> None:
        self.console.print(text)

    def trial_begins(self, trial: int, seed: int, variant: Variant, cost: Cost, epochs: int) -> None:
        super().trial_begins(trial, seed, variant, cost, epochs)
        self.bar((trial, seed))
        self.move()

    def epoch_is(self, run: Run, epoch: Epoch) -> None:
        total = self.running.get(run, self.epochs)
        self.progress.update(self.bar(run), total=total, completed=epoch.number, description=
                             f"{called(*run, self.base_seed)}, epoch {epoch.number} of {total}: {epoch.valid_si_snri_db:.2f} dB")
        self.move()

    def mixture_scored(self, trial: int, seed: int, done: int, total: int) -> None:
        if (trial, seed) not in self.ended:
            self.progress.update(self.bar((trial, seed)), total=total, completed=done, description=
                                 f"{called(trial, seed, self.base_seed)}, scored {done} of {counted(total, 'mixture')}")

    def trial_ends(self, trial: int, seed: int, variant: Variant, result: Result) -> None:
        super().trial_ends(trial, seed, variant, result)
        if (trial, seed) in self.bars:
            self.progress.remove_task(self.bars.pop((trial, seed)))
        self.move()

    def front_is(self, front: Rows) -> None:
        self.front = front

    def bar(self, run: Run) -> TaskID:
        """The run's bar; a new one for a run that was not seen to begin."""
        if run not in self.bars:
            self.bars[run] = self.progress.add_task(called(*run, self.base_seed), total=self.running.get(run, self.epochs),
                                                    completed=self.told.get(run, 0))
        return self.bars[run]

    def move(self) -> None:
        """The study's bar: the epochs of the trials that are done, and those known of the trials that run."""
        known = self.done * self.epochs + sum(min(self.told.get(run, 0), self.epochs) for run in self.bars)
        self.progress.update(self.study, completed=min(known, self.trials * self.epochs), description=self.description)

    @property
    def description(self) -> str:
        return f"study, {self.done} of {counted(self.trials, 'trial')}"


def called(trial: int, seed: int, base_seed: int) -> str:
    """The run's name: the seed is told where it is not the study's own."""
    return f"trial {trial}" if seed == base_seed else f"trial {trial} seed {seed}"


def thinned(rows: Rows, most: int) -> Rows:
    """At most so many of the rows, evenly chosen, with both ends."""
    if len(rows) <= most:
        return rows
    return [rows[i * (len(rows) - 1) // (most - 1)] for i in range(most)] if most > 1 else []


def watcher(trials: int, done: int, epochs: int, front: Rows, base_seed: int = 0) -> Plain:
    """A live view where output is a terminal, lines elsewhere."""
    if sys.stdout.isatty():
        return Screen(trials, done, epochs, front, base_seed)
    return Plain(trials, done, epochs, base_seed)


def show_status(name: str, settings: Settings | None, results: Rows, front: Rows, epochs: Rows, runs: Rows = ()) -> None:
    """Print how far a study is: its runs by state, what its workers are at, its front.

    `runs` are the rows of that table, which know the worker of a run and the kind of a failure.
    """
    console = Printed()
    states, kinds = Counter(row["state"] for row in results), Counter(run["kind"] for run in runs if run["state"] == "failed")
    known = {state: f"{states[state]} {state}" for state in STATES if states[state]}
    if any(kinds):
        known["failed"] += f" ({', '.join(f'{count} {kind}' for kind, count in kinds.items() if kind)})"
    seconds = sum(row["seconds"] or 0 for row in results)
    console.print(f"study {name}: {', '.join(known.values()) or 'no runs yet'}; {seconds / 3600:.2f} h of training and scoring")
    if any(run["state"] == "stopped" for run in runs):
        console.print(f"stopping early saved {spared_s(runs):,.0f} s of sound")
    if settings:
        console.print(f"corpus {settings.corpus}, space {settings.space}, {settings.recipe.audio_s:,.0f} s of sound a run"
                      + (f", others than the reference {counted(tuned_epochs(settings), 'epoch')} on inherited weights"
                         if settings.recipe.init == "inherit" else ""))
    workers = {(run["trial"], run["seed"]): worker(run) for run in runs}
    for row in results:
        if row["state"] == "running":
            run = row["trial"], row["seed"]
            own = [epoch for epoch in epochs if (epoch["trial"], epoch["seed"]) == run]
            at = f"{own[-1]['valid_si_snri_db']:.2f} dB valid SI-SNRi" if own else "no epoch yet"
            console.print(f"{called(*run, settings.recipe.seed if settings else 0)}: epoch {len(own)} of {row['epochs']}, {at}"
                          + (f", {workers[run]}" if run in workers else ""))
    if why := finding(per_trial(results)):
        console.print(why)
    if front:
        console.print(front_table(front))


def worker(run: Mapping[str, Any]) -> str:
    """The host and process at work on a run; an owner that cannot be read is shown as it is."""
    owner, now = run.get("owner"), time.time()
    if not owner:
        return "no worker"
    known = Owner.parse(owner)
    name = f"{known.host}, process {known.process}" if known else owner
    late = (run.get("lease_until_s") or now) < now
    return f"{name}, not heard of for long" if late else f"worker {name}"


def show_trial(runs: Rows, results: Rows, epochs: Rows, mixtures: Rows) -> None:
    """Print everything about the runs of one trial, and their mean where there are several."""
    for run in runs:
        show_run(run, *([row for row in rows if (row["trial"], row["seed"]) == (run["trial"], run["seed"])]
                        for rows in (results, epochs, mixtures)))
    for mean in per_trial([row for row in results if row["trial"] in {run["trial"] for run in runs}]):
        if mean["seeds"] + mean["seeds_unlearned"] > 1:
            without = f"; {counted(mean['seeds_without'], 'run')} without a score" if mean["seeds_without"] else ""
            if mean["seeds_unlearned"]:
                without += f"; {counted(mean['seeds_unlearned'], 'run')} learned nothing, in no mean"
            Printed().print(
                f"trial {mean['trial']}, mean: {mean['si_snri_db']:.2f} dB SI-SNRi ({with_seeds(mean) or '1 seed'}){without}")
    for line in may_change(results, {run["trial"] for run in runs}):
        Printed().print(line)


def may_change(results: Rows, chosen: Collection[int]) -> list[str]:
    """With which variants of the front, or the reference, these trials may change places at twice the sound."""
    rows = per_trial(results)
    shown = {0, *chosen, *(row["trial"] for row in trials.front(rows))}
    pairs = [pair for pair in crossings([row for row in trials.finished(rows) if row["trial"] in shown], COSTS)
             if pair.below["trial"] in chosen or pair.above["trial"] in chosen]
    how = {True: "is expected to", False: "may (the intervals overlap)"}
    return [f"at twice the sound trial {pair.below['trial']} {how[pair.passes]} pass trial {pair.above['trial']}"
            for pair in pairs[:PASSES_AT_MOST]]


def show_run(run: Mapping[str, Any], results: Rows, epochs: Rows, mixtures: Rows) -> None:
    """Print everything about one run: letters, costs, recipe, curve, scores, its easiest and hardest mixtures."""
    console = Printed()
    row, = results
    console.print(f"trial {row['trial']}, seed {row['seed']}: {configuration(row)} (variant {row['variant']})")
    console.print(": ".join(filter(None, (f"state {row['state']}", run["kind"], row["reason"]))))
    for fact, value in _facts(row, run).items():
        console.print(f"  {fact:26}{value}")
    for epoch in epochs:
        console.print(f"  epoch {epoch['number']:3}: train {-epoch['train_loss_db']:6.2f} dB, "
                      f"valid {epoch['valid_si_snri_db']:6.2f} dB SI-SNRi, rate {epoch['learning_rate']:.2g}")
    scored = sorted((one for one in mixtures if one["si_snri_db"] is not None), key=lambda one: one["si_snri_db"])
    for title, some in (("hardest", scored[:3]), ("easiest", scored[3:][-3:])):
        for one in some:
            console.print(f"  {title} {one['mixture']}: {one['si_snri_db']:.2f} dB ({one['sexes']}, {one['speakers']})")
    for _, _, pair, count, *means in sexes_table(results, from_rows(mixtures).per_trial(results)).rows:
        known = {name: mean for name, mean in zip(SCORES, means, strict=True) if mean is not None}
        console.print(f"  {pair}, {counted(count, 'mixture')}: "
                      + ", ".join(f"{TITLES[name][0]} {mean:.2f}" for name, mean in known.items()))
    for one in mixtures:
        if one["reason"]:
            console.print(f"  unscored {one['mixture']}: {one['reason']}")


def _outlook(row: Mapping[str, Any]) -> dict[str, str]:
    """How fast the run still rose at its end, and what twice the sound would bring; nothing where that is not known."""
    slope, expected = row.get(OUTLOOK[0]), forecast(row)
    known = {}
    if slope is not None:
        known["slope at the end"] = f"{slope:.2f} dB per doubling of sound{f', still rising {RISING}' if rising(row) else ''}"
    if expected is not None:
        known["SI-SNRi, twice the sound"] = f"{expected.value:.2f} dB expected, [{expected.low:.2f}, {expected.high:.2f}]"
    return known


def _facts(row: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, str]:
    def known(name: str, words: str, factor: float = 1) -> str:
        return "-" if row[name] is None else words.format(row[name] * factor)

    return {
        "parameters": f"{row['parameters']:,}",
        "MACs per second of sound": f"{row['macs_per_s']:,}",
        "receptive field": known("receptive_field_s", "{:.3f} s"),
        "peak memory": known("peak_memory_bytes", "{:.1f} MB for 1 s of sound", 1e-6),
        "real-time factor": known("realtime_factor", "{:.4f} on one thread"),
        "SI-SNR": known("si_snr_db", "{:.2f} dB"),
        "SI-SNRi": known("si_snri_db", f"{{:.2f}} dB over {counted(run['mixtures'] or 0, 'mixture')}, "
                                             f"{run['unscored']} unscored"),
        **{title: known(name, words) + ("" if not run.get(f"{metric}_unscored") else f", {run[f'{metric}_unscored']} unscored")
           for metric, name, title, words in (
               ("sdr", "sdr_db", "SDR", "{:.2f} dB"), ("sdr", "sdri_db", "SDRi", "{:.2f} dB"),
               ("stoi", "stoi", "STOI", "{:.3f}"), ("pesq", "pesq", "PESQ", "{:.2f}")) if row.get(name) is not None},
        **_outlook(row),
        "trained on": known("audio_s", "{:,.0f} s of sound")
        + (f", {spared_s([run]):,.0f} s saved by stopping" if run["state"] == "stopped" else ""),
        "recipe": f"{counted(run['epochs'], 'epoch')} of {counted(run['epoch_segments'], 'segment')} of {run['segment_s']:g} s, "
                  f"batch {run['batch_size']}, rate {run['learning_rate']:g}, {run['schedule']}",
        "wall time": known("seconds", "{:.0f} s"),
        "checkpoint": run["checkpoint"]}
