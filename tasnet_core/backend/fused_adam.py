"""The update of a network's weights on a CPU: clipping and Adam, all tensors in one call each.

torch's own go from tensor to tensor, which for a small network takes as long as its gradients.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from tasnet_core.backend import build


def clip_gradients(parameters: Iterable[Tensor], most: float) -> None:
    """`nn.utils.clip_grad_norm_`: let the norm of all gradients be `most` or less."""
    weights = [weight for weight in parameters if weight.grad is not None]
    if not _compiled(weights):
        nn.utils.clip_grad_norm_(weights, most)
        return
    gradients = [weight.grad for weight in weights]
    _call("clip", gradients, [*gradients, torch.tensor([most], dtype=torch.float64)])


class Adam(torch.optim.Adam):
    """torch's, with the same state; for contiguous float32 on a CPU by the compiled layers."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Change all weights that have gradients; `closure` is not used."""
        group, = self.param_groups
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not _compiled(weights):
            super().step()
            return
        states = [self.state[weight] or self._begun(weight) for weight in weights]
        settings = [group["lr"], *group["betas"], group["eps"]]
        _call("adam", weights, [
            *weights, *(weight.grad for weight in weights),
            *(state[name] for name in ("exp_avg", "exp_avg_sq", "step") for state in states),
            torch.tensor(settings, dtype=torch.float64)])

    def _begun(self, weight: Tensor) -> dict[str, Tensor]:
        """The state of a weight before its first step."""
        state: dict[str, Tensor] = self.state[weight]
        state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(weight),
                  "exp_avg_sq": torch.zeros_like(weight)}
        return state


def _compiled(weights: list[Tensor]) -> bool:
    """Whether the compiled layers can change them."""
    return bool(weights) and not build.why_not() and all(
        weight.is_cpu and weight.dtype == torch.float32 and weight.is_contiguous()
        and weight.grad.is_contiguous()        # type: ignore[union-attr]
        for weight in weights)


def _call(name: str, tensors: list[Any], given: list[Any]) -> None:
    build.call(name, [len(tensors), *(tensor.numel() for tensor in tensors)], given)
