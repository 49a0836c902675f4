"""Conv-TasNet as drawn in arXiv 1809.07454v3, Figure 1: encoder, separator, decoder.

Read it from the top: the norm, a block, the separator, the network. Shapes are in the paper's letters:
B batch, T samples, K encoder frames, N encoder filters, C speakers; a block's own channels are B and H.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasnet_core.records import Variant


class GlobalNorm(nn.GroupNorm):
    """One mean and one variance over channels and time of each item (gLN, eq. 9): [B, channels, K]."""

    def __init__(self, channels: int):
        super().__init__(1, channels, eps=1e-8)

    def forward(self, x: Tensor) -> Tensor:
        # Not functional.group_norm: that one refuses a single channel of a single frame.
        return torch.group_norm(x, 1, self.weight, self.bias, self.eps)


# One entry per word of a Variant; the rest of the family is a line here and a word in records.py.
NORMS: dict[str, Callable[[int], nn.Module]] = {"global": GlobalNorm}
ENCODERS = {"linear": nn.Identity}
MASKS = {"sigmoid": nn.Sigmoid}


class Block(nn.Module):
    """One dilated block: widen to H, look along time for each channel alone, narrow to B and to Sc.

    `residual=False` leaves out the convolution back to B, for a last block that nothing follows;
    `Sc=0` leaves out the one to the skip path.
    """

    def __init__(self, B: int, H: int, Sc: int, P: int, dilation: int, norm: str, residual: bool = True):
        super().__init__()
        self.widen = nn.Conv1d(B, H, 1)
        self.prelu1 = nn.PReLU()
        self.norm1 = NORMS[norm](H)
        self.depthwise = nn.Conv1d(H, H, P, dilation=dilation, padding=dilation * (P - 1) // 2, groups=H)
        self.prelu2 = nn.PReLU()
        self.norm2 = NORMS[norm](H)
        self.residual = nn.Conv1d(H, B, 1) if residual else None
        self.skip = nn.Conv1d(H, Sc, 1) if Sc else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:       # [B, B, K]
        y = self.norm1(self.prelu1(self.widen(x)))                      # [B, H, K]
        y = self.norm2(self.prelu2(self.depthwise(y)))
        x = x if self.residual is None else x + self.residual(y)
        return x, None if self.skip is None else self.skip(y)           # [B, B, K], [B, Sc, K]


class Separator(nn.Module):
    """Frames to one mask per speaker: [B, N, K] -> [B, C, N, K]."""

    def __init__(self, variant: Variant):
        super().__init__()
        v = variant
        self.speakers = v.C
        self.norm = NORMS[v.norm](v.N)
        self.bottleneck = nn.Conv1d(v.N, v.B, 1)
        self.blocks = nn.ModuleList(
            Block(v.B, v.H, v.Sc, v.P, dilation=2**x, norm=v.norm,
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

    def forward(self, mixture: Tensor) -> Tensor:                       # [B, T]
        samples = mixture.shape[-1]
        # Zeros at the end until the last sample lies in a whole frame; cut off again below.
        covered = (frames_of(self.variant, samples) + 1) * self.variant.hop
        padded = F.pad(mixture, (0, covered - samples))
        frames = self.rectify(self.encoder(padded[:, None]))            # [B, N, K]
        masked = self.separator(frames) * frames[:, None]               # [B, C, N, K]
        signals: Tensor = self.decoder(masked.flatten(0, 1))            # [B·C, 1, T]
        return signals.view(len(mixture), self.variant.C, -1)[..., :samples]


def frames_of(variant: Variant, samples: int) -> int:
    """K, the encoder frames of a recording: the fewest that cover every sample, at least one."""
    return max(0, -(-(samples - variant.L) // variant.hop)) + 1


def seeded(variant: Variant, seed: int) -> ConvTasNet:
    """A fresh network whose weights depend on (variant, seed) alone; the caller's random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvTasNet(variant)
