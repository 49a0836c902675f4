import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY

from tasnet_core import model
from tasnet_core.loss import pit_loss
from tasnet_core.model import ConvTasNet, frames_of, seeded
from tasnet_core.records import Variant

variants = st.builds(
    Variant, N=st.integers(1, 12), L=st.integers(1, 6).map(lambda half: 2 * half), B=st.integers(1, 8),
    H=st.integers(1, 10), Sc=st.integers(0, 6), P=st.sampled_from([1, 3, 5]), X=st.integers(1, 3), R=st.integers(1, 3),
    C=st.integers(2, 4), last_residual=st.booleans())


@pytest.mark.parametrize("samples", [*range(1, 17), 100, 101, 999])
def test_output_has_exactly_the_input_length(samples):
    assert ConvTasNet(TINY)(torch.randn(2, samples)).shape == (2, 2, samples)


@given(variants, st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_every_variant_gives_its_speakers_and_every_sample(variant, samples):
    with torch.no_grad():
        assert ConvTasNet(variant)(torch.randn(1, samples)).shape == (1, variant.C, samples)
    assert (frames_of(variant, samples) - 1) * variant.hop + variant.L >= samples       # every sample is in a frame


def test_a_batch_of_one_equals_the_item_in_a_batch():
    network, batch = seeded(TINY, 1).double(), torch.randn(4, 333, dtype=torch.float64)
    torch.testing.assert_close(network(batch[2:3])[0], network(batch)[2])


def test_an_output_depends_on_its_own_mask_alone():
    network, kept = seeded(Variant(N=8, L=4, B=4, H=8, Sc=4, X=2, R=1, C=3), 0), []

    def keep(module, inputs, masks):
        masks.retain_grad()
        kept.append(masks)
    network.separator.register_forward_hook(keep)
    output = network(torch.randn(1, 64))
    for speaker in range(3):
        kept[0].grad = None
        output[0, speaker].sum().backward(retain_graph=True)
        touched = kept[0].grad[0].abs().sum((1, 2)) > 0
        assert touched.tolist() == [index == speaker for index in range(3)]


@pytest.mark.parametrize(("letters", "idle"), [
    ({}, set()), ({"Sc": 0}, set()), ({"Sc": 0, "last_residual": True}, set()),
    ({"last_residual": True}, {"separator.blocks.3.residual.weight", "separator.blocks.3.residual.bias"})])
def test_every_parameter_learns_but_a_last_residual_that_was_asked_for(letters, idle):
    variant = Variant(**{"N": 8, "L": 4, "B": 4, "H": 8, "Sc": 4, "X": 2, "R": 2, **letters})
    network = seeded(variant, 0)
    sources = torch.randn(2, 2, 200)
    pit_loss(sources, network(sources.sum(1))).backward()
    assert {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()} == idle


@pytest.mark.parametrize("letters", [{}, {"P": 5, "X": 2}, {"R": 3, "X": 2, "L": 10}, {"Sc": 0}])
def test_the_receptive_field_is_the_support_of_the_gradient(letters, monkeypatch):
    # The global norm hears everything; without norms what is left are the convolutions the formula speaks of.
    monkeypatch.setitem(model.NORMS, "global", lambda channels: torch.nn.Identity())
    variant = Variant(**{"N": 4, "L": 4, "B": 4, "H": 6, "Sc": 4, "X": 3, "R": 2, **letters})
    network = seeded(variant, 0).double()
    mixture = torch.randn(1, 4 * variant.receptive_field_samples, dtype=torch.float64, requires_grad=True)
    masks = network.separator(network.encoder(mixture[:, None]))
    masks[..., masks.shape[-1] // 2].sum().backward()
    heard = mixture.grad[0].nonzero()
    assert (heard.max() - heard.min() + 1).item() == variant.receptive_field_samples


def test_weights_depend_on_the_seed_alone_and_leave_the_callers_chance_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = seeded(TINY, 3), seeded(TINY, 3), seeded(TINY, 4)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.encoder.weight, other.encoder.weight)


def test_the_output_equals_the_papers_equations_in_plain_numpy():
    variant = Variant(N=5, L=6, B=3, H=7, Sc=4, P=3, X=3, R=2, C=3)
    network = seeded(variant, 2).double()
    with torch.no_grad():
        for parameter in network.parameters():      # gains and slopes away from their start, where they hide
            parameter.add_(0.1 * torch.randn_like(parameter))
    mixture = np.random.default_rng(0).standard_normal(101)
    expected = by_hand(variant, {name: p.detach().numpy() for name, p in network.named_parameters()}, mixture)
    found = network(torch.from_numpy(mixture)[None])[0].detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def by_hand(v, w, mixture):
    """The network of arXiv 1809.07454v3, sections II-B to II-D, by loops and matrix products."""
    frames = -(-(len(mixture) - v.L) // v.hop) + 1
    padded = np.pad(mixture, (0, (frames - 1) * v.hop + v.L - len(mixture)))
    pieces = np.stack([padded[k * v.hop:k * v.hop + v.L] for k in range(frames)], 1)        # [L, K]

    def norm(name, x):      # gLN, eq. 9
        return (w[f"{name}.weight"][:, None] * (x - x.mean()) / np.sqrt(x.var() + 1e-8) + w[f"{name}.bias"][:, None])

    def prelu(name, x):
        return np.where(x > 0, x, w[f"{name}.weight"] * x)

    def pointwise(name, x):
        return w[f"{name}.weight"][:, :, 0] @ x + w[f"{name}.bias"][:, None]

    encoded = w["encoder.weight"][:, 0] @ pieces
    x, skips = pointwise("separator.bottleneck", norm("separator.norm", encoded)), 0
    for number in range(v.R * v.X):
        name, dilation = f"separator.blocks.{number}", 2 ** (number % v.X)
        y = norm(f"{name}.norm1", prelu(f"{name}.prelu1", pointwise(f"{name}.widen", x)))
        kernel, reach = w[f"{name}.depthwise.weight"][:, 0], dilation * (v.P // 2)
        wide = np.pad(y, ((0, 0), (reach, reach)))
        y = sum(kernel[:, [p]] * wide[:, p * dilation:p * dilation + frames] for p in range(v.P))
        y = norm(f"{name}.norm2", prelu(f"{name}.prelu2", y + w[f"{name}.depthwise.bias"][:, None]))
        skips = skips + pointwise(f"{name}.skip", y)
        if number < v.R * v.X - 1:
            x = x + pointwise(f"{name}.residual", y)
    masks = 1 / (1 + np.exp(-pointwise("separator.to_masks", prelu("separator.prelu", skips))))
    outputs = []
    for speaker in range(v.C):
        parts = w["decoder.weight"][:, 0].T @ (masks[speaker * v.N:(speaker + 1) * v.N] * encoded)      # [L, K]
        signal = np.zeros(len(padded))
        for k in range(frames):
            signal[k * v.hop:k * v.hop + v.L] += parts[:, k]        # overlap-add
        outputs.append(signal[:len(mixture)])
    return np.stack(outputs)
