"""Trainings that begin with a given network's weights, or learn from its estimates."""

import itertools
from dataclasses import replace

import pytest
import torch

from tasnet_core.backend.devices import device_of
from tasnet_core.checkpoints import checkpoint
from tasnet_core.checkpoints.checkpoint import Origin
from tasnet_core.errors import UserError
from tasnet_core.network.loss import pit_loss
from tasnet_core.network.model import seeded
from tasnet_core.training.batches import batch_of
from tasnet_core.training.slimmable import Lineage
from tasnet_core.training.trainer import Paused, Training, train
from tests.support.tiny import RECIPE, TINY, Tiny


def file_of(path, variant, seed=0):
    network = seeded(variant, seed)
    checkpoint.save(path, variant, RECIPE, [], {"model": network.state_dict(), "best": network.state_dict()})
    return path


def test_a_network_that_imitates_another_learns_by_the_weighted_sum_of_both_losses(tmp_path):
    """The first step's gradient is that of the sum, worked out by autograd with both losses written down."""
    guide, recipe = seeded(TINY, 5), replace(RECIPE, distill=0.25)
    training = Training(TINY, recipe, Tiny(), device_of("cpu"))
    training.imitate(file_of(tmp_path / "guide.pt", TINY, 5))
    drawn = [Tiny().segment(0, 1, index, training.stepper.segment) for index in range(2)]
    found = training.stepper.gradients(drawn, (0, 1, 0))
    gradients = {name: weight.grad.clone() for name, weight in training.network.named_parameters()}
    plain, batch = seeded(TINY, recipe.seed), batch_of(drawn, device_of("cpu"))
    signals, targets = plain(batch.mixture), guide(batch.mixture).detach()
    loss = pit_loss(batch.sources, signals, batch.valid)
    (0.75 * loss + 0.25 * pit_loss(targets, signals, batch.valid)).backward()
    for name, weight in plain.named_parameters():
        assert torch.allclose(weight.grad, gradients[name], rtol=1e-3, atol=1e-5), name
    assert found[0].item() == pytest.approx(loss.item(), rel=1e-4)      # what the curve shows is the separation alone


@pytest.mark.parametrize(("guide", "words"), [(None, "needs a network"), (replace(TINY, C=3), "C=3, but 2"),
                                              (replace(TINY, sample_rate_hz=16000), "sample_rate_hz=16000, but 8000")])
def test_only_a_network_of_the_same_task_is_imitated(tmp_path, guide, words):
    path = file_of(tmp_path / "guide.pt", guide) if guide else None
    with pytest.raises(UserError, match=words):
        list(train(TINY, replace(RECIPE, distill=0.5), Tiny(), tmp_path / "a.pt", lineage=Lineage(guide=path)))


def test_what_imitates_goes_on_after_a_pause_as_if_there_were_none(tmp_path):
    recipe, lineage = replace(RECIPE, epochs=2, distill=0.5), Lineage(guide=file_of(tmp_path / "guide.pt", TINY, 5))
    whole = list(train(TINY, recipe, Tiny(), tmp_path / "whole.pt", lineage=lineage))
    asked = iter([False, False, True])
    with pytest.raises(Paused):
        list(train(TINY, recipe, Tiny(), tmp_path / "cut.pt", should_pause=lambda: next(asked), lineage=lineage))
    again = list(train(TINY, recipe, Tiny(), tmp_path / "cut.pt", lineage=lineage))
    assert [replace(epoch, seconds=0) for epoch in again] == [replace(epoch, seconds=0) for epoch in whole]


@pytest.mark.parametrize("pause_after", [1, 2, 4])
def test_an_adaptation_that_was_interrupted_ends_as_one_that_was_not(tmp_path, pause_after):
    """Also where nothing was saved before: the order of channels is a function of the seed."""
    recipe = replace(RECIPE, epochs=2, init="adapted")
    lineage = Lineage(file_of(tmp_path / "given.pt", TINY, 5), values={"N": (4, 8), "X": (1, 2)})
    whole = list(train(TINY, recipe, Tiny(), tmp_path / "whole.pt", lineage=lineage))
    asked = itertools.count(1)
    with pytest.raises(Paused):
        list(train(TINY, recipe, Tiny(), tmp_path / "cut.pt", should_pause=lambda: next(asked) == pause_after, lineage=lineage))
    again = list(train(TINY, recipe, Tiny(), tmp_path / "cut.pt", lineage=lineage))
    assert [replace(epoch, seconds=0) for epoch in again] == [replace(epoch, seconds=0) for epoch in whole]
    ends = [checkpoint.read(tmp_path / name)["best"] for name in ("whole.pt", "cut.pt")]
    assert all(map(torch.equal, ends[0].values(), ends[1].values()))


def test_a_given_network_is_kept_as_it_is_and_never_trained(tmp_path):
    given = file_of(tmp_path / "given.pt", TINY, 5)
    assert list(train(TINY, replace(RECIPE, epochs=0, init="given"), Tiny(), tmp_path / "a.pt", lineage=Lineage(given))) == []
    assert all(map(torch.equal, checkpoint.load(given).state_dict().values(),
                   checkpoint.load(tmp_path / "a.pt").state_dict().values()))


def test_slices_of_one_file_read_it_once_and_again_when_it_is_another(tmp_path, monkeypatch):
    read, lineage = [], Lineage(file_of(tmp_path / "whole.pt", TINY, 1), origin=Origin(study="s"))
    real, recipe = checkpoint.read, replace(RECIPE, init="inherit", epochs=0)

    def weights(name):
        list(train(TINY, recipe, Tiny(), tmp_path / name, lineage=lineage))
        return checkpoint.load(tmp_path / name).encoder.weight
    monkeypatch.setattr(checkpoint, "read", lambda path: (read.append(path.name), real(path))[1])
    first, second = weights("a.pt"), weights("b.pt")
    assert read.count("whole.pt") == 1
    assert torch.equal(first, second)
    assert torch.equal(first, seeded(TINY, 1).encoder.weight)
    file_of(tmp_path / "whole.pt", TINY, 2)
    assert torch.equal(weights("c.pt"), seeded(TINY, 2).encoder.weight)
