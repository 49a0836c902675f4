"""A smaller network inside a larger one: the first blocks of each repeat, the first channels of each kind.

A slice may be lower in N, B, H, Sc, X and R (`Variant.no_slice_of`). The layer that makes the masks is cut for each
speaker alone, so that no speaker's channels become another's.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from tasnet_core.network.model import ConvTasNet, seeded
from tasnet_core.records import Variant


def take(whole: ConvTasNet, variant: Variant) -> ConvTasNet:
    """A slice of a network, as a network of its own on the same device.

    Raises:
        ValueError: for a variant that is none of its slices.
    """
    if why := variant.no_slice_of(whole.variant):
        raise ValueError(f"{variant} is no slice: {why}")
    part = seeded(variant, 0).to(whole.encoder.weight.device)
    with torch.no_grad():
        for mine, theirs in parts(part.state_dict(), variant, whole.state_dict(), whole.variant):
            mine.copy_(theirs)
    return part


def parts(own: Mapping[str, Tensor], variant: Variant, weights: Mapping[str, Tensor],
          whole: Variant) -> Iterator[tuple[Tensor, Tensor]]:
    """Each weight of a slice beside the part of the whole's weight that stands for it, in one shape, both as views.

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
