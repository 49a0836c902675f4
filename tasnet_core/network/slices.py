"""Smaller networks inside a larger one: the first blocks of each repeat, the first channels.

Such a sub-network, a slice, may be lower in N, B, H, Sc, X and R (`Variant.no_slice_of`). The layer
that makes the masks is cut for each speaker alone, so that no speaker's channels become another's.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from tasnet_core.network.model import ConvTasNet, unfilled
from tasnet_core.records import Variant


def take(whole: ConvTasNet, variant: Variant) -> ConvTasNet:
    """A slice of a network, as a network of its own on the same device.

    Raises:
        ValueError: for a variant that is none of its slices.
    """
    if why := variant.no_slice_of(whole.variant):
        raise ValueError(f"{variant} is no slice: {why}")
    # Nothing is drawn: it may be asked for while somebody's chance is set aside (`model.chance`).
    part = unfilled(variant, str(whole.encoder.weight.device))
    with torch.no_grad():
        pairs = matching(part.state_dict(), variant, whole.state_dict(), whole.variant)
        for mine, theirs in pairs:
            mine.copy_(theirs)
    return part


def matching(own: Mapping[str, Tensor], variant: Variant, weights: Mapping[str, Tensor],
             whole: Variant) -> Iterator[tuple[Tensor, Tensor]]:
    """Each weight of a slice and the part of the whole's that it stands for, as views of one shape.

    own and weights: weights, or what belongs to them, by their names in the slice and in the whole.
    """
    for name, mine in own.items():
        theirs = weights[_source(name, variant, whole)]
        if "to_masks" in name:
            mine, theirs = (one.unflatten(0, (variant.C, -1)) for one in (mine, theirs))
        yield mine, theirs[tuple(map(slice, mine.shape))]


def _source(name: str, variant: Variant, whole: Variant) -> str:
    """What a slice's weight is called in the whole, where a repeat has more blocks."""
    head, blocks, rest = name.partition("blocks.")
    if not blocks:
        return name
    number, _, weight = rest.partition(".")
    repeat, block = divmod(int(number), variant.X)
    return f"{head}{blocks}{repeat * whole.X + block}.{weight}"
