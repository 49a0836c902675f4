"""The forecast of a longer training: a learning curve as a power law of the audio trained on.

    score(a) = s_inf - c a^(-p)         a: seconds of audio, score: validation SI-SNRi in dB

Written from the end A of the curve, with x = a/A, it is score(A) + b (1 - x^(-p)) / (p ln 2): b is
the slope at the end in dB per doubling of audio, and p -> 0 is the line in log2(a). Numbers alone:
no torch, no rows are changed.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from study.analysis.replicates import EXPECTED, LEARNED_DB, OUTLOOK, SCORE, Row
from study.records import Estimate, Outlook

LEAST = 4  # epochs: the fit uses two up, and one degree of freedom gives no useful interval
REACH = 8  # the last three doublings of audio; the beginning of a training follows other laws
CONSTANT = 0.9  # a rate at least this share of the highest is not decayed yet
FREE = 12  # epochs from which on the exponent is fitted too
# The usual four or five points determine no exponent. On the 54 curves of benchmarks/curves.csv
# this one predicts later epochs best (benchmarks/fidelity.py): a line in log2(a) promises too much,
# 1/a too little, and a free exponent scatters.
EXPONENT = 1 / 3
EXPONENTS = np.linspace(0.02, 2, 100)
# Standard deviation of what moves a score beside its law. With it 40 of 40 variants of `voices` and
# 15 of 16 of the recorded digits ended within the interval after twice the audio; without, 37 and
# 10 (benchmarks/fidelity.py).
BESIDE_DB = 0.25
# Between two doublings the share of the first gain that the second brings, by the law: 2^-p; p is
# known no better than from 0 to 1/3 to 1, which this standard deviation of the share allows for.
AGAIN, AGAIN_SD = 2 ** -EXPONENT, 0.2


class Law(NamedTuple):
    """A fitted curve."""

    s_inf: float  # dB, where it would end
    c: float  # dB times seconds^p
    p: float
    slope: Estimate  # dB per doubling of audio, at the end of the curve
    gain: Estimate  # dB, from twice the audio
    end: float  # dB, fitted at the end of the curve


class _Fits(NamedTuple):
    """Least squares for several exponents, an entry each."""

    slopes: NDArray[np.float64]
    ends: NDArray[np.float64]  # fitted score at the end of the curve
    squares: NDArray[np.float64]  # of the residuals, summed
    spreads: NDArray[np.float64]  # of the basis: the slope's variance is noise variance / spread


def law(audio_s: ArrayLike, scores: ArrayLike) -> Law | None:
    """The power law of a curve, [n] seconds and [n] dB in the order of time, with 95 % intervals.

    None below LEAST points. From FREE points on the exponent is the best of EXPONENTS, and the
    intervals are those of the profile likelihood over all of them. With fewer it is EXPONENT, and
    an interval is Student's, widened by the fits of other exponents from next to none to 1 that are
    no worse than its ends: with the exponent assumed known, intervals contained laws of others half
    of the time or less. Both assume independent noise of one size around such a law.
    """
    a, y = np.asarray(audio_s, dtype=float), np.asarray(scores, dtype=float)
    n = len(a)
    if n < LEAST:
        return None
    free = n >= FREE
    exponents = EXPONENTS if free else np.array([EXPONENT, *EXPONENTS[EXPONENTS <= 1]])
    fits = _fits(a, y, exponents)
    best = int(np.argmin(fits.squares)) if free else 0
    return _law(a, fits, exponents, best, n - (3 if free else 2))


def outlook(epochs: Iterable[Row], schedule: str, si_snri_db: float | None) -> Outlook:
    """The test score a run, whose epochs are these rows, would have after twice the audio.

    Assumed: the test score gains what the validation score gains; and with the schedule `decay` a
    training of any length is lifted by its decay alike. Its curve is therefore fitted before the
    decay, and the lift, contained in the measured score `si_snri_db`, is carried over unchanged.
    Seen across the decay, the lift would pass for learning: the last five of eight epochs of
    benchmarks/curves.csv rise by 1.2 dB per doubling, the first five by 0.7. Trainings of twice the
    audio gained this and more: 47 of 56 ended within their interval, 8 above it and one below
    (benchmarks/RESULTS.md). The interval is that of the fitted gain for a law of this form; that of
    a test score is wider: `forecast`.

    Empty with too few epochs, and for a curve that is below LEARNED_DB where it is fitted and not
    clearly rising: no law predicts when a network begins to separate. Without a score, a slope
    alone.
    """
    known = [epoch for epoch in epochs
             if epoch["audio_s"] and _finite(epoch["valid_si_snri_db"])]
    if schedule == "decay":
        highest = max((epoch["learning_rate"] for epoch in known), default=0.0)
        known = [epoch for epoch in known if epoch["learning_rate"] >= CONSTANT * highest]
    last_s = max((epoch["audio_s"] for epoch in known), default=0.0)
    curve = sorted((epoch["audio_s"], epoch["valid_si_snri_db"]) for epoch in known
                   if REACH * epoch["audio_s"] >= last_s)
    found = law([s for s, _ in curve], [db for _, db in curve])
    if found is None or (found.end < LEARNED_DB and found.gain.low <= 0):
        return Outlook()
    if si_snri_db is None or not _finite(si_snri_db):
        return Outlook(found.slope.value)
    return Outlook(found.slope.value, *(si_snri_db + gain for gain in found.gain))


def forecast(row: Row) -> Estimate | None:
    """The test score after twice the audio of a row of `results`, with the interval of a score.

    The stored interval is that of the fitted gain; a score is moved by its seed besides, and by a
    decay that lifts another training otherwise.
    """
    value, low, high = (row.get(name) for name in OUTLOOK[1:])
    if value is None or low is None or high is None:
        return None
    beside = 1.96 * BESIDE_DB
    return Estimate(value, value - math.hypot(value - low, beside),
                    value + math.hypot(high - value, beside))


def rising(row: Row) -> bool:
    """Whether a row of `results`, or a mean of several, is sure to gain from more audio."""
    low, measured = row.get("si_snri_extrapolated_low_db"), row.get(SCORE)
    return low is not None and measured is not None and low > measured


def next_doubling(parameters: Sequence[int], gains: Sequence[float]) -> list[Estimate] | None:
    """The gains from twice the audio of variants whose last doubling brought `gains` in dB.

    The last gains are smoothed over sizes, by a line in the logarithm of the parameters, and shrink
    as in the law. It predicts the next doubling with 0.14 to 0.27 dB root mean square error where
    the law of a single curve errs by 0.25 to 0.55 (benchmarks/fidelity.py). Intervals are for one
    training, Student's. None for fewer than LEAST variants.
    """
    n, y = len(gains), np.asarray(gains, dtype=float)
    if n < LEAST or len(set(parameters)) < 2:
        return None
    sizes = np.log2(np.asarray(parameters, dtype=float))
    table = np.column_stack([np.ones(n), sizes - sizes.mean()])
    inverse = np.linalg.inv(table.T @ table)
    smooth = table @ inverse @ table.T @ y
    variance = float(((y - smooth) ** 2).sum()) / (n - 2)
    leverage = np.einsum("ij,jk,ik->i", table, inverse, table)
    spread = np.sqrt(variance * (1 + leverage) + (AGAIN_SD * smooth) ** 2)
    from scipy.special import stdtrit  # here, so that what asks for no fit does not wait for scipy
    reach = float(stdtrit(n - 2, 0.975)) * spread
    return [Estimate(float(AGAIN * gain), float(AGAIN * gain - half), float(AGAIN * gain + half))
            for gain, half in zip(smooth, reach, strict=True)]


class Crossing(NamedTuple):
    """Two rows whose order may be another after more audio."""

    below: Row  # the lower score now
    above: Row
    passes: bool  # the lower is expected to be the higher one; else their intervals overlap


def crossings(rows: Iterable[Row], costs: Sequence[str]) -> list[Crossing]:
    """Pairs that may change places at twice the audio, expected ones first, then the nearest.

    Only pairs of which one costs no more on every axis: of others neither can dominate the other.
    """
    known = [row for row in rows if row.get(EXPECTED) is not None]
    known.sort(key=lambda row: (row[SCORE], row["trial"]))
    pairs = []
    for below, above in combinations(known, 2):
        less = [below[cost] - above[cost] for cost in costs]
        passes = below[EXPECTED] > above[EXPECTED]
        one, other = forecast(below), forecast(above)
        touch = one is not None and other is not None and one.high >= other.low
        if (max(less) <= 0 or min(less) >= 0) and (passes or touch):
            pairs.append(Crossing(below, above, passes))
    return sorted(pairs, key=lambda pair: (not pair.passes, pair.above[SCORE] - pair.below[SCORE]))


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _basis(x: NDArray[np.float64], exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] shares of the audio, [m] exponents -> [m, n]; 0 at x = 1, with slope 1 per doubling."""
    p = exponents[:, None]
    return (1 - x ** -p) / (p * math.log(2))


def _fits(a: NDArray[np.float64], y: NDArray[np.float64], exponents: NDArray[np.float64]) -> _Fits:
    basis = _basis(a / a.max(), exponents)
    centred = basis - basis.mean(axis=1, keepdims=True)
    spreads = (centred**2).sum(axis=1)
    slopes = centred @ (y - y.mean()) / spreads
    squares = ((y - y.mean() - slopes[:, None] * centred) ** 2).sum(axis=1)
    return _Fits(slopes, y.mean() - slopes * basis.mean(axis=1), squares, spreads)


def _law(
    a: NDArray[np.float64], fits: _Fits, exponents: NDArray[np.float64], at: int, freedom: int
) -> Law:
    """The law of one of the exponents, with intervals over all of them."""
    from scipy.special import stdtrit  # here, so that importing this does not wait for scipy
    per_slope = _basis(np.array([2.0]), exponents)[:, 0]  # gain from twice the audio, per slope
    allowed = fits.squares[at] * (1 + float(stdtrit(freedom, 0.975)) ** 2 / freedom)
    halves = np.sqrt(np.maximum(allowed - fits.squares, 0) / fits.spreads)
    inside = fits.squares <= allowed

    def estimate(factors: NDArray[np.float64]) -> Estimate:
        low = ((fits.slopes - halves) * factors)[inside].min()
        high = ((fits.slopes + halves) * factors)[inside].max()
        return Estimate(float((fits.slopes * factors)[at]), float(low), float(high))

    p, slope, end = float(exponents[at]), float(fits.slopes[at]), float(fits.ends[at])
    rest = slope / (p * math.log(2))
    slopes, gains = estimate(np.ones_like(per_slope)), estimate(per_slope)
    return Law(end + rest, rest * float(a.max()) ** p, p, slopes, gains, end)
