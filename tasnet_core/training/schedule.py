"""Learning rates: a function of where a training is."""

import math
from collections.abc import Sequence

from tasnet_core.records import Recipe

DECAY_SHARE = 0.4       # of the budget, at its end
DECAY_FLOOR = 0.01      # of the rate: nearly zero


def rate_factor(recipe: Recipe, progress: float, scores: Sequence[float]) -> float:
    """The factor of the learning rate, from where we are: nothing to store, nothing to lose.

    `progress` is the share of the budget behind us, 0 to 1; `scores` are the validation scores so
    far.
    """
    if recipe.schedule == "decay":
        left = (1 - progress) / DECAY_SHARE
        return max(DECAY_FLOOR, min(1.0, left))
    return 0.5 ** halvings(scores, recipe.patience)


def halvings(scores: Sequence[float], patience: int) -> int:
    """How often `patience` epochs in a row had no new best; each halving starts the count anew."""
    best, waited, count = -math.inf, 0, 0
    for score in scores:
        best, waited = (score, 0) if score > best else (best, waited + 1)
        if waited == patience:
            waited, count = 0, count + 1
    return count


def constant_epochs(recipe: Recipe) -> int:
    """Epochs before the decay: from the last of them a longer budget can continue."""
    if recipe.schedule != "decay":
        return recipe.epochs
    return math.floor(recipe.epochs * (1 - DECAY_SHARE) + 1e-9)
