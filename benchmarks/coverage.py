"""How often the 95 % intervals of a report hold the truth, and how often it finds what is not there, on made-up studies.

    python benchmarks/coverage.py [STUDIES]

A made-up score is the variant's true score, the chance of its seed, and what its test mixture does: some of it to all
variants alike, some to each in its own way, and mixtures of the same two people have part of both in common.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from study.analysis import effects
from study.analysis.mixture_scores import COLUMNS, Mixtures, from_chunks
from study.analysis.replicates import per_trial
from study.analysis.uncertainty import SeedSpread, Uncertainty, holm, on_front

SEED_SD_DB, SHARED_DB, OWN_DB = 0.25, 2.5, 0.8      # of seeds; of mixtures, for all variants alike and for each
PER_PAIR = 0.5      # share of both variances that mixtures of one pair of speakers have in common


class World(NamedTuple):
    """A test set, and who was trained how often."""

    name: str
    speakers: int
    mixtures: int
    seeds: Sequence[int]    # of each variant
    effect_of_people: float = 0.0   # share of the variance that lies in single speakers, whom pairs share


WORLDS = (
    World("voices, front with 3 seeds", 24, 120, [3] * 6 + [1] * 14),
    World("voices, all once", 24, 120, [1] * 20),
    World("few speakers, front with 3 seeds", 6, 120, [3] * 6 + [1] * 14),
    World("WSJ0-2mix, front with 3 seeds", 18, 3000, [3] * 6 + [1] * 14),
    World("voices, two variants with 2 seeds", 24, 120, [2] * 2 + [1] * 18),
    World("voices, single speakers matter", 24, 120, [3] * 6 + [1] * 14, 0.5))


def study(world: World, truth: Sequence[float], rng: np.random.Generator) -> tuple[list[dict[str, Any]], Mixtures, list[float]]:
    """Runs, their scores on the test mixtures, and what each variant's seeds alone would score on endless mixtures."""
    names = [f"s{i}" for i in range(world.speakers)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1:]]
    which = rng.integers(len(pairs), size=world.mixtures)
    alone = np.array([[names.index(name) for name in pairs[i]] for i in which])

    def chances(sd_db: float) -> Any:
        """Of each mixture, with the parts that a pair and single people have of it."""
        people = world.effect_of_people
        parts = [rng.normal(0, np.sqrt(people / 2), world.speakers)[alone].sum(axis=1),
                 rng.normal(0, np.sqrt((1 - people) * PER_PAIR), len(pairs))[which],
                 rng.normal(0, np.sqrt((1 - people) * (1 - PER_PAIR)), world.mixtures)]
        return sd_db * np.sum(parts, axis=0)

    shared, runs, rows, trained = chances(SHARED_DB), [], [], []
    for trial, (true, seeds) in enumerate(zip(truth, world.seeds, strict=True)):
        own, lucks = chances(OWN_DB), rng.normal(0, SEED_SD_DB, seeds)
        trained.append(true + lucks.mean())
        for seed, luck in enumerate(lucks):
            scores = true + luck + shared + own
            runs.append({"trial": trial, "seed": seed, "state": "complete", "si_snri_db": scores.mean()})
            rows += [(trial, seed, f"test/{i:04}", "+".join(pairs[which[i]]), "FM", 4.0, None, None, None, float(score), None,
                      None, None, None) for i, score in enumerate(scores)]
    assert len(rows[0]) == len(COLUMNS)
    return runs, from_chunks([rows]), trained


def repeated(runs: Sequence[dict[str, Any]], heard: Mixtures, seed: int = 0) -> Uncertainty:
    means = per_trial(runs)
    return Uncertainty(heard.per_trial(runs), {row["trial"]: row["seeds"] for row in means}, SeedSpread.of(means), seed=seed)


def coverage(world: World, studies: int, rng: np.random.Generator) -> dict[str, float]:
    """Shares of intervals that hold the truth, and of false findings among variants that are all alike."""
    hits: dict[str, list[bool]] = {}
    truth = [5.0] * len(world.seeds)
    for number in range(studies):
        runs, heard, trained = study(world, truth, rng)
        made = repeated(runs, heard, number)
        true = truth if made.spread else trained        # without replicates the interval speaks of these trainings
        for trial, found in made.scores(range(len(truth))).items():
            hits.setdefault("score", []).append(found.low <= true[trial] <= found.high)
        for trial, found in made.losses(range(1, len(truth)), 0).items():
            hits.setdefault("loss", []).append(found.low <= true[0] - true[trial] <= found.high)
        p = {trial: made.difference(trial, 0).p for trial in range(1, len(truth))}      # type: ignore[union-attr]
        hits.setdefault("p < 0.05", []).extend(value < 0.05 for value in p.values())
        hits.setdefault("any, Holm", []).append(min(holm(p).values()) < 0.05)
    return {name: float(np.mean(found)) for name, found in hits.items()}


def calibration(studies: int, rng: np.random.Generator) -> Iterator[tuple[str, int, float, float]]:
    """Of variants said to be on the front with a chance in each fifth: how many, the mean chance, how many truly are."""
    world, said, true = WORLDS[0], [], []
    for number in range(studies):
        costs = np.sort(10 ** rng.uniform(4, 5.5, len(world.seeds)))[::-1]
        truth = 5 - 1.2 * np.log10(costs[0] / costs) + rng.normal(0, 0.3, len(costs))
        runs, heard, _ = study(world, truth.tolist(), rng)
        rows = [{"trial": trial, "parameters": cost} for trial, cost in enumerate(costs)]
        chance = on_front(rows, ("parameters",), repeated(runs, heard, number))
        said += [chance[trial] for trial in range(len(costs))]
        true += [all(truth[trial] > truth[other] for other in range(len(costs)) if costs[other] < costs[trial])
                 for trial in range(len(costs))]
    for low in np.linspace(0, 0.8, 5):
        some = [i for i, one in enumerate(said) if low <= one < low + 0.2 or (low == 0.8 and one == 1)]
        yield (f"{low:.1f} to {low + 0.2:.1f}", len(some), float(np.mean([said[i] for i in some])),
               float(np.mean([true[i] for i in some])))


def letters(variants: int, studies: int, rng: np.random.Generator) -> dict[str, float]:
    """Main effects with known truth: coverage, how often an interaction is found that is not there, the share of N, which
    does nothing."""
    base, slopes = {"N": 128, "H": 128, "B": 64, "X": 6, "R": 2}, {"N": 0.0, "H": 0.4, "B": 0.3, "X": 1.5, "R": 0.8}
    choices = {"N": (32, 64, 96, 128), "H": (32, 64, 96, 128), "B": (16, 32, 48, 64), "X": (2, 3, 4, 5, 6), "R": (1, 2)}
    others = {"L": 16, "Sc": 64, "P": 3, "C": 2}
    held, false, shares = [], [], []
    for number in range(studies):
        rows = []
        for trial in range(variants):
            row = {letter: int(rng.choice(values)) if trial else base[letter] for letter, values in choices.items()}
            score = 5 + sum(slopes[letter] * np.log2(row[letter] / base[letter]) for letter in slopes) + rng.normal(0, 0.3)
            rows.append({"trial": trial, **others, **row, "si_snri_db": float(score)})
        design = effects.design(rows, rows[0])
        held += [one.doubling_db.low <= slopes[one.letter] <= one.doubling_db.high
                 for one in effects.main_effects(design).letters]
        both = effects.interaction(design).both_db
        if both is not None:        # few variants may not tell it apart from the rest
            false.append(not both.low <= 0 <= both.high)
        if number < 20:
            shares += [one.main.value for one in effects.importance(design, draws=2) if one.letter == "N"]
    return {"coverage": float(np.mean(held)), "X×R found": float(np.mean(false)), "share of N": float(np.mean(shares))}


def main(studies: int = 500) -> None:
    rng = np.random.default_rng(0)
    print("| test set | score | loss | p < 0.05 | any of 19, Holm |\n|---|---|---|---|---|")
    for world in WORLDS:
        found = coverage(world, studies if world.mixtures < 1000 else studies // 5, rng)
        print(f"| {world.name} | {found['score']:.1%} | {found['loss']:.1%} | {found['p < 0.05']:.1%} "
              f"| {found['any, Holm']:.1%} |", flush=True)
    print("\n| said: chance of being on the front | variants | mean chance | truly on it |\n|---|---|---|---|")
    for name, count, said, true in calibration(studies, rng):
        print(f"| {name} | {count} | {said:.2f} | {true:.2f} |")
    print("\n| variants | coverage of a letter's effect | X×R found where there is none | share of a letter without effect |")
    print("|---|---|---|---|")
    for variants in (16, 24, 50):
        found = letters(variants, studies, rng)
        print(f"| {variants} | {found['coverage']:.1%} | {found['X×R found']:.1%} | {found['share of N']:.1%} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
