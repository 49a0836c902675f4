"""How often intervals of the score surface and of the predicted front hold the truth.

    python benchmarks/surface.py [WORLDS]

First each variant of the recorded tables is left out in turn, and foretold by the others: the share of measured scores inside
the 95 % interval of one training, the error, and half the interval. Then simulated worlds of another kind than the surface's
(samplers.py), searched by the sampler `model`: the share of sizes at which the band holds the best true score, of variants of
the predicted front whose interval holds their true score, and how often a chance of 80 % or more to be within 0.5 dB is right.
"""

import sys
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from prices import tables
from samplers import SEED_SD_DB, World, simulated

from study.analysis.learned import TOLERANCE_DB
from study.analysis.predicted_front import Sizes, dearest, predicted_front
from study.analysis.proposals import proposals
from study.analysis.score_surface import Coding, Surface, Trained
from study.analysis.trials import COSTS
from study.records import Budget
from study.space.points import fixed, index_of, of_variants
from study.space.presets import QUICK
from tasnet_core.records import LETTERS, Variant

LEAST, MOST_LEFT_OUT = 8, 80
AT = (8, 16, 24, 32)


class LeftOut(NamedTuple):
    inside: float
    error_db: float
    half_width_db: float
    explained: float


def left_out(rows: list[dict]) -> LeftOut:
    """Each of these variants, or some of many, foretold by all others."""
    variants = [Variant(**{letter: row[letter] for letter in LETTERS}) for row in rows]
    fields = of_variants(variants, [{}] * len(rows))
    scores = np.array([row["si_snri_db"] for row in rows])
    coding = Coding.of(fixed(QUICK), fields)
    places = np.arange(len(rows))
    if len(rows) > MOST_LEFT_OUT:
        places = np.random.default_rng(0).permutation(places)[:MOST_LEFT_OUT]
    errors, reaches = [], []
    for place in places:
        others = np.delete(np.arange(len(rows)), place)
        trained = Trained({name: column[others] for name, column in fields.items()}, scores[others], np.ones(len(others)))
        surface = Surface(coding, trained)
        mean, variance = surface.predict(coding.inputs({name: column[[place]] for name, column in fields.items()}))
        errors.append(scores[place] - mean[0])
        reaches.append(surface.quantile * np.sqrt(variance[0] + surface.noise_variance))
    inside = np.abs(errors) <= reaches
    return LeftOut(float(inside.mean()), float(np.sqrt(np.mean(np.square(errors)))), float(np.median(reaches)),
                   1 - float(np.var(errors) / scores.var()))


def rows_of(world: World, order: list[int]) -> list[dict]:
    rows = []
    for place in order:
        variant = QUICK.variant_of(QUICK.point(int(world.pool.indices[place])))
        rows.append({**vars(variant), "trial": 0 if variant == QUICK.reference else place + 1, "state": "complete",
                     "seeds": 1, "si_snri_db": world.measured_db[place], "si_snri_sd_db": None,
                     "parameters": int(world.pool.parameters[place]),
                     "macs_per_s": float(world.pool.macs_per_s[place]), "learning_rate": QUICK.recipe.learning_rate,
                     "segment_s": QUICK.recipe.segment_s, "batch_size": QUICK.recipe.batch_size})
    return rows


def main(worlds: int = 40) -> None:
    print("| table | variants | explained | error, dB | inside | half width, dB |\n|---|---|---|---|---|---|")
    total: list[tuple[int, float]] = []
    for name, rows in tables():
        if len(rows) >= LEAST:
            found = left_out(rows)
            total.append((min(len(rows), MOST_LEFT_OUT), found.inside))
            print(f"| {name} | {len(rows)} | {found.explained:.2f} | {found.error_db:.2f} | {found.inside:.1%} "
                  f"| {found.half_width_db:.2f} |", flush=True)
    count = sum(number for number, _ in total)
    print(f"\nOf all {count}: {sum(number * share for number, share in total) / count:.1%} inside.\n")
    band, own, near, width = (defaultdict(list) for _ in range(4))
    for seed in range(worlds):
        world = simulated(seed)
        sizes = Sizes.of(world.pool, dearest(QUICK, Budget()))
        best = world.true_db[sizes.best(world.true_db)].reshape(len(COSTS), -1)
        order = [len(world.true_db) - 1, 0]
        while len(order) <= max(AT):
            count = len(order)
            if count in AT:
                front = predicted_front(QUICK, Budget(), rows_of(world, order))
                assert front
                width[count].append(front.half_width_db)
                for cost, truth in zip(COSTS, best, strict=True):
                    one = front.bands[cost]
                    band[count].append(np.mean((one.low <= truth) & (truth <= one.high)))
                    for step in front.steps[cost]:
                        true = world.true_db[index_of(QUICK, QUICK.parameters_of(step.variant) or {})]
                        trained = step.trial is not None
                        own[count, trained].append(step.score.low <= true <= step.score.high)
                        if step.near is not None and step.near >= 0.8 and true != world.true_db[-1]:
                            near[count].append((step.near, world.true_db[-1] - true <= TOLERANCE_DB))
            trained_ = Trained({name: column[order] for name, column in world.pool.fields.items()},
                               world.measured_db[order], np.ones(count))
            order += proposals(QUICK, Budget(), trained_, order, np.random.default_rng((seed, count)))
    print(f"{worlds} simulated worlds, seeds with a standard deviation of {SEED_SD_DB} dB:\n")
    print("| trainings | band holds the best | half its width, dB | interval holds, trained | untrained "
          f"| said to be within {TOLERANCE_DB} dB | true |\n|---|---|---|---|---|---|---|")
    for count in AT:
        said, true = np.mean(near[count], axis=0) if near[count] else (np.nan, np.nan)
        print(f"| {count} | {np.mean(band[count]):.1%} | {np.mean(width[count]):.2f} | {np.mean(own[count, True]):.1%} "
              f"| {np.mean(own[count, False]):.1%} | {said:.0%} | {true:.0%} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
