"""Where the time of one trial goes, in a worker of one thread, with the recipe of `quick`.

A study of three variants on SQLite, as `python -m study run` trains them in a worker: the reference, a middle one, the smallest;
then the same cut out of the reference and only scored (`--init inherit --inherit-epochs 0`). Trainings are a quarter of the
recipe's audio, and their steps are counted four times. Seconds are those of this processor, which other work on the machine
does not lengthen, but for the cost: that is measured in a process of its own, whose start a variant before the three pays for.

Against another version of the project, in a folder, each is measured several times in turn, and medians are printed.

    python benchmarks/trial.py [--slices] [--against FOLDER [--times 3]]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from study.database.store import open_database
from study.records import Settings
from study.search import evaluate as evaluating
from study.search import runner
from study.space.plan import StudyPlan
from study.space.presets import QUICK
from study.space.space import VariantList
from study.space.toml import as_dict
from tasnet_core.backend import build
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.evaluation import metrics
from tasnet_core.training import trainer
from tasnet_core.training.trainer import Training

SHARE = 4
MIDDLE = replace(QUICK.reference, N=64, B=32, H=64, Sc=32, X=4, R=1)
SMALLEST = next(QUICK.variants())
FIRST = replace(SMALLEST, X=3)
VARIANTS = {"reference": QUICK.reference, "first": FIRST, "middle": MIDDLE, "smallest": SMALLEST}
PARTS = ("training", "cost measured", "validation: separating", "validation: scoring", "test: separating", "test: scoring",
         "selection", "audio examples", "saving", "inheriting", "loading", "rest")
HEAD = "| variant | seconds | but training | " + " | ".join(PARTS) + " |\n|" + "---|" * (len(PARTS) + 3)


class Clock:
    """Seconds by part. What happens inside another part is taken from that one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.under_way: list[float] = []        # by nesting: seconds spent in parts within

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        now = time.perf_counter if name == "cost measured" else time.process_time
        start = now()
        self.under_way.append(0.0)
        try:
            yield
        finally:
            took, within = now() - start, self.under_way.pop()
            self.seconds[name] += took - within
            if self.under_way and name != "cost measured":
                self.under_way[-1] += took

    def of(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **more: Any) -> Any:
            with self.part(part):
                return function(*arguments, **more)
        return timed

    def of_generator(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **more: Any) -> Any:
            generator, end = function(*arguments, **more), object()
            while True:
                with self.part(part):
                    found = next(generator, end)
                if found is end:
                    return
                yield found
        return timed

    def attach(self) -> None:
        for owner, name, part in (
                (evaluating, "measure_apart", "cost measured"), (Training, "_step", "training"), (Training, "save", "saving"),
                (trainer, "estimates_of", "validation: separating"), (metrics, "score_test", "test: scoring"),
                (metrics, "estimates_of", "test: separating"), (evaluating, "_selection", "selection"),
                (evaluating.examples, "write", "audio examples"), (Training, "inherit", "inheriting"),
                (evaluating, "load", "loading")):
            setattr(owner, name, self.of(part, getattr(owner, name)))
        Training.validate = self.of_generator("validation: scoring", Training.validate)


def trials(slices: bool, clock: Clock, folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Each variant with the seconds of its trial by part."""
    recipe = replace(QUICK.recipe, epoch_segments=QUICK.recipe.epoch_segments // SHARE)
    if slices:
        recipe = replace(recipe, init="inherit", epochs=1, epoch_segments=recipe.batch_size)
    space = VariantList.of("four", tuple(VARIANTS.values()), recipe)
    settings = Settings(space=space.name, definition=as_dict(space), recipe=recipe, metrics=QUICK.metrics, stop=None,
                        inherit_epochs=0 if slices else None)
    corpus = open_corpus(settings.corpus)
    with open_database(f"sqlite:///{folder / 'study.db'}", read_only=False) as database:
        database.register("one", settings, corpus.notes, corpus.fingerprint)
        one = runner.Runner(StudyPlan.of("one", settings), database, corpus)
        for number, name in enumerate(VARIANTS, 1):
            clock.seconds.clear()
            with clock.part("rest"):
                one.run(number)
            clock.seconds["training"] *= SHARE
            if name != "first" and not (slices and name == "reference"):
                yield name, dict(clock.seconds)


def row(label: str, seconds: dict[str, float]) -> str:
    total = sum(seconds.values())
    fixed = total - seconds.get("training", 0.0)
    shares = " | ".join(f"{seconds.get(part, 0.0):.2f}" for part in PARTS)
    return f"| {label} | {total:.2f} | {fixed:.2f} ({fixed / total:.1%}) | {shares} |"


def seconds_of(line: str) -> tuple[str, dict[str, float]]:
    """A printed row's variant and seconds by part."""
    name, _, _, *found = (cell.strip() for cell in line.strip("|\n").split("|"))
    return name, dict(zip(PARTS, map(float, found), strict=True))


def compare(slices: bool, other: Path, times: int) -> None:
    """Print medians of this version and another, measured in turn."""
    found: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for _ in range(times):
        for version, folder in (("before", other), ("after", Path(__file__).parents[1])):
            told = subprocess.run([sys.executable, __file__, *["--slices"] * slices], text=True, check=True, capture_output=True,
                                  env={**os.environ, "PYTHONPATH": str(folder.resolve())})
            for line in told.stdout.splitlines():
                if line.startswith(tuple(f"| {name} " for name in VARIANTS)):
                    name, seconds = seconds_of(line)
                    found[name, version].append(seconds)
    for (name, version), each in found.items():
        print(row(f"{name}, {version}", {part: statistics.median(one[part] for one in each) for part in PARTS}))


def main(slices: bool, against: Path | None, times: int) -> None:
    if against:
        print(HEAD)
        compare(slices, against, times)
        return
    torch.set_num_threads(1)
    build.why_not()
    clock = Clock()
    clock.attach()
    recipe = QUICK.recipe
    if not slices:
        print(f"{recipe.audio_s:,.0f} s of audio, batches of {recipe.batch_size} × {recipe.segment_s:g} s, one thread\n")
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds in trials(slices, clock, Path(folder)):
            print(row(name, seconds), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slices", action="store_true")
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    parser.add_argument("--times", type=int, default=3)
    main(**vars(parser.parse_args()))
