"""A causal network on audio as it arrives: the output of the whole file, chunk by chunk.

Sample t of the output is finished by the last frame that holds it, the one that starts at
⌊t/hop⌋·hop and is L samples long. Nothing later reaches it, so it is finished once sample
⌊t/hop⌋·hop + L − 1 has arrived, at most L − 1 samples after t itself: with the sample t counted,
the latency is L samples (2 ms at L=16 and 8000 Hz).

Only what looks back in time must remember: each depthwise convolution its last frames of input,
each cumulative norm its sums, the decoder the half frame that the next one is added to. Everything
else is the network's own code.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasnet_core.errors import UserError
from tasnet_core.network.model import (
    ConvTasNet,
    CumulativeNorm,
    CumulativeState,
    Depthwise,
    frames_of,
)


class _Past(nn.Module):
    """A causal depthwise convolution with the last frames in place of zeros."""

    def __init__(self, layer: Depthwise):
        super().__init__()
        self.layer = layer
        self.past: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        past = x.new_zeros(*x.shape[:2], self.layer.past) if self.past is None else self.past
        x = torch.cat((past, x), -1)
        self.past = x[..., x.shape[-1] - self.layer.past:].clone()
        return F.conv1d(
            x, self.layer.weight, self.layer.bias, dilation=self.layer.dilation,
            groups=self.layer.groups)


class _Sums(nn.Module):
    """A cumulative norm that goes on from the frames it was given before."""

    def __init__(self, layer: CumulativeNorm):
        super().__init__()
        self.layer = layer
        self.past: CumulativeState | None = None

    def forward(self, x: Tensor) -> Tensor:
        y, self.past = self.layer.step(x, self.past)
        return y


_REMEMBERING = {Depthwise: _Past, CumulativeNorm: _Sums}


class Stream:
    """`Stream(network)(chunk[B, T]) -> [B, C, T']`: what is finished; `finish()` returns the rest.

    All outputs one after the other are the output of the network for all chunks one after the
    other: the same numbers up to the order of additions. The stream works on a copy of the network
    in evaluation mode.

    Raises:
        UserError: when the network is not causal; on calling, when a chunk is no [B, T] or of
            another B than the first.
    """

    def __init__(self, network: ConvTasNet):
        self.variant = network.variant
        if not self.variant.causal:
            raise UserError(
                "Stream: this network has causal=False, so every frame waits for later ones; "
                "wanted one trained with causal=true norm=cumulative")
        self._network = copy.deepcopy(network).eval()
        for name, layer in list(self._network.named_modules()):
            if type(layer) in _REMEMBERING:
                self._network.set_submodule(name, _REMEMBERING[type(layer)](layer))
        self._restart()

    @property
    def latency_samples(self) -> int:
        """Samples needed from a sample on, itself included, before its output is finished: L."""
        return self.variant.L

    @property
    def latency_ms(self) -> float:
        """The same in milliseconds of audio; the time to compute a frame comes on top."""
        return 1000 * self.latency_samples / self.variant.sample_rate_hz

    def _restart(self) -> None:
        self._waiting: Tensor | None = None  # [B, < L]: samples no whole frame holds yet
        self._half: Tensor | None = None  # [B, C, hop]: of the last frame, to be added to the next
        self._arrived = self._finished = 0           # samples
        for layer in self._network.modules():
            if isinstance(layer, _Past | _Sums):
                layer.past = None

    @torch.no_grad()
    def __call__(self, chunk: Tensor) -> Tensor:
        if chunk.dim() != 2 or (self._waiting is not None and len(self._waiting) != len(chunk)):
            known = "B" if self._waiting is None else len(self._waiting)
            raise UserError(f"Stream: a chunk of shape {tuple(chunk.shape)}; wanted [{known}, T]")
        self._arrived += chunk.shape[-1]
        waiting = chunk if self._waiting is None else torch.cat((self._waiting, chunk), -1)
        frames = max(0, (waiting.shape[-1] - self.variant.L) // self.variant.hop + 1)
        # The caller may write over the chunk.
        self._waiting = waiting[:, frames * self.variant.hop:].clone()
        if not frames:
            return chunk.new_zeros(len(chunk), self.variant.C, 0)
        signals = self._network.whole_frames(waiting[:, :(frames + 1) * self.variant.hop])
        if self._half is not None:
            signals[..., :self.variant.hop] += self._half
        self._half = signals[..., -self.variant.hop:].clone()
        self._finished += frames * self.variant.hop
        return signals[..., :-self.variant.hop]

    def finish(self) -> Tensor:
        """The end of the recording: what is still to come, [B, C, the rest].

        The next chunk begins a new recording.
        """
        if self._waiting is None or not self._arrived:
            batch = 1 if self._waiting is None else len(self._waiting)
            self._restart()
            return torch.zeros(batch, self.variant.C, 0)
        arrived, finished = self._arrived, self._finished
        # As the whole-file pass pads.
        zeros = (frames_of(self.variant, arrived) + 1) * self.variant.hop - arrived
        last = self(self._waiting.new_zeros(len(self._waiting), zeros))
        # One frame at least.
        assert self._half is not None
        rest = torch.cat((last, self._half), -1)[..., :arrived - finished]
        self._restart()
        return rest
