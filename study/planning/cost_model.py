"""How seconds and bytes grow with what is computed: a sum of terms, with weights that are fitted to measurements.

    cost = w1·calls + w2·calls·blocks + w3·samples + w4·values + w5·MACs        every weight is 0 or more

A call is a step or a forward pass. Whatever a call costs however little it computes is in the first two terms; drawing and
mixing sound, and the loss, in the third; norms, PReLUs and sums, which are as long as memory is slow, in the fourth; and
the convolutions in the last. All terms of a batch, an epoch or a test set add up, so that one fit predicts any of them.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasnet_core.cost.formulas import layers
from tasnet_core.records import Variant

ROUNDS = 4       # of the fit


class Work(NamedTuple):
    """What is computed: the terms of the sum."""

    calls: float
    blocks: float       # of all calls
    samples: float      # of mixtures, all items together
    values: float       # that layers give out
    macs: float

    def __add__(self, other: Any) -> "Work":
        return Work(*(one + two for one, two in zip(self, other, strict=True)))

    def times(self, factor: float) -> "Work":
        return Work(*(factor * term for term in self))


NO_WORK = Work(0.0, 0.0, 0.0, 0.0, 0.0)


def work(variant: Variant, items: float, samples: float, calls: float = 1.0) -> Work:
    """What `calls` calls compute on `items` items in all, each of so many samples."""
    rows, frames = layers(variant), items * samples / variant.hop
    values = sum(int(np.prod(row.channels)) for row in rows)
    return Work(calls, calls * variant.R * variant.X, items * samples, frames * values,
                frames * sum(row.macs_per_frame for row in rows))


class Growth(NamedTuple):
    """A fitted sum."""

    weights: Work       # seconds, or bytes, for each unit of a term
    error: float        # root mean square of what measurements are off, as a share of what was fitted

    def __call__(self, done: Work) -> float:
        return float(np.dot(self.weights, done))


def fit(works: Sequence[Work], measured: Sequence[float]) -> Growth:
    """The weights with the least squares of relative errors, so that small variants count as much as large ones.

    Relative to what is fitted, found in a few rounds: relative to what is measured, the quick ones of noisy measurements
    would weigh most, and every sum would come out too small.

    Raises:
        ValueError: without a measurement, or for one that is not above 0.
    """
    target, terms = np.asarray(measured, dtype=float), np.asarray(works, dtype=float)
    if not len(target) or not (target > 0).all():       # false for NaN
        raise ValueError(f"growth: measured {list(measured)}; at least one number is wanted, and each above 0")
    scale, error = target, 0.0
    for _ in range(ROUNDS):
        weights, error = _least_squares(terms / scale[:, None], target / scale)
        scale = terms @ weights
    return Growth(Work(*weights.tolist()), error)


def _least_squares(terms: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Weights of at least 0 whose sums over the terms [measurements, terms] come closest to the target, and how close.

    The best of all sets of terms whose own least squares have no negative weight: with five terms they can all be tried.
    """
    scale = np.sqrt(np.square(terms).mean(0))
    used = [place for place in range(terms.shape[1]) if scale[place] > 0]
    best, least = np.zeros(terms.shape[1]), np.inf
    for some in (chosen for count in range(1, len(used) + 1) for chosen in combinations(used, count)):
        columns = terms[:, some] / scale[list(some)]
        found = np.linalg.lstsq(columns, target, rcond=None)[0]
        error = float(np.sqrt(np.square(columns @ found - target).mean()))
        if (found >= 0).all() and error < least - 1e-9:     # of equally good ones the one with fewest terms
            best, least = np.zeros(terms.shape[1]), error
            best[list(some)] = found / scale[list(some)]
    return best, least
