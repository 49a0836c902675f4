"""The loss and its gradient in one pass, where network/loss.py, the definition, has dozens."""

from collections import namedtuple
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tasnet_core.backend import build
from tasnet_core.network import loss

MOST_SPEAKERS = 5       # of more the definition chooses among all their orders at once

# The arguments of the function of waveforms.h, which sets their order.
LossSizes = namedtuple("LossSizes", "items speakers samples")
Loss = namedtuple("Loss", "reference estimate valid loss gradient")


def pit_loss(reference: Tensor, estimate: Tensor, valid: Tensor | None = None) -> Tensor:
    """`loss.pit_loss`, and on a CPU by the compiled layers where those are: [B, C, T] x 2 -> [].

    No gradient goes to the reference there.
    """
    if not _fit(reference, estimate, valid) or build.why_not():
        return loss.pit_loss(reference, estimate, valid)
    function: Any = PitLoss
    found: Tensor = function.apply(reference, estimate, valid)
    return found


class PitLoss(torch.autograd.Function):
    """Loss and gradient are found together, so the backward pass is one product."""

    @staticmethod
    def forward(ctx: Any, reference: Tensor, estimate: Tensor, valid: Tensor | None) -> Tensor:
        estimate, sizes = estimate.contiguous(), LossSizes(*estimate.shape)
        value, gradient = estimate.new_empty(()), torch.empty_like(estimate)
        build.call("pit_loss", sizes, Loss(
            reference.contiguous(), estimate, valid if valid is None else valid.contiguous(),
            value, gradient))
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradient, = ctx.saved_tensors
        return None, gradient * grads[0], None


def _fit(reference: Tensor, estimate: Tensor, valid: Tensor | None) -> bool:
    """Whether the compiled function can read them; the definition refuses what is wrong."""
    given = [reference, estimate] if valid is None else [reference, estimate, valid[:, None]]
    return (reference.shape == estimate.shape and estimate.dim() == 3
            and estimate.shape[1] <= MOST_SPEAKERS
            and all(one.is_cpu and one.dtype == estimate.dtype for one in given)
            and all(one.shape[::2] == estimate.shape[::2] for one in given)
            and estimate.dtype in (torch.float32, torch.float64))
