"""The space around a given network: what can be made of it by cutting it smaller."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from study.space.space import Grid, Space, VariantList, ordered
from tasnet_core.errors import UserError
from tasnet_core.records import SLICED, Variant

QUARTERS = 4        # of its own channels, that a variant has one to all of
LEAST_X = 2         # blocks of a repeat, where it has more


def around(reference: Variant, base: Space, named: bool, file: Path) -> Grid:
    """A space whose reference is this network.

    Where a space is `named`, its choices that are no more than the network's; else of channels a
    quarter to all in steps of a quarter, of blocks from two on, of repeats from one on. Metrics,
    objectives and the recipe are those of `base`.

    Raises:
        UserError: a list was named, or choices without the network's own value.
    """
    if named and isinstance(base, VariantList):
        raise UserError(f"--space {base.name}: a list has a reference of its own; leave --space "
                        f"out for the choices around {file}, or leave --reference out")
    choices = base.choices if named else _quarters(reference)
    found: dict[str, Sequence[Any]] = {}
    for name, values in choices.items():
        own = getattr(reference, name, None)
        if own is None or name not in SLICED:
            continue
        if own not in values:
            raise UserError(
                f"{file}: {name}={own}, but space {base.name!r} has {name} {_listed(values)}; "
                "leave --space out for the choices around your network, or write a space with it")
        found[name] = [value for value in values if value <= own]
    return Grid(base.name if named else file.stem, reference, ordered(found), base.recipe,
                base.metrics, base.objectives, base.budget)


def _quarters(reference: Variant) -> dict[str, list[int]]:
    def parts(own: int) -> list[int]:
        return sorted({max(1, own * part // QUARTERS) for part in range(1, QUARTERS + 1)})
    channels = {name: parts(getattr(reference, name)) for name in ("N", "B", "H", "Sc")
                if getattr(reference, name)}
    blocks = {"X": range(min(LEAST_X, reference.X), reference.X + 1),
              "R": range(1, reference.R + 1)}
    return {**channels, **{name: list(values) for name, values in blocks.items()}}


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
