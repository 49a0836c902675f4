"""Weights from a file in the network of a variant; misfits are refused before that is built."""

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tasnet_core.network.model import ConvTasNet, unfilled
from tasnet_core.records import Variant

NAMES = {letter: letter for letter in ("N", "L", "B", "H", "Sc", "P", "X·R", "C")}


def digest(network: ConvTasNet) -> str:
    """16 hex digits for a network's variant and weights, whichever file they come from."""
    content = hashlib.sha256(network.variant.key.encode())
    for name, weight in sorted(network.state_dict().items()):
        content.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        content.update(weight.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:16]


def network_with(variant: Variant, weights: Mapping[str, Tensor],
                 names: Mapping[str, str] = NAMES) -> ConvTasNet:
    """The network of a variant with these weights, in evaluation mode.

    `names` are what a message calls its hyperparameters.

    Raises:
        ValueError: saying what does not fit.
    """
    if why := misfit(variant, weights, names):
        raise ValueError(why)
    network = unfilled(variant)
    network.load_state_dict(weights)
    return network.eval()


def misfit(variant: Variant, weights: Any, names: Mapping[str, str] = NAMES) -> str:
    """Why weights do not fit a variant: hyperparameters that differ, or else names or shapes.

    What is built for this takes no memory, and has no more blocks than the weights.
    """
    if not _are_tensors_by_name(weights):
        return "they are not tensors by name"
    shown = letters_of(weights)
    found = []
    for letter in NAMES:
        wanted = variant.X * variant.R if letter == "X·R" else getattr(variant, letter)
        if shown.get(letter) != wanted:
            found.append(f"{names[letter]}={shown.get(letter)}, not {wanted}")
    if found:
        return "; ".join(found)
    own = unfilled(variant, "meta").state_dict()
    if differing := own.keys() ^ weights.keys():
        return f"{len(differing)} of its names differ, such as {min(differing)[:100]}"
    for name, weight in own.items():
        if weights[name].shape != weight.shape:
            return f"{name} has the shape {[*weights[name].shape]}, not {[*weight.shape]}"
        if weights[name].is_floating_point() != weight.is_floating_point():
            return f"{name} is {weights[name].dtype}"
    return ""


def _are_tensors_by_name(weights: Any) -> bool:
    return isinstance(weights, Mapping) and all(
        isinstance(name, str) and isinstance(weight, Tensor) for name, weight in weights.items())


def letters_of(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The hyperparameters that weights show; one is missing where its weights are.

    R and X stand only as their product, the number of blocks, under "X·R".
    """
    shapes = {name.removeprefix("separator."): weight.shape for name, weight in weights.items()}
    places = {"N": ("encoder.weight", 0), "L": ("encoder.weight", 2), "B": ("bottleneck.weight", 0),
              "H": ("blocks.0.widen.weight", 0), "P": ("blocks.0.depthwise.weight", 2)}
    found = {}
    for letter, (name, axis) in places.items():
        if len(shapes.get(name, ())) == 3:
            found[letter] = shapes[name][axis]
    found["Sc"] = shapes["blocks.0.skip.weight"][0] if shapes.get("blocks.0.skip.weight") else 0
    found["X·R"] = len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})
    if shapes.get("to_masks.weight") and found.get("N"):
        found["C"] = shapes["to_masks.weight"][0] // found["N"]
    return found
