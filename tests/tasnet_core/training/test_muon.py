from dataclasses import replace

import pytest
import torch
from torch import nn

from tasnet_core.checkpoints import checkpoint
from tasnet_core.errors import CheckpointError
from tasnet_core.network.model import seeded
from tasnet_core.training.muon import Muon, is_matrix, orthogonal
from tasnet_core.training.trainer import Paused, train
from tests.support.tiny import RECIPE, TINY, Tiny

MUON = replace(RECIPE, optimizer="muon")


@pytest.mark.parametrize("shape", [(3, 8, 20), (3, 20, 8), (1, 16, 16)])
def test_the_singular_values_become_about_1_and_the_singular_vectors_stay(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    found = u.mT @ orthogonal(matrices) @ v.mT        # diagonal where the singular vectors are the same
    values = found.diagonal(dim1=1, dim2=2)
    assert (found - values.diag_embed()).abs().max() < 1e-10
    large = s > 0.01 * s.norm(dim=1, keepdim=True)
    assert values[large].min() > 0.65
    assert values.max() < 1.25


def test_a_step_is_that_of_torchs_muon_for_matrices_and_that_of_adam_for_the_rest():
    """torch's rounds to bfloat16, to 0.4 %, in each of 15 products."""
    torch_muon = pytest.importorskip("torch.optim", reason="torch before 2.9 has none").Muon
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Conv1d(12, 30, 1), nn.Conv1d(12, 30, 1), nn.Conv1d(30, 12, 1), nn.Conv1d(30, 30, 3, groups=30)])
    twin = [weight.detach().clone().requires_grad_() for weight in layers.parameters()]
    flat = [nn.Parameter(weight.detach().squeeze(-1)) for weight in twin if is_matrix(weight)]
    vectors = [weight for weight in twin if not is_matrix(weight)]
    mine = Muon(layers.parameters(), 1e-2, fused=True)
    theirs = torch_muon(flat, 1e-2, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.Adam(vectors, 1e-2, fused=True)
    for _ in range(4):
        for weight, other in zip(layers.parameters(), twin, strict=True):
            weight.grad = torch.randn_like(weight)
            other.grad = weight.grad.clone()
        for weight, other in zip(flat, [weight for weight in twin if is_matrix(weight)], strict=True):
            weight.grad = other.grad.squeeze(-1)
        for optimizer in (mine, theirs, adam):
            optimizer.step()
    assert [weight.dim() for weight in flat] == [2, 2, 2]
    for weight, other in zip([w for w in layers.parameters() if is_matrix(w)], flat, strict=True):
        moved = 4 * 1e-2 * 0.2
        assert (weight.squeeze(-1) - other).square().mean().sqrt() < 0.05 * moved
    for weight, other in zip([w for w in layers.parameters() if not is_matrix(w)], vectors, strict=True):
        assert torch.allclose(weight, other, rtol=1e-6, atol=1e-8)


def test_the_matrices_are_the_1x1_convolutions_of_the_separator():
    network = seeded(TINY, 0)
    convolutions = {name for name, layer in network.named_modules()
                    if isinstance(layer, nn.Conv1d) and layer.kernel_size == (1,) and layer.in_channels > 1}
    assert {name.removesuffix(".weight") for name, weight in network.named_parameters() if is_matrix(weight)} == convolutions


def test_a_gradient_a_thousand_times_as_large_gives_the_same_step():
    steps = []
    for scale in (1.0, 1000.0):
        weight = nn.Parameter(torch.zeros(6, 4, 1))
        optimizer = Muon([weight], 1.0, fused=True)
        weight.grad = scale * torch.randn(6, 4, 1, generator=torch.Generator().manual_seed(0))
        optimizer.step()
        steps.append(weight.detach().clone())
    assert torch.allclose(*steps, rtol=1e-3, atol=1e-6)


def tensors(path):
    content = checkpoint.read(path)
    moments = [value for values in content["optimizer"]["state"].values() for value in values.values()]
    return [*content["model"].values(), *content["best"].values(), *moments]


def test_a_training_by_muon_paused_after_every_few_steps_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    whole = list(train(TINY, MUON, Tiny(), tmp_path / "whole.pt"))
    pauses = 0
    while True:
        calls = []
        try:
            pause = lambda c=calls: c.append(1) or len(c) == 4      # noqa: E731
            resumed = list(train(TINY, MUON, Tiny(), tmp_path / "cut.pt", should_pause=pause))
            break
        except Paused:
            pauses += 1
    assert pauses > 3
    assert [replace(epoch, seconds=0) for epoch in resumed] == [replace(epoch, seconds=0) for epoch in whole]
    pairs = zip(tensors(tmp_path / "cut.pt"), tensors(tmp_path / "whole.pt"), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_training_by_adam_is_not_gone_on_with_by_muon(tmp_path):
    list(train(TINY, RECIPE, Tiny(), tmp_path / "a.pt"))
    with pytest.raises(CheckpointError, match="optimizer: adam, not muon"):
        list(train(TINY, MUON, Tiny(), tmp_path / "a.pt"))
