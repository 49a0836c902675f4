"""How long the report of a large study takes. The study is made by a fake evaluation: nothing is trained.

    python benchmarks/report.py [TRIALS]
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from study import runner
from study.database import open_database
from study.evaluate import Hooks
from study.presets import QUICK
from study.records import Budget, Result, Settings
from tasnet_core import cost, metrics
from tasnet_core.corpora import Corpus
from tasnet_core.records import Epoch, MixtureScore, Recipe, Variant


def fake(variant: Variant, recipe: Recipe, budget: Budget, corpus: Corpus, checkpoint: Path, device: str,
         measures: Sequence[str], hooks: Hooks, *_: object) -> Result:
    """A curve and 120 scores that rise with the size of the network."""
    exact, rng = cost.exact(variant), np.random.default_rng(int(variant.key, 16))
    best = 2.2 * np.log10(exact.parameters) - 5 + rng.normal(0, 0.2)
    curve = tuple(Epoch(n, -best * n / (n + 1), best * n / (n + 1.2), 1e-3, recipe.audio_s * n / recipe.epochs, 20.0)
                  for n in range(1, recipe.epochs + 1))
    for epoch in curve:
        hooks.tell(epoch)
    scores = [MixtureScore(f"test/{i:03}", f"a{i % 12}+b{i % 11}", "FM", 4.0, 0.0, score, score)
              for i, score in enumerate(rng.normal(best, 1.5, 120).tolist())]
    return Result("complete", cost=exact, scores=metrics.summary(scores), curve=curve, mixtures=tuple(scores), seconds=200.0)


def main(trials: int = 50) -> None:
    runner.evaluate, runner.measure_apart = fake, cost.exact      # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(recipe=QUICK.recipe)
        with open_database(f"{folder}/study.db", read_only=False) as database:
            database.register("fake", settings)
            start = time.perf_counter()
            runner.Runner("fake", settings, database, object()).run(trials)     # type: ignore[arg-type]
            print(f"{trials} trials asked, stored and told in {time.perf_counter() - start:.1f} s")
        for command in (["report", "--storage", f"{folder}/study.db", "--out", f"{folder}/reports"], ["--help"]):
            times = []
            for _ in range(3):
                start = time.perf_counter()
                subprocess.run([sys.executable, "-m", "study", *command], check=True, stdout=subprocess.DEVNULL)
                times.append(time.perf_counter() - start)
            print(f"python -m study {command[0]}: median of 3 {sorted(times)[1]:.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
