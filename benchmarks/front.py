"""How much training it takes to know the front: every variant from scratch, with the stop rule, and with inherited weights.

Replays trainings that were recorded: curves.csv, 54 variants from scratch, and inherited.csv, the same variants as slices of
teachers of several seeds, as they are and tuned. Sound is counted for every network that hears it: the teacher and its slices,
tunings, and the trainings from scratch that confirm what was found. Hypervolumes are those of scores from scratch, whatever led
to them.

    python benchmarks/front.py [SEEDS]
    python benchmarks/front.py record SEED  # rows of inherited.csv, on the recipe of curves.csv; continues
"""

import csv
import statistics
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from curves import CHECKPOINTS, EPOCH_S, EPOCHS, RECIPE, Recorded, recorded, volume
from search import ENOUGH, SPACE, Progress, needed, reached, sampler_of, search

from study.analysis import pareto
from study.analysis.rank_agreement import tau
from study.records import FRONT, Settings, StopRule
from study.search.inherit_recipe import recipe_of
from study.space.space import suggest
from tasnet_core.records import Variant

FILE = Path(__file__).with_name("inherited.csv")
SHARES = (5, 10, 15, 20, 25, 30)        # percent of the sound that the whole grid needs from scratch
INHERIT = replace(RECIPE, init="inherit")
TEACHER_S, TUNED_S = (recipe_of(INHERIT, Settings(recipe=INHERIT), whole, None).audio_s for whole in (True, False))
SCRATCH_S = EPOCHS * EPOCH_S


class Inherited(NamedTuple):
    """One variant as a slice of the teacher: SI-SNRi in dB on the validation mixtures as it is, on the test set when tuned."""

    slice_db: float
    tuned_db: float


def inherited() -> dict[int, dict[str, Inherited]]:
    """The rows of inherited.csv, by the seed of the teacher and the variant's key."""
    found: dict[int, dict[str, Inherited]] = {}
    with FILE.open() as lines:
        for row in csv.DictReader(lines):
            found.setdefault(int(row["seed"]), {})[row["variant"]] = Inherited(float(row["slice_db"]), float(row["tuned_db"]))
    return found


def record(seed: int) -> None:
    """Train the teacher of this seed, then tune every variant of the grid."""
    import torch

    from study.search.evaluate import Task, evaluate
    from tasnet_core.backend.fused import speed_up
    from tasnet_core.checkpoints.checkpoint import load
    from tasnet_core.corpora.registry import open_corpus
    from tasnet_core.evaluation.metrics import estimates_of, in_order
    from tasnet_core.network.slices import take
    from tasnet_core.training.slimmable import Lineage

    torch.set_num_threads(1)
    corpus, teacher = open_corpus("voices", 2, 8000, say=print), CHECKPOINTS / f"teacher-{seed}.pt"
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    lineage = Lineage(teacher, {name: axis.values for name, axis in SPACE.variant_axes.items() if len(axis.values) > 1})

    def train(variant: Variant, path: Path) -> float:
        recipe = recipe_of(replace(INHERIT, seed=seed), Settings(recipe=INHERIT), variant == SPACE.reference)
        result = evaluate(Task(variant, recipe, path, metrics=("si_snr",), lineage=lineage), corpus)
        if result.scores.si_snri_db is None:
            raise SystemExit(f"{variant}: {result.state}, {result.reason}")
        return result.scores.si_snri_db

    def as_it_is(variant: Variant) -> float:
        network = speed_up(take(load(teacher), variant)).eval()
        with torch.inference_mode():
            mixtures = (corpus.mixture("valid", index) for index in range(corpus.count("valid")))
            return statistics.fmean(in_order(mixture, estimates_of(network, mixture)).si_snri_db for mixture in mixtures)
    whole_db = train(SPACE.reference, teacher)
    if not FILE.exists():
        FILE.write_text("seed,variant,slice_db,tuned_db\n")
    known = inherited().get(seed, {})
    for variant in SPACE.variants():
        if variant.key not in known:
            path = CHECKPOINTS / f"inherited-{variant.key}-{seed}.pt"
            tuned_db = whole_db if variant == SPACE.reference else train(variant, path)
            with FILE.open("a") as lines:
                lines.write(f"{seed},{variant.key},{as_it_is(variant):.3f},{tuned_db:.3f}\n")
            print(variant, f"{tuned_db:.2f} dB", flush=True)


def gains(rows: Sequence[Recorded], scores: Sequence[float]) -> list[int]:
    """Places of rows in the order in which each adds most to the hypervolume by these scores; the reference is the first row."""
    points = [(-score, *np.log(row.curve.costs)) for row, score in zip(rows, scores, strict=True)]
    return pareto.gains(points, (0.0, *np.log(1.05 * np.array(rows[0].curve.costs))), first=[0])


def proposed(rows: Sequence[Recorded], scores: Sequence[float], seed: int, count: int) -> list[int]:
    """Places of the first `count` variants that TPE proposes when it is told these scores."""
    study = optuna.create_study(sampler=sampler_of("tpe", SPACE, seed), directions=[direction for _, direction in FRONT])
    study.enqueue_trial(SPACE.parameters_of(SPACE.reference) or {})
    number, order = {row.variant.key: index for index, row in enumerate(rows)}, dict[int, None]()
    for _ in range(100 * count):
        trial = study.ask()
        index = number[suggest(trial, SPACE).key]
        order[index] = None
        study.tell(trial, (scores[index], *rows[index].curve.costs))
        if len(order) == count:
            break
    return list(order)


def confirmed(rows: Sequence[Recorded], tried: Sequence[int], scores: Sequence[float], spent_s: float) -> Progress:
    """The hypervolume after each training from scratch of the front of `tried` by these scores; the reference is in it."""
    some = [0, *(place for place in tried if place)]
    order = [some[one] for one in gains([rows[place] for place in some], [scores[place] for place in some])]
    whole = volume([row.point for row in rows], rows[0])
    return [(spent_s + number * SCRATCH_S, volume([rows[place].point for place in order[:number]], rows[0]) / whole)
            for number in range(1, len(order) + 1)]


def main(seeds: int = 10) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    rows = recorded()
    scratch = [row.si_snri_db for row in rows]
    teachers = [[one[row.variant.key] for row in rows] for one in inherited().values() if len(one) == len(rows)]
    whole_s = len(rows) * SCRATCH_S
    found: dict[str, list[Progress]] = {
        "scratch, tpe": [search(rows, "tpe", seed, None) for seed in range(seeds)],
        "scratch, tpe + rule": [search(rows, "tpe", seed, StopRule()) for seed in range(seeds)]}
    for known in teachers:
        slices, tuned = [one.slice_db for one in known], [one.tuned_db for one in known]
        front = gains(rows, slices)
        found.setdefault("slices as they are", []).append(confirmed(rows, range(len(rows)), slices, TEACHER_S))
        for count in (8, 16, 32, len(rows)):
            found.setdefault(f"{count} tuned, tpe", []).extend(
                confirmed(rows, proposed(rows, tuned, seed, count), tuned, TEACHER_S + count * TUNED_S) for seed in range(seeds))
        found.setdefault("the front of slices tuned", []).append(confirmed(rows, front, tuned, TEACHER_S + len(front) * TUNED_S))
    print(f"{len(rows)} variants, {whole_s:,.0f} s of sound from scratch; a teacher and its slices {TEACHER_S:,.0f} s, "
          f"a tuning {TUNED_S:,.0f} s, a training from scratch {SCRATCH_S:,.0f} s; {len(teachers)} teachers, "
          f"{seeds} seeds of the sampler\n")
    print(f"Share of the final hypervolume (medians), and the sound until {ENOUGH:.0%} of it in percent of the grid's:\n")
    print(f"| | {' | '.join(f'{share} %' for share in SHARES)} | {ENOUGH:.0%} at | range |\n|{'---|' * (len(SHARES) + 3)}")
    for name, each in found.items():
        cells = [f"{statistics.median(reached(one, whole_s * share / 100) for one in each):.3f}" for share in SHARES]
        ends = sorted(needed(one) / whole_s for one in each)
        print(f"| {name} | {' | '.join(cells)} | {statistics.median(ends):.0%} | {ends[0]:.0%} to {ends[-1]:.0%} |")
    agreement(scratch, teachers)


def agreement(scratch: Sequence[float], teachers: Sequence[Sequence[Inherited]]) -> None:
    """Print how well scores of slices agree with those from scratch and, for comparison, those of two teachers' slices."""
    scores = np.array(teachers)     # [teachers, variants, as they are and tuned]
    pairs = {f"{name}, {words}": [(one, np.array(scratch)) for one in some]
             for index, name in enumerate(("slices as they are (validation)", "tuned"))
             for words, some in (("each", scores[:, :, index]), ("mean of all", scores[:, :, index].mean(axis=0)[None]))}
    for index, name in enumerate(("slices as they are", "tuned")):
        pairs[f"{name}, against another seed"] = list(combinations(scores[:, :, index], 2))
    print("\nAgreement with scores from scratch:\n\n| | Kendall's τ, mean [95 %, mean of the ends] | mean absolute difference, "
          "dB | the same, means made equal |\n|---|---|---|---|")
    for name, some in ((name, some) for name, some in pairs.items() if some):
        ranks, apart = [tau(one, other) for one, other in some], [one - other for one, other in some]
        value, low, high = (statistics.fmean(getattr(rank, part) for rank in ranks) for part in ("value", "low", "high"))
        print(f"| {name} | {value:.2f} [{low:.2f}, {high:.2f}] | {np.mean(np.abs(apart)):.2f} | "
              f"{np.mean([np.abs(one - one.mean()) for one in apart]):.2f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"]:
        record(int(sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
