"""The spaces a study searches: ranges below a reference network, or a list of networks somebody published.

A space speaks of values, such as B = 16, 32, 64, and Optuna of parameters, each a whole number: evenly spaced values are
asked for as they are, under the letter's name; others, and fields of the recipe, by their place in the list.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise, product
from math import inf, log, prod
from typing import TYPE_CHECKING, Any

from study.records import Budget
from study.space.searched import TUNED
from tasnet_core.errors import UserError
from tasnet_core.records import LETTERS, METRICS, Cost, Recipe, Variant

if TYPE_CHECKING:
    import numpy as np
    import optuna

# Whole numbers of a variant that may be searched; the number of speakers is the corpus'.
SEARCHED = (*(letter for letter in LETTERS if letter != "C"), "extra_dilation")
LEAST_SEGMENT_S = 0.25  # shorter ones hold no word
CLIMBS = 8              # ways from the cheapest to the dearest that `spread` tries for each point it gives


def _evenly(values: Sequence[Any]) -> Sequence[Any]:
    """Evenly spaced whole numbers as a range, anything else as a tuple: so equal choices are equal however written."""
    whole = all(isinstance(value, int) for value in values)
    step = values[1] - values[0] if whole and len(values) > 1 else 1
    even = range(values[0], values[-1] + 1, step) if whole else ()
    return even if tuple(even) == tuple(values) else tuple(values)


@dataclass(frozen=True)
class Space:
    """A reference and the choices around it; letters without choices stay as in the reference.

    Raises:
        ValueError: for choices that are empty, not ascending, unknown, or without the reference's own value.
    """

    name: str
    reference: Variant
    choices: Mapping[str, Sequence[Any]]  # ascending values of a letter or a tuned field, the reference's among them
    recipe: Recipe  # what the reference needs to be trained well enough to compare with
    metrics: tuple[str, ...] = tuple(METRICS)  # measured unless a study asks for others
    objectives: tuple[str, ...] = ("si_snri_db", "parameters", "macs_per_s")  # likewise
    budget: Budget = field(default_factory=Budget)  # likewise

    def __post_init__(self) -> None:
        for name, values in self.choices.items():
            if name not in self._searchable:
                raise ValueError(f"Space: {name!r} is not searched; choose from {', '.join(self._searchable)}")
            if not values or any(a >= b for a, b in pairwise(values)):
                raise ValueError(f"Space: {name}={tuple(values)} must be at least one value, and ascending")
            own = values[0] if name == "place" else getattr(self.recipe if name in TUNED else self.reference, name)
            if own not in values:
                raise ValueError(f"Space: {name}={tuple(values)} lacks the reference's {own}")
        # In one order, whatever order they were written in: `point(index)` must stay the same point.
        ordered = {name: _evenly(self.choices[name]) for name in self._searchable if name in self.choices}
        object.__setattr__(self, "choices", ordered)

    @property
    def _searchable(self) -> tuple[str, ...]:
        return (*SEARCHED, *TUNED)

    def __len__(self) -> int:
        """Variants times recipes."""
        return prod(len(values) for values in self.choices.values())

    @property
    def letters(self) -> dict[str, Sequence[Any]]:
        """The choices without the tuned fields."""
        return {name: values for name, values in self.choices.items() if name not in TUNED}

    @property
    def first(self) -> tuple[Variant, ...]:
        """What is measured before anything is searched, in this order: the reference."""
        return (self.reference,)

    def slices(self) -> "Space":
        """The same space without the values of letters that are no slice of the reference."""
        def usable(name: str, value: Any) -> bool:
            return name in TUNED or not replace(self.reference, **{name: value}).no_slice_of(self.reference)
        return replace(self, choices={name: [value for value in values if usable(name, value)]
                                      for name, values in self.choices.items()})

    def variants(self) -> Iterator[Variant]:
        """Every variant of the space, each once, whatever is tuned beside the letters."""
        letters = self.letters
        for values in product(*letters.values()):
            yield self._variant(dict(zip(letters, values, strict=True)))

    def ranges(self) -> dict[str, range]:
        """Optuna's parameters and the whole numbers each may take, ends included."""
        return dict(_asked(name, values) for name, values in self.choices.items())

    def points(self) -> Iterator[dict[str, int]]:
        """Every point of the space, as Optuna's parameters."""
        ranges = self.ranges()
        for numbers in product(*ranges.values()):
            yield dict(zip(ranges, numbers, strict=True))

    def point(self, index: int) -> dict[str, int]:
        """The point that `points` gives after `index` others, without those."""
        found: dict[str, int] = {}
        for name, numbers in reversed(self.ranges().items()):      # as in a number, the last place changes first
            index, place = divmod(index, len(numbers))
            found[name] = numbers[place]
        return dict(reversed(found.items()))

    def variant_of(self, parameters: Mapping[str, int]) -> Variant:
        """The variant that Optuna's parameters stand for."""
        values = self._values(parameters)
        return self._variant({name: values[name] for name in self.letters})

    def recipe_of(self, parameters: Mapping[str, int], recipe: Recipe) -> Recipe:
        """`recipe` with the tuned fields that Optuna's parameters stand for, on the same seconds of sound."""
        values = self._values(parameters)
        return on_as_much_audio(recipe, {name: values[name] for name in self.choices if name in TUNED})

    def parameters_of(self, variant: Variant, recipe: Recipe | None = None) -> dict[str, int] | None:
        """The inverse of `variant_of` and `recipe_of`; None where the space has no such point.

        Without a recipe, the tuned fields are at those of the space's recipe.
        """
        values = self._letters_of(variant)
        values |= {name: getattr(recipe or self.recipe, name) for name in self.choices if name in TUNED}
        if any(values.get(name) not in among for name, among in self.choices.items()) or self._variant(values) != variant:
            return None
        return self._parameters(values)

    def tuned(self, names: Sequence[str], recipe: Recipe) -> "Space":
        """The same space with fields of the recipe among its choices, at multiples of what `recipe` has.

        `recipe` becomes the space's: the reference is trained with it.

        Raises:
            UserError: for a field that cannot be tuned.
        """
        found = dict(self.choices)
        for name in names:
            if name not in TUNED:
                raise UserError(f"--tune {name!r}: not a field that can be tuned; choose from {', '.join(TUNED)}")
            own = getattr(recipe, name)
            values = [own * multiple for multiple in TUNED[name]]
            if name == "batch_size":
                values = [int(value) for value in values if value == int(value)]
            if name == "segment_s":
                values = [value for value in values if value >= LEAST_SEGMENT_S or value == own]
            found[name] = values
        return replace(self, choices=found, recipe=recipe)

    def spread(self, share: float, rng: "np.random.Generator", axis: str = "parameters",
               limit: float | None = None) -> dict[str, int]:
        """A chance point whose cost on `axis` lies at `share` (0 to 1) of the way from the cheapest variant's to the reference's.

        The way is measured in logarithms and ends at `limit` where that is less. Shares 0, 1/15 … 1 are thus a ladder of
        sizes with even ratios, however large the space: nothing is enumerated. Tuned fields are drawn evenly.
        """
        cheapest, _ = self.extremes(axis)
        least, most = self._cost(cheapest, axis), self._cost(self.reference, axis)
        most = max(least, min(most, limit or most))
        target = least * (most / least) ** share
        ladders = self._ladders(axis)
        met = [point for _ in range(CLIMBS) for point in self._climb(rng, ladders, axis, target)]
        values, _ = min(met, key=lambda point: (point[1] > (limit or point[1]), abs(log(point[1] / target))))
        chosen = {name: among[int(rng.integers(len(among)))] for name, among in self.choices.items() if name in TUNED}
        return self._parameters({**values, **chosen})

    def _climb(self, rng: "np.random.Generator", ladders: Mapping[str, list[Any]], axis: str,
               target: float) -> Iterator[tuple[dict[str, Any], float]]:
        """Points around the target on one way from the cheapest to the dearest, with their costs.

        All letters rise together, each through its values in equal steps but with a start of its own drawn by chance,
        so one way has broad networks of few blocks at a size where another has narrow deep ones. As the cost rises
        along the way (nearly: Sc=0 may be dearer than Sc=32), the target is found by halving it.
        """
        late = {letter: rng.random() for letter in ladders}
        steps = sorted((k / len(values) + late[letter], letter) for letter, values in ladders.items()
                       for k in range(1, len(values)))
        low, high = 0, len(steps)
        while low <= high:
            middle = (low + high) // 2
            risen = Counter(letter for _, letter in steps[:middle])
            values = {letter: ladder[risen[letter]] for letter, ladder in ladders.items()}
            found = self._cost(self._variant(values), axis)
            yield values, found
            low, high = (middle + 1, high) if found < target else (low, middle - 1)

    def extremes(self, axis: str = "parameters") -> tuple[Variant, Variant]:
        """The cheapest and the dearest variant on an axis that has a formula: parameters, macs_per_s, receptive_field_s."""
        costs = self._corners
        return (min(costs, key=lambda variant: getattr(costs[variant], axis)),
                max(costs, key=lambda variant: getattr(costs[variant], axis)))

    def over_budget(self, budget: Budget) -> str:
        """By how much the variant that comes nearest is over the budget, in words; empty where one fits."""
        from tasnet_core.cost import count
        limits = {limit.name: most for limit in fields(budget) if (most := getattr(budget, limit.name)) is not None}
        nearest: tuple[float, str] = (inf, "")
        for variant in self._smallest() if limits else ():
            exact = vars(count.exact(variant))
            over = [(exact[axis] / most - 1, f"{exact[axis]:,} {axis}, {exact[axis] - most:,} more than {name} = {most:,} allows")
                    for name, most in limits.items() if exact[axis := name.removeprefix("max_")] > most]
            if not over:
                return ""
            words = " and ".join(f"{words} ({share:.1%} more)" for share, words in over)
            nearest = min(nearest, (max(over)[0], f"the cheapest variant, {variant}, has {words}"))
        return nearest[1]

    def _smallest(self) -> Iterator[Variant]:
        """Variants of which one fits a budget if any of the space does.

        With L and Sc fixed every cost rises with every other letter. A small L means fewer parameters but more MACs,
        and no skip path may cost more than a narrow one (the masks then start from B channels), but not than a wide one.
        """
        letters = {letter: values[:1] for letter, values in self.letters.items()} | {
            letter: values for letter, values in self.letters.items() if letter == "L"} | {
            letter: _ends(values)[:2] for letter, values in self.letters.items() if letter == "Sc"}
        for values in product(*letters.values()):
            yield self._variant(dict(zip(letters, values, strict=True)))

    @cached_property
    def _corners(self) -> dict[Variant, Cost]:
        """The costs of every variant that has each letter at an end: in each letter alone a cost only rises, or only falls."""
        from tasnet_core.cost import count
        letters = self.letters
        corners = (self._variant(dict(zip(letters, values, strict=True)))
                   for values in product(*map(_ends, letters.values())))
        return {variant: count.exact(variant) for variant in corners}

    def _ladders(self, axis: str) -> dict[str, list[Any]]:
        """The values of each letter by what they cost on `axis`, the other letters at the reference's."""
        own = self._letters_of(self.reference)
        return {letter: sorted(values, key=lambda value: self._cost(self._variant({**own, letter: value}), axis))
                for letter, values in self.letters.items()}

    def _cost(self, variant: Variant, axis: str) -> float:
        from tasnet_core.cost import count
        return float(getattr(count.exact(variant), axis))

    def _variant(self, values: Mapping[str, Any]) -> Variant:
        return replace(self.reference, **{letter: values[letter] for letter in self.letters})

    def _letters_of(self, variant: Variant) -> dict[str, Any]:
        return {letter: getattr(variant, letter) for letter in self.letters}

    def _values(self, parameters: Mapping[str, int]) -> dict[str, Any]:
        named = {name: (_asked(name, values)[0], values) for name, values in self.choices.items()}
        return {name: parameters[asked] if asked == name else values[parameters[asked]]
                for name, (asked, values) in named.items()}

    def _parameters(self, values: Mapping[str, Any]) -> dict[str, int]:
        named = {name: (_asked(name, among)[0], among) for name, among in self.choices.items()}
        return {asked: values[name] if asked == name else among.index(values[name])
                for name, (asked, among) in named.items()}


def _asked(name: str, values: Sequence[Any]) -> tuple[str, range]:
    """The Optuna parameter of a choice, and its whole numbers."""
    if isinstance(values, range) and name not in TUNED:
        return name, values
    return f"{name} place", range(len(values))


def _ends(values: Sequence[Any]) -> list[Any]:
    """The least, the least above 0, and the largest: from none at all to the first a cost may jump."""
    return sorted({values[0], next((value for value in values if value), values[0]), values[-1]})


@dataclass(frozen=True)
class Listed(Space):
    """A list of variants, the reference first, measured in its order. Optuna's one letter is the place in it."""

    listed: tuple[Variant, ...] = ()

    @classmethod
    def of(cls, name: str, listed: tuple[Variant, ...], recipe: Recipe) -> "Listed":
        return cls(name, listed[0], {"place": range(len(listed))}, recipe, listed=listed)

    @property
    def _searchable(self) -> tuple[str, ...]:
        return ("place", *TUNED)

    def slices(self) -> "Listed":
        """The list, if all of it are slices of its first.

        Raises:
            UserError: naming one that is none.
        """
        for variant in self.listed:
            if why := variant.no_slice_of(self.reference):
                raise UserError(f"--init inherit: space {self.name!r} has {variant}, which is no slice of its first: {why}; "
                                "train it from scratch")
        return self

    @property
    def first(self) -> tuple[Variant, ...]:
        return self.listed

    def _variant(self, values: Mapping[str, Any]) -> Variant:
        place: int = values["place"]
        return self.listed[place]

    def _letters_of(self, variant: Variant) -> dict[str, Any]:
        return {"place": self.listed.index(variant)} if variant in self.listed else {}

    def _smallest(self) -> Iterator[Variant]:
        return iter(self.listed)

    @cached_property
    def _corners(self) -> dict[Variant, Cost]:
        from tasnet_core.cost import count
        return {variant: count.exact(variant) for variant in self.listed}


def on_as_much_audio(recipe: Recipe, tuned: Mapping[str, Any]) -> Recipe:
    """`recipe` with other values of tuned fields, on the same seconds of sound.

    Longer segments are fewer segments, rounded to whole ones and at least one for each epoch.
    """
    segments = round(recipe.epoch_segments * recipe.segment_s / tuned.get("segment_s", recipe.segment_s))
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
