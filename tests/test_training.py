import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import RECIPE, TINY, Tiny

from tasnet_core import checkpoint, training
from tasnet_core.errors import CheckpointError, UserError
from tasnet_core.loss import si_snr
from tasnet_core.records import Recipe
from tasnet_core.training import Diverged, before_decay, constant_epochs, halvings, rate_factor, train


def curve(epochs):
    """Everything of the epochs but the wall time."""
    return [replace(epoch, seconds=0) for epoch in epochs]


def weights(path):
    content = checkpoint.read(path)
    state = [*content["model"].values(), *content["best"].values()]
    return state + [value for values in content["optimizer"]["state"].values() for value in values.values()]


def equal(path, other):
    return all(torch.equal(a, b) for a, b in zip(weights(path), weights(other), strict=True))


@pytest.mark.parametrize("schedule", ["plateau", "decay"])
@pytest.mark.parametrize("stops", [(1,), (4,), (1, 2, 3, 4)])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(tmp_path, schedule, stops):
    recipe = replace(RECIPE, schedule=schedule, patience=1)
    whole = list(train(TINY, recipe, Tiny(), tmp_path / "whole.pt"))
    for stop in stops:
        for epoch in train(TINY, recipe, Tiny(), tmp_path / "cut.pt"):
            if epoch.number == stop:
                break       # the process dies here
        torch.manual_seed(stop)
        np.random.seed(stop)
    resumed = list(train(TINY, recipe, Tiny(), tmp_path / "cut.pt"))
    assert curve(resumed) == curve(whole)
    assert equal(tmp_path / "cut.pt", tmp_path / "whole.pt")


def test_a_longer_budget_continues_from_before_the_decay(tmp_path):
    list(train(TINY, RECIPE, Tiny(), tmp_path / "a.pt"))
    longer = replace(RECIPE, epochs=8)
    continued = list(train(TINY, longer, Tiny(), tmp_path / "a.pt"))
    assert curve(continued) == curve(train(TINY, longer, Tiny(), tmp_path / "b.pt"))
    assert equal(tmp_path / "a.pt", tmp_path / "b.pt")
    assert len(checkpoint.read(before_decay(tmp_path / "a.pt"))["epochs"]) == constant_epochs(longer) == 4


def test_a_smaller_budget_is_refused(tmp_path):
    list(train(TINY, replace(RECIPE, epochs=2), Tiny(), tmp_path / "a.pt"))
    with pytest.raises(CheckpointError, match="a budget can only grow"):
        next(train(TINY, replace(RECIPE, epochs=1), Tiny(), tmp_path / "a.pt"))


def test_a_finished_training_is_told_again_without_training(tmp_path, monkeypatch):
    first = list(train(TINY, RECIPE, Tiny(), tmp_path / "a.pt"))
    monkeypatch.setattr(training.Training, "run_epoch", None)
    assert list(train(TINY, RECIPE, Tiny(), tmp_path / "a.pt")) == first


def test_every_epoch_is_on_disk_before_it_is_told(tmp_path):
    for epoch in train(TINY, RECIPE, Tiny(), tmp_path / "a.pt"):
        assert checkpoint.read(tmp_path / "a.pt")["epochs"][-1] == epoch


def test_the_best_weights_are_those_of_the_best_validation(tmp_path):
    recipe, kept = replace(RECIPE, epochs=12, learning_rate=0.3, schedule="plateau"), []
    for _ in train(TINY, recipe, Tiny(), tmp_path / "a.pt"):
        kept.append(checkpoint.read(tmp_path / "a.pt")["model"])
    content = checkpoint.read(tmp_path / "a.pt")
    scores = [epoch.valid_si_snri_db for epoch in content["epochs"]]
    best = kept[scores.index(max(scores))]
    assert scores.index(max(scores)) < 11       # else this shows nothing
    assert all(torch.equal(best[name], content["best"][name]) for name in best)


@given(st.lists(st.floats(-10, 20), max_size=30), st.integers(1, 4))
def test_the_rate_is_halved_after_patience_epochs_without_a_new_best(scores, patience):
    # Stated over again, epoch by epoch: since the later of the last best and the last halving.
    count, since = 0, 0
    for epoch, score in enumerate(scores, 1):
        if score > max(scores[:epoch - 1], default=-math.inf):
            since = epoch
        elif epoch - since == patience:
            count, since = count + 1, epoch
    assert halvings(scores, patience) == count
    assert rate_factor(Recipe(patience=patience), 0.5, scores) == 0.5**count


def test_worse_than_the_last_epoch_but_not_the_best_is_no_reason_to_halve():
    assert halvings([1, 5, 3, 4, 6], patience=3) == 0       # a rule on the previous epoch would have moved
    assert halvings([6, 1, 2, 3], patience=3) == 1          # rising, but below the best


def test_decay_is_constant_then_straight_to_nearly_zero():
    recipe = replace(RECIPE, schedule="decay")
    assert [rate_factor(recipe, progress, []) for progress in (0, 0.3, 0.6)] == [1, 1, pytest.approx(1)]
    assert rate_factor(recipe, 0.8, []) == pytest.approx(0.5)
    assert rate_factor(recipe, 1.0, []) == pytest.approx(0.01)


def test_gradients_are_clipped_at_the_recipes_norm(tmp_path, monkeypatch):
    norms, clip = [], torch.nn.utils.clip_grad_norm_

    def spy(parameters, limit):
        parameters = list(parameters)
        clip(parameters, limit)
        norms.append(torch.cat([p.grad.flatten() for p in parameters]).norm().item())
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    list(train(TINY, replace(RECIPE, epochs=1, clip_norm=0.01), Tiny(), tmp_path / "a.pt"))
    assert norms
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def test_a_training_that_diverges_says_so_and_keeps_the_epoch_before(tmp_path, monkeypatch):
    real, calls = training.pit_loss, []

    def poisoned(*arguments):
        calls.append(1)
        return real(*arguments) * (math.nan if len(calls) == 5 else 1)      # in the second epoch of 3 steps
    monkeypatch.setattr(training, "pit_loss", poisoned)
    with pytest.raises(Diverged, match=r"epoch 2: .*last finite loss"):
        list(train(TINY, RECIPE, Tiny(), tmp_path / "a.pt"))
    assert [epoch.number for epoch in checkpoint.read(tmp_path / "a.pt")["epochs"]] == [1]


def test_validation_scores_every_sample_of_every_recording_the_same_each_time(tmp_path):
    state = training.Training(TINY, RECIPE, Tiny(mixtures=4, lengths=(900, 1000, 37)), torch.device("cpu"))
    first = state._validate()
    assert state._validate() == first
    # 900, 1000 and 900 samples are three segments of 400 each, 37 is one that is padded.
    assert sum(len(batch.sources) for batch in state.validation) == 3 + 3 + 1 + 3


def test_the_score_of_an_untouched_mixture_is_no_improvement():
    class Echo(torch.nn.Module):
        def forward(self, mixture):
            return mixture[:, None].repeat(1, 2, 1)
    corpus = Tiny()
    batch = training.batch_of([corpus.segment(0, 1, index, 400) for index in range(3)], torch.device("cpu"))
    assert training.improvement(Echo(), batch).tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_training_learns_to_tell_low_from_high(tmp_path):
    recipe = replace(RECIPE, epochs=10, epoch_segments=40, batch_size=4)
    epochs = list(train(TINY, recipe, Tiny(), tmp_path / "a.pt"))
    assert epochs[-1].valid_si_snri_db > 3
    mixture = Tiny().mixture("test", 0)
    estimate = checkpoint.load(tmp_path / "a.pt")(torch.from_numpy(mixture.mixture)[None])[0]
    sources = torch.from_numpy(mixture.sources)
    assert max(si_snr(sources, order).mean() for order in (estimate, estimate.flip(0))) > 2


def test_every_run_of_a_recipe_hears_the_same_amount_of_sound(tmp_path):
    small, large = (list(train(replace(TINY, H=width), RECIPE, Tiny(), tmp_path / f"{width}.pt"))[-1] for width in (4, 16))
    assert small.audio_s == large.audio_s == RECIPE.audio_s == pytest.approx(5 * 6 * 0.05)


def test_a_device_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.device_of("auto") == torch.device("cpu")
    with pytest.raises(UserError, match="finds no CUDA device"):
        training.device_of("cuda")
