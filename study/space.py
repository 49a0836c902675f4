"""The spaces a study searches: ranges below a reference network, or a list of networks somebody published."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from tasnet_core.errors import UserError
from tasnet_core.records import METRICS, Recipe, Variant

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Space:
    """A reference and the choices below it; letters without choices stay as in the reference."""

    name: str
    reference: Variant
    choices: Mapping[str, range]  # the reference's value is among them
    recipe: Recipe  # what the reference needs to be trained well enough to compare with
    metrics: tuple[str, ...] = tuple(METRICS)  # measured unless a study asks for others

    def __len__(self) -> int:
        return prod(len(values) for values in self.choices.values())

    @property
    def first(self) -> tuple[Variant, ...]:
        """What is measured before anything is searched, in this order: the reference."""
        return (self.reference,)

    def variants(self) -> Iterator[Variant]:
        """Every variant of the space."""
        for values in product(*self.choices.values()):
            yield self.variant_of(dict(zip(self.choices, values, strict=True)))

    def variant_of(self, parameters: Mapping[str, int]) -> Variant:
        """The variant that Optuna's parameters stand for: a value of each searched letter."""
        letters: dict[str, Any] = dict(parameters)
        return replace(self.reference, **letters)

    def parameters_of(self, variant: Variant) -> dict[str, int]:
        """The inverse of `variant_of`."""
        return {letter: getattr(variant, letter) for letter in self.choices}


@dataclass(frozen=True)
class Listed(Space):
    """A list of variants, the reference first, measured in its order. Optuna's one parameter is the place in it."""

    listed: tuple[Variant, ...] = ()

    @classmethod
    def of(cls, name: str, listed: tuple[Variant, ...], recipe: Recipe) -> "Listed":
        return cls(name, listed[0], {"place": range(len(listed))}, recipe, listed=listed)

    @property
    def first(self) -> tuple[Variant, ...]:
        return self.listed

    def variant_of(self, parameters: Mapping[str, int]) -> Variant:
        return self.listed[parameters["place"]]

    def parameters_of(self, variant: Variant) -> dict[str, int]:
        return {"place": self.listed.index(variant)}


def suggest(trial: "optuna.trial.BaseTrial", space: Space) -> Variant:
    """Ask Optuna for one value of each parameter of the space."""
    return space.variant_of({name: trial.suggest_int(name, values[0], values[-1], step=values.step)
                             for name, values in space.choices.items()})


# The default without a GPU: a third of a million parameters, a minute or two per variant on two cores.
QUICK = Space(
    "quick",
    Variant(N=128, L=16, B=64, H=128, Sc=64, P=3, X=6, R=2),
    {"N": range(32, 129, 32), "B": range(16, 65, 16), "H": range(32, 129, 32), "Sc": range(16, 65, 16),
     "X": range(2, 7), "R": range(1, 3)},
    # chosen by measurement: benchmarks/RESULTS.md
    Recipe(epochs=8, epoch_segments=540, segment_s=1.0, batch_size=8, learning_rate=4e-3, schedule="decay"),
    # The others, on 120 mixtures, would be more than a tenth of a small variant's trial.
    metrics=("si_snr",))

# Everything below the paper's best network, trained as the paper trained it.
FULL = Space(
    "full",
    Variant.v3(),
    {"N": range(64, 513, 64), "L": range(16, 33, 16), "B": range(32, 129, 32), "H": range(64, 513, 64),
     "Sc": range(0, 129, 32), "X": range(3, 9), "R": range(1, 4)},
    Recipe(epochs=100, epoch_segments=5000, segment_s=4.0, batch_size=4, learning_rate=1e-3, schedule="plateau"))

# The networks of a bachelor thesis (github.com/valgrut/TasNet), its figures in results/published_thesis.csv. Its seventh
# row is its first network on segments of 2 s. A study has one recipe, so that row is a study of its own:
# --space thesis --study thesis-2s --segment-s 2 --epoch-segments 40000 --trials 1.
# The letters are those of its scripts (TasNet.py, ResBlock.py): Conv1d(1, 256, 20) and a ReLU, 256 bottleneck channels,
# blocks of 512 with kernel 3 and BatchNorm1d, no skip path, a softmax. Its norm before the bottleneck is commented out
# in some of its versions; here it is the first version's. An epoch of its scripts is 20,000 recordings.
THESIS = Listed.of(
    "thesis",
    tuple(Variant.v1(norm="batch", X=X, R=R) for X, R in ((8, 4), (8, 2), (6, 4), (6, 3), (6, 2), (4, 4))),
    Recipe(epochs=60, epoch_segments=20_000, segment_s=4.0, batch_size=50, learning_rate=1e-3, schedule="plateau"))

# Table II of arXiv 1809.07454v3 (results/published.csv), its best network first. The last block's residual
# convolution, which feeds nothing, is there because the printed sizes count it.
_TABLE2 = (     # N, L, B, H, Sc, X, R
    (512, 16, 128, 512, 128, 8, 3), (128, 40, 128, 256, 128, 7, 2), (256, 40, 128, 256, 128, 7, 2),
    (512, 40, 128, 256, 128, 7, 2), (512, 40, 128, 256, 256, 7, 2), (512, 40, 128, 512, 128, 7, 2),
    (512, 40, 128, 512, 512, 7, 2), (512, 40, 256, 256, 256, 7, 2), (512, 40, 256, 512, 256, 7, 2),
    (512, 40, 256, 512, 512, 7, 2), (512, 40, 128, 512, 128, 6, 4), (512, 40, 128, 512, 128, 4, 6),
    (512, 40, 128, 512, 128, 8, 3), (512, 32, 128, 512, 128, 8, 3))
TABLE2 = Listed.of(
    "table2",
    (*(Variant.v3(N=N, L=L, B=B, H=H, Sc=Sc, X=X, R=R, last_residual=True) for N, L, B, H, Sc, X, R in _TABLE2),
     Variant.v3(norm="cumulative", causal=True, last_residual=True)),
    FULL.recipe)

SPACES = {space.name: space for space in (QUICK, FULL, THESIS, TABLE2)}


def space_named(name: str) -> Space:
    """The preset of that name.

    Raises:
        UserError: naming the presets there are.
    """
    if name not in SPACES:
        raise UserError(f"--space {name!r}: unknown; choose from {', '.join(SPACES)}")
    return SPACES[name]
