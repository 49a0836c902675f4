"""What a running study shows: a live view in a terminal, plain lines elsewhere."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from study.records import STATES, TRAINED, Result, Settings
from study.tables import SCORES, TITLES, sexes_table
from tasnet_core.records import LETTERS, Cost, Epoch, Variant

Rows = Sequence[Mapping[str, Any]]


def si(number: float) -> str:
    """A count with three digits and k, M or G: 331289 -> '331k'."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def outcome(result: Result) -> str:
    """How a trial ended, in a few words."""
    if result.state != "complete":
        return f"{result.state}: {result.kind + ': ' if result.kind else ''}{result.reason}"
    score = result.scores.si_snri_db
    text = "no mixture could be scored" if score is None else f"{score:.2f} dB SI-SNRi"
    for name, words in (("sdri_db", "{:.2f} dB SDRi"), ("stoi", "STOI {:.3f}"), ("pesq", "PESQ {:.2f}")):
        value = getattr(result.scores, name)
        text += "" if value is None else f", {words.format(value)}"
    return text + (f" ({result.scores.unscored} mixtures unscored)" if result.scores.unscored else "")


def front_table(front: Rows) -> Table:
    """The variants nothing beats, the smallest first."""
    table = Table("trial", "variant", *(Column(name, justify="right") for name in
                                        ("parameters", "MACs/s", "SI-SNRi dB")), title="the front so far")
    for row in front:
        # Without P and C, which no space searches, a row fits into 80 columns.
        table.add_row(str(row["trial"]), letters_of(row, "N L B H Sc X R".split()), si(row["parameters"]), si(row["macs_per_s"]),
                      f"{row['si_snri_db']:.2f}")
    return table


def letters_of(row: Mapping[str, Any], letters: Sequence[str] = LETTERS) -> str:
    return " ".join(f"{letter}{row[letter]}" for letter in letters)


class Plain:
    """One line per event, for logs and pipes."""

    def __init__(self, trials: int, done: int, epochs: int):
        self.trials, self.done, self.epochs = trials, done, epochs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def trial_begins(self, trial: int, variant: Variant, cost: Cost) -> None:
        self.says(f"trial {trial} ({self.done + 1} of {self.trials}): {variant}, {si(cost.parameters)} parameters, "
                  f"{si(cost.macs_per_s)} MACs/s")

    def epoch_ends(self, trial: int, epoch: Epoch) -> None:
        self.says(f"  epoch {epoch.number}/{self.epochs}: train {-epoch.train_loss_db:6.2f} dB, "
                  f"valid {epoch.valid_si_snri_db:6.2f} dB SI-SNRi, {epoch.seconds:.1f} s")

    def mixture_scored(self, trial: int, done: int, total: int) -> None:
        if done == total:
            self.says(f"  scored {total} test mixtures")

    def trial_ends(self, trial: int, variant: Variant, result: Result, front: Rows) -> None:
        self.done += result.state in TRAINED
        self.says(f"trial {trial}: {outcome(result)}")

    def says(self, text: str) -> None:
        print(text, flush=True)


class Screen(Plain):
    """The live view: the study's progress with time left, the current trial's epoch, the front so far."""

    def __init__(self, trials: int, done: int, epochs: int, front: Rows = ()):
        super().__init__(trials, done, epochs)
        self.front = front
        # Counted in epochs, so that the time left moves within a trial too.
        self.progress = Progress(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
                                 TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.study = self.progress.add_task("study", total=trials * epochs, completed=done * epochs)
        self.trial = self.progress.add_task("", total=epochs, visible=False)
        self.live = Live(console=Console(), refresh_per_second=4, get_renderable=self.view)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def view(self) -> Group:
        return Group(*([front_table(self.front)] if self.front else []), self.progress)

    def trial_begins(self, trial: int, variant: Variant, cost: Cost) -> None:
        super().trial_begins(trial, variant, cost)
        self.progress.update(self.study, description=f"study, {self.done} of {self.trials} trials")
        self.progress.reset(self.trial, total=self.epochs, visible=True, description=f"trial {trial}")

    def epoch_ends(self, trial: int, epoch: Epoch) -> None:
        self.progress.update(self.study, completed=self.done * self.epochs + epoch.number)
        self.progress.update(self.trial, completed=epoch.number, description=
                             f"trial {trial}, epoch {epoch.number} of {self.epochs}: {epoch.valid_si_snri_db:.2f} dB")

    def mixture_scored(self, trial: int, done: int, total: int) -> None:
        self.progress.update(self.trial, total=total, completed=done,
                             description=f"trial {trial}, scored {done} of {total} test mixtures")

    def trial_ends(self, trial: int, variant: Variant, result: Result, front: Rows) -> None:
        super().trial_ends(trial, variant, result, front)
        self.front = front
        self.progress.update(self.study, completed=self.done * self.epochs)

    def says(self, text: str) -> None:
        self.live.console.print(text, highlight=False, markup=False)


def watcher(trials: int, done: int, epochs: int, front: Rows) -> Plain:
    """A live view where output is a terminal, lines elsewhere."""
    return Screen(trials, done, epochs, front) if sys.stdout.isatty() else Plain(trials, done, epochs)


def show_status(name: str, settings: Settings | None, results: Rows, front: Rows, epochs: Rows) -> None:
    """Print how far a study is: its runs by state, what it is at, its front."""
    console = Console(highlight=False, markup=False)
    states = Counter(row["state"] for row in results)
    counted = ", ".join(f"{states[state]} {state}" for state in STATES if states[state]) or "no runs yet"
    seconds = sum(row["seconds"] or 0 for row in results)
    console.print(f"study {name}: {counted}; {seconds / 3600:.2f} h of training and scoring")
    if settings:
        console.print(f"corpus {settings.corpus}, space {settings.space}, {settings.recipe.audio_s:,.0f} s of sound a run")
    for row in results:
        if row["state"] == "running":
            known = [epoch for epoch in epochs if (epoch["trial"], epoch["seed"]) == (row["trial"], row["seed"])]
            at = f"{known[-1]['valid_si_snri_db']:.2f} dB valid SI-SNRi" if known else "no epoch yet"
            console.print(f"trial {row['trial']}: epoch {len(known)} of {row['epochs']}, {at}")
    if front:
        console.print(front_table(front))


def show_run(run: Mapping[str, Any], results: Rows, epochs: Rows, mixtures: Rows) -> None:
    """Print everything about one run: letters, costs, recipe, curve, scores, its easiest and hardest mixtures."""
    console = Console(highlight=False, markup=False)
    row, = results
    console.print(f"trial {row['trial']}, seed {row['seed']}: {letters_of(row)} (variant {row['variant']})")
    console.print(f"state {row['state']}" + (f": {run['kind']} {row['reason']}" if row["reason"] else ""))
    for fact, value in _facts(row, run).items():
        console.print(f"  {fact:26}{value}")
    for epoch in epochs:
        console.print(f"  epoch {epoch['number']:3}: train {-epoch['train_loss_db']:6.2f} dB, "
                      f"valid {epoch['valid_si_snri_db']:6.2f} dB SI-SNRi, rate {epoch['learning_rate']:.2g}")
    scored = sorted((one for one in mixtures if one["si_snri_db"] is not None), key=lambda one: one["si_snri_db"])
    for title, some in (("hardest", scored[:3]), ("easiest", scored[3:][-3:])):
        for one in some:
            console.print(f"  {title} {one['mixture']}: {one['si_snri_db']:.2f} dB ({one['sexes']}, {one['speakers']})")
    for _, _, pair, count, *means in sexes_table(results, mixtures).rows:
        known = {name: mean for name, mean in zip(SCORES, means, strict=True) if mean is not None}
        console.print(f"  {pair}, {count} mixtures: "
                      + ", ".join(f"{TITLES[name][0]} {mean:.2f}" for name, mean in known.items()))
    for one in mixtures:
        if one["reason"]:
            console.print(f"  unscored {one['mixture']}: {one['reason']}")


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
        "SI-SNRi": known("si_snri_db", f"{{:.2f}} dB over {run['mixtures']} mixtures, {run['unscored']} unscored"),
        **{title: known(name, words) + ("" if not run.get(f"{metric}_unscored") else f", {run[f'{metric}_unscored']} unscored")
           for metric, name, title, words in (
               ("sdr", "sdr_db", "SDR", "{:.2f} dB"), ("sdr", "sdri_db", "SDRi", "{:.2f} dB"),
               ("stoi", "stoi", "STOI", "{:.3f}"), ("pesq", "pesq", "PESQ", "{:.2f}")) if row.get(name) is not None},
        "trained on": known("audio_s", "{:,.0f} s of sound"),
        "recipe": f"{run['epochs']} epochs of {run['epoch_segments']} segments of {run['segment_s']:g} s, batch "
                  f"{run['batch_size']}, rate {run['learning_rate']:g}, {run['schedule']}",
        "wall time": known("seconds", "{:.0f} s"),
        "checkpoint": run["checkpoint"]}
