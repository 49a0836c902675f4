"""What a stop rule saves and what it costs, replayed on the curves of curves.csv: nothing is trained.

A study trains the recorded variants one after another, the reference first and the others in a chance order. Each run is
judged after every epoch, as `Runner.verdict` does, against the runs that finished before it. Of a run that was stopped,
the recording knows what it would have become. Successive halving (asynchronous, as Optuna's pruner decides) is beside it.

    python benchmarks/stop_rule.py [ORDERS]
"""

import sys
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from curves import EPOCH_S, EPOCHS, Recorded, recorded, volume

from study.analysis.pareto import Curve, front, hopeless
from study.records import StopRule

MARGINS_DB = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
WARM_UPS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625)
PATIENCES = tuple(epochs / EPOCHS for epochs in (1, 2, 3))
RUNGS, ETA = (2, 4), 2
NOISE_DB = 0.3          # two seeds of one variant differ by about so much
SHARED = 0.8            # correlation of that chance in curve and score: in curves.csv 0.8 at epoch 4, 0.9 from 5 on
NOISY = 40              # recordings made up with such a chance
# Other assumptions about chance, SHARED and dB for each epoch alone, and the rules worth seeing under them.
CHANCES = {"as above": (SHARED, 0.0), "and 0.2 dB per epoch": (SHARED, 0.2), "curve and score each by its own": (0.0, 0.0)}
STRESSED = tuple(StopRule(margin, warm_up, epochs / 8) for margin, warm_up, epochs in (
    (1, 0.375, 1), (1, 0.5, 1), (1, 0.5, 2), (0.75, 0.375, 2), (1.25, 0.375, 1)))
LIMIT = 0.02            # of the runs of the front: what may be stopped

# After how many epochs each run ended, in the order in which they were trained.
Judge = Callable[[Sequence[int]], list[int]]


class Outcome(NamedTuple):
    """Means over the studies; shares, 0 to 1."""

    stopped: float              # of the trainings
    saved: float                # of the sound
    front_per_study: float      # runs, not a share
    front: float                # of the front's runs
    cheap_front: float          # of the cheaper half of the front's runs
    volume: float               # of the hypervolume


def by_rule(rows: Sequence[Recorded], rule: StopRule) -> Judge:
    """The stop rule of a study. The first of an order is the reference, which nobody stops.

    A run is stopped by one rival, so whom each would stop when is worked out once, pair by pair.
    """
    warm_up, patience = rule.in_epochs(EPOCHS)
    ends = np.full((len(rows), len(rows)), EPOCHS)      # ends[mine, rival]
    for (i, mine), (j, rival) in product(enumerate(rows), repeat=2):
        if i == j or any(theirs > ours for theirs, ours in zip(rival.curve.costs, mine.curve.costs, strict=True)):
            continue
        for epoch in range(1, EPOCHS):
            so_far = Curve(mine.curve.costs, mine.curve.curve[:epoch])
            if hopeless(so_far, [rival.curve], rule.margin_db, warm_up, patience):
                ends[i, j] = epoch
                break

    def judge(order: Sequence[int]) -> list[int]:
        finished: list[int] = []
        found = []
        for run in order:
            found.append(int(ends[run, finished].min()) if finished else EPOCHS)
            if found[-1] == EPOCHS:
                finished.append(run)
        return found
    return judge


def by_halving(rows: Sequence[Recorded]) -> Judge:
    """Successive halving over all sizes: at each rung a run goes on if it is in the better half of those that came so far."""
    def judge(order: Sequence[int]) -> list[int]:
        reached: dict[int, list[float]] = {rung: [] for rung in RUNGS}
        found = [EPOCHS]        # the reference, as with the rule
        for run in order[1:]:
            for rung in RUNGS:
                score = rows[run].curve.curve[rung - 1]
                reached[rung].append(score)
                if score < sorted(reached[rung])[-max(1, len(reached[rung]) // ETA)]:
                    found.append(rung)
                    break
            else:
                found.append(EPOCHS)
        return found
    return judge


def replay(rows: Sequence[Recorded], judge: Judge, orders: Sequence[Sequence[int]]) -> Outcome:
    """What came of studies in these orders."""
    points = np.array([row.point for row in rows])
    kept = front(points)
    cheap = kept & (points[:, 1] <= np.median(points[kept, 1]))
    whole, outcomes = volume(points, rows[0]), []
    for order in orders:
        epochs = np.empty(len(rows), dtype=int)
        epochs[list(order)] = judge(order)
        stopped = epochs < EPOCHS
        outcomes.append((stopped.mean(), 1 - epochs.mean() / EPOCHS, (stopped & kept).sum(), stopped[kept].mean(),
                         stopped[cheap].mean(), 1 - volume(points[~stopped], rows[0]) / whole))
    return Outcome(*(float(mean) for mean in np.mean(outcomes, axis=0)))


def moved(rows: Sequence[Recorded], rng: np.random.Generator, shared: float = SHARED, jitter_db: float = 0.0) -> list[Recorded]:
    """The recording as other seeds might have given it: chance moves every curve, and its test score with it as far as shared."""
    shifts = NOISE_DB * rng.normal(size=(len(rows), 2)) @ ((1, shared), (0, (1 - shared**2) ** 0.5))
    jitter = jitter_db * rng.normal(size=(len(rows), EPOCHS))
    return [row._replace(si_snri_db=row.si_snri_db + score,
                         curve=Curve(row.curve.costs, tuple((np.array(row.curve.curve) + shift + each).tolist())))
            for row, (shift, score), each in zip(rows, shifts, jitter, strict=True)]


def noisy(rows: Sequence[Recorded], judge_of: Callable[[Sequence[Recorded]], Judge], orders: Sequence[Sequence[int]],
          shared: float = SHARED, jitter_db: float = 0.0) -> Outcome:
    """The same on NOISY recordings that chance has moved, five orders each."""
    others = [moved(rows, np.random.default_rng(k), shared, jitter_db) for k in range(NOISY)]
    return Outcome(*np.mean([replay(other, judge_of(other), orders[:5]) for other in others], axis=0).tolist())


def cells(name: str, calm: Outcome, moved_by_chance: Outcome) -> str:
    return (f"| {name} | {calm.stopped:.0%} | {calm.saved:.1%} | {calm.front_per_study:.2f} | {calm.front:.1%} | "
            f"{calm.cheap_front:.1%} | {calm.volume:.2%} | {moved_by_chance.front:.1%} | {moved_by_chance.volume:.2%} |")


def main(count: int = 200) -> None:
    rows, rng = recorded(), np.random.default_rng(0)
    orders = [[0, *(1 + rng.permutation(len(rows) - 1))] for _ in range(count)]
    print(f"{len(rows)} variants, {front([row.point for row in rows]).sum()} of them on the front, "
          f"{len(rows) * EPOCHS * EPOCH_S:,.0f} s of sound; means of {count} orders\n")
    rules = [StopRule(*values) for values in product(MARGINS_DB, WARM_UPS, PATIENCES)]
    outcomes = {rule: replay(rows, by_rule(rows, rule), orders) for rule in rules}

    print("Sound saved / runs of the front stopped, by margin in dB:\n")
    print(f"| warm-up | patience | {' | '.join(f'{margin:g}' for margin in MARGINS_DB)} |\n|{'---|' * (len(MARGINS_DB) + 2)}")
    for warm_up, patience in product(WARM_UPS, PATIENCES):
        found = [outcomes[StopRule(margin, warm_up, patience)] for margin in MARGINS_DB]
        print(f"| {warm_up:.1%} | {patience:.1%} | {' | '.join(f'{one.saved:.0%} / {one.front:.1%}' for one in found)} |")

    print(f"\nThe most saving of those that stop less than {LIMIT:.0%} of the front's runs, the default, and successive "
          f"halving. In the last two columns chance has moved every curve and every score by {NOISE_DB:g} dB.\n")
    print("| margin dB, warm-up, patience | trainings stopped | sound saved | front runs stopped per study | "
          "of the front's runs | of its cheaper half | hypervolume lost | noisy: of the front's runs | "
          "noisy: hypervolume lost |\n|" + "---|" * 9)
    harmless = sorted((rule for rule in rules if outcomes[rule].front < LIMIT), key=lambda rule: -outcomes[rule].saved)[:14]
    for rule in dict.fromkeys((*harmless, StopRule())):
        outcome = outcomes.get(rule) or replay(rows, by_rule(rows, rule), orders)
        name = f"{rule.margin_db:g}, {rule.warm_up:.1%}, {rule.patience:.1%}{' (default)' * (rule == StopRule())}"
        print(cells(name, outcome, noisy(rows, lambda other, rule=rule: by_rule(other, rule), orders)), flush=True)  # type: ignore
    print(cells(f"successive halving, rungs {RUNGS}, eta {ETA}", replay(rows, by_halving(rows), orders),
                noisy(rows, by_halving, orders)))

    print("\nUnder other assumptions about chance: of the front's runs stopped / hypervolume lost.\n")
    print(f"| margin dB, warm-up, patience | sound saved, no chance | {' | '.join(CHANCES)} |\n|{'---|' * (len(CHANCES) + 2)}")
    for rule in STRESSED:
        found = [noisy(rows, lambda other, rule=rule: by_rule(other, rule), orders, *chance)     # type: ignore
                 for chance in CHANCES.values()]
        saved = replay(rows, by_rule(rows, rule), orders).saved
        print(f"| {rule.margin_db:g}, {rule.warm_up:.1%}, {rule.patience:.1%} | {saved:.1%} | "
              + " | ".join(f"{one.front:.1%} / {one.volume:.2%}" for one in found) + " |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
