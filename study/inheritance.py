"""Studies whose variants begin as slices of their reference: how long each of them is trained."""

import math
from dataclasses import replace

from tasnet_core.records import Recipe

TUNED = 0.1     # of the epochs of a training from scratch, at least one (benchmarks/RESULTS.md)


def recipe_of(recipe: Recipe, reference: bool) -> Recipe:
    """What a variant of a study is trained with.

    Where the study's recipe says "inherit", the reference is the teacher, trained to the end of the recipe together with its
    slices, and every other variant is tuned for a tenth of the epochs.
    """
    if recipe.init != "inherit":
        return recipe
    return replace(recipe, init="teacher") if reference else replace(recipe, epochs=math.ceil(TUNED * recipe.epochs))
