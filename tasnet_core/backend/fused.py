"""The fast twin of a network on a CPU: the same numbers from a fraction of the passes over memory.

network/model.py is the definition. `speed_up` lets a network compute by the functions of kernels.cpp, forward and backward, with
signals as [B, K, channels]; where there is no compiler, or the variant has what they lack, the plain layers go on.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from tasnet_core.backend import build
from tasnet_core.network.model import ConvTasNet, frames_of
from tasnet_core.records import Variant

# The numbers of kernels.h and kernels.cpp.
NORMS = {"global": 1, "cumulative": 2, "frame": 3}      # 0 is no norm
MASKS = {"softmax": 0, "sigmoid": 1, "relu": 2}         # 0: as they are
EACH = 14               # weights of a block

Sizes = tuple[int, ...]
Weights = tuple[Tensor | None, ...]


def supports(variant: Variant) -> bool:
    """Whether a variant has a fast twin: all have, but those with batch norm, dropout or a second depthwise convolution."""
    norms = {variant.norm, variant.input_norm or variant.norm}
    return norms <= NORMS.keys() and not variant.dropout and not variant.extra_dilation


def speed_up(network: ConvTasNet, precision: str = "float32") -> ConvTasNet:
    """Let a network compute by its fast twin wherever it is on a CPU and has one; returns the network.

    With precision "bf16" factors of matrix products are rounded to bfloat16, in the plain layers by autocast. Norms,
    sums, weights and their gradients stay float32.
    """
    # A class, and no function of the network's own: that would hold the network, whose memory then waits for the collector.
    if supports(network.variant) and not build.why_not():
        network.__class__ = FastInBfloat16 if precision == "bf16" else Fast
    else:
        network.__class__ = PlainInBfloat16 if precision == "bf16" else ConvTasNet
    return network


class Fast(ConvTasNet):
    def forward(self, mixture: Tensor) -> Tensor:
        return _forward(self, False, mixture)


class FastInBfloat16(ConvTasNet):
    def forward(self, mixture: Tensor) -> Tensor:
        return _forward(self, True, mixture)


class PlainInBfloat16(ConvTasNet):
    def forward(self, mixture: Tensor) -> Tensor:
        return _plain(self, True, mixture)


def _plain(network: ConvTasNet, half: bool, mixture: Tensor) -> Tensor:
    with torch.autocast(mixture.device.type, torch.bfloat16, enabled=half):
        signals = ConvTasNet.forward(network, mixture)
    return signals.float() if half else signals


def _forward(network: ConvTasNet, half: bool, mixture: Tensor) -> Tensor:       # [B, T]
    if not mixture.is_cpu or mixture.requires_grad:
        return _plain(network, half, mixture)
    v, separator = network.variant, network.separator
    samples = mixture.shape[-1]
    covered = (frames_of(v, samples) + 1) * v.hop
    pieces = F.pad(mixture, (0, covered - samples)).unfold(-1, v.L, v.hop)      # [B, K, L]
    frames = network.rectify(pieces @ network.encoder.weight[:, 0].t())         # [B, K, N]
    x = _narrow(half, NORMS[v.input_norm or v.norm], frames, None, separator.norm, separator.bottleneck)    # [B, K, B]
    x = _apply(Blocks, Plan.of(network, half), x, *(weight for block in separator.blocks for weight in _weights(block)))
    masks = _narrow(half, 0, x, separator.prelu, None, separator.to_masks).unflatten(-1, (v.C, v.N))    # [B, K, C, N]
    masks = masks.softmax(2) if v.mask == "softmax" else masks
    signals = _apply(Decode, MASKS[v.mask], masks, frames, network.decoder.weight).transpose(1, 2)      # [B, C, K, L]
    halves = F.pad(signals[..., :v.hop], (0, 0, 0, 1)) + F.pad(signals[..., v.hop:], (0, 0, 1, 0))
    return halves.flatten(2)[..., :samples]                                     # [B, C, T]


def _narrow(half: bool, norm: int, x: Tensor, prelu: Any, layer: Any, conv: Any) -> Tensor:
    gains = (layer.weight, layer.bias) if norm else (None, None)
    found: Tensor = _apply(Narrow, (half, norm), x, prelu and prelu.weight, *gains, conv.weight, conv.bias)
    return found


class Narrow(torch.autograd.Function):
    """PReLU, norm and 1×1 convolution, W norm(prelu(x)) + b: [B, K, in] -> [B, K, out]."""

    @staticmethod
    def forward(ctx: Any, how: tuple[bool, int], x: Tensor, slope: Tensor | None, gain: Tensor | None, offset: Tensor | None,
                w: Tensor, b: Tensor) -> Tensor:
        (half, norm), x = how, x.contiguous()
        sizes = (half, *x.shape, norm, len(w))
        y = x.new_empty(*x.shape[:2], len(w))
        s, t = (x.new_empty(x.shape[:2]) if norm else None for _ in range(2))
        build.call("narrow_forward", sizes, (x, slope, gain, offset, w, b, y, s, t))
        ctx.save_for_backward(x, slope, gain, offset, w, s, t)
        ctx.sizes = sizes
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, slope, gain, offset, w, s, t = ctx.saved_tensors
        dx, found = torch.empty_like(x), [_zeros(one) for one in (slope, gain, offset, w)]
        db = w.new_zeros(len(w))
        build.call("narrow_backward", ctx.sizes, (x, slope, gain, offset, w, s, t, grads[0].contiguous(), dx, *found, db))
        return None, dx, *found, db


class Plan(NamedTuple):
    """What the blocks are, beside their weights."""

    half: bool
    norm: int
    hearing: tuple[tuple[int, int], ...]    # of each block: its dilation, and how many frames it hears of the past
    skips: bool                             # whether the sum of the skip paths goes on, or else the last residual

    @classmethod
    def of(cls, network: ConvTasNet, half: bool) -> "Plan":
        deep: list[Any] = [block.depthwise for block in network.separator.blocks]
        return cls(half, NORMS[network.variant.norm], tuple((one.dilation[0], one.past) for one in deep), network.variant.Sc > 0)

    def blocks(self, x: Tensor, weights: Weights) -> Iterator[tuple[Sizes, Weights]]:
        """Of each block the sizes that kernels.cpp asks for, and the weights in its order."""
        for number, (dilation, past) in enumerate(self.hearing):
            block = weights[number * EACH:(number + 1) * EACH]
            w, taps, wr, ws = (block[i] for i in (0, 5, 10, 12))
            assert w is not None
            assert taps is not None
            follows = wr is not None and not (self.skips and number + 1 == len(self.hearing))   # else the residual feeds nothing
            yield ((self.half, *x.shape, len(w), self.norm, taps.shape[-1], dilation, past, x.shape[-1] if follows else 0,
                    0 if ws is None else len(ws)), block)


def _weights(block: Any) -> Weights:
    """The EACH weights of a block, as kernels.cpp asks for them; None for those of a convolution that is not there."""
    residual, skip = ((None, None) if one is None else (one.weight, one.bias) for one in (block.residual, block.skip))
    one, two, deep = block.norm1, block.norm2, block.depthwise
    return (block.widen.weight, block.widen.bias, block.prelu1.weight, one.weight, one.bias, deep.weight, deep.bias,
            block.prelu2.weight, two.weight, two.bias, *residual, *skip)


class Blocks(torch.autograd.Function):
    """All blocks of a separator: [B, K, B] -> [B, K, Sc], or [B, K, B] without skip paths.

    One function, so that the sum of the skip paths, and that of the gradients of x, is one signal which all add to.
    """

    @staticmethod
    def forward(ctx: Any, plan: Plan, x: Tensor, *weights: Tensor | None) -> Tensor:
        x, training, skips = x.contiguous(), any(ctx.needs_input_grad), None
        kept: list[Tensor] = []
        for sizes, block in plan.blocks(x, weights):
            _, items, frames, _, wide, _, _, _, _, out, skip = sizes
            first = not kept
            if first or training:       # else one block's signals may take the place of another's
                y, z, moments = *(x.new_empty(items, frames, wide) for _ in range(2)), x.new_empty(4, items, frames)
            if first and skip:
                skips = x.new_empty(items, frames, skip)
            after = torch.empty_like(x) if out else None
            build.call("block_forward", (*sizes, first), (x, *block, y, z, *moments, after, skips))
            kept += x, y, z, moments
            x = x if after is None else after
        if training:
            ctx.save_for_backward(*weights, *kept)
        ctx.plan = plan
        return x if skips is None else skips

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        count = EACH * len(ctx.plan.hearing)
        weights, kept = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        x, z = kept[0], kept[2]
        dskips = grads[0].contiguous() if ctx.plan.skips else None
        dx = torch.empty_like(x) if ctx.plan.skips else grads[0].clone(memory_format=torch.contiguous_format)
        dz = torch.empty_like(z)
        found: list[Tensor | None] = []
        blocks = list(ctx.plan.blocks(x, weights))
        for number in reversed(range(len(blocks))):
            sizes, block = blocks[number]
            x, y, z, moments = kept[4 * number:4 * number + 4]
            unused = (10, 11) if not sizes[9] else ()
            into = [None if i in unused else _zeros(weight) for i, weight in enumerate(block)]
            build.call("block_backward", sizes, (x, *block, y, z, *moments, dx, dskips, dz, *into))
            found = into + found
        return None, dx, *found


class Decode(torch.autograd.Function):
    """What each frame's filters play, masked: [B, K, C, N], [B, K, N], [N, 1, L] -> [B, K, C, L]. Never in bfloat16."""

    @staticmethod
    def forward(ctx: Any, mask: int, x: Tensor, frames: Tensor, w: Tensor) -> Tensor:
        x, frames = x.contiguous(), frames.contiguous()
        masks, signals = torch.empty_like(x), x.new_empty(*x.shape[:3], w.shape[-1])
        ctx.sizes = (*x.shape, w.shape[-1], mask)
        build.call("decode_forward", ctx.sizes, (x, frames, w, masks, signals))
        ctx.save_for_backward(masks, frames, w)
        return signals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        found = tuple(torch.empty_like(one) for one in ctx.saved_tensors)
        build.call("decode_backward", ctx.sizes, (*ctx.saved_tensors, grads[0].contiguous(), *found))
        return None, *found


def _apply(function: Any, *arguments: Any) -> Any:
    return function.apply(*arguments)


def _zeros(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else torch.zeros_like(tensor)
