"""Channels in the order of their importance."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.network.importance import channels, first_order, reorder_channels
from tasnet_core.network.loss import pit_loss
from tasnet_core.network.model import seeded
from tasnet_core.records import Variant
from tests.support.variants import variants

SMALL = Variant(N=6, L=4, B=4, H=5, Sc=3, X=2, R=1)


def drawn(variant, seed=0):
    """A network none of whose channels is like another: biases and statistics drawn, too."""
    network = seeded(variant, seed).double().eval()
    rng = torch.Generator().manual_seed(seed)
    for weight in (*network.parameters(), *network.buffers()):
        if weight.is_floating_point():
            weight.data += 0.3 * torch.rand(weight.shape, generator=rng, dtype=weight.dtype)
    return network


def sizes(network):
    return [weight.shape[dimension] for (weight, dimension), *_ in (kind.made for kind in channels(network))]


@given(variants, st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_a_reordered_network_computes_the_same(variant, seed):
    network, mixture = drawn(variant), torch.randn(2, 150, dtype=torch.float64)
    expected, rng = network(mixture), torch.Generator().manual_seed(seed)
    reorder_channels(network, [torch.rand(size, generator=rng) for size in sizes(network)])
    assert torch.allclose(network(mixture), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("variant", [SMALL, replace(SMALL, Sc=0), replace(SMALL, norm="batch", C=3)])
def test_the_kinds_of_channels_are_n_b_and_sc_once_and_h_for_each_block(variant):
    skip = [variant.Sc] if variant.Sc else []
    assert sizes(seeded(variant, 0)) == [variant.N, variant.B, *skip, *[variant.H] * (variant.X * variant.R)]


@pytest.mark.parametrize("variant", [SMALL, replace(SMALL, Sc=0)])
def test_importance_is_the_squared_slope_of_the_loss_by_a_factor_on_the_channel(variant):
    """Measured by turning each channel up and down where it is read."""
    network, rng = drawn(variant), torch.Generator().manual_seed(1)
    sources = torch.randn(2, 2, 200, generator=rng, dtype=torch.float64)

    def loss():
        return pit_loss(sources, network(sources.sum(1)))

    loss().backward()
    found = first_order(network)
    step = 1e-9     # the smaller, the fewer kinks of PReLU on the way
    for kind, slopes in zip(channels(network), found, strict=True):
        for channel, squared in enumerate(slopes.tolist()):
            ends = []
            for factor in (1 + step, 1 - step):
                read = [weight.select(dimension, channel) for weight, dimension in kind.read]
                kept = [part.clone() for part in read]
                for part in read:
                    part *= factor
                ends.append(loss().item())
                for part, before in zip(read, kept, strict=True):
                    part.copy_(before)
            assert squared == pytest.approx(((ends[0] - ends[1]) / (2 * step)) ** 2, rel=1e-3, abs=1e-4)


def test_the_most_important_channels_are_the_first_afterwards():
    network, rng = drawn(SMALL), torch.Generator().manual_seed(2)
    sources = torch.randn(4, 2, 200, generator=rng, dtype=torch.float64)

    def importance():
        network.zero_grad()
        pit_loss(sources, network(sources.sum(1))).backward()
        return first_order(network)

    before = importance()
    reorder_channels(network, before)
    for old, new in zip(before, importance(), strict=True):
        assert torch.allclose(new, old.sort(descending=True).values)
