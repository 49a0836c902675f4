"""What exporting and loading a large study take: seconds, memory, and how large the files are. Each in a process of its own.

The study is made up: RUNS runs with 10 epochs and 3,000 test mixtures each. Beside it what pandas takes for the mixtures alone:
one query, one frame, one CSV.

    python benchmarks/exports.py [RUNS]
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from study.database.schema import epochs, mixtures, runs, variants
from study.database.store import open_database
from study.records import Settings
from tasnet_core.cost.count import exact
from tasnet_core.records import Epoch, MixtureScore, Recipe, Variant

MIXTURES, EPOCHS = 3000, 10
WAYS = {
    "export --format csv": "from study.__main__ import main; main(['export', '--storage', {db!r}, '--out', {out!r}])",
    "export --format json": "from study.__main__ import main; main(['export', '--storage', {db!r}, '--out', {out!r}, "
                            "'--format', 'json'])",
    "export --format parquet": "from study.__main__ import main; main(['export', '--storage', {db!r}, '--out', {out!r}, "
                               "'--format', 'parquet'])",
    "study.load": "import study; print(study.load({db!r}).mixtures.memory_usage(deep=True).sum())",
    "pandas, mixtures alone": "import sqlite3, pandas; pandas.read_sql('SELECT * FROM mixtures', sqlite3.connect({db!r}))"
                              ".to_csv({out!r} + '/peer.csv', index=False)",
}
AFTER = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"


def make(path: Path, count: int) -> None:
    """A study of so many complete runs, with scores that no two share."""
    rng, variant, recipe = np.random.default_rng(0), Variant(), Recipe()
    with open_database(str(path), read_only=False) as database:
        database.register("large", Settings())
        with database.engine.begin() as connection:
            cost = exact(variant)
            connection.execute(variants.insert(), {"key": variant.key, **asdict(variant), "parameters": cost.parameters,
                                                   "macs_per_s": cost.macs_per_s, "receptive_field_s": cost.receptive_field_s})
        for run in range(1, count + 1):
            with database.engine.begin() as connection:
                connection.execute(runs.insert(), {"id": run, "study": "large", "trial": run, "variant": variant.key,
                                                   "state": "complete", "si_snri_db": float(run), **asdict(recipe)})
                curve = (Epoch(number, -1 / number, 1 / number, 1e-3, 10.0, 1.0) for number in range(1, EPOCHS + 1))
                connection.execute(epochs.insert(), [{"run": run, **asdict(epoch)} for epoch in curve])
                connection.execute(mixtures.insert(), [{"run": run, **one} for one in scores(rng)])


def scores(rng: np.random.Generator) -> list[dict[str, object]]:
    values = rng.normal(5, 3, (MIXTURES, 5)).tolist()
    return [asdict(MixtureScore(f"test/{index:05}", f"speaker{index % 40}+speaker{index % 37}", "FM", 4.0, 0.1, *row))
            for index, row in enumerate(values)]


def main(count: int = 1000) -> None:
    print(f"{count * MIXTURES:,} mixtures of {count:,} runs\n\n| way | s | peak memory, MB | files, MB |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "study.db"
        make(db, count)
        for way, program in WAYS.items():
            out = Path(tempfile.mkdtemp(dir=folder))
            began = time.monotonic()
            said = subprocess.run([sys.executable, "-c", program.format(db=str(db), out=str(out)) + AFTER], check=True,
                                  capture_output=True, text=True).stdout
            took, size = time.monotonic() - began, sum(path.stat().st_size for path in out.iterdir())
            print(f"| {way} | {took:.0f} | {int(said.split()[-1]) / 1000:.0f} | {size / 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
