"""Studies whose variants begin as sub-networks of their reference: the recipe of each."""

import math
from dataclasses import replace

from study.records import Settings
from study.space.space import Space
from tasnet_core.records import Recipe, Variant

TUNED = 0.1     # of the epochs of a training from scratch, at least one (benchmarks/RESULTS.md)
ADAPTED = 0.5   # of them, in which a given reference is trained together with its slices


def tuned_epochs(settings: Settings) -> int:
    """The epochs of a variant's training after it has inherited."""
    if settings.inherit_epochs is not None:
        return settings.inherit_epochs
    return math.ceil(TUNED * settings.recipe.epochs)


def adapted_epochs(settings: Settings) -> int:
    """The epochs in which a given reference and its slices are trained together."""
    if settings.adapt_epochs is not None:
        return settings.adapt_epochs
    return math.ceil(ADAPTED * settings.recipe.epochs)


def first(settings: Settings, space: Space) -> tuple[Variant, ...]:
    """What a study trains before anything is searched, in this order.

    A given reference whose slices are to be adapted comes twice: as it is, and adapted.
    """
    twice = settings.reference and teacher_of(settings) is not None
    return (space.reference, *space.first) if twice else space.first


def teacher_of(settings: Settings) -> int | None:
    """The trial that all others inherit from; None where it is no trial of this study."""
    if settings.recipe.init != "inherit" or settings.adapted_in:
        return None
    return 1 if settings.reference else 0


def recipe_of(recipe: Recipe, settings: Settings, is_reference: bool, trial: int | None) -> Recipe:
    """The recipe that a variant of a study is trained by, where `recipe` was proposed for it.

    Where it says "inherit", the reference is the teacher, trained to the end of the recipe together
    with its sub-networks, and every other variant is tuned for some epochs, or for none. A given
    reference is trial 0 as it is, and the teacher is trial 1, the same network adapted. `trial` is
    None for one that has no number yet.
    """
    if settings.reference and trial == 0:
        return replace(recipe, init="given", epochs=0, distill=0.0)
    if recipe.init != "inherit":
        return recipe
    if settings.reference and trial == teacher_of(settings):
        return replace(recipe, init="adapted", epochs=adapted_epochs(settings), distill=0.0)
    if is_reference and not settings.reference:
        return replace(recipe, init="teacher")
    return replace(recipe, epochs=tuned_epochs(settings))
