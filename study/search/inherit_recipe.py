"""Studies whose variants begin as slices of their reference: how long each of them is trained."""

import math
from dataclasses import replace

from study.records import Settings
from tasnet_core.records import Recipe

TUNED = 0.1     # of the epochs of a training from scratch, at least one (benchmarks/RESULTS.md)


def tuned_epochs(settings: Settings) -> int:
    """The epochs that a variant is trained for after it has inherited."""
    return math.ceil(TUNED * settings.recipe.epochs) if settings.inherit_epochs is None else settings.inherit_epochs


def recipe_of(recipe: Recipe, settings: Settings, reference: bool) -> Recipe:
    """What a variant of a study, for which `recipe` was proposed, is trained with.

    Where the recipe says "inherit", the reference is the teacher, trained to the end of the recipe together with its slices,
    and every other variant is tuned for some epochs, or stays the slice it is.
    """
    if recipe.init != "inherit":
        return recipe
    return replace(recipe, init="teacher") if reference else replace(recipe, epochs=tuned_epochs(settings))
