"""Everything that is measured of speed, on this machine: printed, and added to RESULTS.md with machine, versions and commit.

    [ASTEROID=FOLDER] make bench
"""

import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from study.search.environment import environment

HERE = Path(__file__).parent
SCRIPTS = {"speed.py": "Training and separating", "trial.py": "Where a trial's time goes", "data.py": "Mixing on the fly",
           "growth.py": "Growth"}
ARGUMENTS = {"growth.py": [HERE.parent / "reports" / "growth.svg"]}


def machine() -> str:
    """Processor, cores, load, versions and commit in one line."""
    here = environment("cpu")
    load = f"load {os.getloadavg()[0]:.1f}, " if hasattr(os, "getloadavg") else ""
    return (f"{here['cpu']}, {here['cores']} cores, {load}Python {here['python']}, torch {here['torch']}, "
            f"numpy {here['numpy']}, commit {here['commit'] or 'unknown'}")


def main() -> None:
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")       # as the workers of a study have it
    start, found = time.monotonic(), [f"\n## This machine (`make bench`), {date.today()}\n", machine() + ".\n"]
    print("\n".join(found), flush=True)
    for script, title in SCRIPTS.items():
        print(f"\n### {title} (`{script}`)\n", flush=True)
        done = subprocess.run([sys.executable, HERE / script, *ARGUMENTS.get(script, [])], stdout=subprocess.PIPE, text=True)
        print(done.stdout, flush=True)
        if done.returncode:
            sys.exit(f"{script} failed; nothing was added to RESULTS.md")
        found.append(f"### {title} (`{script}`)\n\n{done.stdout.strip()}\n")
    with open(HERE / "RESULTS.md", "a", encoding="utf-8") as results:
        results.write("\n".join(found))
    print(f"added to {HERE / 'RESULTS.md'} after {(time.monotonic() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
