"""Muon: steps whose change of each matrix has singular values of about the same size.

Adam changes a weight by the history of that weight alone; a matrix then moves mostly along the few
directions that its gradients share. Muon makes the mean gradient orthogonal, so that all directions
learn at once (K. Jordan et al. 2024, kellerjordan.github.io/posts/muon). Its change has the root
mean square that Adam's usually has (J. Liu et al. 2025, arXiv 2502.16982, eq. 4), so both go by one
learning rate. What it gains on real speech: benchmarks/RESULTS.md.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tasnet_core.backend.fused_adam import Adam

MOMENTUM = 0.95
RMS = 0.2       # of Adam's changes, over the learning rate
STEPS = 5       # of the iteration
# Of the polynomial a s + b s³ + c s⁵: it takes singular values s from 0.002 on to 0.7 … 1.2.
POLYNOMIAL = (3.4445, -4.7750, 2.0315)


def orthogonal(matrices: Tensor) -> Tensor:
    """Nearly U V^T of each matrix U S V^T by a Newton-Schulz iteration: [n, r, c] -> [n, r, c]."""
    a, b, c = POLYNOMIAL
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        square = x @ x.mT
        square = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, square, x, beta=a)
    return x.mT if tall else x


def is_matrix(weight: Tensor) -> bool:
    """Whether it is that of a 1×1 convolution, [out, in, 1], and more than a row or column."""
    return weight.dim() == 3 and weight.shape[2] == 1 and min(weight.shape[:2]) > 1


class Muon(Adam):
    """Muon for the 1×1 convolutions of a network, and Adam for all other weights."""

    def __init__(self, *given: Any, **how: Any):
        super().__init__(*given, **how)
        self.by_shape: dict[torch.Size, list[Tensor]] = {}     # those of a shape are one product
        for weight in filter(is_matrix, self.param_groups[0]["params"]):
            self.by_shape.setdefault(weight.shape, []).append(weight)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Change all weights by their gradients; `closure` is not used."""
        gradients = {weight: weight.grad for weights in self.by_shape.values() for weight in weights
                     if weight.grad is not None}
        for weight in gradients:
            weight.grad = None      # which Adam leaves alone
        super().step()
        for weight, gradient in gradients.items():
            weight.grad = gradient
            self._momentum(weight).lerp_(gradient, 1 - MOMENTUM)
        rate = self.param_groups[0]["lr"]
        for shape, weights in self.by_shape.items():
            some = [weight for weight in weights if weight in gradients]
            if not some:
                continue
            ahead = torch.stack([gradients[weight].lerp(self._momentum(weight), MOMENTUM)
                                 for weight in some])            # Nesterov's: [n, out, in, 1]
            changes = orthogonal(ahead.squeeze(-1)).mul_(rate * RMS * max(shape) ** 0.5)
            for weight, change in zip(some, changes, strict=True):
                weight.sub_(change[..., None])

    def _momentum(self, weight: Tensor) -> Tensor:
        """The mean gradient, kept under the names that Adam has: checkpoints know no others."""
        state = self.state[weight]
        if not state:
            nothing = torch.zeros((), device=weight.device)
            state |= {"step": nothing, "exp_avg": torch.zeros_like(weight),
                      "exp_avg_sq": nothing.clone()}
        momentum: Tensor = state["exp_avg"]
        return momentum
