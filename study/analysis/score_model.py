"""Score model: what a variant that nobody trained would reach, with a prediction interval.

Ordinary least squares on the logarithms of the hyperparameters (`effects.Design`). Two more terms
join it where the variants ask for them by an F test (Draper and Smith 1998, Applied Regression
Analysis, section 6.1): the product of X and R, and a bend in size, the square of the logarithm of
the parameters.

A prediction interval is of one training, so it has the spread of what the model leaves over besides
that of its coefficients: s √(1 + x'(A'A)⁻¹x), never below the root mean square of the errors when
each variant is left out in turn. benchmarks/prices.py shows which share of measured losses it
holds.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy

from study.analysis.effects import SPARE, Design, Fit, fit
from study.analysis.mixture_scores import Floats
from study.analysis.uncertainty import LEVEL
from study.records import Estimate
from study.space.searched import OF_VARIANT, value_of
from tasnet_core.cost.formulas import exact
from tasnet_core.records import LETTERS, Variant

ASKED_FOR = 0.001  # p of the F test: with 20 variants, terms let in at 0.05 made the errors larger
PRODUCT, BEND = "X × R", "a bend in size"


class ScoreModel(NamedTuple):
    """A fit to the finished variants, with the terms that they asked for."""

    design: Design
    reference: Variant
    reference_db: float  # measured
    terms: tuple[str, ...]  # besides the main effects
    table: Floats  # [variants, columns]
    fitted: Fit
    error_db: float  # root mean square over the variants, each predicted by the others

    @property
    def explained(self) -> float:
        """R²: share of the variance between variants that the model explains."""
        return 1 - float(self.fitted.residuals.var() / self.design.scores.var())

    @property
    def names(self) -> list[str]:
        """Hyperparameters that make a network smaller; others are held at the reference's."""
        return [name for name in self.design.letters if name in LETTERS]

    def lower(self, name: str, below: int) -> list[int]:
        """The values of a hyperparameter among the variants below this one, the nearest first."""
        values = {int(row[name]) for row in self.design.rows}
        return sorted((value for value in values if value < below), reverse=True)

    def score(self, changed: Mapping[str, Any]) -> Estimate:
        """SI-SNRi in dB of one training of the reference with these hyperparameters."""
        point = self.point(changed)
        value = float(point @ self.fitted.coefficients)
        variance = float(self.fitted.residuals @ self.fitted.residuals) / self.fitted.freedom
        spread = math.sqrt(variance + max(0.0, float(point @ self.fitted.covariance @ point)))
        quantile = float(scipy.stats.t.ppf((1 + LEVEL) / 2, self.fitted.freedom))
        reach = max(spread, self.error_db) * quantile
        return Estimate(value, value - reach, value + reach)

    def loss(self, changed: Mapping[str, Any]) -> Estimate:
        """Decibels below the measured reference; what was measured has no interval."""
        if all(value == self.design.base.get(name) for name, value in changed.items()):
            return Estimate(0.0, 0.0, 0.0)
        score = self.score(changed)
        return Estimate(self.reference_db - score.value,
                        self.reference_db - score.high,
                        self.reference_db - score.low)

    def point(self, changed: Mapping[str, Any]) -> Floats:
        """The reference with these hyperparameters in the model's columns, [columns]."""
        way = self.design.table[0] * 0.0
        way[0] = 1.0
        for name, value in changed.items():
            way = way + self.design.way(name, value)
        network = {name: value for name, value in changed.items() if name in OF_VARIANT}
        octaves = _octaves(self.reference, network)
        return np.append(way, [_term(term, self.design, way, octaves) for term in self.terms])


def score_model(design: Design, reference: Variant, reference_db: float) -> ScoreModel:
    """The model of variants that can tell effects apart (`effects.refusal`)."""
    networks = [{name: value_of(row, name) for name in design.letters if name in OF_VARIANT}
                for row in design.rows]
    sizes = [_octaves(reference, network) for network in networks]
    table, terms = design.table, tuple[str, ...]()
    for term in (PRODUCT, BEND):
        column = [_term(term, design, way, octaves)
                  for way, octaves in zip(design.table, sizes, strict=True)]
        larger = np.column_stack([table, column])
        if _asked_for(table, larger, design.scores):
            table, terms = larger, (*terms, term)
    fitted = fit(table, design.scores)
    error_db = left_out_error(table, fitted)
    return ScoreModel(design, reference, reference_db, terms, table, fitted, error_db)


def left_out_error(table: Floats, fitted: Fit) -> float:
    """Root mean square of the errors when each variant is left out in turn: residuals over
    1 − leverage (PRESS)."""
    leverage = np.einsum("ij,jk,ik->i", table, np.linalg.pinv(table.T @ table), table)
    errors = fitted.residuals / np.maximum(1 - leverage, 1e-9)
    # A variant that alone has a value cannot be predicted by the others.
    predicted = leverage < 1 - 1e-9
    return float(np.sqrt(np.mean(errors[predicted] ** 2)))


def _asked_for(table: Floats, larger: Floats, scores: Floats) -> bool:
    if np.linalg.matrix_rank(larger) < larger.shape[1] or len(scores) < larger.shape[1] + SPARE:
        return False
    before, after = fit(table, scores).residuals, fit(larger, scores).residuals
    freedom = len(scores) - larger.shape[1]
    left_over = float(after @ after) / freedom
    if not left_over:
        return False
    gain = float(before @ before - after @ after)
    return float(scipy.stats.f.sf(gain / left_over, 1, freedom)) < ASKED_FOR


def _term(term: str, design: Design, way: Floats, octaves: float) -> float:
    if term == BEND:
        return octaves ** 2
    both = [design.columns.get(name) for name in "XR"]
    return 0.0 if None in both else float(np.prod([way[column] for column in both]))


def _octaves(reference: Variant, changed: Mapping[str, Any]) -> float:
    """log2 of the parameters against the reference's."""
    return math.log2(exact(replace(reference, **changed)).parameters / exact(reference).parameters)
