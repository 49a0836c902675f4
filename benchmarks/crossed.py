"""What networks of one corpus do on the test mixtures of another.

    python benchmarks/crossed.py results/study.db STUDY CORPUS [SEEDS]

Scores the complete trainings of a study, of each trial the first SEEDS (1), on the test mixtures of a corpus that they were not
trained on, and prints SI-SNRi there beside that on their own.
"""

import sys

import numpy as np

from study.database.store import open_database
from study.maintenance.doctor import checkpoint_of
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.evaluation import metrics


def main(storage: str, study: str, spec: str, seeds: str = "1") -> None:
    with open_database(storage) as database:
        runs = [run for run in database.runs(study) if run["state"] == "complete"]
        folder = database.checkpoints(study)
        variants = {run["variant"]: database.variant(run["variant"]) for run in runs}
    print(f"trained in {study}, tested on {spec}\n")
    print("| trial | variant | seeds | own test, dB | there, dB |\n|---|---|---|---|---|")
    for trial in sorted({run["trial"] for run in runs}):
        mine = sorted((run for run in runs if run["trial"] == trial), key=lambda run: run["seed"])[:int(seeds)]
        variant = variants[mine[0]["variant"]]
        corpus = open_corpus(spec, variant.C, variant.sample_rate_hz)
        there = [metrics.summary(metrics.score_test(load(checkpoint_of(run, folder)), corpus)).si_snri_db for run in mine]
        own = np.mean([run["si_snri_db"] for run in mine])
        print(f"| {trial} | {variant} | {len(mine)} | {own:.2f} | {np.mean(there):.2f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
