"""The spaces a study searches: a reference network and, letter by letter, what it may be lowered to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from tasnet_core.errors import UserError
from tasnet_core.records import Recipe, Variant

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Space:
    """A reference and the choices below it; letters without choices stay as in the reference."""

    name: str
    reference: Variant
    choices: Mapping[str, range]  # the reference's value is among them
    recipe: Recipe  # what the reference needs to be trained well enough to compare with

    def __len__(self) -> int:
        return prod(len(values) for values in self.choices.values())

    def variants(self) -> Iterator[Variant]:
        """Every variant of the space, the reference last."""
        for values in product(*self.choices.values()):
            letters: dict[str, Any] = dict(zip(self.choices, values, strict=True))
            yield replace(self.reference, **letters)

    def smallest(self) -> Variant:
        """The variant with every letter at its lowest."""
        return next(self.variants())

    def parameters_of(self, variant: Variant) -> dict[str, int]:
        """The variant as Optuna's parameters: the searched letters alone."""
        return {letter: getattr(variant, letter) for letter in self.choices}


def suggest(trial: "optuna.trial.BaseTrial", space: Space) -> Variant:
    """Ask Optuna for one value of each searched letter."""
    letters: dict[str, Any] = {
        letter: trial.suggest_int(letter, values[0], values[-1], step=values.step)
        for letter, values in space.choices.items()}
    return replace(space.reference, **letters)


# The default without a GPU: a third of a million parameters, a minute or two per variant on two cores.
QUICK = Space(
    "quick",
    Variant(N=128, L=16, B=64, H=128, Sc=64, P=3, X=6, R=2),
    {"N": range(32, 129, 32), "B": range(16, 65, 16), "H": range(32, 129, 32), "Sc": range(16, 65, 16),
     "X": range(2, 7), "R": range(1, 3)},
    # chosen by measurement: benchmarks/RESULTS.md
    Recipe(epochs=8, epoch_segments=600, segment_s=1.0, batch_size=4, learning_rate=3e-3, schedule="decay"))

# Everything below the paper's best network, trained as the paper trained it.
FULL = Space(
    "full",
    Variant.v3(),
    {"N": range(64, 513, 64), "L": range(16, 33, 16), "B": range(32, 129, 32), "H": range(64, 513, 64),
     "Sc": range(0, 129, 32), "X": range(3, 9), "R": range(1, 4)},
    Recipe(epochs=100, epoch_segments=5000, segment_s=4.0, batch_size=4, learning_rate=1e-3, schedule="plateau"))

SPACES = {space.name: space for space in (QUICK, FULL)}


def space_named(name: str) -> Space:
    """The preset of that name.

    Raises:
        UserError: naming the presets there are.
    """
    if name not in SPACES:
        raise UserError(f"--space {name!r}: unknown; choose from {', '.join(SPACES)}")
    return SPACES[name]
