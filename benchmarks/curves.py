"""Full learning curves of a grid of variants, for what is replayed instead of trained: the stop rule, the samplers.

Trains every variant of GRID below the quick reference with a recipe of the space `quick`, no rule stopping any, one
seed, and adds each as a row to curves.csv beside this script: letters, exact costs, SI-SNRi of the whole test set in dB,
seconds, and the validation score after each epoch. Running it again continues; PART of PARTS shares the work.

    python benchmarks/curves.py [PART PARTS]
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from study.analysis.pareto import Curve, hypervolume
from study.space.presets import QUICK
from tasnet_core.records import LETTERS, Variant

GRID = {"X": (2, 4, 6), "R": (1, 2), "H": (32, 64, 128), "B": (16, 32, 64)}
FILE = Path(__file__).with_name("curves.csv")
CHECKPOINTS = Path(__file__).parents[1] / "results" / "curves"
# What `quick` had when curves.csv was recorded.
RECIPE = replace(QUICK.recipe, epochs=8, epoch_segments=540, batch_size=8, learning_rate=4e-3, optimizer="adam")
EPOCHS, EPOCH_S = RECIPE.epochs, RECIPE.audio_s / RECIPE.epochs
COLUMNS = (*LETTERS, "parameters", "macs_per_s", "si_snri_db", "seconds", *(f"valid_{n}" for n in range(1, EPOCHS + 1)))


class Recorded(NamedTuple):
    """One training from its first epoch to its test."""

    variant: Variant
    si_snri_db: float
    curve: Curve        # its costs are parameters and MACs per second

    @property
    def point(self) -> tuple[float, ...]:
        """What a front is made of; all axes are minimised."""
        return (-self.si_snri_db, *self.curve.costs)


def recorded() -> list[Recorded]:
    """The rows of curves.csv, the dearest first: the reference."""
    with FILE.open() as lines:
        rows = [Recorded(Variant(**{letter: int(row[letter]) for letter in LETTERS}), float(row["si_snri_db"]),
                         Curve((int(row["parameters"]), int(row["macs_per_s"])),
                               tuple(float(row[f"valid_{n}"]) for n in range(1, EPOCHS + 1)))) for row in csv.DictReader(lines)]
    return sorted(rows, key=lambda row: row.curve.costs, reverse=True)


def volume(points: Sequence[Sequence[float]], reference: Recorded) -> float:
    """Hypervolume of (-dB, log parameters, log MACs): from 0 dB down, and from 1.05 times the reference's costs down."""
    found = np.array(points, dtype=float).reshape(-1, 3)
    corner = (0.0, *np.log(1.05 * np.array(reference.curve.costs)))
    return hypervolume(np.column_stack([found[:, 0], np.log(found[:, 1:])]), corner)


def main(part: int = 0, parts: int = 1) -> None:
    import torch

    from study.search.evaluate import Task, evaluate
    from tasnet_core.corpora.registry import open_corpus

    torch.set_num_threads(1)
    variants = [replace(QUICK.reference, **dict(zip(GRID, letters, strict=True))) for letters in product(*GRID.values())]
    order = np.random.default_rng(0).permutation(len(variants))     # so that half of the rows are a fair half
    corpus = open_corpus("voices", 2, 8000, say=print)
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    if not FILE.exists():
        FILE.write_text(",".join(COLUMNS) + "\n")
    known = {row.variant for row in recorded()}
    for variant in (variants[index] for index in order[part::parts]):
        if variant in known:
            continue
        result = evaluate(Task(variant, RECIPE, CHECKPOINTS / f"{variant.key}.pt", metrics=("si_snr",)), corpus)
        if result.state != "complete" or result.cost is None or result.scores.si_snri_db is None:
            raise SystemExit(f"{variant}: {result.state}, {result.reason}")
        row = [*(getattr(variant, letter) for letter in LETTERS), result.cost.parameters, result.cost.macs_per_s,
               f"{result.scores.si_snri_db:.3f}", f"{result.seconds:.0f}",
               *(f"{epoch.valid_si_snri_db:.3f}" for epoch in result.curve)]
        with FILE.open("a") as lines:       # one short write: parts may share the file
            lines.write(",".join(map(str, row)) + "\n")
        print(variant, f"{result.scores.si_snri_db:.2f} dB, {result.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
