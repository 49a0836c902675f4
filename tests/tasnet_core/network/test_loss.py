from itertools import permutations
from math import pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.network.loss import best_permutation, pit_loss, reorder, si_snr


def voices(batch=3, speakers=2, samples=400, seed=0):
    return torch.randn(batch, speakers, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("db", [-10, 0, 5, 30])
def test_orthogonal_noise_gives_exactly_its_level(db):
    t = torch.arange(8000, dtype=torch.float64) / 8000
    voice, noise = torch.sin(2 * pi * 200 * t), torch.sin(2 * pi * 300 * t)     # orthogonal over 1 s
    estimate = 0.3 * (voice + 10 ** (-db / 20) * noise) + 0.1                   # gain and DC must not matter
    assert si_snr(voice, estimate).item() == pytest.approx(db, abs=1e-6)


@given(st.floats(1e-3, 1e3), st.floats(-10, 10), st.integers(0, 99))
def test_gain_and_offset_of_either_signal_do_not_matter(gain, offset, seed):
    reference, estimate = voices(1, 2, seed=seed)[0]
    plain = si_snr(reference, estimate).item()
    assert si_snr(reference, -gain * estimate + offset).item() == pytest.approx(plain, abs=1e-6)
    assert si_snr(gain * reference + offset, estimate).item() == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("reference", "estimate"), [(0, 1), (1, 0), (0, 0)])
def test_silence_is_finite_and_as_bad_as_can_be_and_so_is_its_gradient(reference, estimate, dtype):
    sound = voices()[0, 0].to(dtype)
    guess = (sound * estimate).requires_grad_()
    value = si_snr(sound * reference, guess)
    value.backward()
    assert value.item() < -60
    assert torch.isfinite(guess.grad).all()


@given(st.integers(1, 4), st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_the_best_permutation_is_the_best_of_all_for_each_item(speakers, seed):
    reference, estimate = voices(3, speakers, 50, seed), voices(3, speakers, 50, seed + 1000)
    order = best_permutation(reference, estimate)
    for item in range(3):
        means = {p: si_snr(reference[item], estimate[item, list(p)]).mean().item() for p in permutations(range(speakers))}
        assert means[tuple(order[item].tolist())] == pytest.approx(max(means.values()))


def test_shuffled_estimates_are_put_back():
    reference = voices(2, 3)
    shuffled = torch.stack([reference[0, [2, 0, 1]], reference[1, [1, 0, 2]]])
    assert torch.equal(reorder(shuffled, best_permutation(reference, shuffled)), reference)


def test_pit_loss_is_minus_the_mean_si_snr_and_blind_to_the_order_of_speakers():
    reference, estimate = voices(seed=1), voices(seed=1) + 0.3 * voices(seed=2)
    expected = -si_snr(reference, estimate).mean().item()       # so close that the identity is best
    assert pit_loss(reference, estimate).item() == pytest.approx(expected)
    assert pit_loss(reference, estimate.flip(1)).item() == pytest.approx(expected)
    assert pit_loss(reference.flip(1), estimate).item() == pytest.approx(expected)


def test_padding_counts_for_nothing():
    reference, estimate = voices(), voices(seed=5) + 1
    heard = torch.ones(3, 500, dtype=torch.float64)
    heard[:, 400:] = 0
    padded = torch.nn.functional.pad(reference, (0, 100))
    noisy = torch.cat([estimate, 9 * voices(samples=100)], -1)      # whatever the network says there
    assert pit_loss(padded, noisy, heard).item() == pytest.approx(pit_loss(reference, estimate).item())


def test_arguments_are_left_as_they_were():
    reference, estimate, heard = voices(), voices(seed=3), torch.ones(3, 400, dtype=torch.float64)
    copies = reference.clone(), estimate.clone(), heard.clone()
    pit_loss(reference, estimate, heard)
    assert all(torch.equal(now, before) for now, before in zip((reference, estimate, heard), copies, strict=True))


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="both must be"):
        pit_loss(voices(speakers=2), voices(speakers=3))
