"""By how much the score of a confirmed front is too high, on simulated studies with known truth.

    python benchmarks/confirm_bias.py [STUDIES]

Variants of random size are trained once; the front and the reference then with two more seeds. Prints for each kind of study
the mean error of the confirmed variants' scores, in dB: from all three seeds, and from the fresh ones as
`study.analysis.replicates` does; and the pooled spread of seeds against the true one, of all seeds and of the fresh.
Test mixtures add an error that no seed takes away: that of 24 test speakers in the default study (coverage.py), or none.
"""

import math
import sys
from collections import defaultdict

import numpy as np

from study.analysis import trials
from study.analysis.replicates import SCORE, per_trial, pooled_seed_sd

SEED_SD_DB, TEST_SD_DB, SEEDS = 0.25, 0.16, 3
APART_DB = {"crowded": 0.1, "spread": 0.5}      # of variants of one size, the standard deviation of true scores


def study(variants: int, apart_db: float, test_sd_db: float, rng: np.random.Generator) -> list[tuple[str, float]]:
    """The errors of one study's confirmed variants, by name, and its spreads of seeds against the true one."""
    octaves = np.r_[0.0, rng.uniform(-5, 0, variants - 1)]
    true = 8 - 0.12 * octaves**2 + np.r_[0.0, rng.normal(0, apart_db, variants - 1)]
    tested = true + rng.normal(0, test_sd_db, variants)

    def run(trial: int, seed: int) -> dict:
        size = 1e6 * 2 ** octaves[trial]
        return {"trial": trial, "seed": seed, "state": "complete", "parameters": size, "macs_per_s": size,
                SCORE: float(tested[trial] + rng.normal(0, SEED_SD_DB))}

    runs = [run(trial, 0) for trial in range(variants)]
    chosen = {row["trial"] for row in trials.front(per_trial(runs))} | {0}
    runs += [run(trial, seed) for trial in sorted(chosen) for seed in range(1, SEEDS)]
    rows = {row["trial"]: row for row in per_trial(runs)}
    found, squares = [], {"all": [], "fresh": []}
    for trial in chosen:
        scores = [row[SCORE] for row in runs if row["trial"] == trial]
        squares["all"].append(np.var(scores, ddof=1))
        squares["fresh"].append(np.var(scores[1:], ddof=1))
        if trial:
            found += [("all", np.mean(scores) - true[trial]), ("fresh", rows[trial][SCORE] - true[trial])]
    assert math.isclose(pooled_seed_sd(rows.values())[0] ** 2, np.mean(squares["all"]))
    return found + [(f"variance, {name}", float(np.mean(some)) / SEED_SD_DB**2) for name, some in squares.items()]


def main(studies: int = 400) -> None:
    print("| variants | | error of test mixtures, dB | bias of all seeds, dB | of the fresh ones, dB "
          "| spread of all seeds, of the true | of the fresh ones |\n|---|---|---|---|---|---|---|")
    for variants in (20, 60, 200):
        for name, apart_db in APART_DB.items():
            for test_sd_db in (0.0, TEST_SD_DB):
                found, rng = defaultdict(list), np.random.default_rng(variants)
                for _ in range(studies):
                    for key, value in study(variants, apart_db, test_sd_db, rng):
                        found[key].append(value)
                bias = " | ".join(f"{np.mean(found[key]):+.2f}" for key in ("all", "fresh"))
                spread = " | ".join(f"{math.sqrt(np.mean(found[f'variance, {key}'])):.2f}" for key in ("all", "fresh"))
                print(f"| {variants} | {name} | {test_sd_db:g} | {bias} | {spread} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
