"""What a longer training would bring: a run's learning curve as a power law of the sound it was trained on.

    score(a) = s_inf - c a^(-p)         a: seconds of sound, score: validation SI-SNRi in dB

Written from the end A of the curve, with x = a/A, it is score(A) + b (1 - x^(-p)) / (p ln 2): b is the slope at the end in
dB per doubling of sound, and p -> 0 is the line in log2(a). Numbers alone: no torch, no rows are changed.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from study.analysis.replicates import EXPECTED, LEARNED_DB, SCORE, Row
from study.records import Estimate, Outlook

LEAST = 4               # epochs: two are used up by the fit, and one degree of freedom gives no interval worth the name
REACH = 8               # the last three doublings of sound; how a training begins follows other laws
CONSTANT = 0.9          # a rate at least this share of the highest is not decayed yet
FREE = 12               # epochs from which on the exponent is fitted too
# Of the usual four or five points no exponent can be told. On the 54 curves of benchmarks/curves.csv this one foretells later
# epochs best (benchmarks/fidelity.py): a line in log2(a) promises too much, 1/a too little, and a free exponent scatters.
EXPONENT = 1 / 3
EXPONENTS = np.linspace(0.02, 2, 100)


class Law(NamedTuple):
    """A fitted curve."""

    s_inf: float        # dB, where it would end
    c: float            # dB times seconds^p
    p: float
    slope: Estimate     # dB per doubling of sound, at the end of the curve
    gain: Estimate      # dB, from twice the sound
    end: float          # dB, what is fitted at the end of the curve


class _Fits(NamedTuple):
    """Least squares for several exponents, an entry each."""

    slopes: NDArray[np.float64]
    ends: NDArray[np.float64]       # fitted score at the end of the curve
    squares: NDArray[np.float64]    # of the residuals, summed
    spreads: NDArray[np.float64]    # of the basis: the slope's variance is noise variance / spread


def law(audio_s: ArrayLike, scores: ArrayLike) -> Law | None:
    """The power law of a curve, [n] seconds and [n] dB in the order of time, with 95 % intervals; None below LEAST points.

    From FREE points on the exponent is the best of EXPONENTS, and the intervals are those of the profile likelihood over all of
    them. With fewer it is EXPONENT, and an interval is Student's, widened by what other exponents from next to none to 1 say
    that fit no worse than its ends: with the exponent taken for known, laws of others were held half of the time or less.
    Both assume independent noise of one size around such a law.
    """
    a, y = np.asarray(audio_s, dtype=float), np.asarray(scores, dtype=float)
    n = len(a)
    if n < LEAST:
        return None
    exponents = EXPONENTS if n >= FREE else np.array([EXPONENT, *EXPONENTS[EXPONENTS <= 1]])
    fits = _fits(a, y, exponents)
    return _law(a, fits, exponents, int(np.argmin(fits.squares)) if n >= FREE else 0, n - (3 if n >= FREE else 2))


def outlook(epochs: Iterable[Row], schedule: str, si_snri_db: float | None) -> Outlook:
    """What a run whose epochs are these rows would score on the test set if it were trained on twice the sound.

    Assumed: the test score gains what the validation score gains; and with the schedule `decay` a training of any length is
    lifted by its decay alike. Its curve is therefore fitted before the decay, and the lift, contained in the measured score
    `si_snri_db`, is carried over unchanged. Seen across the decay, the lift would pass for learning: the last five of eight
    epochs of benchmarks/curves.csv rise by 1.2 dB per doubling, the first five by 0.7. Trainings of
    twice the sound gained what this says and more: 47 of 56 ended within their interval, 8 above it and one below
    (benchmarks/RESULTS.md). The interval is that of the fitted gain for a law of this form: the chance of the
    test mixtures and of the seed are not in it. Empty with too few epochs, and for a curve that is below LEARNED_DB where it
    is fitted and not clearly rising: no law tells when a network begins to separate; a slope alone without a score.
    """
    known = [epoch for epoch in epochs if epoch["audio_s"] and _finite(epoch["valid_si_snri_db"])]
    if schedule == "decay":
        highest = max((epoch["learning_rate"] for epoch in known), default=0.0)
        known = [epoch for epoch in known if epoch["learning_rate"] >= CONSTANT * highest]
    last_s = max((epoch["audio_s"] for epoch in known), default=0.0)
    curve = sorted((epoch["audio_s"], epoch["valid_si_snri_db"]) for epoch in known if REACH * epoch["audio_s"] >= last_s)
    found = law([s for s, _ in curve], [db for _, db in curve])
    if found is None or (found.end < LEARNED_DB and found.gain.low <= 0):
        return Outlook()
    ends = (None, None, None) if si_snri_db is None or not _finite(si_snri_db) else (si_snri_db + gain for gain in found.gain)
    return Outlook(found.slope.value, *ends)


def rising(row: Row) -> bool:
    """Whether a row of `results` or a mean of several is sure to gain from more sound: the interval of its gain is above 0."""
    low, measured = row.get("si_snri_extrapolated_low_db"), row.get(SCORE)
    return low is not None and measured is not None and low > measured


class Crossing(NamedTuple):
    """Two rows whose order may be another after more sound."""

    below: Row      # the lower score now
    above: Row
    passes: bool    # the lower is expected to be the higher one; else their intervals overlap


def crossings(rows: Iterable[Row], costs: Sequence[str]) -> list[Crossing]:
    """Pairs that may change places at twice the sound, those expected to first, then those that are nearest now.

    Only pairs of which one costs no more on every axis: of others neither can beat the other, whatever they score.
    """
    known = sorted((row for row in rows if row.get(EXPECTED) is not None), key=lambda row: (row[SCORE], row["trial"]))
    pairs = [Crossing(below, above, below[EXPECTED] > above[EXPECTED])
             for place, below in enumerate(known) for above in known[place + 1:]
             if all(below[cost] <= above[cost] for cost in costs) or all(below[cost] >= above[cost] for cost in costs)]
    unsure = [pair for pair in pairs
              if pair.passes or pair.below["si_snri_extrapolated_high_db"] >= pair.above["si_snri_extrapolated_low_db"]]
    return sorted(unsure, key=lambda pair: (not pair.passes, pair.above[SCORE] - pair.below[SCORE]))


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _basis(x: NDArray[np.float64], exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] shares of the sound, [m] exponents -> [m, n]; 0 at x = 1, with slope 1 per doubling there."""
    p = exponents[:, None]
    return (1 - x ** -p) / (p * math.log(2))


def _fits(a: NDArray[np.float64], y: NDArray[np.float64], exponents: NDArray[np.float64]) -> _Fits:
    basis = _basis(a / a.max(), exponents)
    centred = basis - basis.mean(axis=1, keepdims=True)
    spreads = (centred**2).sum(axis=1)
    slopes = centred @ (y - y.mean()) / spreads
    squares = ((y - y.mean() - slopes[:, None] * centred) ** 2).sum(axis=1)
    return _Fits(slopes, y.mean() - slopes * basis.mean(axis=1), squares, spreads)


def _law(a: NDArray[np.float64], fits: _Fits, exponents: NDArray[np.float64], at: int, freedom: int) -> Law:
    """The law of one of the exponents, with intervals over all of them."""
    from scipy.special import stdtrit  # here, so that what asks for no fit does not wait for scipy
    per_slope = _basis(np.array([2.0]), exponents)[:, 0]       # what twice the sound brings for each dB of slope
    allowed = fits.squares[at] * (1 + float(stdtrit(freedom, 0.975)) ** 2 / freedom)
    halves = np.sqrt(np.maximum(allowed - fits.squares, 0) / fits.spreads)
    inside = fits.squares <= allowed

    def estimate(factors: NDArray[np.float64]) -> Estimate:
        return Estimate(float((fits.slopes * factors)[at]), float(((fits.slopes - halves) * factors)[inside].min()),
                        float(((fits.slopes + halves) * factors)[inside].max()))
    p, slope = float(exponents[at]), float(fits.slopes[at])
    rest = slope / (p * math.log(2))
    end = float(fits.ends[at])
    return Law(end + rest, rest * float(a.max()) ** p, p, estimate(np.ones_like(per_slope)), estimate(per_slope), end)
