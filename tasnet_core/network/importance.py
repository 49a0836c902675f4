"""The channels of a network in the order of their importance, so that its slices keep the best.

A slice has the first channels of each kind (`network.slices`). Reordering channels changes nothing
that the network computes: every weight that makes or reads a channel moves with it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tasnet_core.network.model import Block, ConvTasNet


class Channels(NamedTuple):
    """Channels that move together: the weights that make them, and those that read them.

    Each weight is a view whose named dimension has a channel at each place.
    """

    made: list[tuple[Tensor, int]]
    read: list[tuple[Tensor, int]]


def channels(network: ConvTasNet,
             of: Callable[[nn.Parameter], Tensor] = lambda weight: weight.data
             ) -> Iterator[Channels]:
    """All kinds of channels: N, B, Sc where there is a skip path, and each block's own H.

    `of` gives what is wanted of a weight, such as its gradient, in its shape; buffers are given as
    they are.
    """
    separator, C = network.separator, network.variant.C
    masks = separator.to_masks
    blocks: list[Block] = list(separator.blocks)  # type: ignore[arg-type]
    skips = [block.skip for block in blocks if block.skip is not None]
    residuals = [block.residual for block in blocks if block.residual is not None]

    def side(*layers: tuple[nn.Module, int]) -> list[tuple[Tensor, int]]:
        """The weights of layers, with the dimension of their channels; biases where it is 0."""
        found = []
        for layer, dimension in layers:
            for name, weight in (*layer.named_parameters(), *layer.named_buffers()):
                wanted = of(weight) if isinstance(weight, nn.Parameter) else weight
                if not weight.dim() or (dimension and name == "bias"):
                    continue
                if layer is masks and not dimension:
                    wanted, place = wanted.unflatten(0, (C, -1)), 1
                else:
                    place = dimension
                found.append((wanted, place))
        return found

    yield Channels(side((network.encoder, 0), (separator.norm, 0), (masks, 0)),
                   side((separator.bottleneck, 1), (network.decoder, 0)))
    yield Channels(side((separator.bottleneck, 0), *((layer, 0) for layer in residuals)),
                   side(*((block.widen, 1) for block in blocks),
                        *([] if skips else [(masks, 1)])))
    if skips:
        yield Channels(side(*((layer, 0) for layer in skips)), side((masks, 1)))
    for block in blocks:
        inner = [(layer, 0) for layer in (block.widen, block.norm1, block.depthwise, block.extra,
                                          block.norm2) if layer is not None]
        outer = [(layer, 1) for layer in (block.residual, block.skip) if layer is not None]
        yield Channels(side(*inner), side(*outer))


def first_order(network: ConvTasNet) -> list[Tensor]:
    """Of each kind of channels, the change of the loss without each, to first order, squared.

    From the gradients that the network's weights have: the loss's derivative by a factor on the
    channel is the sum of weight times gradient where it is read (P. Molchanov and others 2019,
    "Importance estimation for neural network pruning", arXiv 1906.10771, eq. 8).
    """
    found = []
    gradients = channels(network, _gradient)
    for kind, slope in zip(channels(network), gradients, strict=True):
        parts = [_by_channel(weight * gradient, dimension) for (weight, dimension), (gradient, _)
                 in zip(kind.read, slope.read, strict=True)]
        found.append(torch.stack(parts).sum(0).square())
    return found


def _gradient(weight: nn.Parameter) -> Tensor:
    """Nothing follows the residual of a last block that has one: it has no gradient."""
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


def _by_channel(values: Tensor, dimension: int) -> Tensor:
    return values.movedim(dimension, 0).flatten(1).sum(1)


def reorder_channels(network: ConvTasNet, importance: Iterable[Tensor]) -> None:
    """Put the most important channel of each kind first; what the network computes stays."""
    with torch.no_grad():
        for kind, values in zip(channels(network), importance, strict=True):
            order = values.argsort(descending=True, stable=True)
            for weight, dimension in (*kind.made, *kind.read):
                weight.copy_(weight.index_select(dimension, order))
