"""Variants whose score follows a known model, and effects as the analysis gives them."""

import numpy as np

from study.analysis.effects import Effect, Effects, Interaction
from study.records import Estimate
from tests.support.fakes import row

GAINS = Estimate(1.94, 1.2, 2.61)
EFFECTS = Effects([Effect("Sc", GAINS, [0, 16, 64], [Estimate(-4, -5, -3), Estimate(-2, -3, -1), Estimate(0, 0, 0)],
                          [(64, 0.1, 0), (16, -1.5, 3), (0, -4.0, 7)])], 0.9, 20, "")
TOGETHER = Interaction("X", "R", ([2, 4, 8], [1, 2]), [[1.0, 2.0], [3.0, None], [4.5, 8.0]], [[1, 2], [3, 0], [2, 5]],
                       Estimate(0.2, -0.1, 0.5), "")

SLOPES = {"N": 0.0, "B": 0.3, "H": 0.5, "X": 1.5}
CHOICES = {"N": (32, 64, 96, 128), "B": (16, 32, 64), "H": (32, 64, 128), "X": (2, 3, 4, 6)}
BASE = row(0)


def variants(count, noise=0.0, both=0.0, seed=0, choices=CHOICES):
    """Rows whose score follows the model exactly but for noise, and what X and R do together."""
    rng, rows = np.random.default_rng(seed), []
    for trial in range(count):
        letters = {letter: int(rng.choice(values)) for letter, values in choices.items()} if trial else {}
        one = row(trial, **letters)
        octaves = {letter: np.log2(one[letter] / BASE[letter]) for letter in (*SLOPES, "R")}
        score = 5 + sum(slope * octaves[letter] for letter, slope in SLOPES.items()) + both * octaves["X"] * octaves["R"]
        rows.append({**one, "si_snri_db": float(score + noise * rng.normal())})
    return rows
