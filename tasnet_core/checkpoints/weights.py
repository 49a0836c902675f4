"""Weights from a file, put into the network of a variant; what does not fit is refused before that network is built."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tasnet_core.network.model import ConvTasNet, letters_of, unfilled
from tasnet_core.records import Variant

NAMES = {letter: letter for letter in ("N", "L", "B", "H", "Sc", "P", "X·R", "C")}


def network_with(variant: Variant, weights: Mapping[str, Tensor], names: Mapping[str, str] = NAMES) -> ConvTasNet:
    """The network of a variant with these weights, in evaluation; `names` are those of its letters in a message.

    Raises:
        ValueError: saying what does not fit.
    """
    if why := misfit(variant, weights, names):
        raise ValueError(why)
    network = unfilled(variant)
    network.load_state_dict(weights)
    return network.eval()


def misfit(variant: Variant, weights: Any, names: Mapping[str, str] = NAMES) -> str:
    """Why weights do not go into a variant's network: the letters they show that differ, or else their names or shapes.

    What is built for this takes no memory, and has no more blocks than the weights.
    """
    if not isinstance(weights, Mapping) or not all(
            isinstance(name, str) and isinstance(weight, Tensor) for name, weight in weights.items()):
        return "they are not tensors by name"
    shown = letters_of(weights)
    mine = {letter: variant.X * variant.R if letter == "X·R" else getattr(variant, letter) for letter in NAMES}
    if found := [f"{names[letter]}={shown.get(letter)}, not {value}" for letter, value in mine.items()
                 if shown.get(letter) != value]:
        return "; ".join(found)
    wanted = unfilled(variant, "meta").state_dict()
    if differing := wanted.keys() ^ weights.keys():
        return f"{len(differing)} of its names differ, such as {min(differing)[:100]}"
    for name, weight in wanted.items():
        if weights[name].shape != weight.shape:
            return f"{name} has the shape {[*weights[name].shape]}, not {[*weight.shape]}"
        if weights[name].is_floating_point() != weight.is_floating_point():
            return f"{name} is {weights[name].dtype}"
    return ""
