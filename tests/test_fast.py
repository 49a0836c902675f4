"""The fast twins against the plain layers, which are the definition."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_model import variants
from tiny import TINY
from torch import nn

from tasnet_core.fast import Depthwise, OneSlope, Pointwise, speed_up
from tasnet_core.loss import pit_loss
from tasnet_core.model import seeded


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dilation", [1, 2, 7])     # 7: beyond the ends of five frames
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_gradients_are_those_of_finite_differences(dilation, taps, causal):
    torch.manual_seed(0)
    past = dilation * (taps - 1) // (1 if causal else 2)
    x = double(2, 3, 5)
    assert torch.autograd.gradcheck(Pointwise.apply, (x, double(4, 3), double(4)))
    assert torch.autograd.gradcheck(OneSlope.apply, (x, double(1)))
    assert torch.autograd.gradcheck(lambda *tensors: Depthwise.apply(*tensors, dilation, past), (x, double(3, taps), double(3)))


def close(found, expected):
    # Norms over a value or two multiply rounding by up to 1e4 each; a wrong twin is off by its whole size.
    assert (found - expected).norm() <= 1e-3 * expected.norm() + 1e-6


@given(variants, st.integers(1, 120), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_whole_network_trains_on_the_same_numbers(variant, samples, seed):
    variant = replace(variant, dropout=0.0)     # chance would have to be the same
    plain, fast = seeded(variant, seed).double(), speed_up(seeded(variant, seed).double())
    sources = torch.randn(2, variant.C, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for network in (plain, fast):
        pit_loss(sources, network(sources.sum(1))).backward()
    close(fast(sources.sum(1)), plain(sources.sum(1)))
    for (name, one), other in zip(plain.named_parameters(), fast.parameters(), strict=True):
        if one.grad is None:        # a last residual that was asked for
            assert other.grad is None, name
        else:
            close(other.grad, one.grad)


def test_in_float32_the_output_is_equal_to_one_part_in_a_hundred_thousand():
    sound = torch.randn(3, 4000)
    expected, found = seeded(TINY, 0)(sound), speed_up(seeded(TINY, 0))(sound)
    assert (found - expected).norm() <= 1e-5 * expected.norm()


def test_the_state_is_that_of_the_plain_network_and_without_gradients_so_is_the_path(monkeypatch):
    network = speed_up(seeded(TINY, 0))
    assert network.state_dict().keys() == seeded(TINY, 0).state_dict().keys()
    monkeypatch.setattr(nn.Conv1d, "forward", lambda *_: pytest.fail("the plain layer was called"))
    with pytest.raises(pytest.fail.Exception), torch.no_grad():
        network(torch.randn(1, 20))
