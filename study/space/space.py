"""The spaces a study searches: a grid around a reference network, or a list of published networks.

A space has values, such as B = 16, 32, 64, and Optuna parameters, each a whole number: evenly
spaced values are asked for as they are, under the hyperparameter's name; others, and fields of
the recipe, by their place in the list.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise, product
from math import inf, log, prod
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from study.records import Budget, amount
from study.space.searched import TUNED
from tasnet_core.errors import UserError
from tasnet_core.records import LETTERS, METRICS, Cost, Recipe, Variant

if TYPE_CHECKING:
    import numpy as np
    import optuna

# Whole numbers of a variant that may be searched; the number of speakers is the corpus'.
SEARCHED = (*(letter for letter in LETTERS if letter != "C"), "extra_dilation")
LEAST_SEGMENT_S = 0.25  # shorter ones hold no word
EXACT_LIMITS = ("max_parameters", "max_macs_per_s")     # of a budget; others are of devices
CLIMBS = 8              # ways from the cheapest to the dearest that `spread` tries for each point


class Axis(NamedTuple):
    """One of Optuna's parameters: its name, its whole numbers, and the values they stand for."""

    parameter: str
    numbers: range
    values: Sequence[Any]

    def value(self, number: int) -> Any:
        return self.values[self.numbers.index(number)]

    def number(self, value: Any) -> int:
        return self.numbers[self.values.index(value)]


def axis_of(name: str, values: Sequence[Any]) -> Axis:
    """The axis of a hyperparameter; studies of all versions have these parameters, so they stay."""
    values = evenly(values)
    if isinstance(values, range) and name not in TUNED:
        return Axis(name, values, values)
    return Axis(f"{name} place", range(len(values)), values)


def evenly(values: Sequence[Any]) -> Sequence[Any]:
    """Evenly spaced whole numbers as a range, anything else as a tuple."""
    if not all(isinstance(value, int) for value in values):
        return tuple(values)
    step = values[1] - values[0] if len(values) > 1 else 1
    even = range(values[0], values[-1] + 1, step)
    return even if tuple(even) == tuple(values) else tuple(values)


def ordered(choices: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The same choices in one form, in whatever order and as whatever lists they were written."""
    return {name: evenly(choices[name]) for name in (*SEARCHED, *TUNED) if name in choices}


@dataclass(frozen=True)
class Space(ABC):
    """The variants of a study, times the recipes: what `Grid` and `VariantList` have in common."""

    name: str
    reference: Variant
    choices: Mapping[str, Sequence[Any]]  # ascending; the reference's own value among them
    recipe: Recipe                        # with which the reference is worth comparing with
    metrics: tuple[str, ...] = tuple(METRICS)  # measured unless a study asks for others
    objectives: tuple[str, ...] = ("si_snri_db", "parameters", "macs_per_s")  # likewise
    budget: Budget = field(default_factory=Budget)  # likewise

    @property
    @abstractmethod
    def first(self) -> tuple[Variant, ...]:
        """What is measured before anything is searched, in this order."""

    @property
    @abstractmethod
    def variant_axes(self) -> dict[str, Axis]:
        """The axes that tell variants apart."""

    @abstractmethod
    def slices(self) -> "Space":
        """The same space without what is no slice of the reference."""

    @abstractmethod
    def _variant(self, values: Mapping[str, Any]) -> Variant:
        """The variant with these values on the axes."""

    @abstractmethod
    def _values_of(self, variant: Variant) -> dict[str, Any]:
        """The inverse of `_variant`, for any variant."""

    @abstractmethod
    def _extreme_variants(self) -> Iterator[Variant]:
        """Some variants: the cheapest and the dearest, and one that fits a budget if any does."""

    @cached_property
    def axes(self) -> dict[str, Axis]:
        tuned = {name: axis_of(name, self.choices[name]) for name in TUNED if name in self.choices}
        return {**self.variant_axes, **tuned}

    def __len__(self) -> int:
        """Variants times recipes."""
        return prod(len(axis.numbers) for axis in self.axes.values())

    def variants(self) -> Iterator[Variant]:
        """Every variant of the space, each once, whatever is tuned."""
        axes = self.variant_axes
        return map(self._variant, _combinations({name: axes[name].values for name in axes}))

    def ranges(self) -> dict[str, range]:
        """Optuna's parameters and the whole numbers each may take, ends included."""
        return {axis.parameter: axis.numbers for axis in self.axes.values()}

    def point(self, index: int) -> dict[str, int]:
        """The point with this number, of all combinations of Optuna's parameters."""
        found: dict[str, int] = {}
        for name, numbers in reversed(self.ranges().items()):  # the last changes first
            index, place = divmod(index, len(numbers))
            found[name] = numbers[place]
        return dict(reversed(found.items()))

    def variant_of(self, parameters: Mapping[str, int]) -> Variant:
        """The variant that Optuna's parameters stand for."""
        return self._variant({name: axis.value(parameters[axis.parameter])
                              for name, axis in self.variant_axes.items()})

    def recipe_of(self, parameters: Mapping[str, int], recipe: Recipe) -> Recipe:
        """`recipe` with the tuned fields of Optuna's parameters, on the same seconds of audio."""
        tuned = {name: axis.value(parameters[axis.parameter])
                 for name, axis in self.axes.items() if name in TUNED}
        return on_as_much_audio(recipe, tuned)

    def parameters_of(self, variant: Variant,
                      recipe: Recipe | None = None) -> dict[str, int] | None:
        """The inverse of `variant_of` and `recipe_of`; None where the space has no such point.

        Without a recipe, the tuned fields are at those of the space's recipe.
        """
        values = self._values_of(variant)
        values |= {name: getattr(recipe or self.recipe, name)
                   for name in self.axes if name in TUNED}
        known = all(values[name] in axis.values for name, axis in self.axes.items())
        return self._parameters(values) if known and self._variant(values) == variant else None

    def _parameters(self, values: Mapping[str, Any]) -> dict[str, int]:
        return {axis.parameter: axis.number(values[name]) for name, axis in self.axes.items()}

    def tuned(self, names: Sequence[str], recipe: Recipe) -> Self:
        """The same space with fields of the recipe among its choices, at multiples of `recipe`'s.

        `recipe` becomes the space's: the reference is trained with it.

        Raises:
            UserError: for a field that cannot be tuned.
        """
        found = dict(self.choices)
        for name in names:
            if name not in TUNED:
                raise UserError(f"--tune {name!r}: not a field that can be tuned; "
                                f"choose from {', '.join(TUNED)}")
            own = getattr(recipe, name)
            values = [own * multiple for multiple in TUNED[name]]
            if name == "batch_size":
                values = [int(value) for value in values if value == int(value)]
            if name == "segment_s":
                values = [value for value in values if value >= LEAST_SEGMENT_S or value == own]
            found[name] = values
        return replace(self, choices=ordered(found), recipe=recipe)

    def spread(self, share: float, rng: "np.random.Generator", axis: str = "parameters",
               limit: float | None = None) -> dict[str, int]:
        """A random point whose cost on `axis` lies at `share` (0 to 1) of the way from the cheapest
        variant's to the reference's.

        The way is measured in logarithms and ends at `limit` where that is less. Shares 0, 1/15 … 1
        are thus a ladder of sizes with even ratios, however large the space: nothing is
        enumerated. Tuned fields are drawn evenly.
        """
        cheapest, _ = self.extremes(axis)
        least, most = _cost(cheapest, axis), _cost(self.reference, axis)
        most = max(least, min(most, limit or most))
        target = least * (most / least) ** share
        ladders = self._ladders(axis)
        tried = [point for _ in range(CLIMBS) for point in self._climb(rng, ladders, axis, target)]
        values, _ = min(tried, key=lambda point: (point[1] > (limit or point[1]),
                                                  abs(log(point[1] / target))))
        drawn = {name: one.values[int(rng.integers(len(one.values)))]
                 for name, one in self.axes.items() if name in TUNED}
        return self._parameters({**values, **drawn})

    def _climb(self, rng: "np.random.Generator", ladders: Mapping[str, list[Any]], axis: str,
               target: float) -> Iterator[tuple[dict[str, Any], float]]:
        """Points around the target on one way from the cheapest to the dearest, with their costs.

        All hyperparameters rise together, each through its values in equal steps but from a random
        start of its own, so one way has broad networks of few blocks at a size where another has
        narrow deep ones. As the cost rises along the way (nearly: Sc=0 may be dearer than Sc=32),
        the target is found by halving it.
        """
        late = {name: rng.random() for name in ladders}
        steps = sorted((k / len(values) + late[name], name) for name, values in ladders.items()
                       for k in range(1, len(values)))
        low, high = 0, len(steps)
        while low <= high:
            middle = (low + high) // 2
            risen = Counter(name for _, name in steps[:middle])
            values = {name: ladder[risen[name]] for name, ladder in ladders.items()}
            found = _cost(self._variant(values), axis)
            yield values, found
            if found < target:
                low = middle + 1
            else:
                high = middle - 1

    def _ladders(self, axis: str) -> dict[str, list[Any]]:
        """The values of each hyperparameter by their cost, the others at the reference's."""
        own = self._values_of(self.reference)

        def cost(name: str, value: Any) -> Any:
            return _cost(self._variant({**own, name: value}), axis)
        return {name: sorted(one.values, key=partial(cost, name))
                for name, one in self.variant_axes.items()}

    def extremes(self, axis: str = "parameters") -> tuple[Variant, Variant]:
        """The cheapest and the dearest variant on parameters, macs_per_s or receptive_field_s."""
        costs = self._extreme_costs
        return (min(costs, key=lambda variant: getattr(costs[variant], axis)),
                max(costs, key=lambda variant: getattr(costs[variant], axis)))

    @cached_property
    def _extreme_costs(self) -> dict[Variant, Cost]:
        from tasnet_core.cost import count
        return {variant: count.exact(variant) for variant in self._extreme_variants()}

    def over_budget(self, budget: Budget) -> str:
        """By how much the nearest variant is over the budget, in words; empty where one fits."""
        limits = {limit: most for limit in EXACT_LIMITS if (most := getattr(budget, limit))}
        nearest: tuple[float, str] = (inf, "")
        for variant, cost in self._extreme_costs.items() if limits or budget.on_devices else ():
            over = []
            for limit, most in limits.items():
                axis = limit.removeprefix("max_")
                found = getattr(cost, axis)
                if found > most:
                    over.append((found / most - 1, f"{found:,} {axis}, {found - most:,} more than "
                                 f"{limit} = {most:,} allows"))
            on = budget.on(variant)
            over += [(on[axis].value / most - 1, f"{axis} {on[axis]}, but {amount(most)} allowed")
                     for axis, most in budget.on_devices.items() if on[axis].value > most]
            if not over:
                return ""
            words = " and ".join(f"{words} ({share:.1%} more)" for share, words in over)
            nearest = min(nearest, (max(over)[0], f"the cheapest variant, {variant}, has {words}"))
        return nearest[1]


@dataclass(frozen=True)
class Grid(Space):
    """A reference and the choices around it; hyperparameters without choices stay as they are.

    Raises:
        ValueError: for choices that are empty, not ascending, unknown, or without the reference's.
    """

    def __post_init__(self) -> None:
        for name, values in self.choices.items():
            if name not in (*SEARCHED, *TUNED):
                raise ValueError(f"Space: {name!r} is not searched; "
                                 f"choose from {', '.join((*SEARCHED, *TUNED))}")
            if not values or any(a >= b for a, b in pairwise(values)):
                raise ValueError(f"Space: {name}={tuple(values)} must be at least one value, and "
                                 "ascending")
            own = getattr(self.recipe if name in TUNED else self.reference, name)
            if own not in values:
                raise ValueError(f"Space: {name}={tuple(values)} lacks the reference's {own}")

    @property
    def first(self) -> tuple[Variant, ...]:
        return (self.reference,)

    @cached_property
    def variant_axes(self) -> dict[str, Axis]:
        return {name: axis_of(name, self.choices[name])
                for name in SEARCHED if name in self.choices}

    def slices(self) -> "Grid":
        def usable(name: str, value: Any) -> bool:
            smaller = self.reference if name in TUNED else replace(self.reference, **{name: value})
            return not smaller.no_slice_of(self.reference)
        return replace(self, choices=ordered({
            name: [value for value in values if usable(name, value)]
            for name, values in self.choices.items()}))

    def _variant(self, values: Mapping[str, Any]) -> Variant:
        return replace(self.reference, **{name: values[name] for name in self.variant_axes})

    def _values_of(self, variant: Variant) -> dict[str, Any]:
        return {name: getattr(variant, name) for name in self.variant_axes}

    def _extreme_variants(self) -> Iterator[Variant]:
        """Each hyperparameter at its ends: in one alone a cost only rises, or only falls.

        But L at all its values: a small one means fewer parameters and more MACs, so one between
        may be all that fits a budget.
        """
        ends = {name: axis.values if name == "L" else _ends(axis.values)
                for name, axis in self.variant_axes.items()}
        return map(self._variant, _combinations(ends))


@dataclass(frozen=True)
class VariantList(Space):
    """A list of variants, the reference first, measured in its order; choices are tuned fields."""

    listed: tuple[Variant, ...] = ()

    @classmethod
    def of(cls, name: str, listed: tuple[Variant, ...], recipe: Recipe) -> "VariantList":
        return cls(name, listed[0], {}, recipe, listed=listed)

    @property
    def first(self) -> tuple[Variant, ...]:
        return self.listed

    @cached_property
    def variant_axes(self) -> dict[str, Axis]:
        return {"variant": Axis("place", range(len(self.listed)), self.listed)}

    def slices(self) -> "VariantList":
        """The list, if all of it are slices of its first.

        Raises:
            UserError: naming one that is none.
        """
        for variant in self.listed:
            if why := variant.no_slice_of(self.reference):
                raise UserError(f"--init inherit: space {self.name!r} has {variant}, which is no "
                                f"slice of its first: {why}; train it from scratch")
        return self

    def _variant(self, values: Mapping[str, Any]) -> Variant:
        found: Variant = values["variant"]
        return found

    def _values_of(self, variant: Variant) -> dict[str, Any]:
        return {"variant": variant}

    def _extreme_variants(self) -> Iterator[Variant]:
        return iter(self.listed)


def _combinations(values: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))


def _cost(variant: Variant, axis: str) -> Any:
    from tasnet_core.cost import count
    return getattr(count.exact(variant), axis)


def _ends(values: Sequence[Any]) -> list[Any]:
    """The least, the least above 0, and the largest: from none to the first a cost may jump."""
    return sorted({values[0], next((value for value in values if value), values[0]), values[-1]})


def on_as_much_audio(recipe: Recipe, tuned: Mapping[str, Any]) -> Recipe:
    """`recipe` with other values of tuned fields, on the same seconds of audio.

    Longer segments are fewer segments, rounded to whole ones and at least one for each epoch.
    """
    seconds = recipe.epoch_segments * recipe.segment_s
    segments = round(seconds / tuned.get("segment_s", recipe.segment_s))
    return replace(recipe, **{**tuned, "epoch_segments": max(1, segments)})


def suggest(trial: "optuna.trial.BaseTrial", space: Space) -> Variant:
    """Ask Optuna for a variant of the space."""
    return space.variant_of(_ask(trial, space))


def suggested_recipe(trial: "optuna.trial.BaseTrial", space: Space, recipe: Recipe) -> Recipe:
    """The recipe of the same trial: `recipe`, but for the fields that the space tunes."""
    return space.recipe_of(_ask(trial, space), recipe)


def _ask(trial: "optuna.trial.BaseTrial", space: Space) -> dict[str, int]:
    """Optuna's parameters of this trial; asked again, Optuna answers the same."""
    return {name: trial.suggest_int(name, numbers[0], numbers[-1], step=numbers.step)
            for name, numbers in space.ranges().items()}
