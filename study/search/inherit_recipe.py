"""Studies whose variants begin as sub-networks of their reference: the recipe of each."""

import math
from dataclasses import replace

from study.records import Settings
from tasnet_core.records import Recipe

TUNED = 0.1     # of the epochs of a training from scratch, at least one (benchmarks/RESULTS.md)


def tuned_epochs(settings: Settings) -> int:
    """The epochs of a variant's training after it has inherited."""
    if settings.inherit_epochs is not None:
        return settings.inherit_epochs
    return math.ceil(TUNED * settings.recipe.epochs)


def recipe_of(recipe: Recipe, settings: Settings, reference: bool) -> Recipe:
    """The recipe that a variant of a study is trained by, where `recipe` was proposed for it.

    Where it says "inherit", the reference is the teacher, trained to the end of the recipe together
    with its sub-networks, and every other variant is tuned for some epochs, or for none.
    """
    if recipe.init != "inherit":
        return recipe
    if reference:
        return replace(recipe, init="teacher")
    return replace(recipe, epochs=tuned_epochs(settings))
