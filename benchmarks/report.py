"""How long the report of a large study takes, how much memory, and how large its page is. Nothing is trained.

    python benchmarks/report.py [RUNS] [MIXTURES] [FOLDER]

The study is made up and written into the tables as the runner would; with FOLDER, it and its report are kept there.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from study.database import schema
from study.database.store import open_database
from study.records import EXACT, Settings
from study.space.presets import QUICK
from tasnet_core.cost.formulas import exact
from tasnet_core.records import Variant

CHUNK = 200         # runs in one transaction


def variants(count: int, rng: np.random.Generator) -> Iterator[Variant]:
    """The reference, then so many of the space's letters drawn evenly that no two are equal for long."""
    yield QUICK.reference
    for _ in range(count - 1):
        letters: dict[str, Any] = {letter: int(rng.choice(values)) for letter, values in QUICK.choices.items()}
        yield replace(QUICK.reference, **letters)


def fill(url: str, count: int, mixtures: int) -> None:
    """A study of so many runs: one in twenty failed, scores that rise with the size, ten more seeds of the first five."""
    rng, recipe = np.random.default_rng(0), QUICK.recipe
    people = [f"s{i:02}" for i in range(24)]
    pairs = [f"{a}+{b}" for i, a in enumerate(people) for b in people[i + 1:]]
    tests = [(f"test/{i:04}", pairs[i % len(pairs)], "FM" if i % 2 else "FF", float(rng.uniform(3, 6)), float(rng.uniform(0, 10)))
             for i in range(mixtures)]
    hard = rng.normal(0, 2, mixtures)
    known: set[str] = set()
    with open_database(url, read_only=False) as database:
        database.register("large", Settings(recipe=recipe))
        jobs = [(trial, 0, variant) for trial, variant in enumerate(variants(count - 10, rng))]
        jobs += [(trial, seed, jobs[trial][2]) for trial in range(5) for seed in (1, 2)]
        for start in range(0, len(jobs), CHUNK):
            rows: dict[Any, list[dict[str, Any]]] = {table: [] for table in (schema.variants, schema.runs, schema.epochs,
                                                                             schema.mixtures)}
            for run, (trial, seed, variant) in enumerate(jobs[start:start + CHUNK], start + 1):
                cost = exact(variant)
                if variant.key not in known:
                    known.add(variant.key)
                    rows[schema.variants].append({"key": variant.key, **asdict(variant),
                                                  **{name: getattr(cost, name) for name in EXACT}})
                best = 1.1 * np.log10(cost.parameters) - 1.5 + rng.normal(0, 0.2)
                scores = best + hard + rng.normal(0, 1, mixtures)
                done = trial == 0 or rng.random() > 0.05
                score = float(scores.mean()) if done else None
                failure = {} if done else {"state": "failed", "reason": f"epoch {run % 8}: training loss nan", "kind": "diverged"}
                rows[schema.runs].append({
                    "id": run, "study": "large", "trial": trial, "variant": variant.key, "state": "complete",
                    "reason": "", "kind": "", **failure, **asdict(replace(recipe, seed=seed)),
                    "si_snr_db": score, "si_snri_db": score,
                    "checkpoint": f"trial-{trial:04}.pt", "mixtures": mixtures, "unscored": 0,
                    "peak_memory_bytes": 4 * cost.parameters + 3_000_000, "realtime_factor": cost.macs_per_s / 2e10,
                    "audio_s": recipe.audio_s, "seconds": 60.0})
                rows[schema.epochs] += [
                    {"run": run, "number": n, "train_loss_db": -best * n / (n + 1), "valid_si_snri_db": best * n / (n + 1.2),
                     "learning_rate": 1e-3, "audio_s": recipe.audio_s * n / recipe.epochs, "seconds": 7.0} for n in range(1, 9)]
                rows[schema.mixtures] += [
                    {"run": run, "mixture": name, "speakers": who, "sexes": sexes, "duration_s": seconds, "input_si_snr_db": 0.0,
                     "level_difference_db": level, "si_snr_db": one, "si_snri_db": one, "reason": ""}
                    for (name, who, sexes, seconds, level), one in zip(tests, scores.tolist(), strict=True)] if done else []
            with database.engine.begin() as connection:
                for table, some in rows.items():
                    if some:
                        connection.execute(table.insert(), some)


def measured(*command: str) -> tuple[float, float]:
    """Seconds and MB at most of `python -m study …`."""
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    start = time.perf_counter()
    said = subprocess.run([sys.executable, "-c", script, sys.executable, "-m", "study", *command], check=True,
                          capture_output=True, text=True)
    return time.perf_counter() - start, int(said.stdout) / 1024


def main(runs: int = 60, mixtures: int = 120, folder: str = "") -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(folder or scratch)
        place.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        fill(str(place / "study.db"), runs, mixtures)
        size = (place / "study.db").stat().st_size / 1e6
        print(f"{runs:,} runs × {mixtures} mixtures written in {time.perf_counter() - start:.0f} s: {size:,.0f} MB")
        found = [measured("report", "--storage", str(place / "study.db"), "--out", str(place / "reports")) for _ in range(3)]
        seconds, memory = sorted(found)[1]
        page = os.path.getsize(place / "reports" / "index.html") / 1e6
        print(f"report: median of 3 {seconds:.1f} s, {memory:,.0f} MB; page {page:.2f} MB")
        drawn = sorted((place / "reports" / "figures").glob("*.svg"))
        print(", ".join(f"{path.stem} {path.stat().st_size / 1000:.0f} kB" for path in drawn))
        times = sorted(measured("--help")[0] for _ in range(3))
        print(f"--help: median of 3 {times[1]:.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:4])
