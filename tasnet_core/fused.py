"""The fast twin of a network on a CPU: the same numbers from a fraction of the passes over memory.

model.py is the definition. `speed_up` lets a network compute by the functions of fused.cpp, forward and backward, with
signals as [B, K, channels]; where there is no compiler, or the variant has what they lack, the plain layers go on.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from tasnet_core import native
from tasnet_core.model import ConvTasNet, frames_of
from tasnet_core.records import Variant

NORMS = {"global": 1, "cumulative": 2, "frame": 3}      # fused_parts.h's numbers; 0 is no norm


def supports(variant: Variant) -> bool:
    """Whether a variant has a fast twin: all have, but those with batch norm, dropout or a second depthwise convolution."""
    norms = {variant.norm, variant.input_norm or variant.norm}
    return norms <= NORMS.keys() and not variant.dropout and not variant.extra_dilation


def speed_up(network: ConvTasNet, precision: str = "float32") -> ConvTasNet:
    """Let a network compute by its fast twin wherever it is on a CPU and has one; returns the network.

    With precision "bf16" factors of matrix products are rounded to bfloat16, in the plain layers by autocast. Norms,
    sums, weights and their gradients stay float32.
    """
    if supports(network.variant) and not native.why_not():
        network.forward = partial(_forward, network, precision == "bf16")   # type: ignore[method-assign]
    elif precision == "bf16":
        network.forward = partial(_plain, network, True)     # type: ignore[method-assign]
    return network


def _plain(network: ConvTasNet, half: bool, mixture: Tensor) -> Tensor:
    with torch.autocast(mixture.device.type, torch.bfloat16, enabled=half):
        signals = ConvTasNet.forward(network, mixture)
    return signals.float() if half else signals


def _forward(network: ConvTasNet, half: bool, mixture: Tensor) -> Tensor:       # [B, T]
    if not mixture.is_cpu or mixture.requires_grad:
        return _plain(network, half, mixture)
    v, separator = network.variant, network.separator
    samples, norm = mixture.shape[-1], NORMS[v.norm]
    covered = (frames_of(v, samples) + 1) * v.hop
    pieces = F.pad(mixture, (0, covered - samples)).unfold(-1, v.L, v.hop)      # [B, K, L]
    frames = network.rectify(pieces @ network.encoder.weight[:, 0].t())         # [B, K, N]
    x = _narrow(half, NORMS[v.input_norm or v.norm], frames, None, separator.norm, (separator.bottleneck, None))[0]
    skips = None
    for block in separator.blocks:
        z = _widen(half, norm, x, block)                                        # [B, K, H]
        after, skips = _narrow(half, norm, z, block.prelu2, block.norm2, (block.residual, x), (block.skip, skips))
        x = x if after is None else after                                       # [B, K, B], [B, K, Sc]
    y = _narrow(half, 0, x if skips is None else skips, separator.prelu, None, (separator.to_masks, None))[0]
    masks = y.unflatten(-1, (v.C, v.N))                                         # [B, K, C, N]
    masks = masks.softmax(2) if v.mask == "softmax" else separator.mask(masks)
    signals = _apply(Decode, masks, frames, network.decoder.weight[:, 0]).transpose(1, 2)   # [B, C, K, L]
    halves = F.pad(signals[..., :v.hop], (0, 0, 0, 1)) + F.pad(signals[..., v.hop:], (0, 0, 1, 0))
    return halves.flatten(2)[..., :samples]                                     # [B, C, T]


def _narrow(half: bool, norm: int, x: Tensor, prelu: Any, layer: Any, *outs: tuple[Any, Tensor | None]) -> Any:
    """PReLU, norm and the one or two 1×1 convolutions of `outs`, each added to the signal beside it; None for None."""
    gains = (layer.weight, layer.bias) if norm else (None, None)
    weights = [(None, None, None) if conv is None else (conv.weight[..., 0], conv.bias, past) for conv, past in outs]
    weights += [(None, None, None)] * (2 - len(outs))
    slope = None if prelu is None else prelu.weight
    return _apply(Narrow, (half, norm), x, slope, *gains, *weights[0], *weights[1])


def _widen(half: bool, norm: int, x: Tensor, block: Any) -> Tensor:
    """The first half of a block, to the depthwise convolution."""
    deep, layer = block.depthwise, block.norm1
    result: Tensor = _apply(
        Widen, (half, norm, deep.dilation[0], deep.past), x, block.widen.weight[..., 0], block.widen.bias,
        block.prelu1.weight, layer.weight, layer.bias, deep.weight[:, 0], deep.bias)
    return result


class Narrow(torch.autograd.Function):
    """y = past + W norm(prelu(x)) + b, for up to two W: [B, K, in] -> [B, K, out] each, or None."""

    @staticmethod
    def forward(ctx: Any, how: tuple[bool, int], x: Tensor, slope: Tensor | None, gain: Tensor | None, offset: Tensor | None,
                w1: Tensor | None, b1: Tensor | None, past1: Tensor | None,
                w2: Tensor | None, b2: Tensor | None, past2: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        (half, norm), x = how, x.contiguous()
        ctx.set_materialize_grads(False)        # of a last residual, which feeds nothing
        sizes = (half, *x.shape, norm, *(0 if w is None else len(w) for w in (w1, w2)))
        y1, y2 = (None if w is None else x.new_empty(*x.shape[:2], len(w)) for w in (w1, w2))
        s, t = (x.new_empty(x.shape[:2]) if norm else None for _ in range(2))
        native.call("narrow_forward", sizes, (x, slope, gain, offset, w1, b1, _solid(past1), y1, w2, b2, _solid(past2), y2, s, t))
        ctx.save_for_backward(x, slope, gain, offset, w1, w2, s, t)
        ctx.sizes, ctx.passing = sizes, (past1 is not None, past2 is not None)
        return y1, y2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        x, slope, gain, offset, w1, w2, s, t = ctx.saved_tensors
        dy1, dy2 = map(_solid, grads)
        if dy1 is None and dy2 is None:
            return (None,) * 11
        dx, dslope, dgain, doffset = map(_like, (x, slope, gain, offset))
        dw1, dw2 = (None if dy is None else _like(w) for dy, w in ((dy1, w1), (dy2, w2)))
        db1, db2 = (None if dw is None else dw.new_empty(len(dw)) for dw in (dw1, dw2))
        native.call("narrow_backward", ctx.sizes, (x, slope, gain, offset, w1, dy1, w2, dy2, s, t,
                                                   dx, dslope, dgain, doffset, dw1, db1, dw2, db2))
        past1, past2 = (dy if passing else None for dy, passing in zip((dy1, dy2), ctx.passing, strict=True))
        return None, dx, dslope, dgain, doffset, dw1, db1, past1, dw2, db2, past2


class Widen(torch.autograd.Function):
    """depthwise(norm(prelu(W x + b))): [B, K, in] -> [B, K, H]."""

    @staticmethod
    def forward(ctx: Any, how: tuple[bool, int, int, int], x: Tensor, w: Tensor, b: Tensor, slope: Tensor, gain: Tensor,
                offset: Tensor, taps: Tensor, bias: Tensor) -> Tensor:
        (half, norm, dilation, past), x = how, x.contiguous()
        sizes = (half, *x.shape, len(w), norm, taps.shape[1], dilation, past)
        y, z = (x.new_empty(*x.shape[:2], len(w)) for _ in range(2))
        s, t = (x.new_empty(x.shape[:2]) for _ in range(2))
        native.call("widen_forward", sizes, (x, w, b, slope, gain, offset, taps, bias, y, s, t, z))
        ctx.save_for_backward(x, w, slope, gain, offset, taps, y, s, t)
        ctx.sizes = sizes
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, w, slope, gain, offset, taps, y, s, t = ctx.saved_tensors
        found = [torch.empty_like(one) for one in (x, w, gain, slope, gain, offset, taps, gain)]
        native.call("widen_backward", ctx.sizes, (x, w, slope, gain, offset, taps, y, s, t, grads[0].contiguous(),
                                                  torch.empty_like(y), *found))
        return None, *found


class Decode(torch.autograd.Function):
    """What each frame's filters play, masked: [B, K, C, N], [B, K, N], [N, L] -> [B, K, C, L]. Never in bfloat16."""

    @staticmethod
    def forward(ctx: Any, masks: Tensor, frames: Tensor, w: Tensor) -> Tensor:
        masks, frames = masks.contiguous(), frames.contiguous()
        signals = masks.new_empty(*masks.shape[:3], w.shape[1])
        ctx.sizes = (*masks.shape, w.shape[1])
        native.call("decode_forward", ctx.sizes, (masks, frames, w, signals))
        ctx.save_for_backward(masks, frames, w)
        return signals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        found = tuple(torch.empty_like(one) for one in ctx.saved_tensors)
        native.call("decode_backward", ctx.sizes, (*ctx.saved_tensors, grads[0].contiguous(), *found))
        return found


def _apply(function: Any, *arguments: Any) -> Any:
    return function.apply(*arguments)


def _solid(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _like(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else torch.empty_like(tensor)
