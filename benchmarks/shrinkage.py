"""Whether "the smallest within 0.5 dB" is, on simulated studies with known truth, by measured and by shrunk scores.

    python benchmarks/shrinkage.py [STUDIES]

Every variant has a size and two more hyperparameters; its true score follows their logarithms, a bend that the linear model
does not know, and what no model explains. The variants are trained once; the reference with three seeds. Prints the chance
given, the share that truly is within the limit, and by how many more parameters the recommended has than the smallest that
truly is within it; "before" the smallest measured within the limit and its chance from noise alone, "after" the smallest
whose chance is at least 80 % (`study.analysis.shrinkage`), last with the spread of seeds assumed that stands for an unknown one.
"""

import sys
from collections import defaultdict

import numpy as np
from scipy import stats

from study.analysis.recommendations import SURE
from study.analysis.shrinkage import SEED_SD_DB as SEED_SD_ASSUMED_DB
from study.analysis.shrinkage import posterior

SEED_SD_DB, TEST_SD_DB, LIMIT_DB = 0.25, 0.16, 0.5
REACH_DB = {"crowded": 1.5, "spread": 4.0}      # between the largest and the smallest
UNEXPLAINED_DB = 0.15


def study(variants: int, reach_db: float, rng: np.random.Generator) -> dict[str, list[tuple[float, bool, float]]]:
    """Of one study, before and after: the chance given, whether it is true, parameters against the oracle's."""
    ways = np.vstack([np.zeros(3), -rng.integers(0, 5, (variants - 1, 3)) / 4])
    octaves = ways @ [2.0, 1.0, 1.5]
    true = ways @ (reach_db * np.array([0.3, 0.1, 0.6])) - reach_db * 0.1 * (octaves / 4.5)**2
    true[1:] += rng.normal(0, UNEXPLAINED_DB, variants - 1)
    noise = np.full(variants, SEED_SD_DB**2 + TEST_SD_DB**2)
    noise[0] = SEED_SD_DB**2 / 3 + TEST_SD_DB**2
    measured = true + rng.normal(0, np.sqrt(noise))
    table = np.column_stack([np.ones(variants), ways])
    order = [int(i) for i in np.argsort(octaves, kind="stable") if octaves[i] < 0]
    within = true[0] - true <= LIMIT_DB
    oracle = next((i for i in order if within[i]), None)
    if oracle is None:
        return {}
    raw = stats.norm.cdf((LIMIT_DB - (measured[0] - measured)) / np.sqrt(noise + noise[0]))
    picks = {"before": (next((i for i in order if raw[i] >= 0.5), None), raw)}
    assumed = noise + (SEED_SD_ASSUMED_DB**2 - SEED_SD_DB**2) / np.r_[3, np.ones(variants - 1)]
    for name, some in (("after", noise), ("assumed", assumed)):
        score, variance = posterior(table, measured, some)
        drawn = stats.t.cdf((LIMIT_DB - (score[0] - score)) / np.sqrt(variance + variance[0]), variants - 4)
        picks[name] = next((i for i in order if drawn[i] >= SURE), None), drawn
    return {name: [(chance[i], within[i], 2 ** (octaves[i] - octaves[oracle]))] if i is not None else []
            for name, (i, chance) in picks.items()}


def main(studies: int = 1000) -> None:
    print("| variants | true scores | recommended, of studies | chance given | true | parameters against the oracle's |")
    print("|---|---|---|---|---|---|")
    for variants in (20, 60, 200):
        for name, reach_db in REACH_DB.items():
            found, rng, possible = defaultdict(list), np.random.default_rng(variants), 0
            for _ in range(studies):
                one = study(variants, reach_db, rng)
                possible += bool(one)
                for key, picks in one.items():
                    found[key] += picks
            both = [np.array(found[key], dtype=float) for key in ("before", "after", "assumed")]
            shares = " → ".join(f"{len(some) / possible:.0%}" for some in both)
            means = (" → ".join(f"{some[:, column].mean():.0%}" for some in both) for column in range(2))
            sizes = " → ".join(f"{np.median(some[:, 2]):.2f}" for some in both)
            print(f"| {variants} | {name} | {shares} | {' | '.join(means)} | {sizes} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
