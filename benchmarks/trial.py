"""Where the time of one trial goes, from the start of a worker to the result in the database, with the recipe of `quick`.

A study of one variant on SQLite, as `python -m study run` does it in a worker of one thread: the reference, a middle one, the
smallest. The training is a quarter of the recipe's epochs' sound, and its share is reckoned for all of it.

    python benchmarks/trial.py
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
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
from tasnet_core.training.trainer import Training

SHARE = 4
VARIANTS = {"reference": QUICK.reference, "middle": replace(QUICK.reference, N=64, B=32, H=64, Sc=32, X=4, R=1),
            "smallest": next(QUICK.variants())}
PARTS = ("cost measured", "training", "validation", "saving", "scoring", "sounds kept", "database and search")


class Clock:
    """Seconds by part. What happens inside another part is taken from that one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.under_way: list[float] = []        # by nesting: seconds spent in parts within

    def of(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **more: Any) -> Any:
            start = time.perf_counter()
            self.under_way.append(0.0)
            try:
                return function(*arguments, **more)
            finally:
                took, within = time.perf_counter() - start, self.under_way.pop()
                self.seconds[part] += took - within
                if self.under_way:
                    self.under_way[-1] += took
        return timed

    def attach(self) -> None:
        for owner, name, part in (
                (evaluating, "measure_apart", "cost measured"), (Training, "_step", "training"),
                (Training, "_validation", "validation"),
                (Training, "save", "saving"), (metrics, "score_test", "scoring"),
                (evaluating.examples, "write", "audio examples")):
            setattr(owner, name, self.of(part, getattr(owner, name)))


def trial(variant: Any, clock: Clock, folder: Path) -> float:
    """Seconds of a whole trial but for its start."""
    recipe = replace(QUICK.recipe, epoch_segments=QUICK.recipe.epoch_segments // SHARE)
    space = VariantList.of("one", (variant,), recipe)
    settings = Settings(space=space.name, definition=as_dict(space), recipe=recipe, metrics=QUICK.metrics)
    corpus = open_corpus(settings.corpus)
    with open_database(f"sqlite:///{folder / 'study.db'}", read_only=False) as database:
        database.register("one", settings, corpus.notes, corpus.fingerprint)
        one = runner.Runner(StudyPlan.of("one", settings), database, corpus)
        start = time.perf_counter()
        clock.seconds.clear()
        one.run(1)
        return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    build.why_not()
    clock = Clock()
    clock.attach()
    recipe = QUICK.recipe
    print(f"{recipe.audio_s:,.0f} s of sound, batches of {recipe.batch_size} × {recipe.segment_s:g} s, one thread\n")
    print("| variant | seconds | " + " | ".join(PARTS) + " |\n|" + "---|" * (len(PARTS) + 2))
    for name, variant in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            whole = trial(variant, clock, Path(folder))
        clock.seconds["database and search"] = whole - sum(clock.seconds[part] for part in PARTS[:-1])
        clock.seconds["training"] *= SHARE
        total = sum(clock.seconds[part] for part in PARTS)
        shares = " | ".join(f"{clock.seconds[part] / total:.1%}" for part in PARTS)
        print(f"| {name} | {total:.1f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
