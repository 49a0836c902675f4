"""Of which recorded studies the report recommends nothing, and why: `study.analysis.learned` asked of all tables that were kept.

Nothing is trained. The tables are results/*.csv by the seconds of audio, curves.csv, and learned.csv: small studies of three
variants on real and on synthetic speech, whose trainings ended long before they had learned (`quick`, 8 epochs, the sampler qmc).
What is right was judged by hand: whether the reference separates, and whether sizes differ by more than chance. The databases
that are named are asked too, and with --csv written as lines of learned.csv.

    python benchmarks/learned.py [--csv] [DATABASE ...]
"""

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from study.analysis.learned import finding
from study.analysis.replicates import OUTLOOK, SCORE, in_mean, per_trial
from tasnet_core.records import LETTERS

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
COLUMNS = ("study", "trial", "seed", *LETTERS, "parameters", "macs_per_s", SCORE, "audio_s", *OUTLOOK)
WORDS = ("study", "corpus", "state", "init", "variant")
RESTS = {"norm": "global", "causal": False, "state": "complete"}
LEARNED = ("digits-2000", "orders-32000")      # of the small studies
Rows = list[dict[str, Any]]


def read(path: Path) -> Rows:
    """The lines of a table with numbers as numbers; None where nothing stands."""
    def value(name: str, text: str) -> Any:
        return text if name in WORDS else None if text == "" else float(text) if "." in text or "_db" in name else int(text)
    with path.open() as lines:
        return [{**RESTS, **{name: value(name, text) for name, text in line.items()}} for line in csv.DictReader(lines)]


# On people the reference has 1.8 dB after 4,000 s and 2.5 after 8,000, and these two agree on the order by a τ of 0.47
# (voices: 0.87).
NOT_YET_S = 8000


def recorded() -> Iterator[tuple[str, Rows, bool]]:
    """Every study: its name, its runs, and whether something should be recommended from it."""
    for path in sorted(RESULTS.glob("*.csv")):
        runs = read(path)
        if not path.stem.endswith("budgets"):
            yield path.stem, runs, True
            continue
        for audio_s in sorted({run["audio_s"] for run in runs}):
            few = path.stem == "quick_orders_budgets" and audio_s <= NOT_YET_S
            yield f"{path.stem}, {audio_s:,.0f} s", [run for run in runs if run["audio_s"] == audio_s], not few
    digits = read(RESULTS / "quick_fsdd_confirmed.csv")
    yield ("quick_fsdd_confirmed, the reference's dead seed alone", [run for run in digits if run["trial"] or run["seed"] == 2],
           False)
    variants = sorted(read(HERE / "curves.csv"), key=lambda run: -run["parameters"])     # the dearest first: the reference
    yield "curves.csv", [{**run, "trial": trial, "seed": 0} for trial, run in enumerate(variants)], True
    small = read(HERE / "learned.csv")
    for name in dict.fromkeys(run["study"] for run in small):
        yield name, [run for run in small if run["study"] == name], name in LEARNED


def line(name: str, runs: Rows, right: bool | None) -> str:
    rows = per_trial(runs)
    base = next(row for row in rows if row["trial"] == 0)
    scores = [run[SCORE] for run in in_mean(runs)]
    why = finding(rows)
    verdict = why.removeprefix("No recommendation: ").partition(". ")[0].partition(", which")[0] if why else "recommends"
    told = "" if right is None else "yes" if right == (not why) else "NO"
    return f"| {name} | {len(rows)} | {base[SCORE]:.2f} | {min(scores):.2f} to {max(scores):.2f} | {verdict} | {told} |"


def of_database(path: str) -> tuple[str, Rows]:
    from study.analysis.extrapolation import outlook
    from study.database.store import open_database
    with open_database(path) as db:
        name = db.choose(None)
        runs, epochs = db.results(name), db.epochs(name)
        kept = {(run["trial"], run["seed"]): run["schedule"] for run in db.runs(name)}
    for run in runs:        # as this version forecasts
        own = [epoch for epoch in epochs if (epoch["trial"], epoch["seed"]) == (run["trial"], run["seed"])]
        run |= vars(outlook(own, kept[run["trial"], run["seed"]], run[SCORE]))
    return name, runs


def lines_of(runs: Iterable[Mapping[str, Any]]) -> Iterator[list[Any]]:
    for run in runs:
        yield [round(value, 4) if isinstance(value := run[name], float) else value for name in COLUMNS]


def main(words: list[str]) -> None:
    databases = [of_database(word) for word in words if word != "--csv"]
    if "--csv" in words:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        for _, runs in databases:
            writer.writerows(lines_of(runs))
        return
    print("| study | variants | reference, dB | all, dB | verdict | right? |\n" + "|---" * 6 + "|")
    for name, runs, right in recorded():
        print(line(name, runs, right))
    for name, runs in databases:
        print(line(name, runs, None))


if __name__ == "__main__":
    main(sys.argv[1:])
