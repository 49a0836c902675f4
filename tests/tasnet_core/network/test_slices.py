"""Networks inside networks: slices, and what is trained with them or starts as one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.network.loss import best_permutation, reorder, si_snr
from tasnet_core.network.model import seeded
from tasnet_core.network.slices import matching, take
from tasnet_core.records import SLICED, Variant
from tasnet_core.training.batches import Batch
from tasnet_core.training.slimmable import Lineage, Subnetworks
from tasnet_core.training.trainer import train
from tests.support.tiny import RECIPE, TINY, Tiny
from tests.support.variants import variants

WHOLE = Variant(N=12, L=4, B=6, H=10, Sc=5, X=3, R=2)
LETTERS = {"N": (4, 12), "B": (3, 6), "H": (5, 10), "Sc": (2, 5), "X": (1, 2, 3), "R": (1, 2)}


def slices_of(whole):
    return st.fixed_dictionaries({letter: st.integers(1, getattr(whole, letter)) for letter in SLICED}).map(
        lambda values: replace(whole, **values))


@given(slices_of(WHOLE))
@settings(max_examples=50, deadline=None)
def test_a_network_whose_other_weights_are_silent_computes_what_its_slice_does(variant):
    """Zeros in every place that the slice lacks leave the sum of what it has. With no norm that counts the silent channels:
    batch norm, each channel for itself."""
    whole, variant = (replace(one, norm="batch") for one in (WHOLE, variant))
    network = seeded(whole, 1).double().eval()
    part = take(network, variant)
    kept = {name: torch.zeros_like(weight) for name, weight in network.state_dict().items()}
    for mine, theirs in matching(part.double().state_dict(), variant, kept, whole):
        theirs.copy_(mine)
    for name in kept:
        if name.endswith("running_var"):
            kept[name] = torch.ones_like(kept[name])
    network.load_state_dict(kept)
    mixture = torch.randn(2, 61, dtype=torch.float64)
    assert torch.allclose(network(mixture), part.eval()(mixture), atol=1e-12)


@given(variants)
@settings(max_examples=30, deadline=None)
def test_the_whole_is_a_slice_of_itself(variant):
    network = seeded(variant, 3)
    assert all(map(torch.equal, take(network, variant).state_dict().values(), network.state_dict().values()))


def test_a_slice_of_a_slice_is_a_slice_of_the_whole():
    network, middle, small = seeded(WHOLE, 0), replace(WHOLE, N=8, H=7, X=2), replace(WHOLE, N=5, H=3, X=1, R=1, Sc=2)
    once, twice = take(network, small), take(take(network, middle), small)
    assert all(map(torch.equal, once.state_dict().values(), twice.state_dict().values()))


def test_masks_are_cut_for_each_speaker_alone():
    network, small = seeded(WHOLE, 0), replace(WHOLE, N=5)
    with torch.no_grad():       # each speaker's mask is made by weights that say whose they are
        for number, weights in enumerate(network.separator.to_masks.weight.unflatten(0, (2, -1))):
            weights.fill_(number)
    first, second = take(network, small).separator.to_masks.weight.unflatten(0, (2, -1))
    assert (first == 0).all()
    assert (second == 1).all()


def test_blocks_of_a_slice_have_the_dilations_they_had():
    network, small = seeded(WHOLE, 0), replace(WHOLE, X=2)
    blocks = take(network, small).separator.blocks
    sources = [network.separator.blocks[i] for i in (0, 1, 3, 4)]       # the first two of each repeat's three
    for mine, theirs in zip(blocks, sources, strict=True):
        assert mine.depthwise.dilation == theirs.depthwise.dilation
        assert torch.equal(mine.depthwise.weight, theirs.depthwise.weight)


@pytest.mark.parametrize(("changes", "said"), [
    ({"L": 8}, "L=8, but 4 there"), ({"P": 5}, "P=5, but 3 there"), ({"N": 13}, "N=13, but 12 there"),
    ({"norm": "frame"}, "norm=frame, but global there"), ({"C": 3}, "C=3, but 2 there"),
    ({"Sc": 0}, "Sc=0, but 5 there: without"),
    ({"norm": "cumulative", "causal": True}, "norm=cumulative"), ({"last_residual": True}, ""), ({"X": 1, "R": 1, "B": 1}, "")])
def test_what_is_no_slice_is_said(changes, said):
    variant = replace(WHOLE, **changes)
    assert variant.no_slice_of(WHOLE).startswith(said)
    if said:
        with pytest.raises(ValueError, match="is no slice"):
            take(seeded(WHOLE, 0), variant)
    else:
        assert variant.no_slice_of(WHOLE) == ""


def test_a_teachers_gradients_are_those_of_one_loss_over_it_and_its_slices():
    """By hand: the slices as functions of the whole's weights, one loss, one backward pass."""
    torch.manual_seed(0)
    network = seeded(WHOLE, 0)
    batch = Batch(torch.randn(2, 2, 40), None)
    signals = network(batch.mixture)
    order = best_permutation(batch.sources, signals, None)
    subnetworks = Subnetworks(network, LETTERS, "float32")
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    subnetworks.add_gradients(batch, signals, (1, 2, 3), 0.25)

    rng = np.random.default_rng((1, 2, 3))
    drawn = replace(WHOLE, **{letter: values[int(rng.integers(len(values)))] for letter, values in LETTERS.items()})
    weights = dict(network.named_parameters())
    loss = torch.zeros(())
    for variant in (replace(WHOLE, **{letter: values[0] for letter, values in LETTERS.items()}), drawn):
        part = seeded(variant, 0)
        shapes = {name: weight.shape for name, weight in part.named_parameters()}
        cut = {name: theirs.reshape(shapes[name]) for (_, theirs), name in
               zip(matching(dict(part.named_parameters()), variant, weights, WHOLE), shapes, strict=True)}
        estimate = torch.func.functional_call(part, cut, (batch.mixture,))
        loss = loss - 0.25 * si_snr(batch.sources, reorder(estimate, order)).mean()
    expected = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    for weight, one in zip(weights.values(), expected, strict=True):
        assert torch.allclose(weight.grad, torch.zeros_like(weight) if one is None else one, rtol=1e-3, atol=1e-5)


def test_slices_of_a_network_with_dropout_are_trained_with_it(tmp_path):
    """They are taken in the middle of a step whose chance is set aside: taking them must not wait for that."""
    variant, recipe = replace(TINY, dropout=0.25), replace(RECIPE, epochs=1, init="teacher")
    lineage = Lineage(values={"N": (4, 8), "X": (1, 2)})
    curves = [list(train(variant, recipe, Tiny(), tmp_path / name, lineage=lineage)) for name in ("a.pt", "b.pt")]
    assert replace(curves[0][0], seconds=0) == replace(curves[1][0], seconds=0)
