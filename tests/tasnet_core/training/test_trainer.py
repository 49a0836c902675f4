import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.backend import blas, devices, memory
from tasnet_core.checkpoints import checkpoint
from tasnet_core.checkpoints.training_files import before_decay, within_epoch
from tasnet_core.errors import CheckpointError, CorpusError, DiskFull, UserError
from tasnet_core.evaluation.metrics import in_order, score_test
from tasnet_core.network.loss import best_permutation, reorder, si_snr
from tasnet_core.records import Recipe
from tasnet_core.training import step, trainer
from tasnet_core.training.schedule import constant_epochs, halvings, rate_factor
from tasnet_core.training.trainer import Diverged, Paused, train
from tests.support.tiny import RECIPE, TINY, Tiny


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


@pytest.mark.usefixtures("each_blas")
def test_so_does_one_by_the_matrix_products_of_each_library(tmp_path):
    whole = list(train(TINY, RECIPE, Tiny(), tmp_path / "whole.pt"))
    next(train(TINY, RECIPE, Tiny(), tmp_path / "cut.pt"))
    assert curve(train(TINY, RECIPE, Tiny(), tmp_path / "cut.pt")) == curve(whole)
    assert equal(tmp_path / "cut.pt", tmp_path / "whole.pt")


@pytest.mark.parametrize("variant", [TINY, replace(TINY, dropout=0.3), replace(TINY, norm="batch")], ids=str)
def test_a_training_paused_after_every_step_equals_an_uninterrupted_one_bit_for_bit(tmp_path, variant):
    whole = list(train(variant, RECIPE, Tiny(), tmp_path / "whole.pt"))
    pauses = 0
    while True:
        calls = []
        try:        # at the fourth pulse: an epoch whose validation has three batches would else never end
            resumed = list(train(variant, RECIPE, Tiny(), tmp_path / "cut.pt",
                                 should_pause=lambda c=calls: c.append(1) or len(c) == 4))
            break
        except Paused:
            pauses += 1
            assert within_epoch(tmp_path / "cut.pt").exists()
    steps, validated = 3, 3      # an epoch of 6 segments in batches of 2, and 3 whole mixtures
    assert pauses >= RECIPE.epochs * (steps + validated) / 4 - 1
    assert curve(resumed) == curve(whole)
    assert equal(tmp_path / "cut.pt", tmp_path / "whole.pt")
    assert not within_epoch(tmp_path / "cut.pt").exists()


def test_a_pause_saves_within_one_step_and_leaves_the_last_epochs_end_whole(tmp_path):
    path, pulses = tmp_path / "a.pt", []
    epochs = train(TINY, RECIPE, Tiny(), path, should_pause=lambda: pulses.append(1) or len(pulses) == 8)
    with pytest.raises(Paused):
        list(epochs)
    assert len(pulses) == 8
    assert len(checkpoint.read(path)["epochs"]) == 1        # 3 steps and 3 validated batches were its epoch's
    assert checkpoint.read(within_epoch(path))["segments"] == 4


def test_a_long_epoch_is_saved_in_its_middle_without_being_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "SAVE_S", 0.0)
    path, pulses = tmp_path / "a.pt", []

    def dies():
        pulses.append(1)
        if len(pulses) == 3:
            raise KeyboardInterrupt
        return False
    with pytest.raises(KeyboardInterrupt):
        list(train(TINY, RECIPE, Tiny(), path, should_pause=dies))
    assert checkpoint.read(within_epoch(path))["segments"] == 4
    resumed = list(train(TINY, RECIPE, Tiny(), path))
    assert curve(resumed) == curve(train(TINY, RECIPE, Tiny(), tmp_path / "whole.pt"))


def test_what_a_killed_process_had_half_written_is_removed_and_of_other_trainings_nothing(tmp_path):
    left = [f"a{part}.pt.999999999.tmp" for part in ("", ".before-decay", ".within-epoch")]
    others = ["a-1.pt.999999999.tmp", "a.pt", "b.pt.999999999.tmp"]
    for name in (*left, others[0], others[2]):
        (tmp_path / name).write_bytes(b"half")
    list(train(TINY, RECIPE, Tiny(), tmp_path / "a.pt"))
    assert sorted(path.name for path in tmp_path.iterdir() if "before-decay" not in path.name) == others


def test_what_was_saved_in_an_epoch_that_has_ended_since_is_not_gone_on_with(tmp_path):
    path, pulses = tmp_path / "a.pt", []
    with pytest.raises(Paused):
        list(train(TINY, RECIPE, Tiny(), path, should_pause=lambda: pulses.append(1) or len(pulses) == 8))
    old = within_epoch(path).read_bytes()
    first = list(train(TINY, RECIPE, Tiny(), path))
    within_epoch(path).write_bytes(old)     # as if the process had died before removing it
    assert list(train(TINY, RECIPE, Tiny(), path)) == first


def test_a_full_disk_is_waited_for_and_nothing_is_lost(tmp_path, monkeypatch):
    whole, real, waited = list(train(TINY, RECIPE, Tiny(), tmp_path / "whole.pt")), checkpoint.save, []

    def full(path, *arguments):
        if len(waited) < 3 and len(arguments[2]) == 2:
            raise DiskFull(f"{path}: full")
        real(path, *arguments)
    monkeypatch.setattr(checkpoint, "save", full)
    epochs = list(train(TINY, RECIPE, Tiny(), tmp_path / "a.pt", wait=waited.append))
    assert curve(epochs) == curve(whole)
    assert len(waited) == 3
    assert equal(tmp_path / "a.pt", tmp_path / "whole.pt")


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
    monkeypatch.setattr(trainer.Training, "steps", None)
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
    norms, clip = [], step.clip_gradients

    def spy(parameters, limit):
        clip(parameters, limit)
        norms.append(torch.cat([p.grad.flatten() for p in parameters]).norm().item())
    monkeypatch.setattr(step, "clip_gradients", spy)
    list(train(TINY, replace(RECIPE, epochs=1, clip_norm=0.01), Tiny(), tmp_path / "a.pt"))
    assert norms
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def test_a_training_that_diverges_says_so_and_keeps_the_epoch_before(tmp_path, monkeypatch):
    real, calls = step.pit_loss, []

    def poisoned(*arguments):
        calls.append(1)
        return real(*arguments) * (math.nan if len(calls) == 5 else 1)      # in the second epoch of 3 steps
    monkeypatch.setattr(step, "pit_loss", poisoned)
    with pytest.raises(Diverged, match=r"epoch 2: .*last finite loss"):
        list(train(TINY, RECIPE, Tiny(), tmp_path / "a.pt"))
    assert [epoch.number for epoch in checkpoint.read(tmp_path / "a.pt")["epochs"]] == [1]


def validated(corpus, variant=TINY, network=None):
    """The state behind one validation, and its scores."""
    state = trainer.Training(variant, RECIPE, corpus, torch.device("cpu"))
    state.network = network or state.network
    return state, list(state.validate())


def test_validation_and_test_of_the_same_weights_on_the_same_mixtures_are_equal(tmp_path):
    class Same(Tiny):       # the test's mixtures are the validation's
        def mixture(self, split, index):
            return super().mixture("test", index)
    recipe = replace(RECIPE, epochs=1, precision="bf16")        # what is tested computes in float32
    [epoch] = train(TINY, recipe, Same(), tmp_path / "a.pt")
    scores = score_test(checkpoint.load(tmp_path / "a.pt"), Same())
    assert epoch.valid_si_snri_db == pytest.approx(sum(one.si_snri_db for one in scores) / 3, abs=1e-9)


def test_the_validation_score_of_an_untouched_mixture_is_no_improvement_and_the_same_each_time():
    class Echo(torch.nn.Linear):
        def forward(self, mixture):
            return mixture[:, None].repeat(1, 2, 1)
    state, scores = validated(Tiny(mixtures=4, lengths=(900, 1000, 37)), network=Echo(1, 1))
    assert scores == pytest.approx([0, 0, 0, 0], abs=1e-5)
    assert list(state.validate()) == scores


class Pausing(Tiny):
    """Two people who take turns, as in an interview: each is silent for half of every mixture. In the third one says nothing."""

    def mixture(self, split, index):
        mixture = super().mixture(split, index)
        sources, half = mixture.sources.copy(), mixture.length // 2
        sources[0, :half] = sources[1, half:] = 0
        sources[1] *= index != 2
        return mixture._replace(sources=sources)


def test_pauses_do_not_spoil_the_validation_score():
    """Known from the definition: an estimate with noise orthogonal to all at -20 dB has 20 dB on whole mixtures."""
    class Oracle(torch.nn.Linear):
        def forward(self, mixture):
            sources = torch.from_numpy(next(sound.sources for sound in sounds if np.array_equal(sound.mixture, mixture[0])))
            noise = torch.randn(sources.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            basis = torch.linalg.qr(torch.cat([sources.double(), torch.ones_like(sources[:1], dtype=torch.float64)]).T)[0]
            noise -= noise @ basis @ basis.T
            noise *= 0.1 * sources.double().std(1, keepdim=True) / noise.std(1, keepdim=True)
            return (sources + noise).float()[None]
    sounds = [Pausing().mixture("valid", index) for index in range(2)]
    _, scores = validated(Pausing(mixtures=2), network=Oracle(1, 1))
    before = [np.mean(in_order(sound, sound.sources).input_si_snr_db) for sound in sounds]
    assert [score + b for score, b in zip(scores, before, strict=True)] == pytest.approx([20, 20], abs=1e-2)


def test_a_validation_mixture_with_a_silent_source_is_left_out_and_said_once():
    lines = []
    state, scores = validated(Pausing())
    state.log = lines.append
    assert len(scores) == 2
    state.silent = 0
    assert [len(list(state.validate())) for _ in range(2)] == [2, 2]
    assert lines == ["validation: 1 of 3 mixtures have a silent source and are left out"]


def test_validation_without_any_mixture_in_which_all_speak_is_refused(tmp_path):
    class Mute(Tiny):
        def mixture(self, split, index):
            mixture = super().mixture(split, index)
            return mixture._replace(sources=mixture.sources * np.float32([[1], [0]]))
    with pytest.raises(CorpusError, match="'tiny': in each of its 3 validation mixtures a source is silent"):
        list(train(TINY, RECIPE, Mute(), tmp_path / "a.pt"))


def test_silent_sources_are_no_part_of_the_training_loss(tmp_path):
    class Half(Tiny):
        """Every second segment has one silent source."""

        def segment(self, seed, epoch, index, samples):
            mixture = super().segment(seed, epoch, index, samples)
            return mixture._replace(sources=mixture.sources * np.float32([[1], [index % 2]]))
    state = trainer.Training(TINY, replace(RECIPE, epoch_segments=2), Half(), torch.device("cpu"))
    batch = step.batch_of([Half().segment(0, 1, index, state.stepper.segment) for index in range(2)], state.device)
    signals = reorder(out := state.network(batch.mixture), best_permutation(batch.sources, out, batch.valid))
    each = si_snr(batch.sources, signals, batch.valid_of_sources)
    assert each[0, 1] < -60     # what a mean over all would have held
    list(state.steps())
    assert state.epochs[0].train_loss_db == pytest.approx(-(each[0, 0] + each[1].sum()).item() / 3, abs=1e-4)


def test_a_training_validated_on_segments_is_not_gone_on_with(tmp_path):
    list(train(TINY, replace(RECIPE, epochs=1), Tiny(), tmp_path / "a.pt"))
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    del content["validation"]       # as before there was a choice
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="validation: segments, not whole mixtures"):
        list(train(TINY, RECIPE, Tiny(), tmp_path / "a.pt"))
    checkpoint.load(tmp_path / "a.pt")      # and yet it separates


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
    assert devices.device_of("auto") == torch.device("cpu")
    with pytest.raises(UserError, match="finds no CUDA device"):
        devices.device_of("cuda")
    with pytest.raises(UserError, match="finds no GPU of Apple's"):
        devices.device_of("mps")


def test_on_a_gpu_of_apples_a_training_is_in_float32(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "cpu_flags", lambda: {"amx_bf16"})
    assert devices.device_of("mps") == torch.device("mps")
    assert devices.device_of("auto") == torch.device("cpu")
    assert [devices.precision_of(name, "mps") for name in ("float32", "auto")] == ["float32", "float32"]
    with pytest.raises(UserError, match="use float32"):
        devices.precision_of("bf16", "mps")
    assert memory.out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8 GB, max allowed: 9 GB)"))


class Allocator:
    """Stands for a device that has memory for so many items at once: the loss of more cannot be computed."""

    def __init__(self, items, monkeypatch, error=None):
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        self.items, self.met, self.real = items, [], step.pit_loss
        monkeypatch.setattr(step, "pit_loss", self)

    def __call__(self, sources, estimate, heard):
        self.met.append(len(sources))
        loss = self.real(sources, estimate, heard)
        if len(sources) > self.items:
            estimate.square().sum().backward(retain_graph=True)     # it breaks in the middle: gradients lie about
            raise self.error
        return loss


WIDE = replace(RECIPE, epochs=2, epoch_segments=14, batch_size=8, learning_rate=1e-3)


def trained(path, recipe=WIDE, variant=TINY, **options):
    curve = list(train(variant, recipe, Tiny(), path, **options))
    return [epoch.train_loss_db for epoch in curve], checkpoint.read(path)


@pytest.mark.parametrize("size", [1, 3, 7, 8])
def test_the_gradients_of_micro_batches_add_up_to_those_of_the_batch(size):
    corpus = Tiny()
    mixtures = [corpus.segment(0, 1, index, 400) for index in range(8)]        # some are padded
    whole, parts = (step.Stepper(TINY, WIDE, corpus, torch.device("cpu")) for _ in range(2))
    parts.micro_batch = size
    losses = [one.gradients(mixtures, (0, 1, 0))[0].item() for one in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    for mine, theirs in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6 * mine.grad.abs().max().item() + 1e-9)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("out of memory"), MemoryError(),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")])
def test_out_of_memory_halves_the_micro_batch_and_no_item_is_lost_or_heard_twice(tmp_path, monkeypatch, error):
    losses, whole = trained(tmp_path / "whole.pt")
    device = Allocator(3, monkeypatch, error)
    less, parts = trained(tmp_path / "less.pt")
    assert device.met == [8, 4, *[2] * 14]     # each epoch's batches are 8 and 6 items
    assert less == pytest.approx(losses, abs=1e-3)
    assert parts["micro_batch"] == 2
    for name, weight in whole["model"].items():
        torch.testing.assert_close(parts["model"][name], weight, rtol=1e-2, atol=2e-4)


def test_out_of_memory_with_one_item_is_the_end_and_known_as_such(tmp_path, monkeypatch):
    Allocator(0, monkeypatch)
    with pytest.raises(torch.OutOfMemoryError):
        trained(tmp_path / "a.pt")
    monkeypatch.setattr(step, "pit_loss", lambda *_: (_ for _ in ()).throw(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else"):
        trained(tmp_path / "b.pt")


def test_batch_norm_hears_its_whole_batch_so_it_is_never_split(tmp_path, monkeypatch):
    device = Allocator(3, monkeypatch)
    with pytest.raises(torch.OutOfMemoryError):
        trained(tmp_path / "a.pt", variant=replace(TINY, norm="batch"), micro_batches=0)
    assert device.met == [8]


def test_a_resumed_training_goes_on_with_the_micro_batch_it_had(tmp_path, monkeypatch):
    device = Allocator(3, monkeypatch)
    trained(tmp_path / "whole.pt")
    next(train(TINY, WIDE, Tiny(), tmp_path / "cut.pt"))
    device.met.clear()
    trained(tmp_path / "cut.pt", micro_batches=0)
    assert set(device.met) == {2}
    assert equal(tmp_path / "cut.pt", tmp_path / "whole.pt")


@settings(deadline=None)
@given(st.integers(1, 64), st.integers(0, 64))
def test_the_largest_micro_batch_that_fits_is_found_in_few_tries(batch, room):
    tried = []
    found = memory.largest_fitting(batch, lambda size: tried.append(size) or size <= room)
    fitting = [size for size in memory.micro_sizes(batch) if size <= room]
    assert found == max(fitting, default=1)
    assert len(tried) <= 2 + math.log2(batch)
    parts = -(-batch // found)
    assert room < 1 or parts == -(-batch // min(batch, room))       # no smaller number of parts would do


@pytest.mark.parametrize(("items", "found"), [(0.5, 1), (2.5, 2), (3.5, 3), (7.5, 4), (100, 8)])
def test_on_a_cpu_what_fits_is_computed_from_the_memory_of_one_item(monkeypatch, items, found):
    one = step.Stepper(TINY, WIDE, Tiny(), torch.device("cpu"))
    before = {name: weight.clone() for name, weight in one.network.state_dict().items()}
    with step.LiveBytes() as live:
        one.fits(1)
    monkeypatch.setattr(step, "available_bytes", lambda: items * live.peak / memory.SHARE)
    one.fit_memory()
    assert one.micro_batch == found
    assert all(torch.equal(before[name], weight) for name, weight in one.network.state_dict().items())
    assert all(weight.grad is None for weight in one.network.parameters())


def test_memory_counted_for_one_item_is_that_of_its_tensors():
    one = step.Stepper(TINY, replace(WIDE, segment_s=1.0), Tiny(), torch.device("cpu"))
    with step.LiveBytes() as live:
        one.fits(1)
    frames, v = 8000 // TINY.hop, TINY
    kept = v.N * 3 + v.X * v.R * (v.B + 2 * v.H)        # at least: what each layer, fast or not, must keep for its gradient
    assert 4 * frames * kept < live.peak < 10 * 4 * frames * kept
    assert memory.available_bytes() > 2**20


def test_dropout_is_a_function_of_where_the_training_is(tmp_path):
    variant = replace(TINY, dropout=0.3)
    losses, _ = trained(tmp_path / "whole.pt", variant=variant)
    next(train(variant, WIDE, Tiny(), tmp_path / "cut.pt"))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert trained(tmp_path / "cut.pt", variant=variant)[0] == losses
    assert equal(tmp_path / "cut.pt", tmp_path / "whole.pt")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("bf16", "word"), [(None, "float32"), (1, "bf16")])
def test_auto_is_bf16_only_where_the_matrix_products_are(monkeypatch, bf16, word):
    monkeypatch.setattr(devices, "cpu_flags", lambda: {"amx_bf16"})
    monkeypatch.setattr(devices.blas, "SOURCES", {"mine": lambda: SimpleNamespace(bf16=blas.Address(bf16))})
    assert devices.precision_of("auto", "cpu") == word


@pytest.mark.parametrize(("flags", "word"), [({"avx512f", "amx_bf16"}, "bf16"), ({"avx512_bf16"}, "float32"), (set(), "float32")])
def test_auto_is_bf16_where_a_cpu_has_tiles_for_it_and_a_word_stays_what_it_is(monkeypatch, flags, word):
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    assert devices.precision_of("auto", "cpu") == word
    assert [devices.precision_of(name, "cpu") for name in ("float32", "bf16")] == ["float32", "bf16"]


def test_who_trains_by_the_plain_layers_is_told_once_and_why(monkeypatch):
    said = []
    monkeypatch.setattr(devices.build, "why_not", lambda: "no C++ compiler was found")
    devices.say_if_plain(TINY, "cpu", said.append)
    assert len(said) == 1
    assert "no C++ compiler was found" in said[0]
    devices.say_if_plain(replace(TINY, norm="batch"), "cpu", said.append)      # would go by them anyway
    assert len(said) == 1


def test_who_waits_for_the_compiler_is_told_and_who_does_not_is_not(monkeypatch):
    said, made = [], []
    monkeypatch.setattr(devices.build, "to_compile", lambda: not made)
    monkeypatch.setattr(devices.build, "why_not", lambda: made.append("compiled"))
    devices.make_layers(replace(TINY, norm="batch"), "cpu", said.append)       # has none
    assert (said, made) == ([], [])
    devices.make_layers(TINY, "cpu", said.append)
    devices.make_layers(TINY, "cpu", said.append)
    assert said == ["compiling the layers for this processor, once"]


def test_trainings_with_dropout_in_several_threads_are_those_of_one_alone(tmp_path):
    """Chance is a function of where a training is, also where torch's random state, the process's, is asked by several."""
    variant, recipe = replace(TINY, dropout=0.3), replace(RECIPE, epochs=2)
    alone = curve(train(variant, recipe, Tiny(), tmp_path / "alone.pt"))
    with ThreadPoolExecutor(4) as threads:
        several = list(threads.map(lambda i: curve(train(variant, recipe, Tiny(), tmp_path / f"{i}.pt")), range(12)))
    assert several == [alone] * 12
