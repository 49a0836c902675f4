"""A stream says what the whole-file pass says, whatever the chunks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.backend.fused import speed_up
from tasnet_core.errors import UserError
from tasnet_core.inference.stream import Stream
from tasnet_core.network.model import seeded
from tasnet_core.records import Variant
from tests.support.variants import causal_variants

SMALL = Variant(N=8, L=6, B=4, H=8, Sc=4, X=3, R=2, causal=True, norm="cumulative")


def streamed(stream, sound, sizes):
    """All the outputs of a sound cut into chunks of these sizes, over and over: [B, C, T]."""
    pieces, start, number = [], 0, 0
    while start < sound.shape[-1]:
        size = sizes[number % len(sizes)] if any(sizes) else 1
        pieces.append(stream(sound[:, start:start + size]))
        start, number = start + size, number + 1
    return torch.cat([*pieces, stream.finish()], -1)


def settled(variant, seed):
    """A network whose batch norms have heard something."""
    network = seeded(variant, seed).double()
    network(torch.randn(3, 50, dtype=torch.float64))
    return network.eval()


@given(causal_variants, st.integers(1, 160), st.lists(st.sampled_from([0, 1, 2, 3, 7, 40]), min_size=1), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_stream_equals_the_whole_file(variant, samples, sizes, seed):
    network, sound = settled(variant, seed), torch.randn(2, samples, dtype=torch.float64)
    with torch.no_grad():
        expected = network(sound)
    torch.testing.assert_close(streamed(Stream(network), sound, sizes), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", ["cumulative", "frame", "batch"])
def test_a_stream_in_float32_equals_the_whole_file_to_one_in_a_hundred_thousand(norm):
    network = seeded(Variant(N=16, L=16, B=8, H=16, Sc=8, X=4, R=2, causal=True, norm=norm), 0).eval()
    sound = torch.randn(1, 4000)
    with torch.no_grad():
        expected = network(sound)
    found = streamed(Stream(network), sound, [1, 500, 33])
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_an_output_comes_exactly_when_its_latency_is_over():
    stream = Stream(seeded(SMALL, 0))
    assert (stream.latency_samples, stream.latency_ms) == (6, 0.75)
    assert Stream(seeded(Variant(N=4, B=2, H=2, Sc=2, X=1, R=1, causal=True, norm="frame"), 0)).latency_ms == 2     # the paper's
    given_out, delays = 0, []
    for heard in range(1, 41):
        new = stream(torch.randn(1, 1)).shape[-1]
        delays += [heard - sample for sample in range(given_out, given_out + new)]      # the sample itself included
        given_out += new
    assert max(delays) == stream.latency_samples


def test_a_finished_stream_begins_anew_and_the_network_stays_as_it_was():
    network = seeded(SMALL, 1).double().train()
    stream, sound = Stream(network), torch.randn(1, 40, dtype=torch.float64)
    first = streamed(stream, sound, [7])
    assert torch.equal(streamed(stream, sound, [7]), first)
    assert network.training
    assert stream.finish().shape == (1, 2, 0)
    assert stream(sound[:, :0]).shape == (1, 2, 0)
    assert stream.finish().shape == (1, 2, 0)


def test_a_chunk_may_be_written_over_and_a_network_that_was_sped_up_streams_too():
    network, sound = speed_up(seeded(SMALL, 1).double()), torch.randn(1, 60, dtype=torch.float64)
    stream, buffer, pieces = Stream(network), torch.empty(1, 4, dtype=torch.float64), []
    for start in range(0, 60, 4):
        buffer.copy_(sound[:, start:start + 4])
        pieces.append(stream(buffer))
    with torch.no_grad():
        torch.testing.assert_close(torch.cat([*pieces, stream.finish()], -1), network.eval()(sound), rtol=0, atol=1e-9)


def test_what_cannot_be_streamed_is_one_line():
    with pytest.raises(UserError, match=r"causal=False.*wanted one trained with causal=true norm=cumulative") as caught:
        Stream(seeded(Variant(N=4, B=2, H=2, Sc=2, X=1, R=1), 0))
    assert "\n" not in str(caught.value)
    stream = Stream(seeded(SMALL, 0))
    stream(torch.zeros(2, 3))
    with pytest.raises(UserError, match=r"shape \(1, 3\); wanted \[2, T\]"):
        stream(torch.zeros(1, 3))
    with pytest.raises(UserError, match=r"shape \(3,\)"):
        stream(torch.zeros(3))
