"""What networks of one corpus do on the test mixtures of another.

    python benchmarks/crossed.py results/study.db STUDY CORPUS [SEEDS [DATABASE STUDY]]

Scores the complete trainings of a study, of each trial the first SEEDS (1), on the test mixtures of a corpus that they were not
trained on, and prints SI-SNRi there beside that on their own, with the 95 % interval for new speakers. A second study, trained on
that corpus, says what its own speech buys: what the same variant reaches there beyond that, or its reference where it has no such
variant, on the same mixtures.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from transfer import interval

from study.analysis.mixture_scores import from_rows
from study.analysis.replicates import SCORE, per_trial, seeds_in_means
from study.analysis.uncertainty import SeedSpread, Uncertainty
from study.database.store import Database, open_database
from study.maintenance.doctor import checkpoint_of
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.registry import Corpus, open_corpus
from tasnet_core.evaluation.metrics import score_test
from tasnet_core.records import Variant

THEIRS = 1_000_000      # added to the number of a trial of the other study
OWN = "own_db"          # the score of a run on its own corpus
Rows = list[dict[str, Any]]


def first_seeds(database: Database, study: str, seeds: int) -> dict[int, Rows]:
    """By trial, its complete runs of the lowest seeds."""
    found: dict[int, Rows] = {}
    for run in sorted(database.runs(study), key=lambda run: (run["trial"], run["seed"])):
        if run["state"] == "complete" and len(found.setdefault(run["trial"], [])) < seeds:
            found[run["trial"]].append(dict(run))
    return {trial: runs for trial, runs in found.items() if runs}


def scored(run: dict[str, Any], checkpoint: Path, corpus: Corpus) -> tuple[dict[str, Any], Rows]:
    """A run with its score on another corpus beside its own, and its scores on each mixture there."""
    mixtures = [{"trial": run["trial"], "seed": run["seed"], **asdict(one)} for one in score_test(load(checkpoint), corpus)]
    return {**run, OWN: run[SCORE], SCORE: float(np.mean([one[SCORE] for one in mixtures]))}, mixtures


def there(database: Database, study: str, spec: str, seeds: int) -> tuple[Rows, Rows, dict[int, Variant]]:
    """Runs of a study with their scores on another corpus, those of each mixture, and each trial's variant."""
    folder, runs, mixtures, variants = database.checkpoints(study), [], [], {}
    for trial, mine in first_seeds(database, study, seeds).items():
        variants[trial] = database.variant(mine[0]["variant"])
        corpus = open_corpus(spec, variants[trial].C, variants[trial].sample_rate_hz)
        for run in mine:
            again, scores = scored(run, checkpoint_of(run, folder), corpus)
            runs.append(again)
            mixtures += scores
    return runs, mixtures, variants


def trained_there(storage: str, study: str) -> tuple[Rows, Rows, dict[str, int]]:
    """Runs of a study of that corpus, their mixtures, and the trial of each variant."""
    with open_database(storage) as database:
        runs = [{**run, "trial": run["trial"] + THEIRS} for run in database.runs(study) if run["state"] == "complete"]
        mixtures = [{**one, "trial": one["trial"] + THEIRS} for one in database.mixtures(study)]
    return runs, mixtures, {run["variant"]: run["trial"] for run in runs}


def main(storage: str, study: str, spec: str, seeds: str = "1", *theirs: str) -> None:
    with open_database(storage) as database:
        runs, mixtures, variants = there(database, study, spec, int(seeds))
    more_runs, more_mixtures, places = trained_there(*theirs) if theirs else ([], [], {})
    table(runs, all_seeds([*runs, *more_runs]), all_seeds([*mixtures, *more_mixtures]), places, variants)


def all_seeds(rows: Rows) -> Rows:
    """Rows of which no run leads to a choice: what was chosen was so by other scores. None but trial 0 has the first seed."""
    return [{**row, "seed": row["seed"] + (row["trial"] != 0)} for row in rows]


def table(runs: Rows, everybody: Rows, mixtures: Rows, places: dict[str, int], variants: dict[int, Variant]) -> None:
    known = per_trial(everybody)
    found = Uncertainty(from_rows(mixtures).per_trial(everybody), seeds_in_means(known), SeedSpread.of(known))
    scores = found.scores(list(variants))
    print("| trial | variant | seeds | own test, dB | there, dB [95 %] |" + " trained there, dB more [95 %] |" * bool(places))
    print("|---|---|---|---|---|" + "---|" * bool(places))
    for trial, variant in variants.items():
        mine = [run for run in runs if run["trial"] == trial]
        own = np.mean([run[OWN] for run in mine])
        line = f"| {trial} | {variant} | {len(mine)} | {own:.2f} | {interval(scores.get(trial))} |"
        if places:
            other = places.get(mine[0]["variant"], THEIRS)
            beside = "" if mine[0]["variant"] in places else " (the reference)"
            line += f" {interval(found.losses([trial], other).get(trial))}{beside} |"
        print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
