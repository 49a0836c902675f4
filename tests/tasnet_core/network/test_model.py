from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tasnet_core.checkpoints import weights
from tasnet_core.network import model
from tasnet_core.network.loss import pit_loss
from tasnet_core.network.model import ConvTasNet, frames_of, mirrored, seeded
from tasnet_core.records import MASKS, NORMS, Variant
from tests.support.tiny import TINY
from tests.support.variants import causal_variants, sizes, variants

EVERY_NORM = [{"norm": norm, "causal": causal} for norm in NORMS for causal in (False, True) if norm != "global" or not causal]


def by_words(letters):
    return " ".join(f"{name}={value}" for name, value in letters.items())


@pytest.mark.parametrize("letters", EVERY_NORM, ids=by_words)
def test_output_has_exactly_the_input_length(letters):
    variant = Variant(N=6, L=6, B=4, H=6, Sc=4, X=2, R=1, **letters)
    network, rng = ConvTasNet(variant).eval(), np.random.default_rng(0)
    with torch.no_grad():
        for samples in [*range(1, 4 * variant.L + 1), *rng.integers(25, 999, 100).tolist()]:
            assert network(torch.zeros(1, samples)).shape == (1, 2, samples)


@given(variants, st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_every_variant_gives_its_speakers_and_every_sample(variant, samples):
    with torch.no_grad():
        output = ConvTasNet(variant).eval()(torch.randn(1, samples))
    assert output.shape == (1, variant.C, samples)
    assert output.isfinite().all()
    assert (frames_of(variant, samples) - 1) * variant.hop + variant.L >= samples       # every sample is in a frame


@given(variants, st.integers(1, 120))
@settings(max_examples=30, deadline=None)
def test_a_batch_of_one_equals_the_item_in_a_batch(variant, samples):
    network, batch = seeded(variant, 1).double().eval(), torch.randn(3, samples, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(batch[1:2])[0], network(batch)[1])


@given(st.integers(1, 20), st.integers(0, 50))
@settings(deadline=None)
def test_mirrored_frames_are_those_of_numpy_and_of_torch(frames, more):
    x = torch.randn(2, 3, frames)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (more, more)), mode="reflect")
    np.testing.assert_array_equal(mirrored(x, more), expected)
    if more < frames:
        torch.testing.assert_close(mirrored(x, more), F.pad(x, (more, more), mode="reflect"), rtol=0, atol=0)


@given(variants, st.integers(1, 99))
@settings(max_examples=20, deadline=None)
def test_encoder_padding_is_a_hop_of_zeros_on_both_sides_of_whole_hops(variant, samples):
    variant = replace(variant, causal=False, encoder_padding=False)
    network, hop = seeded(variant, 0).double().eval(), variant.hop
    mixture = torch.randn(2, samples, dtype=torch.float64)
    by_hand = F.pad(mixture, (hop, -samples % hop + hop))
    with torch.no_grad():
        expected = network(by_hand)[..., hop:hop + samples]
        network.variant = replace(variant, encoder_padding=True)
        torch.testing.assert_close(network(mixture), expected)
    assert frames_of(network.variant, samples) == (by_hand.shape[-1] - variant.L) // hop + 1


@pytest.mark.parametrize("speakers", [2, 3, 5])
def test_softmax_masks_sum_to_one_over_the_speakers_and_others_do_not(speakers):
    frames = torch.randn(2, 8, 20)
    sums = {}
    for mask in MASKS:
        variant = Variant(N=8, L=4, B=4, H=8, Sc=4, X=2, R=1, C=speakers, mask=mask)
        masks = seeded(variant, 0).separator(frames)        # [B, C, N, K]
        assert masks.shape == (2, speakers, 8, 20)
        assert masks.min() >= 0
        sums[mask] = masks.sum(1)
    torch.testing.assert_close(sums["softmax"], torch.ones(2, 8, 20))
    assert all((sums[mask] - 1).abs().max() > 0.1 for mask in ("sigmoid", "relu"))


@pytest.mark.parametrize("mask", MASKS)
def test_an_output_depends_on_its_own_mask_alone(mask):
    network, kept = seeded(Variant(N=8, L=4, B=4, H=8, Sc=4, X=2, R=1, C=3, mask=mask), 0), []

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


def by_words_and_idle(value):
    return by_words(value) if isinstance(value, dict) else f"{len(value)} idle"


@pytest.mark.parametrize(("letters", "idle"), [
    ({}, set()), ({"Sc": 0}, set()), ({"Sc": 0, "last_residual": True}, set()),
    ({"last_residual": True}, {"separator.blocks.3.residual.weight", "separator.blocks.3.residual.bias"}),
    ({"encoder": "relu", "mask": "softmax", "input_norm": "frame"}, set()), ({"extra_dilation": 2, "dropout": 0.1}, set()),
    ({"mask": "relu", "norm": "cumulative", "causal": True}, set()), ({"norm": "frame", "causal": True}, set()),
    ({"norm": "batch", "C": 5}, set())], ids=by_words_and_idle)
def test_every_parameter_learns_but_a_last_residual_that_was_asked_for(letters, idle):
    variant = Variant(**{"N": 8, "L": 4, "B": 4, "H": 8, "Sc": 4, "X": 2, "R": 2, **letters})
    network = seeded(variant, 0)
    sources = torch.randn(2, variant.C, 200)
    pit_loss(sources, network(sources.sum(1))).backward()
    assert {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()} == idle


@given(st.fixed_dictionaries(sizes), st.booleans(), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_receptive_field_is_the_support_of_the_gradient(letters, causal, seed):
    # With a norm of each frame alone only the convolutions hear other frames. A single channel is all bias under that
    # norm, and a ReLU mask that is closed hears nothing: so at least three channels, and sigmoids.
    wide = {letter: max(3, letters[letter]) for letter in "NBH"}
    variant = Variant(**{**letters, **wide, "Sc": 4}, norm="frame", causal=causal)
    network, reach = seeded(variant, seed).double(), variant.receptive_field_samples
    mixture = torch.randn(1, 3 * reach, dtype=torch.float64, requires_grad=True)
    masks = network.separator(network.encoder(mixture[:, None]))
    frame = masks.shape[-1] - 1 if causal else masks.shape[-1] // 2
    masks[..., frame].square().sum().backward()
    heard = mixture.grad[0].nonzero()
    assert (heard.max() - heard.min() + 1).item() == reach
    if causal:
        assert heard.max() == frame * variant.hop + variant.L - 1       # nothing behind the frame itself


@given(causal_variants, st.integers(2, 150), st.data())
@settings(max_examples=40, deadline=None)
def test_in_a_causal_network_later_samples_leave_the_earlier_output_alone(variant, samples, data):
    start = data.draw(st.integers(1, samples - 1), label="t")
    network = seeded(variant, 3).double().eval()
    mixture = torch.randn(1, samples, dtype=torch.float64)
    changed = torch.cat((mixture[:, :start], torch.randn(1, samples - start, dtype=torch.float64)), -1)
    with torch.no_grad():
        before, after = network(mixture), network(changed)
    early = max(0, start - variant.L)
    torch.testing.assert_close(after[..., :early], before[..., :early], rtol=0, atol=1e-12)


def test_every_norm_but_the_global_one_is_causal_and_that_one_is_not():
    frames = torch.randn(2, 6, 30)
    changed = torch.cat((frames[..., :20], torch.randn(2, 6, 10)), -1)
    for word in NORMS:
        norm = model.NORMS[word](6).eval()
        difference = (norm(frames) - norm(changed))[..., :20].abs().max()
        assert (difference > 1e-3) == (word == "global"), word


def by_loop(x, word):
    """The norms by their definitions, in float64, frame after frame: [channels, K]."""
    x = x.double().numpy()
    heard = {"global": lambda k: x, "cumulative": lambda k: x[:, :k + 1], "frame": lambda k: x[:, [k]]}[word]
    return torch.from_numpy(np.stack([(x[:, k] - heard(k).mean()) / np.sqrt(heard(k).var() + 1e-8)
                                      for k in range(x.shape[1])], 1))


@pytest.mark.parametrize("word", ["global", "cumulative", "frame"])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_a_norm_is_its_definition_in_a_float64_loop(word, offset):
    x = offset + torch.randn(2, 5, 400) * torch.linspace(0.1, 3, 400)
    found = model.NORMS[word](5)(x)
    for item in range(2):
        expected = by_loop(x[item], word)
        torch.testing.assert_close(found[item].double(), expected, rtol=0, atol=1e-6 if not offset else 1e-3)
    torch.testing.assert_close(model.NORMS[word](5).double()(x.double())[1], by_loop(x[1], word), rtol=0, atol=1e-11)


def test_where_a_device_has_no_float64_the_cpu_sums_for_a_cumulative_norm(monkeypatch):
    x, norm = torch.randn(2, 5, 40), model.CumulativeNorm(5)
    expected = norm(x)
    monkeypatch.setattr(torch.Tensor, "is_mps", True)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: moved.append(x.shape) or x)
    moved = []
    assert torch.equal(norm(x), expected)
    assert moved == [(2, 1, 40)] * 2


@pytest.mark.parametrize(("offset", "spread"), [(0.0, 1.0), (1000.0, 1.0), (30.0, 1e-3), (5.0, 0.0)])
def test_cumulative_variance_stays_right_for_ten_minutes_of_float32(offset, spread):
    # E[x²] − E[x]² in float32 is wrong in its first digit here, and negative somewhere for every offset but zero.
    frames = 600 * 8000 // 8
    rng = torch.Generator().manual_seed(0)
    x = offset + spread * torch.randn(1, 2, frames, generator=rng)
    norm = model.CumulativeNorm(2)
    with torch.no_grad():
        y, heard = norm.step(x, None)
    assert y.isfinite().all()
    sums = x[0].double().cumsum(1).sum(0)       # the reference in float64, shifted by the offset
    count = 2 * torch.arange(1, frames + 1, dtype=torch.float64)
    mean = sums / count
    variance = (x[0].double() - offset).square().sum(0).cumsum(0) / count - (mean - offset).square()
    expected = (x[0].double() - mean) / (variance.clamp(min=0) + 1e-8).sqrt()
    rounding = max(1.0, offset / max(spread, 1e-4)) * 2e-6       # of x itself and of the mean, in float32
    torch.testing.assert_close(y[0, :, 1:].double(), expected[:, 1:], rtol=0, atol=4 * rounding)
    assert heard.frames == frames


def test_dropout_leaves_out_its_share_in_training_alone():
    block = model.Block(3, 4000, 2, 3, dilation=1, norm="frame", dropout=0.3)
    seen = []
    block.dropout.register_forward_hook(lambda module, inputs, output: seen.append((output == 0).double().mean().item()))
    block(torch.randn(1, 3, 50))
    block.eval()(torch.randn(1, 3, 50))
    assert seen[0] == pytest.approx(0.3, abs=0.01)
    assert seen[1] == 0


@given(variants)
@settings(max_examples=20, deadline=None)
def test_weights_show_their_letters(variant):
    found = weights.letters_of(ConvTasNet(variant).state_dict())
    expected = {letter: getattr(variant, letter) for letter in ("N", "L", "B", "H", "P", "Sc", "C")}
    assert found == {**expected, "X·R": variant.X * variant.R}


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
