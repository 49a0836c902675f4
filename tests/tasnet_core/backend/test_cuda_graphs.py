"""Recorded steps are the steps. Here a stand-in records: doing it again is all that a CUDA graph adds nothing to."""

import gc
import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch

from tasnet_core.backend import cuda_graphs
from tasnet_core.backend.cuda_graphs import WARM_UP, Captured
from tasnet_core.checkpoints import checkpoint
from tasnet_core.training import step, trainer
from tasnet_core.training.trainer import Paused, Training, train
from tests.support.tiny import RECIPE, TINY, Tiny

CPU = torch.device("cpu")
ODD = replace(RECIPE, epoch_segments=21, epochs=4)      # ten batches of 2, and one of 1


class Uneven(Tiny):
    """Every second batch of two is padded."""

    def segment(self, seed, epoch, index, samples):
        length = samples - 40 * (index % 4 == 3)
        return self.draw((seed, epoch, index), f"train/{seed}/{epoch}/{index}", length, samples)


class Again:
    """Stands for a device: what it recorded is done again, on the same tensors."""

    def __init__(self):
        self.run_, self.recorded, self.replayed = 0, 0, 0

    def run(self, work):
        self.run_ += 1
        return work()

    def record(self, work):
        self.recorded += 1

        def replay():
            self.replayed += 1
            return work()
        return replay


@pytest.fixture
def again(monkeypatch):
    """Let trainings on the CPU record, with the rate in a tensor as on a GPU."""
    recorder, made = Again(), cuda_graphs.adam

    def adam(network, device, kind):
        optimizer = made(network, device, kind)
        optimizer.param_groups[0]["lr"] = torch.zeros((), dtype=torch.float64)
        return optimizer
    monkeypatch.setattr(step, "recorder_of", lambda device: recorder)
    monkeypatch.setattr(step, "adam", adam)
    return recorder


def trained(path, recipe=ODD, variant=TINY, **options):
    """Every number of a training: its curve, and all tensors it keeps."""
    epochs = [replace(epoch, seconds=0) for epoch in train(variant, recipe, Uneven(), path, **options)]
    content = checkpoint.read(path)
    moments = [value for values in content["optimizer"]["state"].values() for value in values.values()]
    return epochs, [*content["model"].values(), *content["best"].values(), *moments]


def same(one, other):
    return one[0] == other[0] and all(torch.equal(a, b) for a, b in zip(one[1], other[1], strict=True))


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    """What is trained without recordings: a fixture of the file is made before these are let in."""
    folder = tmp_path_factory.mktemp("eager")
    return {variant: trained(folder / f"{variant.key}.pt", variant=variant)
            for variant in (TINY, replace(TINY, norm="batch"), replace(TINY, dropout=0.3))}


@pytest.mark.parametrize("norm", ["global", "batch"])
def test_replayed_steps_give_the_bits_of_eager_steps_while_the_rate_falls(tmp_path, eager, again, norm):
    found = trained(tmp_path / "a.pt", variant=replace(TINY, norm=norm))
    assert same(found, eager[replace(TINY, norm=norm)])
    assert len({epoch.learning_rate for epoch in found[0]}) > 1
    assert (again.run_, again.recorded) == (2 * WARM_UP, 2)     # with padding and without
    assert again.replayed == ODD.epochs * 10 - 2 * WARM_UP        # but the last batch of each epoch, which is smaller


def test_a_recorded_training_that_is_paused_again_and_again_ends_with_the_bits_of_an_eager_one(tmp_path, eager, again):
    while True:
        calls = []
        try:
            found = trained(tmp_path / "a.pt", should_pause=lambda c=calls: c.append(1) or len(c) == 13)
            break
        except Paused:
            pass
    assert same(found, eager[TINY])
    assert again.replayed


def test_recorded_steps_by_muon_have_the_bits_of_eager_ones(tmp_path, again, monkeypatch):
    recipe = replace(ODD, optimizer="muon")
    found = trained(tmp_path / "a.pt", recipe)
    assert again.replayed
    monkeypatch.setattr(step, "recorder_of", lambda device: None)
    assert same(found, trained(tmp_path / "b.pt", recipe))


def test_what_cannot_be_recorded_is_done_step_by_step_and_said_once(tmp_path, eager, again, monkeypatch):
    said = []

    def fails(work):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore of it")
    monkeypatch.setattr(again, "record", fails)
    assert same(trained(tmp_path / "a.pt", log=said.append), eager[TINY])
    assert len(said) == 1
    assert said[0].endswith("operation not permitted when stream is capturing")


def test_dropout_and_batches_in_parts_are_not_recorded(tmp_path, eager, again):
    variant = replace(TINY, dropout=0.3)
    assert same(trained(tmp_path / "a.pt", variant=variant), eager[variant])
    trained(tmp_path / "b.pt", micro_batches=2)
    assert (again.run_, again.recorded) == (0, 0)


def test_where_memory_runs_out_the_recording_goes_before_the_batch_is_halved(tmp_path, eager, again, monkeypatch):
    said = []
    one = Training(TINY, ODD, Uneven(), CPU, log=said.append)
    steps = one.steps()
    for _ in range(8):
        next(steps)
    assert again.replayed

    def tight(network, mixture, real=trainer.estimates_of):
        if one.stepper.captured:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(network, mixture)
    monkeypatch.setattr(trainer, "estimates_of", tight)
    for _ in steps:
        pass
    assert one.stepper.captured is None
    assert one.stepper.micro_batch == ODD.batch_size
    assert len(said) == 1
    assert replace(one.epochs[0], seconds=0) == eager[TINY][0][0]


def test_a_step_without_memory_is_begun_anew_in_halves(tmp_path, again, monkeypatch):
    met, real = [], step.pit_loss

    def tight(sources, estimate, heard):
        met.append(len(sources))
        if len(sources) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(sources, estimate, heard)
    monkeypatch.setattr(step, "pit_loss", tight)
    trained(tmp_path / "a.pt", replace(ODD, epochs=1))
    assert met == [2, 2] + [1] * 21     # once to be recorded, once not, and then in halves
    assert not again.recorded


def test_a_training_from_a_gpu_goes_on_on_a_cpu(tmp_path, eager):
    path = tmp_path / "a.pt"
    next(train(TINY, ODD, Uneven(), path))
    content = torch.load(path)
    content["optimizer"]["param_groups"][0] |= {"lr": torch.tensor(0.5), "capturable": True}      # as it is kept there
    torch.save(content, path)
    assert same(trained(path), eager[TINY])


def test_a_recording_reads_its_own_tensors_and_there_is_one_for_each_combination_of_shapes():
    again = Again()
    double = partial(Captured(again), lambda one, other: 2 * one if other is None else 2 * one + other)
    for value in range(WARM_UP + 3):
        x = torch.full((3,), float(value))
        assert double(x, None).tolist() == [2.0 * value] * 3
        assert double(x[:2], None).tolist() == [2.0 * value] * 2
        assert double(x, x).tolist() == [3.0 * value] * 3
    assert (again.recorded, again.replayed) == (3, 9)


def test_a_training_and_the_memory_it_holds_are_gone_as_soon_as_nobody_wants_it(again):
    one = Training(TINY, ODD, Uneven(), CPU)
    assert one.stepper.captured
    gone = weakref.ref(one)
    gc.disable()
    del one
    gc.enable()
    assert gone() is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_replayed_steps_train_as_eager_ones_and_nobody_waits(tmp_path, monkeypatch):
    def losses(name):
        return [epoch.train_loss_db for epoch in train(TINY, ODD, Uneven(), tmp_path / name, "cuda", log=pytest.fail)]
    recorded = losses("a.pt")
    one = Training(TINY, ODD, Uneven(), torch.device("cuda"))
    steps = one.steps()
    for number in range(10):
        if number == 8:
            torch.cuda.set_sync_debug_mode("error")
        next(steps)
    torch.cuda.set_sync_debug_mode("default")
    assert len(one.stepper.captured.recordings) == 2
    monkeypatch.setattr(step, "recorder_of", lambda device: None)
    assert losses("b.pt") == pytest.approx(recorded, abs=0.05)
