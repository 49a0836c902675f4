"""Confidence intervals, comparisons and chances, from scores on the same test mixtures.

Two things move the score of a variant from one study to the next: the people in the test mixtures,
and the seed of the training. People are random effects: a score is the sum of a mean, an effect of
each speaker, one of the group of speakers (where groups repeat) and a rest, and mixtures that share
a speaker are no independent witnesses. The variances of these effects come from moment equations in
closed form (S. Searle, G. Casella and C. McCulloch 1992, Variance Components, chapter 5). With
deviations e from the mean of n mixtures, H = I - 11'/n, and a table A_k [mixtures, levels] of each
effect (who speaks; which group; I for the rest),

    E[e' A_k A_k' e] = sum_l tr(H A_k A_k' H A_l A_l') v_l     solved for variances v_l, each >= 0
    Var[mean]        = sum_l |A_l' 1|^2 v_l / n^2              >= that of independent groups

with Student's quantiles at speakers - 1 degrees of freedom. That holds from 4 speakers on, where
sandwich estimators (P. Aronow, C. Samii and V. Assenova 2015, Cluster-robust variance estimation
for dyadic data) are too narrow below 16, and bootstraps of speakers (A. Owen 2007, The pigeonhole
bootstrap) too wide. The spread of seeds is known only where some variants were trained with
several: their pooled standard deviation then holds for all. How often the intervals hold the truth
is measured in benchmarks/coverage.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy

from study.analysis.mixture_scores import Floats, Mixtures
from study.analysis.replicates import SCORE, Row, pooled_seed_sd
from study.records import Estimate as Estimate  # for those who read it here
from tasnet_core.errors import counted

LEVEL = 0.95
CLUSTERS_AT_LEAST = 4   # three speakers make three pairs, too few to tell three variances apart
DRAWS, MANY = 2000, 500     # draws of a front: of more variants fewer, down to
DRAWS_OF_MANY = 400


class Difference(NamedTuple):
    """How much better one variant is than another."""

    db: Estimate
    p: float            # of so large a difference where there is none; two-sided
    mixtures: int       # both have a score on


class SeedSpread(NamedTuple):
    """The standard deviation between seeds, pooled over the variants that have several."""

    sd_db: float
    freedom: int        # seeds beyond the first of each variant

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "SeedSpread | None":
        """From rows of `replicates.per_trial`; None where no variant has several seeds."""
        found = pooled_seed_sd(rows)
        return cls(*found) if found else None


class Means(NamedTuple):
    """Means over test mixtures, one for each line of a table; NaN where mixtures are too few."""

    value: Floats       # [lines] in dB
    variance: Floats
    freedom: Floats     # degrees of freedom of the variance

    def plus(self, variance: Floats, freedom: float) -> "Means":
        """With an independent variance added, at Satterthwaite's degrees of freedom."""
        both = self.variance + variance
        with np.errstate(invalid="ignore", divide="ignore"):
            together = both**2 / (self.variance**2 / self.freedom + variance**2 / freedom)
        return Means(self.value, both, np.where(variance > 0, together, self.freedom))

    def intervals(self) -> tuple[Floats, Floats]:
        """The ends of the confidence intervals."""
        reach = scipy.stats.t.ppf((1 + LEVEL) / 2, self.freedom) * np.sqrt(self.variance)
        return self.value - reach, self.value + reach

    def chance_below(self, limit: float) -> Floats:
        """The chance that the true mean is at most so high."""
        beyond, error = limit + 1e-9 - self.value, np.sqrt(self.variance)
        with np.errstate(invalid="ignore", divide="ignore"):
            chance = scipy.stats.t.cdf(beyond / error, self.freedom)
        return np.asarray(np.where(error > 0, chance, beyond >= 0))

    def p_values(self) -> Floats:
        """Two-sided, of a true mean of 0."""
        error = np.sqrt(self.variance)
        with np.errstate(invalid="ignore", divide="ignore"):
            p = 2 * scipy.stats.t.sf(np.abs(self.value) / error, self.freedom)
        return np.asarray(np.where(error > 0, p, self.value == 0))


class Design:
    """Which speakers the test mixtures share, and the variance of a mean over such mixtures."""

    def __init__(self, test_scores: Mixtures):
        cluster, self.known = test_scores.people.cluster, test_scores.people.known
        # Without a speaker's name a mixture stands for itself.
        groups = [sorted(map(cluster, some.split("+"))) if some else [name]
                  for some, name in zip(test_scores.speakers, test_scores.names, strict=True)]
        self.mixtures = len(groups)
        self.speaker = _incidence(groups)
        self.group = _incidence([["+".join(some)] for some in groups])
        self.speakers, self.groups = self.speaker.shape[1], self.group.shape[1]
        self.repeated = 2 * self.groups <= self.mixtures
        if self.known:
            table = self.speaker.toarray()
            fixed = self.groups if self.repeated else np.linalg.matrix_rank(table) if groups else 0
            self.freedom = int(self.mixtures - fixed)
        else:
            rest = scipy.sparse.eye_array(self.mixtures, format="csr")
            self.tables = [self.speaker, *[self.group] * self.repeated, rest]
            self.freedom = min(self.speakers, self.groups) - 1
        if self.enough and not self.known:
            equations = [[_trace(one, other) for other in self.tables] for one in self.tables]
            self.solution = np.linalg.pinv(equations, rcond=1e-9, hermitian=True)
            sums = [(table.sum(axis=0) ** 2).sum() for table in self.tables]
            self.weights = np.array(sums) / self.mixtures**2

    @property
    def enough(self) -> bool:
        """Whether an interval can be given."""
        return self.freedom >= CLUSTERS_AT_LEAST - 1

    def means(self, values: Floats) -> Means:
        """Of values [lines, mixtures], over the mixtures that have one."""
        there = np.isfinite(values).T.astype(float)
        if self.known:
            freedom = self.freedom - self.mixtures + there.sum(axis=0)
        else:
            clusters = [np.count_nonzero(table.T @ there, axis=0)
                        for table in (self.speaker, self.group)]
            freedom = np.min(clusters, axis=0) - 1.0
        freedom[freedom < CLUSTERS_AT_LEAST - 1] = np.nan
        variance = np.where(np.isnan(freedom), np.nan, self._variances(self._deviations(values)))
        return Means(_means(values), variance, freedom)

    def factor(self, values: Floats) -> Floats:
        """A table f [any, lines] with f'f the covariance of the lines' means.

        The moment equations for products of two lines give a matrix that may have variances below
        0, or below those of independent groups, in some directions: the nearest that has not is
        taken, with the variances of `means`.
        """
        deviations = self._deviations(values)
        basis, coordinates = np.eye(len(values)), deviations.T
        if len(values) > self.mixtures:
            basis, coordinates = np.linalg.qr(deviations.T)
        factor = self._independent(coordinates.T)
        if not self.known:
            parts = [table.T @ coordinates.T for table in self.tables]
            weighted = zip(self.weights @ self.solution, parts, strict=True)
            moments = sum(weight * part.T @ part for weight, part in weighted)
            sizes, ways = np.linalg.eigh(moments - factor.T @ factor)
            more = sizes > 0
            factor = np.vstack([factor, np.sqrt(sizes[more, None]) * ways[:, more].T])
        factor = factor @ basis.T
        found = (factor**2).sum(axis=0)
        wanted = self._variances(deviations) / np.where(found > 0, found, 1)
        return np.asarray(factor * np.sqrt(wanted))

    def _deviations(self, values: Floats) -> Floats:
        """From each line's mean, [mixtures, lines]; the others count for a missing score."""
        there = np.isfinite(values)
        share = there.mean(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            deviations = (values - _means(values)[:, None]) / share
        return np.asarray(np.where(there, deviations, 0.0).T)

    def _variances(self, deviations: Floats) -> Floats:
        independent = np.asarray((self._independent(deviations) ** 2).sum(axis=0))
        if self.known:
            return independent
        squares = np.array([((table.T @ deviations) ** 2).sum(axis=0) for table in self.tables])
        components = np.maximum(self.solution @ squares, 0)
        return np.asarray(np.maximum(self.weights @ components, independent))

    def _independent(self, deviations: Floats) -> Floats:
        """A factor, as `factor`, of the covariance as if groups of speakers were independent.

        Of known people that within groups or, where groups hardly repeat, of what no sum of
        effects of speakers explains.
        """
        if not self.known:
            sums = np.asarray(self.group.T @ deviations)
            return np.asarray(sums * np.sqrt(self.groups / (self.groups - 1)) / self.mixtures)
        if self.repeated:
            means = self.group.T @ deviations / self.group.sum(axis=0)[:, None]
            fitted = self.group @ means
        else:
            table = self.speaker.toarray()
            fitted = table @ np.linalg.lstsq(table, deviations, rcond=None)[0]
        return np.asarray((deviations - fitted) / np.sqrt(self.freedom * self.mixtures))


def _incidence(members: Sequence[Sequence[str]]) -> "scipy.sparse.csr_array":
    """How often each name is among the members, [lines, names]."""
    names = {name: i for i, name in enumerate(sorted({name for some in members for name in some}))}
    lines = [line for line, some in enumerate(members) for _ in some]
    columns = [names[name] for some in members for name in some]
    shape = (len(members), len(names))
    return scipy.sparse.csr_array((np.ones(len(lines)), (lines, columns)), shape=shape)


def _trace(a: "scipy.sparse.csr_array", b: "scipy.sparse.csr_array") -> float:
    """tr(H aa' H bb') of tables with a line for each mixture."""
    shared, mixtures = a.T @ b, a.shape[0]
    sums, others = a.sum(axis=0), b.sum(axis=0)
    crossed = 2 / mixtures * sums @ (shared @ others)
    return float((shared**2).sum() - crossed + (sums @ sums) * (others @ others) / mixtures**2)


def _means(values: Floats) -> Floats:
    """[lines, mixtures] -> [lines], over what is there."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1))


class Uncertainty:
    """The uncertainty of what a study measured.

    Owners of the mixtures are trials; `seeds` of each are in its mean.
    """

    def __init__(self, test_scores: Mixtures, seeds: Mapping[int, float], spread: SeedSpread | None,
                 draws: int = DRAWS, seed: int = 0):
        self.test_scores, self.seeds, self.spread = test_scores, seeds, spread
        self.count, self.seed = draws, seed
        self.line = {trial: i for i, trial in enumerate(test_scores.owners)}
        self.design = Design(test_scores)

    @property
    def enough(self) -> bool:
        """Whether the test has enough speakers for an interval."""
        return self.design.enough and SCORE in self.test_scores.scores

    def of_whom(self) -> str:
        """A sentence: for whom the intervals are, and how many of them were in the test."""
        design = self.design
        if not design.mixtures:
            return ""
        everybody = {name for some in self.test_scores.speakers if some for name in some.split("+")}
        noun = "speaker"
        if not everybody:
            noun = "mixture"
        elif design.speakers < len(everybody):
            noun = self.test_scores.people.noun
        many = counted(design.speakers, noun)
        if not self.enough:
            mixtures = counted(design.mixtures, "mixture")
            return f"No confidence intervals can be given: the test has {mixtures} of {many}."
        if design.known:
            return f"95 % confidence intervals are for these {many}, who were in training too."
        of = f" ({counted(len(everybody), 'speaker')})" if design.speakers < len(everybody) else ""
        found = f"{design.speakers} test {noun}s{of}"
        return f"95 % confidence intervals are for new {noun}s, from {found}."

    def scores(self, trials: Sequence[int]) -> dict[int, Estimate]:
        """Each variant's score with its interval; without those that have none."""
        return self._estimates(trials, None)

    def losses(self, trials: Sequence[int], base: int) -> dict[int, Estimate]:
        """How far below variant `base` each is, on the same mixtures; above 0 is worse."""
        return self._estimates(trials, base)

    def difference(self, a: int, b: int) -> Difference | None:
        """How much better `a` is than `b`; None where too few mixtures can say."""
        found = self._estimates([b], a).get(b)
        if found is None:
            return None
        both = np.isfinite(self._values([a]) - self._values([b])).sum()
        return Difference(found, float(self._means([b], a).p_values()[0]), int(both))

    def within(self, trials: Sequence[int], base: int, limit_db: float) -> dict[int, float]:
        """The chance of each variant to be at most so far below variant `base`."""
        known = self._known(trials, base)
        if not known:
            return {}
        chances = self._means(known, base).chance_below(limit_db)
        found = zip(known, chances.tolist(), strict=True)
        return {trial: chance for trial, chance in found if np.isfinite(chance)}

    def noise(self, trials: Sequence[int], base: int, seed_sd_db: float) -> Floats | None:
        """The variance of each measured score in comparisons with the others.

        Of the test mixtures half of that of the loss against `base`, and of the seeds, with
        `seed_sd_db` where their spread is unknown. None where some variant has none.
        """
        if len(self._known(trials, base)) < len(trials) or len(trials) < 2:
            return None
        tested = self.design.means(self._values([base]) - self._values(trials)).variance / 2
        others = np.array(trials) != base
        tested[~others] = tested[others].mean()
        sd_db = self.spread.sd_db if self.spread else seed_sd_db
        found = tested + sd_db**2 / np.array([self.seeds.get(trial, 1) for trial in trials])
        return found if np.isfinite(found).all() else None

    def draws(self, trials: Sequence[int]) -> Floats:
        """Scores as they may truly be, [draws, trials] in dB; fewer draws of many trials.

        Only differences between trials are meant: what all have in common is left out.
        """
        values = self._values(trials)
        few = min(self.count, DRAWS_OF_MANY)
        count = min(self.count, max(few, DRAWS * MANY // len(trials)))
        rng = np.random.default_rng(self.seed)
        factor = self.design.factor(values - _means(values.T))      # less the mean on each mixture
        normal = rng.standard_normal((count, len(factor))) @ factor
        student = normal * self._student(rng, self.design.freedom, count)
        return np.asarray(_means(values) + student + self._trained(trials, rng, count))

    @staticmethod
    def _student(rng: np.random.Generator, freedom: int, count: int) -> Floats:
        """By how much a standard deviation with these degrees of freedom may be too small."""
        return np.asarray(np.sqrt(freedom / rng.chisquare(freedom, (count, 1))))

    def _trained(self, trials: Sequence[int], rng: np.random.Generator, count: int) -> Floats:
        """The chance of seeds, [draws, trials] in dB; a draw has one standard deviation for all."""
        if not self.spread:
            return np.zeros((count, len(trials)))
        sd_db = self.spread.sd_db * self._student(rng, self.spread.freedom, count)
        seeds = np.array([self.seeds.get(trial, 1) for trial in trials])
        return np.asarray(sd_db * rng.standard_normal((count, len(trials))) / np.sqrt(seeds))

    def _known(self, trials: Sequence[int], base: int | None) -> list[int]:
        """Those with a place among the scores; none where nothing can be estimated."""
        if not self.enough or (base is not None and base not in self.line):
            return []
        return [trial for trial in trials if trial in self.line]

    def _values(self, trials: Sequence[int]) -> Floats:
        return np.asarray(self.test_scores.scores[SCORE][[self.line[trial] for trial in trials]])

    def _means(self, trials: Sequence[int], base: int | None) -> Means:
        """Scores, or losses against `base`, with the variances of test and training."""
        values = self._values(trials)
        if base is not None:
            values = self._values([base]) - values
        tested = self.design.means(values)
        if not self.spread:
            return tested
        shares = np.array([1 / self.seeds.get(trial, 1) for trial in trials])
        if base is not None:
            shares += 1 / self.seeds.get(base, 1)
            shares[np.array(trials) == base] = 0
        return tested.plus(self.spread.sd_db**2 * shares, self.spread.freedom)

    def _estimates(self, trials: Sequence[int], base: int | None) -> dict[int, Estimate]:
        known = self._known(trials, base)
        if not known:
            return {}
        means = self._means(known, base)
        found = np.column_stack([means.value, *means.intervals()])
        there = np.isfinite(found).all(axis=1)
        return {known[i]: Estimate(*found[i].tolist()) for i in np.flatnonzero(there)}


def holm(p: Mapping[int, float]) -> dict[int, float]:
    """Holm's step-down correction, of the chance of a single false finding among all of them."""
    order = sorted(p, key=lambda key: (p[key], key))
    corrected, most = {}, 0.0
    for i, key in enumerate(order):
        most = max(most, min(1.0, (len(order) - i) * p[key]))
        corrected[key] = most
    return corrected


def on_front(rows: Sequence[Row], costs: Sequence[str],
             uncertainty: Uncertainty) -> dict[int, float]:
    """The share of draws in which each variant, a row each, is Pareto-optimal on score and cost."""
    rows = [row for row in rows if row["trial"] in uncertainty.line]
    if not rows or not uncertainty.enough:
        return {}
    trials = [row["trial"] for row in rows]
    table = np.array([[row[name] for name in costs] for row in rows], dtype=float)
    drawn = np.ascontiguousarray(uncertainty.draws(trials).T)      # [variants, draws]
    low, high = drawn.min(axis=1), drawn.max(axis=1)
    # What one and the same dominates in every draw is never optimal, and nobody's only rival.
    hopes = np.array([i for i in range(len(rows))
                      if not ((table <= table[i]).all(axis=1) & (low > high[i])).any()])
    chance = np.zeros(len(rows))
    for i in hopes:
        same = (table[hopes] == table[i]).all(axis=1)
        cheaper = (table[hopes] <= table[i]).all(axis=1) & ~same
        above = drawn[i] > drawn[hopes[cheaper]].max(axis=0, initial=-np.inf)
        chance[i] = (above & (drawn[i] >= drawn[hopes[same]].max(axis=0))).mean()
    return dict(zip(trials, chance.tolist(), strict=True))
