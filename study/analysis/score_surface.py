"""Score surface: what any variant of a space would reach, from those that were trained.

The score is linear in the logarithms of the hyperparameters, of the parameters and its square, and
in X × R, plus a Gaussian process for what is left (Matérn 5/2; Rasmussen and Williams 2006,
Gaussian Processes for Machine Learning, sections 2.7 and 4.2). Coefficients have normal priors, so
a few trainings suffice: a doubling of all parameters is worth some half dB, a hyperparameter beyond
that a few tenths. All variances have a common factor with an inverse gamma prior, which makes
predictions Student's; their ratios, the length scale and the noise of a training are a grid,
weighted by marginal likelihood. benchmarks/surface.py shows how often the intervals are right.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import scipy

from study.analysis.effects import column_names, terms
from study.analysis.mixture_scores import Floats
from study.analysis.uncertainty import LEVEL
from study.space.points import Columns
from study.space.searched import VARIED
from tasnet_core.cost.formulas import totals

# Standard deviations a priori, in units of the common scale, which is near 1 dB.
LEVEL_DB, DOUBLING_DB = 3.0, 0.5  # of the mean; of a doubling of the parameters
SCALE_FREEDOM = 4.0
HYPERPARAMETER_DB = 0.1, 0.3  # of a doubling beyond what it is worth in parameters
BEND_DB = 0.05, 0.2  # of X × R, and of the square of an octave by 2
LEFT_OVER_DB, LENGTHS_OCTAVES = (0.1, 0.2, 0.4), (0.3, 0.7, 2.0)
NOISE_DB = 0.05, 0.12, 0.25  # of one training
WEIGHT = 0.995  # of the grid, that predictions are made with


class Setting(NamedTuple):
    """One combination of the grid: standard deviations in units of the scale, and octaves."""

    hyperparameter: float
    bend: float
    left_over: float
    length: float
    noise: float


GRID = tuple(Setting(*values) for values in product(
    HYPERPARAMETER_DB, BEND_DB, LEFT_OVER_DB, LENGTHS_OCTAVES, NOISE_DB))


class Coding(NamedTuple):
    """Hyperparameters as numbers: log2 of the ratio to the reference's, and a column for a word."""

    base: Mapping[str, Any]
    columns: Mapping[str, Sequence[str]]  # by hyperparameter, those of `effects.column_names`

    @classmethod
    def of(cls, base: Mapping[str, Any], *tables: Columns) -> "Coding":
        """For what varies in or between these tables and the reference."""
        columns = {}
        for name in VARIED:
            levels = set().union(*(np.unique(table[name]).tolist() for table in tables))
            levels.add(base[name])
            if len(levels) > 1:
                columns[name] = column_names(name, levels, base[name])
        return cls(base, columns)

    def inputs(self, fields: Columns) -> "Inputs":
        """The columns of these variants, as the model takes them."""
        parts, places = [np.empty((len(fields["N"]), 0))], {}
        for name, columns in self.columns.items():
            levels, level = np.unique(fields[name], return_inverse=True)
            coded = np.array([[value for _, value in terms(name, one, self.base[name], columns)]
                              for one in levels.tolist()]).reshape(len(levels), len(columns))
            places[name] = sum(part.shape[1] for part in parts)
            parts.append(coded[level])
        ways = np.hstack(parts)
        both = [ways[:, places[name]] for name in "XR" if name in places]
        blocks = both[0] * both[1] if len(both) == 2 else np.zeros(len(ways))
        octaves = np.log2(totals(fields)[0] / totals(self.base)[0])
        return Inputs(ways, octaves, np.column_stack([blocks, octaves**2 / 2]))


class Inputs(NamedTuple):
    """Variants in the model's terms."""

    ways: Floats  # [variants, columns], octaves from the reference
    octaves: Floats  # [variants], of the parameters
    bends: Floats  # [variants, 2]

    def only(self, places: Any) -> "Inputs":
        return Inputs(*(part[places] for part in self))


class Trained(NamedTuple):
    """Scores of variants: means over their seeds."""

    fields: Columns
    scores_db: Floats  # [variants]
    seeds: Floats  # [variants], how many are in a mean
    squares: float = 0.0  # sum of the squared deviations of seeds from the mean of their variant
    freedom: int = 0  # of it: seeds beyond the first of each variant


class Part(NamedTuple):
    """The model under one setting of the grid."""

    setting: Setting
    weight: float
    factor: Floats  # lower Cholesky factor of the covariance of the scores
    whitened: Floats  # its inverse times the scores
    scale: float  # of all variances, in dB squared


class Surface:
    """The model of a study's scores."""

    def __init__(self, coding: Coding, trained: Trained, grid: Sequence[Setting] = GRID):
        self.coding, self.inputs = coding, coding.inputs(trained.fields)
        self.mean_db = float(trained.scores_db.mean())
        self.freedom = SCALE_FREEDOM + len(trained.scores_db) + trained.freedom
        parts, evidence = [], []
        covariance = _Covariance(self.inputs, self.inputs)
        for setting in grid:
            noise = setting.noise**2
            own = covariance(setting) + np.diag(noise / trained.seeds)
            factor = scipy.linalg.cholesky(own, lower=True, check_finite=False)
            whitened = scipy.linalg.solve_triangular(
                factor, trained.scores_db - self.mean_db, lower=True, check_finite=False)
            squares = SCALE_FREEDOM + float(whitened @ whitened) + trained.squares / noise
            parts.append(Part(setting, 0.0, factor, whitened, squares / self.freedom))
            evidence.append(-float(np.log(np.diag(factor)).sum())
                            - trained.freedom * np.log(setting.noise)
                            - self.freedom / 2 * np.log(squares))
        weights = np.exp(np.array(evidence) - max(evidence))
        weights /= weights.sum()
        self.parts = [part._replace(weight=float(weight))
                      for part, weight in zip(parts, weights, strict=True)]

    def simplified(self, most: int) -> "Surface":
        """The same with at most so many settings of the grid, the likeliest: faster."""
        found = object.__new__(Surface)
        found.__dict__ = {**self.__dict__, "parts": list(self._likeliest())[:most]}
        return found

    @property
    def noise_variance(self) -> float:
        """Of the score of one training, in dB squared."""
        return sum(part.weight * part.scale * part.setting.noise**2
                   for part in self.parts) / sum(part.weight for part in self.parts)

    @property
    def degrees(self) -> float:
        """Of freedom of predictions; those of the prior are left out, for safety."""
        return self.freedom - SCALE_FREEDOM

    @property
    def quantile(self) -> float:
        """Half an interval in standard deviations."""
        return float(scipy.stats.t.ppf((1 + LEVEL) / 2, self.degrees))

    def predict(self, some: Inputs) -> tuple[Floats, Floats]:
        """Means and variances of the scores that variants have on average over seeds."""
        means, variances, weights = [], [], []
        for part, mean, reduction, _ in self._posterior(some):
            prior = _prior_variance(some, part.setting)
            spread = np.maximum(prior - np.einsum("ij,ij->j", reduction, reduction), 1e-12)
            means.append(mean)
            variances.append(part.scale * spread)
            weights.append(part.weight)
        return _mixed(np.array(means), np.array(variances), np.array(weights))

    def joint(self, some: Inputs) -> tuple[Floats, Floats]:
        """Means and covariance [variants, variants] of the same."""
        means, within, weights = [], np.zeros((len(some.octaves),) * 2), []
        covariance = _Covariance(some, some)
        for part, mean, reduction, share in self._posterior(some):
            within += share * part.scale * (covariance(part.setting) - reduction.T @ reduction)
            means.append(mean)
            weights.append(share)
        mean = np.array(weights) @ np.array(means)
        apart = np.array(means) - mean
        return mean, within + (apart.T * weights) @ apart

    def _likeliest(self) -> Iterator[Part]:
        total = 0.0
        for part in sorted(self.parts, key=lambda part: -part.weight):
            yield part
            total += part.weight
            if total > WEIGHT:
                return

    def _posterior(self, some: Inputs) -> Iterator[tuple[Part, Floats, Floats, float]]:
        """For each likely setting: means, what the trainings take from the covariance (as a
        factor), and its share."""
        kept = list(self._likeliest())
        covariance = _Covariance(self.inputs, some)
        total = sum(part.weight for part in kept)
        for part in kept:
            reduction = scipy.linalg.solve_triangular(
                part.factor, covariance(part.setting), lower=True, check_finite=False)
            yield part, self.mean_db + part.whitened @ reduction, reduction, part.weight / total


class _Covariance:
    """The covariance of scores a priori between variants [a, b], for any setting, without scale."""

    def __init__(self, a: Inputs, b: Inputs):
        self.common = LEVEL_DB**2 + DOUBLING_DB**2 * np.outer(a.octaves, b.octaves)
        self.ways = a.ways @ b.ways.T
        self.bends = a.bends @ b.bends.T
        squares = (a.ways**2).sum(1)[:, None] + (b.ways**2).sum(1) - 2 * self.ways
        self.distance = np.sqrt(5 * np.maximum(squares, 0.0))
        self.matern: dict[float, Floats] = {}

    def __call__(self, setting: Setting) -> Floats:
        if setting.length not in self.matern:
            r = self.distance / setting.length
            self.matern[setting.length] = (1 + r + r**2 / 3) * np.exp(-r)
        return (self.common + setting.hyperparameter**2 * self.ways
                + setting.bend**2 * self.bends
                + setting.left_over**2 * self.matern[setting.length])


def _prior_variance(some: Inputs, setting: Setting) -> Floats:
    """The diagonal of the covariance of variants with themselves."""
    found: Floats = (
        LEVEL_DB**2 + DOUBLING_DB**2 * some.octaves**2 + setting.left_over**2
        + setting.hyperparameter**2 * (some.ways**2).sum(1)
        + setting.bend**2 * (some.bends**2).sum(1))
    return found


def _mixed(means: Floats, variances: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of a mixture, [parts, variants] to [variants]."""
    shares = weights / weights.sum()
    mean = shares @ means
    return mean, shares @ variances + shares @ (means - mean) ** 2
