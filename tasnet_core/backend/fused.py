"""The compiled layers of a network on a CPU: the same numbers in fewer passes over memory.

network/model.py is the definition. `speed_up` lets a network compute by the functions of
kernels.cpp, forward and backward, with signals as [B, K, channels]. Where there is no compiler, or
the variant has what they lack, the plain layers go on.

The records from `NarrowSizes` to `DecodeBackward` are the arguments of those functions. The C++
sets their order; a test compares it with the fields here.
"""

from collections import namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tasnet_core.backend import build
from tasnet_core.network.model import ConvTasNet, frames_of, zeros_around
from tasnet_core.records import Variant

# The numbers of the enums in kernels.h and kernels.cpp.
NO_NORM = 0
NORMS = {"global": 1, "cumulative": 2, "frame": 3}
MASKS = {"softmax": 0, "sigmoid": 1, "relu": 2}         # 0: as they are

Weight = Tensor | None      # None: of a layer that is not there
Record = TypeVar("Record", bound=tuple[Any, ...])


NarrowSizes = namedtuple("NarrowSizes", "half items frames channels norm out")
BlockSizes = namedtuple(
    "BlockSizes", "half items frames width channels norm taps dilation past out skip first")
EncodeSizes = namedtuple("EncodeSizes", "items frames samples front filters length rectify")
DecodeSizes = namedtuple("DecodeSizes", "items frames samples front speakers filters length mask")
BlockWeights = namedtuple(
    "BlockWeights", "widen widen_bias slope1 gain1 offset1 depthwise depthwise_bias "
    "slope2 gain2 offset2 residual residual_bias skip skip_bias")
NarrowForward = namedtuple("NarrowForward", "x slope gain offset w b y s t")
NarrowBackward = namedtuple(
    "NarrowBackward", "x slope gain offset w s t dy dx dslope dgain doffset dw db")
BlockForward = namedtuple("BlockForward", "x weights y z s1 t1 s2 t2 after skips")
BlockBackward = namedtuple("BlockBackward", "x weights y z s1 t1 s2 t2 dx dskips dz gradients")
EncodeForward = namedtuple("EncodeForward", "mixture w y")
EncodeBackward = namedtuple("EncodeBackward", "mixture y dy dw")
DecodeForward = namedtuple("DecodeForward", "x encoded w signals")
DecodeBackward = namedtuple("DecodeBackward", "x encoded w dsignals dx dencoded dw")


def supports(variant: Variant) -> bool:
    """Whether the compiled layers can compute a variant."""
    norms = {variant.norm, variant.input_norm or variant.norm}
    plain = variant.dropout or variant.extra_dilation or variant.padding_mode != "zeros"
    return norms <= NORMS.keys() and not plain


def speed_up(network: ConvTasNet, precision: str = "float32") -> ConvTasNet:
    """Let a network compute by the compiled layers where they can; returns the network.

    With precision "bf16" factors of matrix products are rounded to bfloat16, in the plain layers by
    autocast. Norms, sums, weights and their gradients stay float32.
    """
    half = precision == "bf16"
    compiled = supports(network.variant) and not build.why_not()
    network.compute = Compute(half, compiled) if half or compiled else None
    return network


@dataclass(frozen=True)
class Compute:
    """The forward pass of a network by other layers than its own. It keeps no network alive."""

    half: bool
    compiled: bool

    def __call__(self, network: ConvTasNet, mixture: Tensor) -> Tensor:     # [B, T] -> [B, C, T]
        # What is no batch of signals in the weights' type the plain layers refuse.
        usual = mixture.dim() == 2 and mixture.dtype == network.encoder.weight.dtype
        if self.compiled and usual and mixture.is_cpu and not mixture.requires_grad:
            return _forward(network, self.half, mixture)
        if not self.half:
            return network.plain(mixture)
        with torch.autocast(mixture.device.type, torch.bfloat16):
            signals = network.plain(mixture)
        return signals.float()


def _forward(network: ConvTasNet, half: bool, mixture: Tensor) -> Tensor:
    v, separator = network.variant, network.separator
    samples = mixture.shape[-1]                                                 # [B, T]
    where = Where(samples, zeros_around(v, samples)[0])
    frames = _apply(Encode, where, frames_of(v, samples), v.encoder == "relu", mixture,
                    network.encoder.weight)                                     # [B, K, N]
    norm: Any = separator.norm
    x = _narrow((half, NORMS[v.input_norm or v.norm]), frames, None, norm.weight, norm.bias,
                separator.bottleneck)                                           # [B, K, B]
    weights = [weight for block in separator.blocks for weight in _weights_of(block)]
    x = _apply(Blocks, Plan.of(network, half), x, *weights)                     # [B, K, Sc or B]
    masks = _narrow((half, NO_NORM), x, separator.prelu.weight, None, None, separator.to_masks)
    masks = masks.unflatten(-1, (v.C, v.N))                                     # [B, K, C, N]
    masks = masks.softmax(2) if v.mask == "softmax" else masks
    signals: Tensor = _apply(Decode, where, MASKS[v.mask], masks, frames, network.decoder.weight)
    return signals                                                              # [B, C, T]


def _narrow(how: tuple[bool, int], x: Tensor, slope: Weight, gain: Weight, offset: Weight,
            conv: torch.nn.Conv1d) -> Tensor:
    found: Tensor = _apply(Narrow, how, x, slope, gain, offset, conv.weight, conv.bias)
    return found


class Where(NamedTuple):
    """Where the frames of a signal lie."""

    samples: int
    front: int          # zeros in front of it, in the first frame


class Encode(torch.autograd.Function):
    """The encoder: [B, T], [N, 1, L] -> [B, K, N]; no gradient of the mixture, no bfloat16."""

    @staticmethod
    def forward(ctx: Any, where: Where, frames: int, rectify: bool, mixture: Tensor,
                w: Tensor) -> Tensor:
        mixture, (filters, _, length) = mixture.contiguous(), w.shape
        y = mixture.new_empty(len(mixture), frames, filters)
        ctx.sizes = EncodeSizes(len(mixture), frames, *where, filters, length, rectify)
        build.call("encode_forward", ctx.sizes, EncodeForward(mixture, w, y))
        ctx.save_for_backward(mixture, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Weight, ...]:
        mixture, y = ctx.saved_tensors
        dw = y.new_empty(ctx.sizes.filters, 1, ctx.sizes.length)
        build.call("encode_backward", ctx.sizes,
                   EncodeBackward(mixture, y, grads[0].contiguous(), dw))
        return None, None, None, None, dw


class Narrow(torch.autograd.Function):
    """PReLU, norm and 1×1 convolution, W norm(prelu(x)) + b: [B, K, in] -> [B, K, out].

    `how` is whether products are in bfloat16, and the norm's number.
    """

    @staticmethod
    def forward(ctx: Any, how: tuple[bool, int], x: Tensor, slope: Weight, gain: Weight,
                offset: Weight, w: Tensor, b: Tensor) -> Tensor:
        half, norm = how
        x = x.contiguous()
        items, frames, channels = x.shape
        sizes = NarrowSizes(half, items, frames, channels, norm, out=len(w))
        y = x.new_empty(items, frames, len(w))
        s, t = (x.new_empty(items, frames) if norm else None for _ in range(2))
        build.call("narrow_forward", sizes, NarrowForward(x, slope, gain, offset, w, b, y, s, t))
        ctx.save_for_backward(x, slope, gain, offset, w, s, t)
        ctx.sizes = sizes
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Weight, ...]:
        x, slope, gain, offset, w, s, t = ctx.saved_tensors
        given = NarrowBackward(
            x, slope, gain, offset, w, s, t, dy=grads[0].contiguous(), dx=torch.empty_like(x),
            dslope=_zeros(slope), dgain=_zeros(gain), doffset=_zeros(offset),
            dw=torch.zeros_like(w), db=w.new_zeros(len(w)))
        build.call("narrow_backward", ctx.sizes, given)
        return None, given.dx, given.dslope, given.dgain, given.doffset, given.dw, given.db


def _weights_of(block: Any) -> BlockWeights:
    """The weights of a block; None for those of a layer that is not there."""
    residual, skip = block.residual, block.skip
    return BlockWeights(
        block.widen.weight, block.widen.bias,
        block.prelu1.weight, block.norm1.weight, block.norm1.bias,
        block.depthwise.weight, block.depthwise.bias,
        block.prelu2.weight, block.norm2.weight, block.norm2.bias,
        residual and residual.weight, residual and residual.bias,
        skip and skip.weight, skip and skip.bias)


class Reach(NamedTuple):
    """What a block's depthwise convolution sees."""

    dilation: int
    past: int           # frames behind the present one


class Plan(NamedTuple):
    """What the blocks of a separator are, beside their weights."""

    half: bool
    norm: int
    reaches: tuple[Reach, ...]
    skips: bool         # whether the sum of the skip paths goes on, or else the last residual

    @classmethod
    def of(cls, network: ConvTasNet, half: bool) -> "Plan":
        layers: list[Any] = [block.depthwise for block in network.separator.blocks]
        reaches = tuple(Reach(layer.dilation[0], layer.past) for layer in layers)
        return cls(half, NORMS[network.variant.norm], reaches, network.variant.Sc > 0)

    def blocks(self, x: Tensor,
               weights: Sequence[Weight]) -> Iterator[tuple[BlockSizes, BlockWeights]]:
        """Sizes and weights of each block, from the weights of all of them in order."""
        items, frames, width = x.shape
        each = _in_records(BlockWeights, weights)
        for number, (reach, block) in enumerate(zip(self.reaches, each, strict=True), 1):
            feeds_nothing = self.skips and number == len(self.reaches)
            yield BlockSizes(
                self.half, items, frames, width=width, channels=len(block.widen), norm=self.norm,
                taps=block.depthwise.shape[-1], dilation=reach.dilation, past=reach.past,
                out=0 if block.residual is None or feeds_nothing else width,
                skip=0 if block.skip is None else len(block.skip), first=number == 1), block


class Kept(NamedTuple):
    """What the backward pass of a block needs beside its weights."""

    x: Tensor           # [B, K, B]
    y: Tensor           # [B, K, H]
    z: Tensor           # [B, K, H]
    scales: Tensor      # [4, B, K]: s1, t1, s2, t2


class Blocks(torch.autograd.Function):
    """All blocks of a separator: [B, K, B] -> [B, K, Sc], or [B, K, B] without skip paths.

    One function, so that the sum of the skip paths, and that of the gradients of x, is one signal
    which all add to.
    """

    @staticmethod
    def forward(ctx: Any, plan: Plan, x: Tensor, *weights: Weight) -> Tensor:
        x, training, skips = x.contiguous(), any(ctx.needs_input_grad), None
        kept: list[Tensor] = []
        for sizes, block in plan.blocks(x, weights):
            signal = (sizes.items, sizes.frames)
            if sizes.first or training:         # else blocks share the room for their signals
                y, z = x.new_empty(*signal, sizes.channels), x.new_empty(*signal, sizes.channels)
                scales = x.new_empty(4, *signal)
            if sizes.first and sizes.skip:
                skips = x.new_empty(*signal, sizes.skip)
            after = torch.empty_like(x) if sizes.out else None
            s1, t1, s2, t2 = scales
            build.call("block_forward", sizes,
                       BlockForward(x, block, y, z, s1, t1, s2, t2, after, skips))
            if training:
                kept += Kept(x, y, z, scales)
            x = x if after is None else after
        ctx.plan = plan
        ctx.save_for_backward(*weights, *kept)
        return x if skips is None else skips

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Weight, ...]:
        plan: Plan = ctx.plan
        count = len(BlockWeights._fields) * len(plan.reaches)
        weights = ctx.saved_tensors[:count]
        kept = list(_in_records(Kept, ctx.saved_tensors[count:]))
        dskips = grads[0].contiguous() if plan.skips else None
        dx = torch.empty_like(kept[0].x) if plan.skips else \
            grads[0].clone(memory_format=torch.contiguous_format)
        dz = torch.empty_like(kept[0].z)
        found: list[Weight] = []
        blocks = list(plan.blocks(kept[0].x, weights))
        for (sizes, block), (x, y, z, scales) in zip(reversed(blocks), reversed(kept), strict=True):
            gradients = BlockWeights(*map(_zeros, block))
            if not sizes.out:
                gradients = gradients._replace(residual=None, residual_bias=None)
            s1, t1, s2, t2 = scales
            build.call("block_backward", sizes, BlockBackward(
                x, block, y, z, s1, t1, s2, t2, dx, dskips, dz, gradients))
            found = [*gradients, *found]
        return None, dx, *found


class Decode(torch.autograd.Function):
    """Masks on frames, decoder and overlap-add: [B, K, C, N], [B, K, N], [N, 1, L] -> [B, C, T].

    Never in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, where: Where, mask: int, x: Tensor, encoded: Tensor,
                w: Tensor) -> Tensor:
        x, encoded = x.contiguous(), encoded.contiguous()
        items, frames, speakers, filters = x.shape
        signals = x.new_empty(items, speakers, where.samples)
        ctx.sizes = DecodeSizes(items, frames, *where, speakers, filters, w.shape[-1], mask)
        build.call("decode_forward", ctx.sizes, DecodeForward(x, encoded, w, signals))
        ctx.save_for_backward(x, encoded, w)
        return signals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Weight, ...]:
        x, encoded, w = ctx.saved_tensors
        given = DecodeBackward(
            x, encoded, w, dsignals=grads[0].contiguous(), dx=torch.empty_like(x),
            dencoded=torch.empty_like(encoded), dw=torch.empty_like(w))
        build.call("decode_backward", ctx.sizes, given)
        return None, None, given.dx, given.dencoded, given.dw


def _apply(function: Any, *arguments: Any) -> Any:
    return function.apply(*arguments)


def _in_records(record: type[Record], values: Sequence[Any]) -> Iterator[Record]:
    """Records of so many values each."""
    size = len(record._fields)      # type: ignore[attr-defined]
    return (record(*values[start:start + size]) for start in range(0, len(values), size))


def _zeros(tensor: Weight) -> Weight:
    return None if tensor is None else torch.zeros_like(tensor)
