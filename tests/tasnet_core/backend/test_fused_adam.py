"""Clipping and Adam in one call each against torch's own."""

import copy

import pytest
import torch
from torch import nn

from tasnet_core.backend import build, fused_adam
from tasnet_core.backend.fused_adam import Adam, clip_gradients

compiled = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())


def layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(1, 37, 16), nn.PReLU(), nn.Conv1d(37, 300, 1), nn.Linear(5, 5))


def with_gradients(network, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    for weight in network[:3].parameters():      # the last layer has none, as what a forward pass left out
        weight.grad = scale * torch.randn(weight.shape, generator=generator)
    return network


@compiled
@pytest.mark.parametrize("most", [0.1, 5.0, 1e9])
def test_clipped_gradients_are_those_of_torch(most):
    one, other = (with_gradients(layers(), 0, 1.0) for _ in range(2))
    nn.utils.clip_grad_norm_(one.parameters(), most)
    clip_gradients(other.parameters(), most)
    for mine, theirs in zip(other[:3].parameters(), one[:3].parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-5, atol=0)
    assert other[3].weight.grad is None


@compiled
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_no_number_stays_none(broken):
    one, other = (with_gradients(layers(), 0, 1.0) for _ in range(2))
    for network, clip in ((one, nn.utils.clip_grad_norm_), (other, clip_gradients)):
        network[0].bias.grad[0] = broken
        clip(network.parameters(), 5.0)
    for mine, theirs in zip(other[:3].parameters(), one[:3].parameters(), strict=True):
        assert torch.equal(mine.grad.isnan(), theirs.grad.isnan())


@compiled
def test_steps_are_those_of_torch_and_either_goes_on_from_the_others_state():
    one, other = layers(), layers()
    theirs, mine = torch.optim.Adam(one.parameters(), 3e-3, fused=True), Adam(other.parameters(), 3e-3, fused=True)
    for step in range(20):
        if step == 10:
            states = copy.deepcopy(theirs.state_dict()), copy.deepcopy(mine.state_dict())
            assert states[0]["state"].keys() == states[1]["state"].keys()
            theirs.load_state_dict(states[1])
            mine.load_state_dict(states[0])
        for network, optimizer in ((one, theirs), (other, mine)):
            with_gradients(network, step, 10.0**(step % 5 - 3))
            optimizer.step()
    begun = layers()
    for weight, expected, before in zip(other.parameters(), one.parameters(), begun.parameters(), strict=True):
        assert (weight - expected).norm() <= 1e-5 * (expected - before).norm()
    for number, state in theirs.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.allclose(mine.state_dict()["state"][number][name], value, rtol=1e-5, atol=1e-12), name


@pytest.mark.parametrize("why_not", ["no compiler", ""])
def test_without_the_compiled_layers_and_in_float64_torch_does_it(why_not, monkeypatch):
    monkeypatch.setattr(build, "why_not", lambda: why_not)
    monkeypatch.setattr(fused_adam, "_call", lambda *_: pytest.fail("the compiled layers were called"))
    one, other = ((layers() if why_not else layers().double()) for _ in range(2))
    for network, kind, clip in ((one, torch.optim.Adam, nn.utils.clip_grad_norm_), (other, Adam, clip_gradients)):
        optimizer = kind(network.parameters(), 3e-3, fused=True)
        network[0](torch.ones(2, 1, 20, dtype=network[0].weight.dtype)).square().sum().backward()
        clip(network.parameters(), 1.0)
        optimizer.step()
    assert all(map(torch.equal, one.parameters(), other.parameters()))
