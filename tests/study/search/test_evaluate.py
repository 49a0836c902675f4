"""One variant from its cost to its scores: what comes back, and what was never begun."""

import math
from dataclasses import replace

import pytest
import torch

from study.records import FAILURES, MEASURED, Selection
from study.search import evaluate as module
from study.search.evaluate import Hooks, Task, evaluate, kind_of, one_line
from study.search.events import CostMeasured, EpochEnded, MixtureScored
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.cost import count
from tasnet_core.errors import Abandoned, CheckpointError, CorpusError
from tasnet_core.evaluation import metrics
from tasnet_core.training.trainer import Diverged, Paused
from tests.support.tiny import RECIPE, TINY, Tiny

QUICK = replace(RECIPE, epochs=2)


def test_a_trained_variant_comes_back_with_cost_curve_and_a_score_for_every_test_mixture(tmp_path):
    heard, counted = [], []

    def on_event(event):
        match event:
            case EpochEnded(0, RECIPE.seed, epoch):
                heard.append(epoch)
            case MixtureScored(0, RECIPE.seed, done, total):
                counted.append((done, total))
            case CostMeasured(cost):
                assert cost == replace(count.exact(TINY), **{name: getattr(cost, name) for name in MEASURED})
    result = evaluate(Task(TINY, QUICK, tmp_path / "a.pt", metrics=("si_snr", "sdr")), Tiny(4), Hooks(on_event))
    assert (result.state, result.reason, result.kind) == ("complete", "", "")
    assert result.cost.parameters == count.exact(TINY).parameters
    assert result.cost.peak_memory_bytes
    assert list(result.curve) == heard
    assert [epoch.number for epoch in heard] == [1, 2]
    assert counted == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [one.mixture for one in result.mixtures] == [f"test/{index:03}" for index in range(4)]
    assert list(result.mixtures) == metrics.score_test(load(tmp_path / "a.pt"), Tiny(4), ("si_snr", "sdr"))
    assert result.scores == metrics.summary(result.mixtures, ("si_snr", "sdr"))
    assert result.scores.sdri_db is not None
    assert result.scores.stoi is None
    assert result.seconds >= sum(epoch.seconds for epoch in heard)


def test_by_default_only_si_snr_is_measured(tmp_path):
    scores = evaluate(Task(TINY, QUICK, tmp_path / "a.pt"), Tiny()).scores
    assert math.isfinite(scores.si_snri_db)
    assert (scores.sdr_db, scores.sdr_unscored) == (None, None)


@pytest.mark.parametrize(("error", "kind", "words"), [
    (Diverged("epoch 2: training loss nan"), "diverged", "epoch 2: training loss nan"),
    (CorpusError("a.wav: gone"), "data", "a.wav: gone"),
    (MemoryError(), "out-of-memory", "MemoryError: "),
    (RuntimeError("[enforce fail] can't allocate memory: 9 bytes\nat"), "out-of-memory",
     "RuntimeError: [enforce fail] can't allocate memory: 9 bytes"),
    (torch.OutOfMemoryError("CUDA out of memory."), "out-of-memory", "OutOfMemoryError: CUDA out of memory."),
    (ValueError("what\nelse"), "error", "ValueError: what")])
def test_a_bad_end_is_a_failed_result_with_the_epochs_that_were(tmp_path, monkeypatch, error, kind, words):
    whole = list(module.train(TINY, QUICK, Tiny(), tmp_path / "whole.pt"))

    def ends_badly(*_):
        yield whole[0]
        raise error
    monkeypatch.setattr(module, "train", ends_badly)
    result = evaluate(Task(TINY, QUICK, tmp_path / "a.pt"), Tiny())
    assert (result.state, result.kind, result.reason, result.curve) == ("failed", kind, words, (whole[0],))
    assert result.scores.si_snri_db is None
    assert result.seconds == whole[0].seconds
    assert kind_of(error) in FAILURES
    assert "\n" not in one_line(error)


def test_a_checkpoint_that_cannot_be_read_stops_the_study(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError):
        evaluate(Task(TINY, QUICK, tmp_path / "a.pt"), Tiny())


def test_a_metric_that_breaks_the_scoring_fails_the_run_and_not_the_study(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "score_test", lambda *_, **__: 1 / 0)
    result = evaluate(Task(TINY, QUICK, tmp_path / "a.pt"), Tiny())
    assert (result.state, result.kind, len(result.curve)) == ("failed", "error", 2)


def test_a_reason_to_give_up_ends_the_training_there_and_it_can_go_on(tmp_path):
    stopped = evaluate(Task(TINY, QUICK, tmp_path / "a.pt"), Tiny(), Hooks(
        lambda event: "enough" if isinstance(event, EpochEnded) and event.epoch.number == 1 else ""))
    assert (stopped.state, stopped.reason, len(stopped.curve)) == ("stopped", "enough", 1)
    assert stopped.scores.si_snri_db is None
    on, whole = (evaluate(Task(TINY, QUICK, tmp_path / name), Tiny()) for name in ("a.pt", "b.pt"))
    assert on.scores == whole.scores
    assert on.state == "complete"


@pytest.mark.parametrize("error", [Paused(), Abandoned()])
def test_what_is_given_up_from_outside_is_no_failure(tmp_path, error):
    def on_event(event):
        if isinstance(event, EpochEnded):
            raise error
    with pytest.raises(type(error)):
        evaluate(Task(TINY, QUICK, tmp_path / "a.pt"), Tiny(), Hooks(on_event))


def test_a_batch_in_parts_gives_the_same_training_but_for_rounding(tmp_path):
    whole, parts = (evaluate(Task(TINY, QUICK, tmp_path / f"{parts}.pt", micro_batches=parts), Tiny()) for parts in (1, 2))
    for one, other in zip(whole.curve, parts.curve, strict=True):
        assert one.train_loss_db == pytest.approx(other.train_loss_db, rel=1e-4)


def test_the_search_is_given_scores_on_validation_mixtures_of_the_best_epochs_weights(tmp_path):
    result = evaluate(Task(TINY, QUICK, tmp_path / "a.pt"), Tiny(4))
    network = load(tmp_path / "a.pt")
    valid = metrics.summary(metrics.score_test(network, Tiny(4), part="valid"))
    assert result.selection.valid_si_snri_db == pytest.approx(valid.si_snri_db, abs=1e-9)
    assert result.selection.valid_si_snri_db != pytest.approx(result.scores.si_snri_db, abs=1e-3)
    assert result.selection.valid_sdri_db is None


def test_a_search_by_sdr_is_given_sdr_on_validation_mixtures(tmp_path):
    asked = ("si_snr", "sdr")
    result = evaluate(Task(TINY, QUICK, tmp_path / "a.pt", metrics=asked, validated=asked), Tiny(4))
    valid = metrics.summary(metrics.score_test(load(tmp_path / "a.pt"), Tiny(4), asked, part="valid"), asked)
    assert result.selection == Selection(valid.si_snri_db, valid.sdri_db)
    assert valid.sdri_db is not None
