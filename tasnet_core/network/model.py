"""Conv-TasNet, arXiv 1809.07454v3, Figure 1: encoder, separator, decoder, for every Variant.

Read it from the top: the norms, the tables, a block, the separator, the network. Shapes are in the
paper's letters: B batch, T samples, K encoder frames, N encoder filters, C speakers; a block's own
channels are B and H.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasnet_core.records import Variant

EPS = 1e-8


class GlobalNorm(nn.GroupNorm):
    """Mean and variance over channels and time of each item (gLN, eq. 9): [B, channels, K]."""

    def __init__(self, channels: int):
        super().__init__(1, channels, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        # Not functional.group_norm: that one refuses a single channel of a single frame.
        return torch.group_norm(x, 1, self.weight, self.bias, self.eps)


class FrameNorm(nn.Module):
    """One mean and one variance per frame, over its channels (channel-wise): [B, channels, K]."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(1, keepdim=True)
        x = x * (x.square().mean(1, keepdim=True) + EPS).rsqrt()
        return x * self.weight[:, None] + self.bias[:, None]


def _wide(x: Tensor) -> Tensor:
    """In float64; that of Apple's GPU, which has none, on the CPU."""
    return (x.cpu() if x.is_mps else x).double()


class CumulativeState(NamedTuple):
    """Running sums of a cumulative norm over all frames so far; float64, [B, 1, 1] each."""

    frames: int
    start: Tensor       # mean of the very first frame, from which the others' means are measured
    means: Tensor       # sum of them
    squares: Tensor     # sum of their squares
    within: Tensor      # sum of the frames' own variances


class CumulativeNorm(FrameNorm):
    """Mean and variance over every frame up to this one (cLN, eq. 10): [B, channels, K].

    The textbook's E[x²] − E[x]² loses everything to rounding, and goes below zero, once the mean is
    large against the spread. The same variance from parts that cannot: the mean of the frames' own
    variances, plus the variance of the frames' means, with those measured from the first one and
    summed in float64.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x, None)[0]

    def step(self, x: Tensor,
             state: CumulativeState | None) -> tuple[Tensor, CumulativeState]:
        """The norm of frames that follow those in `state`, and the state behind them."""
        mean = x.mean(1, keepdim=True)                                                  # [B, 1, K]
        within = _wide((x - mean).square().mean(1, keepdim=True))
        mean = _wide(mean)
        zero = torch.zeros_like(mean[..., :1])
        past = state or CumulativeState(0, mean[..., :1].detach(), zero, zero, zero)
        means = (mean - past.start).cumsum(-1) + past.means
        squares = (mean - past.start).square().cumsum(-1) + past.squares
        within = within.cumsum(-1) + past.within
        frames = past.frames + x.shape[-1]
        count = torch.arange(past.frames + 1, frames + 1, dtype=torch.float64, device=mean.device)
        between = (squares / count - (means / count).square()).clamp(min=0)
        spread = (within / count + between + EPS).rsqrt().to(x)
        x = (x - (past.start + means / count).to(x)) * spread
        state = CumulativeState(
            frames, past.start, means[..., -1:], squares[..., -1:], within[..., -1:])
        return x * self.weight[:, None] + self.bias[:, None], state


# What each value of a Variant's fields builds. Batch norm keeps torch's own eps of 1e-5, with which
# everybody else trains it; in training it covers the whole batch, in evaluation it is two fixed
# numbers per channel, so a causal network may use it.
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "global": GlobalNorm, "cumulative": CumulativeNorm, "frame": FrameNorm,
    "batch": nn.BatchNorm1d}
ENCODERS: dict[str, Callable[[], nn.Module]] = {"linear": nn.Identity, "relu": nn.ReLU}
MASKS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid, "relu": nn.ReLU,
    "softmax": lambda: nn.Softmax(dim=1)}       # of [B, C, N, K]: over C


def mirrored(x: Tensor, frames: int) -> Tensor:
    """So many frames more on both sides, mirrored at the ends: [..., K] -> [..., K + 2 frames].

    As functional.pad with mode="reflect", and for every K >= 1: mirrored again where K is short.
    """
    last = x.shape[-1] - 1
    places = torch.arange(-frames, last + frames + 1, device=x.device).abs()
    # A tensor: ONNX knows no remainder by a length that is still open.
    places = places % torch.full_like(places[:1], torch.sym_max(2 * last, 1))
    return x[..., torch.minimum(places, 2 * last - places)]


class Depthwise(nn.Conv1d):
    """Every channel alone, along time: [B, H, K] -> [B, H, K].

    Zeros around; if causal, all of them in front; if `reflect`, mirrored frames around. `past` and
    `padding` count the frames seen behind the present one and ahead of it.
    """

    def __init__(
            self, channels: int, P: int, dilation: int, causal: bool, reflect: bool = False):
        reach = dilation * (P - 1)
        ahead = 0 if causal else reach // 2
        super().__init__(channels, channels, P, dilation=dilation, groups=channels, padding=ahead)
        self.past = reach - ahead
        self.front = reach - 2 * ahead
        self.reflect = reflect

    def forward(self, x: Tensor) -> Tensor:
        if self.reflect:
            return F.conv1d(
                mirrored(x, self.past), self.weight, self.bias, dilation=self.dilation,
                groups=self.groups)
        return super().forward(F.pad(x, (self.front, 0)) if self.front else x)


class Block(nn.Module):
    """One dilated block: widen to H, look along time for each channel alone, narrow to B and to Sc.

    `residual=False` leaves out the convolution back to B, for a last block that nothing follows;
    `Sc=0` leaves out the one to the skip path. `extra` puts a second depthwise convolution behind
    the first, that many times further apart, so that few blocks reach as far as many.
    """

    def __init__(self, B: int, H: int, Sc: int, P: int, dilation: int, norm: str,
                 residual: bool = True, causal: bool = False, dropout: float = 0.0,
                 extra: int = 0, reflect: bool = False):
        super().__init__()
        self.widen = nn.Conv1d(B, H, 1)
        self.prelu1 = nn.PReLU()
        self.norm1 = NORMS[norm](H)
        self.depthwise = Depthwise(H, P, dilation, causal, reflect)
        self.extra = Depthwise(H, P, extra * dilation, causal, reflect) if extra else None
        self.prelu2 = nn.PReLU()
        self.norm2 = NORMS[norm](H)
        self.dropout = nn.Dropout(dropout)
        self.residual = nn.Conv1d(H, B, 1) if residual else None
        self.skip = nn.Conv1d(H, Sc, 1) if Sc else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:       # [B, B, K]
        y = self.norm1(self.prelu1(self.widen(x)))                      # [B, H, K]
        y = self.depthwise(y)
        y = y if self.extra is None else self.extra(y)
        y = self.dropout(self.norm2(self.prelu2(y)))
        x = x if self.residual is None else x + self.residual(y)
        return x, None if self.skip is None else self.skip(y)           # [B, B, K], [B, Sc, K]


class Separator(nn.Module):
    """Frames to one mask per speaker: [B, N, K] -> [B, C, N, K]."""

    def __init__(self, variant: Variant):
        super().__init__()
        v = variant
        self.speakers = v.C
        self.norm = NORMS[v.input_norm or v.norm](v.N)
        self.bottleneck = nn.Conv1d(v.N, v.B, 1)
        self.blocks = nn.ModuleList(
            Block(v.B, v.H, v.Sc, v.P, dilation=2**x, norm=v.norm, causal=v.causal,
                  dropout=v.dropout, extra=v.extra_dilation, reflect=v.padding_mode == "reflect",
                  residual=v.has_last_residual or (r, x) != (v.R - 1, v.X - 1))
            for r in range(v.R) for x in range(v.X))
        self.prelu = nn.PReLU()
        self.to_masks = nn.Conv1d(v.Sc or v.B, v.C * v.N, 1)
        self.mask = MASKS[v.mask]()

    def forward(self, frames: Tensor) -> Tensor:                        # [B, N, K]
        x = self.bottleneck(self.norm(frames))                          # [B, B, K]
        skips = None
        for block in self.blocks:
            x, skip = block(x)
            skips = skip if skips is None else skips + skip
        y = self.to_masks(self.prelu(x if skips is None else skips))    # [B, C·N, K]
        masks: Tensor = self.mask(y.unflatten(1, (self.speakers, -1)))  # [B, C, N, K]
        return masks


class ConvTasNet(nn.Module):
    """The network of a variant: a mixture in, one signal of the same length per speaker out.

    `ConvTasNet(variant)(mixture[B, T]) -> [B, C, T]` for every T >= 1.
    """

    def __init__(self, variant: Variant):
        super().__init__()
        v = self.variant = variant
        self.encoder = nn.Conv1d(1, v.N, v.L, stride=v.hop, bias=False)
        self.rectify = ENCODERS[v.encoder]()
        self.separator = Separator(v)
        self.decoder = nn.ConvTranspose1d(v.N, 1, v.L, stride=v.hop, bias=False)
        # A faster forward pass in place of the plain one, such as backend.fused has it.
        self.compute: Callable[[ConvTasNet, Tensor], Tensor] | None = None

    def forward(self, mixture: Tensor) -> Tensor:                       # [B, T] -> [B, C, T]
        return self.plain(mixture) if self.compute is None else self.compute(self, mixture)

    def plain(self, mixture: Tensor) -> Tensor:                         # [B, T]
        """The forward pass by the layers of this file, which are the definition."""
        front, behind = zeros_around(self.variant, mixture.shape[-1])
        signals = self.whole_frames(F.pad(mixture, (front, behind)))
        return signals[..., front:signals.shape[-1] - behind]

    def whole_frames(self, mixture: Tensor) -> Tensor:
        """The forward pass of a mixture that ends with a whole frame."""
        frames = self.rectify(self.encoder(mixture[:, None]))           # [B, N, K]
        masked = self.separator(frames) * frames[:, None]               # [B, C, N, K]
        signals: Tensor = self.decoder(masked.flatten(0, 1))            # [B·C, 1, T]
        return signals.reshape(-1, self.variant.C, signals.shape[-1])


def frames_of(variant: Variant, samples: int) -> int:
    """K, the encoder frames of a recording: the fewest that cover every sample, at least one.

    With `encoder_padding` every sample is in two of them, at the ends with zeros.
    """
    if variant.encoder_padding:
        return -(-samples // variant.hop) + 1
    return max(0, -(-(samples - variant.L) // variant.hop)) + 1


def zeros_around(variant: Variant, samples: int) -> tuple[int, int]:
    """Zeros before and after a recording, until its last sample lies in a whole frame."""
    front = variant.hop if variant.encoder_padding else 0
    return front, (frames_of(variant, samples) + 1) * variant.hop - front - samples


_CHANCE = Lock()        # torch's random state belongs to the whole process, whichever thread asks


@contextmanager
def chance(seed: int, devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Let torch draw by the seed alone, on these devices too; the caller's random state stays.

    Threads wait for each other.
    """
    with _CHANCE, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def seeded(variant: Variant, seed: int) -> ConvTasNet:
    """A fresh network whose weights depend on (variant, seed) alone."""
    with chance(seed):
        return ConvTasNet(variant)


def unfilled(variant: Variant, device: str = "cpu") -> ConvTasNet:
    """A network all of whose weights are still to be loaded; on "meta" it takes no memory.

    No chance is drawn: in another thread it would be taken from what `seeded` draws.
    """
    with torch.device("meta"):
        network = ConvTasNet(variant)
    return network if device == "meta" else network.to_empty(device=device)
