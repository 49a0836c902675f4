"""How much training each sampler needs to find the front, with the stop rule and without, replayed on curves.csv.

A study is run as `Runner` runs it: the reference first, a repeat is told at once and costs nothing, a stopped training is
told as pruned and costs its epochs. Only Optuna's storage is in memory, and the trainings are those recorded. What is
counted is seconds of sound trained, and the hypervolume of what has finished as a share of that of the whole grid.

    python benchmarks/search.py [SEEDS [FIRST]]
"""

import statistics
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import optuna
from curves import EPOCH_S, EPOCHS, GRID, Recorded, recorded, volume
from stop_rule import by_rule

from study.records import FRONT, Budget, StopRule
from study.search.samplers import Proposals
from study.search.scheduler import REPEATS
from study.space.presets import QUICK
from study.space.space import Space, suggest

SPACE = replace(QUICK, choices=GRID)
SHARES = (10, 20, 30, 40, 50, 60)        # percent of the sound that the whole grid needs
ENOUGH = 0.95
# Heading, sampler, whether with the stop rule. "Uniform" is Optuna's RandomSampler, which knows nothing of costs.
COLUMNS = (("tpe + rule", "tpe", True), ("tpe", "tpe", False), ("nsga2", "nsga2", False), ("uniform", "uniform", False),
           ("random", "random", False), ("random + rule", "random", True), ("qmc", "qmc", False), ("nsga3", "nsga3", False))

Progress = list[tuple[float, float]]         # after each training: sound so far in s, share of the hypervolume


def sampler_of(name: str, space: Space, seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed) if name == "uniform" else Proposals(name, space, Budget(), seed)


def next_left(study: optuna.Study, space: Space, met: set[str]) -> None:
    """After many repeats in a row, queue a variant that nobody has trained: `Runner.new_ask`."""
    trials = study.get_trials(deepcopy=False)
    if len(trials) >= REPEATS and all("repeats" in trial.user_attrs for trial in trials[-REPEATS:]):
        left = [point for point in map(space.point, range(len(space))) if space.variant_of(point).key not in met]
        study.enqueue_trial(left[int(np.random.default_rng((study.user_attrs["seed"], len(trials))).integers(len(left)))])


def search(rows: Sequence[Recorded], name: str, seed: int, rule: StopRule | None) -> Progress:
    """One study, until every recorded variant has been trained, or what is printed is known."""
    study = optuna.create_study(sampler=sampler_of(name, SPACE, seed), directions=[direction for _, direction in FRONT])
    study.set_user_attr("seed", seed)
    study.enqueue_trial(SPACE.parameters_of(SPACE.reference) or {})
    number = {row.variant.key: index for index, row in enumerate(rows)}
    judge = by_rule(rows, rule) if rule else lambda order: [EPOCHS] * len(order)
    whole, order, found = volume([row.point for row in rows], rows[0]), [], []
    while len(order) < len(rows):
        next_left(study, SPACE, {rows[index].variant.key for index in order})
        trial = study.ask()
        row = rows[index := number[suggest(trial, SPACE).key]]
        if index in order:
            trial.set_user_attr("repeats", True)
        else:
            order.append(index)
        ends = judge(order)
        if ends[order.index(index)] < EPOCHS:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, (row.si_snri_db, *row.curve.costs))
        if "repeats" not in trial.user_attrs:
            finished = [rows[run].point for run, end in zip(order, ends, strict=True) if end == EPOCHS]
            found.append((EPOCH_S * sum(ends), volume(finished, rows[0]) / whole))
            if found[-1][1] >= ENOUGH and found[-1][0] > len(rows) * EPOCHS * EPOCH_S * SHARES[-1] / 100:
                break       # a sampler that repeats itself takes hundreds of asks for the last variants
    return found


def reached(progress: Progress, sound_s: float) -> float:
    """The share of the hypervolume found with so much sound."""
    return max((share for sound, share in progress if sound <= sound_s), default=0.0)


def needed(progress: Progress, share: float = ENOUGH) -> float:
    """The sound after which so much of the hypervolume was found."""
    return next((sound for sound, found in progress if found >= share), float("inf"))


def ideal(rows: Sequence[Recorded]) -> float:
    """The sound for ENOUGH if all scores were known beforehand: the reference, then always the variant that adds the most."""
    whole, taken = volume([row.point for row in rows], rows[0]), [rows[0]]
    while volume([row.point for row in taken], rows[0]) < ENOUGH * whole:
        taken.append(max(rows, key=lambda row: volume([one.point for one in (*taken, row)], rows[0])))
    return len(taken) * EPOCHS * EPOCH_S


def main(seeds: int = 10, first: int = 0) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    rows, whole_s = recorded(), len(recorded()) * EPOCHS * EPOCH_S
    found = {heading: [search(rows, name, seed, StopRule() if ruled else None) for seed in range(first, first + seeds)]
             for heading, name, ruled in COLUMNS}
    print(f"{len(rows)} variants, {whole_s:,.0f} s of sound; rule {StopRule()}; seeds {first} to {first + seeds - 1}\n")
    print(f"Share of the final hypervolume, medians:\n\n| sound | {' | '.join(found)} |\n|{'---|' * (len(found) + 1)}")
    for percent in SHARES:
        print(f"| {percent} % | " + " | ".join(
            f"{statistics.median(reached(one, whole_s * percent / 100) for one in each):.3f}" for each in found.values()) + " |")
    sound = {heading: [needed(one) for one in each] for heading, each in found.items()}
    middle = {heading: statistics.median(each) for heading, each in sound.items()}
    ours = middle["tpe + rule"]
    print(f"\nSound until {ENOUGH:.0%} of it, in percent of the grid's. "
          f"Knowing all scores beforehand: {ideal(rows) / whole_s:.0%}.\n")
    print("| | median | range | times that of tpe + rule |\n|---|---|---|---|")
    for heading, each in sound.items():
        print(f"| {heading} | {middle[heading] / whole_s:.0%} | {min(each) / whole_s:.0%} to {max(each) / whole_s:.0%} | "
              f"{middle[heading] / ours:.2f} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
