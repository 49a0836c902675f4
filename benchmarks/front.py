"""How much training it takes to know the front: every variant from scratch, with the stop rule, and with inherited weights.

Replays trainings that were recorded: curves.csv, 54 variants from scratch, and inherited.csv, the same variants as slices of a
teacher, as they are and tuned. Sound is counted for every network that hears it: the teacher and its slices, tunings, and the
trainings from scratch that confirm what was found. Hypervolumes are those of scores from scratch, whatever led to them.

    python benchmarks/front.py [SEEDS]
    python benchmarks/front.py record       # inherited.csv anew, on the recipe of curves.csv; continues
"""

import csv
import statistics
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from curves import CHECKPOINTS, EPOCH_S, EPOCHS, RECIPE, Recorded, recorded, volume
from search import ENOUGH, SPACE, Progress, needed, reached, sampler_of, search

from study import pareto
from study.agreement import tau
from study.inheritance import recipe_of
from study.records import FRONT, Budget, Settings, StopRule
from study.space import suggest
from tasnet_core.records import Variant

FILE = Path(__file__).with_name("inherited.csv")
SHARES = (5, 10, 15, 20, 25, 30)        # percent of the sound that the whole grid needs from scratch
INHERIT = replace(RECIPE, init="inherit")
TEACHER_S, TUNED_S = (recipe_of(INHERIT, Settings(recipe=INHERIT), whole).audio_s for whole in (True, False))
SCRATCH_S = EPOCHS * EPOCH_S


class Inherited(NamedTuple):
    """One variant as a slice of the teacher: SI-SNRi in dB on the validation mixtures as it is, on the test set when tuned."""

    slice_db: float
    tuned_db: float


def inherited() -> dict[str, Inherited]:
    """The rows of inherited.csv, by the variant's key."""
    with FILE.open() as lines:
        return {row["variant"]: Inherited(float(row["slice_db"]), float(row["tuned_db"])) for row in csv.DictReader(lines)}


def record() -> None:
    """Train the teacher, then tune every variant of the grid."""
    import torch

    from study.evaluate import evaluate
    from tasnet_core.batches import batch_of
    from tasnet_core.checkpoint import load
    from tasnet_core.corpora import open_corpus
    from tasnet_core.fused import speed_up
    from tasnet_core.sandwich import Kin
    from tasnet_core.slices import take
    from tasnet_core.training import improvement

    torch.set_num_threads(1)
    corpus, teacher = open_corpus("voices", 2, 8000, say=print), CHECKPOINTS / "teacher.pt"
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    kin = Kin(teacher, {name: values for name, values in SPACE.letters.items() if len(values) > 1})

    def train(variant: Variant, path: Path) -> float:
        recipe = recipe_of(INHERIT, Settings(recipe=INHERIT), variant == SPACE.reference)
        result = evaluate(variant, recipe, Budget(), corpus, path, measures=("si_snr",), kin=kin)
        if result.scores.si_snri_db is None:
            raise SystemExit(f"{variant}: {result.state}, {result.reason}")
        return result.scores.si_snri_db

    def as_it_is(variant: Variant) -> float:
        network = speed_up(take(load(teacher), variant)).eval()
        with torch.inference_mode():
            return statistics.fmean(improvement(network, batch_of([corpus.mixture("valid", index)], torch.device("cpu"))).item()
                                    for index in range(corpus.count("valid")))
    whole_db = train(SPACE.reference, teacher)
    if not FILE.exists():
        FILE.write_text("variant,slice_db,tuned_db\n")
    known = inherited()
    for variant in SPACE.variants():
        if variant.key not in known:
            tuned_db = whole_db if variant == SPACE.reference else train(variant, CHECKPOINTS / f"inherited-{variant.key}.pt")
            with FILE.open("a") as lines:
                lines.write(f"{variant.key},{as_it_is(variant):.3f},{tuned_db:.3f}\n")
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
    rows, known = recorded(), inherited()
    scratch = [row.si_snri_db for row in rows]
    slices, tuned = ([getattr(known[row.variant.key], name) for row in rows] for name in ("slice_db", "tuned_db"))
    whole_s = len(rows) * SCRATCH_S
    best = sorted(range(len(rows)), key=lambda place: place not in gains(rows, slices))     # the front of slices first
    found: dict[str, list[Progress]] = {
        "scratch, tpe": [search(rows, "tpe", seed, None) for seed in range(seeds)],
        "scratch, tpe + rule": [search(rows, "tpe", seed, StopRule()) for seed in range(seeds)],
        "slices as they are": [confirmed(rows, range(len(rows)), slices, TEACHER_S)]}
    for count in (8, 16, 32, len(rows)):
        found[f"{count} tuned, tpe"] = [confirmed(rows, proposed(rows, tuned, seed, count), tuned, TEACHER_S + count * TUNED_S)
                                        for seed in range(seeds)]
    front = len(gains(rows, slices))
    found[f"the front of slices ({front}) tuned"] = [confirmed(rows, best[:front], tuned, TEACHER_S + front * TUNED_S)]
    print(f"{len(rows)} variants, {whole_s:,.0f} s of sound from scratch; the teacher and its slices {TEACHER_S:,.0f} s, "
          f"a tuning {TUNED_S:,.0f} s, a training from scratch {SCRATCH_S:,.0f} s; {seeds} seeds of the sampler\n")
    print(f"Share of the final hypervolume (medians), and the sound until {ENOUGH:.0%} of it in percent of the grid's:\n")
    print(f"| | {' | '.join(f'{share} %' for share in SHARES)} | {ENOUGH:.0%} at | range |\n|{'---|' * (len(SHARES) + 3)}")
    for name, each in found.items():
        cells = [f"{statistics.median(reached(one, whole_s * share / 100) for one in each):.3f}" for share in SHARES]
        ends = sorted(needed(one) / whole_s for one in each)
        print(f"| {name} | {' | '.join(cells)} | {statistics.median(ends):.0%} | {ends[0]:.0%} to {ends[-1]:.0%} |")
    print("\nAgreement with scores from scratch:\n\n| | Kendall's τ [95 %] | mean absolute difference, dB | the same, means made "
          "equal |\n|---|---|---|---|")
    for name, scores in (("slices as they are (validation)", slices), ("tuned", tuned)):
        rank, apart = tau(scores, scratch), np.array(scores) - np.array(scratch)
        print(f"| {name} | {rank.value:.2f} [{rank.low:.2f}, {rank.high:.2f}] | {np.abs(apart).mean():.2f} | "
              f"{np.abs(apart - apart.mean()).mean():.2f} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["record"]:
        record()
    else:
        main(*map(int, sys.argv[1:]))
