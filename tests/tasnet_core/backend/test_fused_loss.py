"""The loss and its gradient in one pass against the definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.backend import build
from tasnet_core.backend.fused_loss import MOST_SPEAKERS, PitLoss, pit_loss
from tasnet_core.network import loss

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())


def drawn(items, speakers, samples, seed, dtype=torch.float64):
    """Sources with constant offsets, and estimates that are near them in another order."""
    torch.manual_seed(seed)
    sources = torch.randn(items, speakers, samples, dtype=dtype) + torch.randn(items, speakers, 1, dtype=dtype)
    estimates = sources[:, torch.randperm(speakers)] + torch.randn_like(sources)
    return sources, estimates.requires_grad_()


def both(sources, estimates, valid):
    """Loss and gradient by the definition, and by the compiled function."""
    found = []
    for function in (loss.pit_loss, pit_loss):
        value = function(sources, estimates, valid) * 0.7
        found.append((value.detach(), *torch.autograd.grad(value, estimates)))
    return found


@given(items=st.integers(1, 3), speakers=st.integers(1, MOST_SPEAKERS + 1), samples=st.integers(20, 200), padded=st.booleans(),
       silent=st.booleans(), loudness=st.sampled_from([1e-6, 1.0, 1e4]), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_value_and_gradient_are_those_of_the_definition(items, speakers, samples, padded, silent, loudness, seed):
    sources, estimates = drawn(items, speakers, samples, seed)
    with torch.no_grad():
        estimates *= loudness
        if silent:
            sources[0, 0] = 0
    valid = None
    if padded:
        valid = (torch.arange(samples) < torch.randint(10, samples + 1, (items, 1))).double()
    (value, gradient), (fast, fast_gradient) = both(sources, estimates, valid)
    assert torch.allclose(fast, value, rtol=1e-9, atol=1e-9)
    assert (fast_gradient - gradient).norm() <= 1e-9 * gradient.norm()


@pytest.mark.parametrize(("distance", "dtype"), [(0.0, torch.float32), (1e-3, torch.float32), (0.0, torch.float64)])
def test_near_a_perfect_estimate_it_is_the_definition_within_a_hundredth_of_a_decibel(distance, dtype):
    sources, noise = drawn(4, 2, 8000, 0, dtype)
    estimates = (3 * sources.flip(1) + distance * noise).detach().requires_grad_()
    (value, gradient), (fast, fast_gradient) = both(sources, estimates, None)
    assert abs(fast - value) < 0.01 * 0.7
    if distance:
        assert (fast_gradient - gradient).norm() <= 1e-3 * gradient.norm()


def test_silence_on_either_side_is_finite_and_moves_nothing():
    sources, estimates = drawn(2, 2, 100, 0, torch.float32)
    for silent in ((torch.zeros_like(sources), estimates), (sources, torch.zeros_like(sources).requires_grad_())):
        (value, gradient), (fast, fast_gradient) = both(*silent, None)
        assert torch.allclose(fast, value, rtol=1e-5)
        assert torch.equal(fast_gradient, gradient)
        assert not gradient.any()


def test_what_the_compiled_function_cannot_read_goes_by_the_definition(monkeypatch):
    sources, estimates = drawn(2, 2, 100, 0, torch.float32)
    monkeypatch.setattr(PitLoss, "apply", lambda *_: pytest.fail("memory would have been read that is not theirs"))
    for other in (sources[..., :50], sources[:, :1], sources[0]):
        with pytest.raises(ValueError, match="both must be"):
            pit_loss(other, estimates)
    valid = torch.ones(2, 100, dtype=torch.bool)
    assert torch.equal(pit_loss(sources, estimates, valid), loss.pit_loss(sources, estimates, valid))
    with pytest.raises(RuntimeError, match="Double"):
        pit_loss(sources.double(), estimates)


def test_its_gradient_is_that_of_finite_differences():
    sources, estimates = drawn(2, 3, 30, 0)
    assert torch.autograd.gradcheck(lambda given: PitLoss.apply(sources, given, None), estimates)
