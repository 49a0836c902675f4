"""How sure a figure is: intervals, comparisons and chances, from scores on the same test mixtures.

Two things move the score of a variant from one study to the next: which mixtures it is tested on, and the seed it was
trained with. The first is repeated by a bootstrap over pairs of speakers (mixtures of the same two people are no
independent witnesses), with the same draws for all variants, so that differences are paired. The second is known
only where some variants were trained with several seeds: their pooled standard deviation then holds for all.
How often the 95 % intervals hold the truth is measured in benchmarks/coverage.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from study.analysis import pareto
from study.analysis.mixture_scores import Floats, Mixtures
from study.analysis.replicates import SCORE, Row, pooled_seed_sd
from study.records import Estimate as Estimate  # for those who read it here

DRAWS = 2000
LEVEL = 0.95
PAIRS_AT_LEAST = 6      # a bootstrap over fewer knows too few different studies
MANY, DRAWS_OF_MANY = 500, 400      # of so many variants the front is found in fewer draws: each takes its time
CHUNK = 500             # variants at once: so memory does not grow with their number


class Difference(NamedTuple):
    """How much better one variant is than another."""

    db: Estimate
    p: float            # of so large a difference where there is none; two-sided
    mixtures: int       # both have a score on


class SeedSpread(NamedTuple):
    """The standard deviation between seeds of one variant, pooled over the variants that have several."""

    sd_db: float
    freedom: int        # seeds beyond the first of each variant

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "SeedSpread | None":
        """From rows of `replicates.per_trial`; None where no variant has several seeds."""
        found = pooled_seed_sd(rows)
        return cls(*found) if found else None


class Repeated:
    """A study made up again DRAWS times from what it measured. Owners of the mixtures are trials."""

    def __init__(self, heard: Mixtures, seeds: Mapping[int, int], spread: SeedSpread | None, draws: int = DRAWS, seed: int = 0):
        self.heard, self.seeds, self.spread, self.seed = heard, seeds, spread, seed
        self.line = {trial: i for i, trial in enumerate(heard.owners)}
        labels = [tuple(sorted(some.split("+"))) if some else (name,)
                  for some, name in zip(heard.speakers, heard.names, strict=True)]
        self.pair = np.unique([" ".join(label) for label in labels], return_inverse=True)[1] if labels else np.zeros(0, int)
        self.pairs = int(self.pair.max()) + 1 if len(labels) else 0
        rng = np.random.default_rng(seed)
        self.weights = rng.multinomial(self.pairs, np.full(self.pairs, 1 / self.pairs), draws).astype(float) \
            if self.pairs else np.zeros((draws, 0))
        # A bootstrap of n clusters has (n−1)/n of the variance, and normal tails; this is Student's width instead
        # (Hesterberg 2015, What teachers should know about the bootstrap, section 5).
        self.stretch = float(np.sqrt(self.pairs / (self.pairs - 1)) * stats.t.ppf(0.975, self.pairs - 1)
                             / stats.norm.ppf(0.975)) if self.pairs > 1 else np.nan
        # One chance of the standard deviation for all variants of a draw: χ² as its estimate has.
        self.sd_db = self.spread.sd_db * np.sqrt(self.spread.freedom / rng.chisquare(self.spread.freedom, draws)) \
            if self.spread else np.zeros(draws)

    @property
    def enough(self) -> bool:
        """Whether there are enough pairs of speakers for an interval."""
        return self.pairs >= PAIRS_AT_LEAST

    def sums(self, values: Floats) -> tuple[Floats, Floats]:
        """Of values [variants, mixtures] the sum and the count in each pair of speakers, [pairs, variants] each."""
        there = np.isfinite(values)
        sums, counts = (np.zeros((self.pairs, len(values))) for _ in range(2))
        np.add.at(sums, self.pair, np.where(there, values, 0.0).T)
        np.add.at(counts, self.pair, there.T.astype(float))
        return sums, counts

    def draws(self, trials: Sequence[int]) -> Floats:
        """The score of each of these variants in each made-up study, [draws, trials] in dB."""
        return self._tested(self._values(trials)) + self._trained(trials)

    def losses_drawn(self, trials: Sequence[int], base: int) -> Floats:
        """How far each is below variant `base` in each made-up study, on the mixtures that have both scores, likewise."""
        return self._tested(self._values([base]) - self._values(trials)) + self._trained([base]) - self._trained(trials)

    def _values(self, trials: Sequence[int]) -> Floats:
        return np.asarray(self.heard.scores[SCORE][[self.line[trial] for trial in trials]])

    def _tested(self, values: Floats) -> Floats:
        """The means of values, [lines, mixtures], over the mixtures of each made-up study, [draws, lines]."""
        sums, counts = self.sums(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = sums.sum(axis=0) / counts.sum(axis=0)
            return np.asarray(mean + self.stretch * ((self.weights @ sums) / (self.weights @ counts) - mean))

    def _trained(self, trials: Sequence[int]) -> Floats:
        """What other seeds would have made of each score, [draws, trials] in dB."""
        if not self.spread or not trials:
            return np.zeros((len(self.weights), len(trials)))
        return np.column_stack([self.sd_db / np.sqrt(self.seeds.get(trial, 1))
                                * np.random.default_rng((self.seed, trial)).standard_normal(len(self.weights))
                                for trial in trials])

    def chunks(self, trials: Sequence[int], base: int | None = None) -> Iterator[tuple[Sequence[int], Floats]]:
        """Some of the trials at a time, with their scores drawn, or with their losses against `base`."""
        for start in range(0, len(trials), CHUNK):
            some = trials[start:start + CHUNK]
            yield some, self.draws(some) if base is None else self.losses_drawn(some, base)

    def scores(self, trials: Sequence[int]) -> dict[int, Estimate]:
        """Each variant's score with its interval; without those that have none."""
        return self._estimates(trials, None)

    def losses(self, trials: Sequence[int], base: int) -> dict[int, Estimate]:
        """How far below variant `base` each is, on the same mixtures; above 0 is worse."""
        return self._estimates(trials, base)

    def _estimates(self, trials: Sequence[int], base: int | None) -> dict[int, Estimate]:
        if not self.enough or SCORE not in self.heard.scores or (base is not None and base not in self.line):
            return {}
        found: dict[int, Estimate] = {}
        for some, drawn in self.chunks([trial for trial in trials if trial in self.line], base):
            values = self._values(some) if base is None else self._values([base]) - self._values(some)
            means, ends = _means(values), np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            found |= {trial: Estimate(float(means[i]), float(ends[0, i]), float(ends[1, i]))
                      for i, trial in enumerate(some) if np.isfinite(means[i]) and np.isfinite(ends[:, i]).all()}
        return found

    def difference(self, a: int, b: int) -> Difference | None:
        """How much better `a` is than `b`; None where too few mixtures can say.

        The p-value is Student's, with the variance of the mean difference over pairs of speakers and that between seeds,
        and Satterthwaite's degrees of freedom.
        """
        if not self.enough or a not in self.line or b not in self.line:
            return None
        values = self.heard.of(a, SCORE) - self.heard.of(b, SCORE)
        sums, counts = (some[:, 0] for some in self.sums(values[None]))
        number, freedom = counts.sum(), np.count_nonzero(counts) - 1
        if freedom < PAIRS_AT_LEAST - 1:
            return None
        mean = sums.sum() / number
        low, high = np.quantile(self.losses_drawn([b], a), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        tested = ((sums - counts * mean) ** 2).sum() / number**2 * (freedom + 1) / freedom
        trained = self.spread.sd_db**2 * (1 / self.seeds.get(a, 1) + 1 / self.seeds.get(b, 1)) if self.spread else 0.0
        variance = tested + trained
        if variance == 0:
            p = 1.0 if mean == 0 else 0.0
        else:
            df = variance**2 / (tested**2 / freedom + (trained**2 / self.spread.freedom if self.spread else 0.0))
            p = float(2 * stats.t.sf(abs(mean) / np.sqrt(variance), df))
        return Difference(Estimate(float(mean), float(low), float(high)), p, int(number))

    def within(self, trials: Sequence[int], base: int, limit_db: float) -> dict[int, float]:
        """The chance of each variant to be at most so far below variant `base`."""
        if not self.enough or base not in self.line:
            return {}
        known = [trial for trial in trials if trial in self.line]
        return {trial: float((drawn[:, i] <= limit_db + 1e-9).mean())
                for some, drawn in self.chunks(known, base) for i, trial in enumerate(some)}


def _means(values: Floats) -> Floats:
    """[variants, mixtures] -> [variants], over what is there."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1))


def holm(p: Mapping[int, float]) -> dict[int, float]:
    """Holm's step-down correction: the chance of a single false finding among all of them stays below each value."""
    order = sorted(p, key=lambda key: (p[key], key))
    corrected, most = {}, 0.0
    for i, key in enumerate(order):
        most = max(most, min(1.0, (len(order) - i) * p[key]))
        corrected[key] = most
    return corrected


def on_front(rows: Sequence[Row], costs: Sequence[str], repeated: Repeated) -> dict[int, float]:
    """For each variant, a row each, the share of made-up studies in which no other beats it on score and `costs`."""
    rows = [row for row in rows if row["trial"] in repeated.line]
    if not rows or not repeated.enough:
        return {}
    trials = [row["trial"] for row in rows]
    table = np.array([[row[name] for name in costs] for row in rows], dtype=float)
    low, high = np.empty(len(rows)), np.empty(len(rows))
    start = 0
    for some, drawn in repeated.chunks(trials):
        low[start:start + len(some)], high[start:start + len(some)] = drawn.min(axis=0), drawn.max(axis=0)
        start += len(some)
    # Who is beaten in every draw by one and the same is on no front, and beats nobody whom that one does not beat.
    hopes = [i for i in range(len(rows)) if not ((table <= table[i]).all(axis=1) & (low > high[i])).any()]
    drawn = repeated.draws([trials[i] for i in hopes])
    if len(hopes) > MANY:
        drawn = drawn[:DRAWS_OF_MANY]
    kept = np.zeros(len(hopes))
    for scores in drawn:
        kept += pareto.front(np.column_stack([table[hopes], -scores]))
    return {**dict.fromkeys(trials, 0.0), **{trials[i]: float(share) for i, share in zip(hopes, kept / len(drawn), strict=True)}}
