import io
import socket
import time

import pytest

from study.analysis.replicates import per_trial
from study.cli.show import show_status, show_trial, worker
from study.cli.terminal import Plain, Printed, Screen, outcome, thinned, view_of
from study.records import Result
from study.search.events import EpochEnded, FrontChanged, MixtureScored, TrialEnded, TrialStarted
from tasnet_core.cost.count import exact
from tasnet_core.records import Epoch, Scores
from tests.support import fakes
from tests.support.tiny import TINY

DONE = Result("complete", scores=Scores(si_snri_db=5.126, mixtures=3, unscored=1))
STOPPED = Result("stopped", "after epoch 1: trial 0 was ahead by more than 1.2 dB for 2 epochs running")
COST = exact(TINY)


@pytest.mark.parametrize(("result", "words"), [
    (DONE, "5.13 dB SI-SNRi (1 mixture unscored)"), (Result("complete"), "no mixture could be scored"),
    (STOPPED, "stopped: after epoch 1: trial 0 was ahead by more than 1.2 dB for 2 epochs running"),
    (Result("failed", "epoch 2: loss nan", "diverged"), "failed: diverged: epoch 2: loss nan"),
    (Result("rejected", "331,289 parameters, budget 1,000"), "rejected: 331,289 parameters, budget 1,000")])
def test_how_a_trial_ended_in_a_few_words(result, words):
    assert outcome(result) == words


FRONT = [{"trial": 0, **vars(TINY), "parameters": 517, "macs_per_s": 1_600_000, "si_snri_db": 5.126}]


def epoch(number):
    return Epoch(number, -3.0, 2.5, 1e-3, 10.0, 1.0)


def paper(height=30):
    return Printed(file=io.StringIO(), width=80, height=height)


def events(shown):
    """What workers tell while three trials run: one dies and is taken up again, one is stopped, one over the budget."""
    with shown:
        shown(TrialStarted(0, 0, TINY, COST, 5))
        shown(EpochEnded(0, 0, epoch(1)))
        shown(TrialStarted(1, 0, TINY, COST, 5))
        shown(EpochEnded(0, 0, epoch(2)))
        shown(EpochEnded(1, 0, epoch(1)))
        shown(TrialStarted(0, 0, TINY, COST, 5))
        shown(EpochEnded(0, 0, epoch(1)))
        shown(EpochEnded(0, 0, epoch(2)))
        shown(EpochEnded(0, 0, epoch(3)))
        shown(TrialEnded(1, 0, TINY, STOPPED))
        shown(EpochEnded(1, 0, epoch(2)))        # said late by a worker whose run another ended
        shown(TrialStarted(2, 0, TINY, COST, 5))
        shown(TrialEnded(2, 0, TINY, Result("rejected", "too large")))
        shown(TrialStarted(1, 7, TINY, COST, 5))
        shown(EpochEnded(1, 7, epoch(1)))
        shown(FrontChanged(FRONT))


def test_without_a_terminal_every_event_is_a_line_that_names_its_trial_and_no_epoch_is_told_twice(capsys):
    shown = view_of(4, 0, 5, [])
    assert type(shown) is Plain
    events(shown)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0].partition(": N")[0] for line in lines] == [
        "trial 0 (1 of 4)", "trial 0: epoch 1/5", "trial 1 (2 of 4)", "trial 0: epoch 2/5", "trial 1: epoch 1/5",
        "trial 0: taken up again after epoch 2", "trial 0: epoch 3/5",
        "trial 1: stopped: after epoch 1: trial 0 was ahead by more than 1.2 dB for 2 epochs running",
        "trial 2 (3 of 4)", "trial 2: rejected: too large", "trial 1 seed 7 (3 of 4)", "trial 1 seed 7: epoch 1/5"]
    assert shown.done == 1      # a rejected variant does not count


def test_the_live_view_has_a_bar_for_each_trial_that_runs_and_counts_their_epochs():
    screen = Screen(4, 0, 5, console=paper())
    events(screen)
    screen.console.print(screen.view())
    view = screen.console.file.getvalue()
    for words in ("N8 L4 B4 H8", "the front so far", "5.13", "1.60M", "trial 0, epoch 3 of 5: 2.50 dB",
                  "trial 1 seed 7, epoch 1 of 5"):
        assert words in view
    assert [task.description.partition(",")[0] for task in screen.progress.tasks] == ["study", "trial 0", "trial 1 seed 7"]
    assert screen.progress.tasks[0].description == "study, 1 of 4 trials"
    assert (screen.progress.tasks[0].completed, screen.progress.tasks[0].total) == (5 + 3 + 1, 4 * 5)


def test_the_live_view_takes_events_of_trials_it_did_not_see_begin():
    screen = Screen(4, 1, 5, console=paper())
    with screen:
        screen(EpochEnded(3, 0, epoch(2)))
        screen(MixtureScored(4, 0, 1, 1))
        screen(TrialEnded(5, 0, TINY, DONE))
        screen(MixtureScored(5, 0, 1, 2))       # late
        assert [task.description for task in screen.progress.tasks[1:]] == [
            "trial 3, epoch 2 of 5: 2.50 dB", "trial 4, scored 1 of 1 mixture"]
        assert screen.progress.tasks[0].completed == 2 * 5 + 2


def test_a_front_longer_than_the_screen_leaves_room_for_the_bars():
    screen = Screen(4, 1, 5, [{**FRONT[0], "trial": trial} for trial in range(40)], console=paper(16))
    screen(TrialStarted(40, 0, TINY, COST, 5))
    lines = screen.console.render_lines(screen.view())
    assert len(lines) < 16
    assert "the front so far, 8 of 40" in "".join(part.text for line in lines for part in line)


@pytest.mark.parametrize(("count", "most", "kept"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (9, 1, []), (9, -2, []), (0, 4, [])])
def test_of_many_rows_an_even_choice_with_both_ends_is_shown(count, most, kept):
    assert list(thinned(list(range(count)), most)) == kept


@pytest.mark.parametrize(("owner", "left_s", "words"), [
    ("box:abc:1234:99", 60, "worker box, process 1234"), ("box:1234", 60, "worker box, process 1234"),
    ("elsewhere", 60, "worker elsewhere"),
    ("a:b:c", 60, "worker a:b:c"), ("box:1234", -1, "box, process 1234, not heard of for long"), (None, 60, "no worker")])
def test_the_worker_of_a_run_is_its_host_and_process_where_that_can_be_read(owner, left_s, words):
    assert worker({"owner": owner, "lease_until_s": time.time() + left_s}) == words


def test_the_status_lists_what_each_worker_is_at_and_counts_how_runs_ended(capsys):
    runs = [fakes.row(0), fakes.stopped(1, after=3), fakes.failed(2), fakes.failed(3, state="rejected"),
            *(fakes.row(trial, state="running", seed=seed) for trial, seed in ((4, 0), (0, 5)))]
    kept = [{**run, "kind": "diverged" if run["state"] == "failed" else "", "owner": f"{socket.gethostname()}:x:77:1",
             "lease_until_s": time.time() + 60} for run in runs]
    show_status("some", fakes.SETTINGS, runs, [], [fakes.epoch(4, 1, -1.0, 3.25), fakes.epoch(0, 1, 0.0, 9.0)], kept)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("study some: 2 running, 1 complete, 1 stopped, 1 rejected, 1 failed (1 diverged);")
    said = said[said.index("stopping early saved 2,000 s of audio") + 2:]
    assert said == [f"trial 4: epoch 1 of 8, 3.25 dB valid SI-SNRi, worker {socket.gethostname()}, process 77",
                        f"trial 0 seed 5: epoch 0 of 8, no epoch yet, worker {socket.gethostname()}, process 77"]


def test_a_front_tells_its_seeds(capsys):
    large = {"N": 512, "B": 128, "H": 512, "Sc": 128, "X": 8, "R": 3}
    front = per_trial([*(fakes.row(0, si_snri_db=score, seed=seed) for seed, score in enumerate((4.7, 4.9, 5.1))),
                       fakes.row(1, **large)])
    show_status("some", None, [], front, [])
    said = [line.split() for line in capsys.readouterr().out.splitlines()]     # 80 columns wide
    assert ["0", *"N128 L16 B64 H128 Sc64 X6 R2 340k 330M 4.90 (3, 0.20)".split()] in said
    assert ["1", *"N512 L16 B128 H512 Sc128 X8 R3 340k 330M 7.00".split()] in said


def test_a_trial_with_several_seeds_is_shown_run_by_run_and_then_as_their_mean(capsys):
    results = [fakes.row(1, seed=0, si_snri_db=5.0), fakes.row(1, seed=1, si_snri_db=6.0), fakes.stopped(1, seed=2)]
    more = {"kind": "", "mixtures": 1, "unscored": 0, "batch_size": 8, "schedule": "decay",
            "optimizer": "adam", "checkpoint": "a.pt"}
    show_trial([{**row, **more} for row in results], results, [fakes.epoch(1, 1, -1.0, 1.0, 2)], [fakes.mixture(1, 0, 4.0, 1)])
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "trial 1, mean: 5.50 dB SI-SNRi (2 seeds, sd 0.71); 1 run without a score"
    assert "state stopped: after epoch 4: trial 0 was ahead" in said
    assert "1,600 s of audio, 1,600 s saved by stopping" in said
    assert said.count("epoch   1") == 1
    assert "over 1 mixture," in said


def test_a_trial_that_still_rises_says_so_and_whom_it_may_pass(capsys):
    results = [fakes.row(0, si_snri_db=7.0, **fakes.outlook(0.1, 7.05, 6.9, 7.2)),
               fakes.row(1, si_snri_db=6.5, parameters=1000, macs_per_s=1000, **fakes.outlook(0.6, 7.1, 6.95, 7.25))]
    more = {"kind": "", "mixtures": 1, "unscored": 0, "batch_size": 8, "schedule": "decay",
            "optimizer": "adam", "checkpoint": "a.pt"}
    show_trial([{**results[1], **more}], results, [], [])
    said = capsys.readouterr().out
    assert "0.60 dB per doubling of audio, still rising ↑" in said
    assert "7.10 dB expected, [6.59, 7.61]" in said
    assert said.splitlines()[-1] == "at twice the audio trial 1 is expected to pass trial 0"
    show_status("some", None, [], results, [])
    said = capsys.readouterr().out
    assert "6.50 ↑" in said
    assert "7.00 ↑" not in said
