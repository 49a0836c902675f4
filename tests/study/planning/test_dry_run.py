"""`run --dry-run` from the command: what it says, and that it leaves nothing behind."""

import os

import pytest

from study.__main__ import main
from study.cli.options import read
from study.cli.training import for_real
from study.planning import dry_run
from study.planning.measure import Plan, Speeds, Timing, measure, measure_together
from tasnet_core.errors import UserError
from tasnet_core.records import Recipe
from tests.support import tiny_study

RUN = ("run", *tiny_study.ARGUMENTS, "--epochs", "1", "--epoch-segments", "4")
BY_MACS = Timing((1e6, 1e9), (1e-3, 1.0))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plans(monkeypatch):
    """What would be measured, and by how many processes; nothing is."""
    asked = []

    def made_up(plan, processes):
        asked.append((plan, processes))
        return Speeds(BY_MACS, BY_MACS, 0.02, 0.0, 0.5, 2.0, 10 ** 9, "elsewhere")
    monkeypatch.setattr(dry_run, "measure_together", made_up)
    return asked


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix[-4:] not in ("-wal", "-shm")}


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(plans, capsys, here):
    assert main([*RUN, "--trials", "5", "--dry-run", "--workers", "3", "--threads", "2"]) == 0
    said = capsys.readouterr().out
    for words in ("study 'tiny-tiny', a dry run", "32 variants", "1 epoch of 4 segments of 0.05 s, batch 2",
                  "3 validation and 3 test", "0 of 5 trials are trained", "3 workers",
                  "1.0 GB for the reference's training, 3.0 GB for 3 at once"):
        assert words in said
    assert said.splitlines()[-1] == ("to do it: python -m study run --trials 5 --corpus tiny --space tiny --epochs 1 "
                                     "--epoch-segments 4 --threads 2 --workers 3 --device cpu")
    assert not list(here.iterdir())
    (plan, processes), = plans
    assert (processes, plan.threads, plan.device) == (3, 2, "cpu")


def test_a_study_that_has_begun_is_read_and_left_as_it_is(plans, capsys, here):
    assert main([*RUN, "--trials", "2", "--workers", "1"]) == 0
    before = files(here)
    capsys.readouterr()
    assert main(["run", *tiny_study.ARGUMENTS, "--trials", "5", "--dry-run"]) == 0      # options left out are the study's
    said = capsys.readouterr().out
    assert "1 epoch of 4 segments" in said
    assert "2 of 5 trials are trained" in said
    assert "for the other 3" in said
    assert files(here) == before
    assert main(["run", *tiny_study.ARGUMENTS, "--trials", "2", "--dry-run"]) == 0
    assert "predicted: nothing is left to train" in capsys.readouterr().out
    assert main([*RUN, "--trials", "5", "--epochs", "7", "--dry-run"]) == 2
    assert "epochs: 7, not 1" in capsys.readouterr().err


def test_the_command_for_real_shows_no_password(plans, capsys):
    url = "postgresql+psycopg://ann:secret@localhost:1/studies"
    assert main([*RUN, "--trials", "2", "--dry-run", "--storage", url]) == 2       # nobody listens there
    printed, said = capsys.readouterr()
    assert "cannot be opened" in said
    assert "secret" not in printed + said
    assert for_real(read(["run", "--trials", "2", "--dry-run", "--storage", url])) == (
        "python -m study run --trials 2 --storage 'postgresql+psycopg://ann:***@localhost:1/studies'")


def test_one_process_measures_every_case_of_a_plan(monkeypatch):
    from study.planning import measure as module
    from study.search import evaluate
    from tasnet_core.cost.count import exact
    monkeypatch.setattr(module, "ROUNDS_S", 0.0)
    monkeypatch.setattr(evaluate, "measure_apart", exact)
    space = tiny_study.SPACE
    plan = Plan(dry_run.cases(space, space.recipe), ("si_snr",), "cpu", 1, lambda: tiny_study.open_tiny("", 2, 8000, print))
    found = measure(plan, 0.0)
    assert len(found.step.seconds) == len(found.separation.seconds) == len(plan.cases)
    assert min(found.step.seconds + found.separation.seconds) > 0
    assert found.memory_bytes > 10 ** 6
    assert len(found.environment) == 8


def broken():
    raise UserError("corpus 'gone': nowhere")


def killed():
    os._exit(9)


@pytest.mark.parametrize(("opener", "words"), [(broken, "corpus 'gone': nowhere"), (killed, "status 9.*try fewer --workers")])
def test_a_process_that_cannot_measure_is_one_line(opener, words):
    plan = Plan(((tiny_study.SPACE.reference, tiny_study.SPACE.recipe),), ("si_snr",), "cpu", 1, opener)
    with pytest.raises(UserError, match=words):
        measure_together(plan, 2)


def test_a_real_dry_run_of_the_command(capsys, here):
    assert main([*RUN, "--trials", "3", "--dry-run", "--workers", "2"]) == 0
    assert "predicted: " in capsys.readouterr().out
    assert not list(here.iterdir())


def test_what_is_left_of_a_run_is_a_share_of_its_own_recipe():
    """A variant of an inherited study of 20 epochs is tuned for 2; after one of them it is half done."""
    tuned = Recipe(epochs=2, epoch_segments=10, segment_s=1.0, init="inherit")
    assert dry_run.share_left({**vars(tuned), "audio_s": 10.0}) == 0.5
    assert dry_run.share_left({**vars(tuned), "audio_s": None}) == 1.0


@pytest.mark.parametrize(("load", "told"), [(2.4, False), (9.1, True), (None, False)])
def test_a_dry_run_on_a_busy_machine_says_that_times_will_differ(plans, capsys, monkeypatch, load, told):
    monkeypatch.setattr(dry_run, "load_average", lambda: load)
    monkeypatch.setattr(dry_run, "cores", lambda: 2)
    assert main([*RUN, "--trials", "2", "--dry-run"]) == 0
    assert ("2 cores, and 9 processes that want one" in capsys.readouterr().out) == told
