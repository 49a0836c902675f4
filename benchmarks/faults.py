"""Processes of studies killed at random moments: who was killed how often, and what was lost. The long form of test_faults.

Workers and parents get SIGKILL, SIGTERM and SIGINT, with 1, 4 and 8 workers on SQLite and 16 on PostgreSQL, with a made-up
training of known curves and with real trainings of tiny networks; then the study finishes, and everything is counted.
PostgreSQL: TASNET_TEST_POSTGRESQL is the URL of a database beside which others may be made.

    python benchmarks/faults.py [KILLS]
"""

import os
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from server import new_database

from tests.support import killed_studies

CASES = ((1, "fake", 0.20, ""), (4, "fake", 0.20, ""), (8, "fake", 0.20, ""), (16, "fake", 0.20, "postgresql"),
         (1, "real", 0.10, ""), (4, "real", 0.10, ""))      # workers, training, share of the kills, server


def main(kills: int = 200) -> int:
    print("| workers | database | training | trials | SIGKILL | SIGTERM | SIGINT | of them the parent | survived | lost or wrong "
          "| epochs trained twice | minutes |\n|" + "---|" * 12)
    bad = 0
    for workers, kind, share, server in CASES:
        with tempfile.TemporaryDirectory() as folder:
            url = new_database("faults") if server and "TASNET_TEST_POSTGRESQL" in os.environ else ""
            if server and not url:
                print(f"| {workers} | {server} | {kind} | no TASNET_TEST_POSTGRESQL |")
                continue
            case = killed_studies.Case(Path(folder) / "s", workers, round(kills * share), kind=kind, url=url, mean_s=1.0,
                               seed=uuid.uuid4().int % 2**32)
            began = time.monotonic()
            done, trials = killed_studies.fire(case)
            wrong, again = killed_studies.verdict(case, trials)
            how = [sum(count for (_, name), count in done.items() if name == signal)
                   for signal in ("SIGKILL", "SIGTERM", "SIGINT")]
            parents = sum(count for (whom, _), count in done.items() if whom == "parent")
            lost = {name: count for name, count in wrong.items() if count}
            bad += bool(lost)
            print(f"| {workers} | {server or 'SQLite'} | {kind} | {trials} | {how[0]} | {how[1]} | {how[2]} | {parents} | "
                  f"{sum(how)} | {lost or 0} | {again if kind == 'fake' else ''} | {(time.monotonic() - began) / 60:.1f} |",
                  flush=True)
            for line in case.said:
                print(f"  {line}")
    return min(1, bad)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
