"""Scores drawn towards the score model by as much as their noise says (empirical Bayes).

The best of many measured scores is lucky; the model, fitted to all of them, is less so. The true
score of a variant has the model's prediction from the other variants as its mean a priori, with the
variance that the model leaves over beyond noise (tau², by moments, at least 0) and that of its
coefficients; the measured score, with the variance of its seeds and of its test mixtures, then
weighs w = prior / (prior + noise) (C. Morris 1983, Parametric empirical Bayes inference).
benchmarks/shrinkage.py shows how often the chances are right.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy

from study.analysis.mixture_scores import Floats
from study.analysis.score_model import ScoreModel
from study.analysis.uncertainty import Uncertainty

# Where no variant has several seeds. Recorded are 0.07 dB (results/quick_fsdd_confirmed.csv) and
# 0.23 dB (results/quick_voices_confirmed.csv); this one does least harm over 0.07 to 0.25 dB.
SEED_SD_DB = 0.2


class Shrunk(NamedTuple):
    """The losses of the variants of a study against its reference, as far as they are known."""

    loss_db: Mapping[int, float]  # by trial
    sd_db: Mapping[int, float]
    freedom: int
    assumed_sd_db: float | None = None  # between seeds, where no variant has several

    def chance(self, trial: int, limit_db: float) -> float:
        """The probability that the true loss is at most so high."""
        beyond = limit_db + 1e-9 - self.loss_db[trial]
        return float(scipy.stats.t.cdf(beyond / max(self.sd_db[trial], 1e-12), self.freedom))


def shrunk(model: ScoreModel, uncertainty: Uncertainty) -> Shrunk | None:
    """From the model of the finished variants; None where the noise of a score is unknown."""
    trials = [row["trial"] for row in model.design.rows]
    count = len(trials)
    if 0 not in trials:     # a network that was given: no variant's model says anything of it
        trials.append(0)
    noise = uncertainty.noise(trials, 0, SEED_SD_DB)
    if noise is None:
        return None
    score, variance = posterior(model.table, model.design.scores, noise[:count])
    score = np.append(score, [model.reference_db] * (len(trials) - count))
    variance = np.append(variance, noise[count:])
    base = trials.index(0)
    sd_db = np.sqrt(variance + variance[base])
    return Shrunk(dict(zip(trials, (score[base] - score).tolist(), strict=True)),
                  dict(zip(trials, sd_db.tolist(), strict=True)), model.fitted.freedom,
                  None if uncertainty.spread else SEED_SD_DB)


def posterior(table: Floats, scores: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Means and variances of the true scores; `noise` has the variances of the measured ones."""
    leverage = np.einsum("ij,jk,ik->i", table, np.linalg.pinv(table.T @ table), table)
    residuals = scores - table @ np.linalg.lstsq(table, scores, rcond=None)[0]
    left_over = float(residuals @ residuals) / (len(scores) - table.shape[1])
    own = np.maximum(1 - leverage, 1e-9)  # a variant that alone has a value is not predicted: w = 1
    prior = max(0.0, left_over - float(noise.mean())) + left_over * leverage / own
    weight = prior / (prior + noise)
    return scores - (1 - weight) * residuals / own, weight * noise
