"""What the readers of other toolkits' networks share: names, and weights that say the same here."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tasnet_core.checkpoints.unpickle import plain, shown
from tasnet_core.checkpoints.weights import letters_of, network_with
from tasnet_core.errors import CheckpointError
from tasnet_core.network.model import EPS, ConvTasNet
from tasnet_core.records import Variant

Given = Mapping[str, Any]       # hyperparameters that the caller knows, by name
EXAMPLES = {"R": 3, "mask": "relu", "sample_rate_hz": 8000}


def tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """What a file holds, where that is tensors by name.

    Raises:
        CheckpointError: where it is not.
    """
    if isinstance(content, Mapping) and all(
            isinstance(name, str) and isinstance(one, Tensor) for name, one in content.items()):
        return dict(content)
    raise CheckpointError(f"{path}: {shown(content)} where tensors by name belong")


def renamed(weights: Mapping[str, Tensor],
            names: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """Weights under our names, by the first pattern that fits; a name unknown stays as it is.

    A norm's gamma and beta of any shape are its weight and bias, [channels].
    """
    found = {}
    for name, weight in weights.items():
        name = str(name)
        for theirs, ours in names:
            name, matched = re.subn(f"^{theirs}", ours, name)
            if matched:
                break
        plain_name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
        found[plain_name] = weight if plain_name == name else weight.flatten()
    return found


def with_zero_biases(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Zeros for the biases that the separator's convolutions lack."""
    lacking = {
        name.removesuffix("weight") + "bias": weight.new_zeros(len(weight))
        for name, weight in weights.items()
        if name.startswith("separator.") and name.endswith(".weight") and weight.dim() == 3}
    return {**lacking, **weights}


def with_eps(weights: Mapping[str, Tensor], eps: float, blocks: bool) -> dict[str, Tensor]:
    """Weights with which norms of our eps give what they gave with another.

    Inputs times s have the variance times s²: (s x − s m) / √(s² var + EPS) is
    (x − m) / √(var + EPS / s²). PReLU and ReLU keep a factor, so it goes into the convolution in
    front of each norm, and out of the decoder. For weights without biases there. `blocks`: not only
    the norm before the bottleneck.
    """
    s = (EPS / eps) ** 0.5
    scaled = {"encoder.weight": s, "decoder.weight": 1 / s}
    inside = r"separator\.blocks\.\d+\.(widen|depthwise)\.weight"
    return {name: weight * (s if blocks and re.fullmatch(inside, name) else scaled.get(name, 1))
            for name, weight in weights.items()}


def with_taps(weights: Mapping[str, Tensor], lag: int, both_sides: bool) -> dict[str, Tensor]:
    """Depthwise kernels that look back alone, with zeros where ours have more taps.

    Their last tap lies `lag` taps behind the frame. `both_sides`: for a network with causal=False,
    whose frame is the middle of a kernel.
    """
    found = dict(weights)
    for name, weight in weights.items():
        kernel = re.fullmatch(r"separator\.blocks\.\d+\.depthwise\.weight", name)
        if kernel and weight.dim() == 3 and weight.numel():
            ahead = lag + (weight.shape[-1] - 1 + lag if both_sides else 0)
            even = (weight.shape[-1] + ahead) % 2 == 0
            found[name] = F.pad(weight, (int(even), ahead))
    return found


def taps(weights: Mapping[str, Tensor]) -> int:
    """P of weights under our names; 1 where they show none."""
    return letters_of(weights).get("P") or 1


def network_as(path: Path, toolkit: str, values: Mapping[str, Any],
               weights: Mapping[str, Tensor]) -> ConvTasNet:
    """The network of a variant's values and of weights under our names.

    Raises:
        CheckpointError: when the values make no variant, or another than the weights'.
    """
    try:
        return network_with(Variant(**plain(values)), weights)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: {toolkit}'s network: {error}") from None


def options(path: Path, where: str, found: Any, defaults: Mapping[str, Any],
            needed: Sequence[str] = ()) -> dict[str, Any]:
    """Plain options as a toolkit's file has them, completed by its defaults.

    Raises:
        CheckpointError: naming one that is lacking, of an unknown name, or no plain value.
    """
    try:
        values = plain(found)
    except TypeError as error:
        raise CheckpointError(f"{path}: {where}: {error}") from None
    for name in needed:
        if name not in values:
            raise CheckpointError(f"{path}: {where} lacks {name}")
    for name in values:
        if name not in defaults and name not in needed:
            raise CheckpointError(
                f"{path}: {where}: {name}={values[name]!r} has no counterpart here")
    return {**defaults, **values}


def word(path: Path, name: str, value: Any, known: Mapping[Any, str], why: str = "") -> str:
    """Our word for a toolkit's.

    Raises:
        CheckpointError: where there is none, with `why`.
    """
    if value not in known:
        why = why or f"known are {', '.join(map(str, known))}"
        raise CheckpointError(f"{path}: {name}={shown(value)} has no counterpart here; {why}")
    return known[value]


def ask(path: Path, toolkit: str, lacking: Sequence[str]) -> None:
    """Ask for what neither the file nor the caller says.

    Raises:
        CheckpointError: naming it, and how it is given.
    """
    if lacking:
        such = ",".join(f"{name}={EXAMPLES[name]}" for name in lacking)
        names = ", ".join(lacking[:-1]) + " and " * (len(lacking) > 1) + lacking[-1]
        raise CheckpointError(
            f"{path}: {toolkit}'s network, and its file does not say {names}: "
            f"give what it was trained with, such as --hyperparameters {such}")


def slope(value: float) -> Tensor:
    """The weight of a PReLU: 1 leaves everything, 0 is a ReLU."""
    return torch.full((1,), value)
