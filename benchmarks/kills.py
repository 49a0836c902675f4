"""Five `kill -9` at random moments of a study of voices, restarted each time, against one that was left alone.

Prints what was compared; ends with status 1 if a finished trial was lost or a score differs in one bit.

    python benchmarks/kills.py [KILLS] [TRIALS]
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from study.database.store import open_database

OPTIONS = ("--epochs", "3", "--epoch-segments", "12", "--segment-s", "1", "--study", "s", "--workers", "1")


def start(folder: Path, trials: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "study", "run", "--trials", str(trials), "--storage", f"{folder}/study.db", *OPTIONS]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def measured(folder: Path) -> list[list[dict[str, object]]]:
    """Everything the database says of the study but wall times and names of rows."""
    with open_database(f"{folder}/study.db") as database:
        blind = {"seconds": 0, "realtime_factor": 0, "run": 0}      # results has no column for its spread
        return [[{**row, **blind} for row in rows("s")] for rows in (database.results, database.epochs, database.mixtures)]


def main(kills: int = 5, trials: int = 4) -> int:
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder) / "whole", Path(folder) / "cut"
        began = time.monotonic()
        start(whole, trials).wait()
        length, chance, done = time.monotonic() - began, random.Random(), 0
        print(f"uninterrupted: {length:.0f} s")
        while done < kills:
            process = start(cut, trials)
            time.sleep(chance.uniform(3, 3 + length / 3))
            process.kill()
            if process.wait() == 0:
                break
            done += 1
            states = [row["state"] for row in measured(cut)[0]] if (cut / "study.db").exists() else []
            print(f"kill {done}: {states.count('complete')} complete, {states.count('running')} running", flush=True)
        assert start(cut, trials).wait() == 0
        results, epochs, mixtures = measured(cut)
        equal = measured(cut) == measured(whole)
        print(f"after {done} kills: {len(results)} runs, {len(epochs)} epochs, {len(mixtures)} scored mixtures; "
              f"{'equal, bit for bit' if equal else 'DIFFERENT from the uninterrupted study'}")
        return not equal


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
