"""A stand-in for `sbatch` and `qsub`: reads a script's directives as these do, and executes each task of its array, all at once.

    python queue_stand_in.py sbatch|qsub [--array 1-2 | -t 1-2] SCRIPT ARGUMENTS

What it is told on the command line comes before what the script says. An option that it does not know is an error, as it is
there. It returns when the last task has ended, with the status of the worst.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

PREFIX = {"sbatch": "#SBATCH ", "qsub": "#$ "}


def options(kind):
    known = argparse.ArgumentParser(allow_abbrev=False)
    if kind == "sbatch":
        for name in ("job-name", "cpus-per-task", "mem", "time", "output", "signal"):
            known.add_argument(f"--{name}")
        known.add_argument("--array", dest="tasks")
        known.add_argument("--requeue", action="store_true")
    else:
        for name in ("N", "S", "l", "r", "j"):
            known.add_argument(f"-{name}", action="append")
        known.add_argument("-t", dest="tasks")
        for name in ("cwd", "V"):
            known.add_argument(f"-{name}", action="store_true", required=True)     # else it starts elsewhere, with nothing set
    return known


def main(kind, *words):
    place = next(number for number, word in enumerate(words) if Path(word).is_file())
    script, arguments = Path(words[place]), words[place + 1:]
    lines = [line.removeprefix(PREFIX[kind]) for line in script.read_text().splitlines() if line.startswith(PREFIX[kind])]
    given = options(kind).parse_args([word for line in lines for word in shlex.split(line)] + list(words[:place]))
    first, _, last = given.tasks.partition("-")
    name = {"sbatch": "SLURM_ARRAY_TASK_ID", "qsub": "SGE_TASK_ID"}[kind]
    tasks = []
    for task in range(int(first), int(last) + 1):
        with open(f"task-{task}.log", "w") as log:
            tasks.append(subprocess.Popen(["bash", script, *arguments], stdout=log, stderr=log,
                                          env={**os.environ, name: str(task)}))
    return max(task.wait() for task in tasks)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
