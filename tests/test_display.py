import io

import pytest
from rich.console import Console
from tiny import TINY

from study.display import Plain, Screen, outcome, si, watcher
from study.records import Result
from tasnet_core.cost import exact
from tasnet_core.records import Epoch, Scores

DONE = Result("complete", scores=Scores(si_snri_db=5.126, mixtures=3, unscored=1))


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (1000, "1k"), (331_289, "331k"), (4_984_881, "4.98M"),
                                             (5_110_000_000, "5.11G")])
def test_counts_have_three_digits_and_a_unit(number, text):
    assert si(number) == text


@pytest.mark.parametrize(("result", "words"), [
    (DONE, "5.13 dB SI-SNRi (1 mixtures unscored)"), (Result("complete"), "no mixture could be scored"),
    (Result("failed", "epoch 2: loss nan", "diverged"), "failed: diverged: epoch 2: loss nan"),
    (Result("rejected", "331,289 parameters, budget 1,000"), "rejected: 331,289 parameters, budget 1,000")])
def test_how_a_trial_ended_in_a_few_words(result, words):
    assert outcome(result) == words

FRONT = [{"trial": 0, **vars(TINY), "parameters": 517, "macs_per_s": 1_600_000, "si_snri_db": 5.126}]


def events(shown):
    """What a runner tells while two trials run, one of them over the budget."""
    with shown:
        shown.trial_begins(0, TINY, exact(TINY))
        shown.epoch_ends(0, Epoch(1, -3.0, 2.5, 1e-3, 10.0, 1.0))
        shown.trial_ends(0, TINY, DONE, [])
        shown.trial_begins(1, TINY, exact(TINY))
        shown.trial_ends(1, TINY, Result("rejected", "too large"), FRONT)


def test_without_a_terminal_every_event_is_a_line(capsys):
    shown = watcher(2, 0, 5, [])
    assert type(shown) is Plain
    events(shown)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["trial 0 (1 of 2)", "  epoch 1/5", "trial 0", "trial 1 (2 of 2)", "trial 1"]
    assert shown.done == 1      # a rejected variant does not count


def test_the_live_view_shows_progress_the_epoch_and_the_front():
    written, screen = io.StringIO(), Screen(2, 0, 5)
    screen.live.console = Console(file=written, width=100)
    events(screen)
    screen.live.console.print(screen.view())
    said = written.getvalue()
    for words in ("N8 L4 B4 H8", "the front so far", "5.13", "1.6M", "study, 1 of 2 trials", "trial 1"):
        assert words in said
    assert screen.progress.tasks[0].completed == 5      # of 2 × 5 epochs
