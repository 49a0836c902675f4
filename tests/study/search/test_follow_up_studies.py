"""Studies of inherited weights, the studies that confirm them from scratch, and those of longer trainings."""

import html
import re
import shlex
from pathlib import Path

import pytest

from study.__main__ import main as study
from study.database.store import open_database
from study.search.follow_up_studies import best, spread
from study.search.inherit_recipe import recipe_of
from study.space.presets import SPACES
from tasnet_core.backend.devices import device_of
from tasnet_core.checkpoints import checkpoint
from tasnet_core.evaluation import metrics
from tasnet_core.network.slices import take
from tasnet_core.records import TAUGHT
from tasnet_core.training.trainer import Training
from tests.support import fakes, tiny_study
from tests.support.commands import refused
from tests.support.tiny import Tiny

pytestmark = pytest.mark.long

STORAGE = "results/study.db"
RUN = ("run", *tiny_study.ARGUMENTS, "--epoch-segments", "4", "--workers", "1")
SOUND_S = 4 * 0.05      # of an epoch


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)


def results(name):
    with open_database(STORAGE) as database:
        return {(row["variant"], row["seed"]): row for row in database.results(name)}


def test_a_study_inherits_from_its_reference_and_is_confirmed_from_scratch(capsys):
    assert study([*RUN, "--init", "inherit", "--epochs", "12", "--trials", "3"]) == 0
    with open_database(STORAGE) as database:
        runs = database.runs("tiny-tiny")
    assert [run["init"] for run in runs] == ["teacher", "inherit", "inherit"]
    assert [run["epochs"] for run in runs] == [12, 2, 2]        # a tenth, rounded up
    assert [run["audio_s"] for run in runs] == pytest.approx([12 * SOUND_S * (1 + TAUGHT), 2 * SOUND_S, 2 * SOUND_S])
    assert study(["report"]) == 0
    page = Path("reports/index.html").read_text()
    section = page[page.index('id="front"'):page.index('id="chart"')]
    assert "Weights inherited from the reference, not trained from scratch." in section
    capsys.readouterr()

    assert study(["confirm", "--seeds", "2", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "trained from scratch in study 'tiny-tiny-scratch'" in said
    assert re.search(r"\| tiny-tiny \| [\d,]+ to [\d,]+ \| \d \| ", said)
    confirmed = results("tiny-tiny-scratch").values()
    assert {row["init"] for row in confirmed} == {"scratch"}
    assert {row["seed"] for row in confirmed} == {0, 1}
    assert {row["epochs"] for row in confirmed} == {12}
    front = {row["variant"] for row in results("tiny-tiny").values()}
    assert {row["variant"] for row in confirmed} <= front
    count = len(confirmed)
    assert study(["confirm", "--seeds", "2", "--workers", "1"]) == 0        # the same command again: nothing is trained twice
    with open_database(STORAGE) as database:
        assert database.studies() == ["tiny-tiny", "tiny-tiny-scratch"]
    assert len(results("tiny-tiny-scratch")) == count


def test_a_confirmed_score_is_that_of_a_study_that_never_inherited():
    assert study([*RUN, "--init", "inherit", "--epochs", "2", "--trials", "2"]) == 0
    assert study(["confirm", "--seeds", "1", "--workers", "1"]) == 0
    assert study([*RUN, "--epochs", "2", "--trials", "12", "--study", "plain", "--stop-margin", "off"]) == 0
    plain = results("plain")
    for key, row in results("tiny-tiny-scratch").items():
        assert row["si_snri_db"] == plain[key]["si_snri_db"]


def test_a_longer_training_goes_on_from_the_shorter_one_and_ends_where_one_in_one_go_does(capsys):
    assert study([*RUN, "--epochs", "5", "--trials", "3", "--stop-margin", "off"]) == 0
    assert study(["fidelity", "--budgets", "4", "2", "--variants", "3", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "Against tiny-tiny-x4, trained on 4 s of audio" in said
    assert [line.split(" | ")[:3] for line in said.splitlines() if line.startswith("| tiny")] == [
        ["| tiny-tiny", "1", "3"], ["| tiny-tiny-x2", "2", "3"]]
    assert study([*RUN, "--epochs", "20", "--trials", "12", "--study", "long", "--stop-margin", "off"]) == 0
    long = results("long")
    for key, row in results("tiny-tiny-x4").items():
        assert row["si_snri_db"] == long[key]["si_snri_db"]
    # What the shorter ones had done before their decay was not done again: those epochs' seconds are the same.
    with open_database(STORAGE) as database:
        curves = {name: {(e["trial"], e["number"]): e["seconds"] for e in database.epochs(name)}
                  for name in ("tiny-tiny", "tiny-tiny-x2", "tiny-tiny-x4")}
        trials = {name: {run["variant"]: run["trial"] for run in database.runs(name)} for name in curves}
    for variant, trial in trials["tiny-tiny-x4"].items():
        for shorter, number in (("tiny-tiny", 1), ("tiny-tiny", 3), ("tiny-tiny-x2", 4), ("tiny-tiny-x2", 6)):
            assert curves["tiny-tiny-x4"][trial, number] == curves[shorter][trials[shorter][variant], number]
    # Without the budget in between it is the same study still.
    before = results("tiny-tiny-x4")
    assert study(["fidelity", "--study", "tiny-tiny", "--budgets", "4", "--variants", "3", "--workers", "1"]) == 0
    assert results("tiny-tiny-x4") == before


def test_a_variant_that_inherits_without_learning_is_its_slice():
    assert study([*RUN, "--init", "inherit", "--epochs", "1", "--trials", "1"]) == 0
    teacher, variant = next(Path("results").rglob("trial-0000.pt")), next(tiny_study.SPACE.variants())
    with open_database(STORAGE) as database:
        settings = database.settings("tiny-tiny")
        recipe = recipe_of(settings.recipe, settings, False, None)
    training = Training(variant, recipe, Tiny(), device_of("cpu"))
    training.inherit(teacher)
    expected = take(checkpoint.load(teacher), variant).state_dict()
    assert all((training.network.state_dict()[name] == weight).all() for name, weight in expected.items())


def test_a_confirmed_study_is_made_again_by_the_commands_on_its_page(tmp_path, monkeypatch):
    assert study([*RUN, "--init", "inherit", "--inherit-epochs", "0", "--epochs", "2", "--trials", "4"]) == 0
    assert study(["confirm", "1", "3", "--seeds", "2", "--workers", "1"]) == 0
    assert study(["report"]) == 0
    page = html.unescape(Path("reports/index.html").read_text())
    lines = re.search(r"<pre><code>(.*?)</code>", page, re.DOTALL)[1].splitlines()
    confirmed = {key: row["si_snri_db"] for key, row in results("tiny-tiny-scratch").items()}
    assert len(confirmed) == 6

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for line in lines:
        assert study([*shlex.split(line)[3:], *(["--device", "cpu"] if " run " in line else [])]) == 0
    assert {key: row["si_snri_db"] for key, row in results("tiny-tiny-scratch").items()} == confirmed


def test_slices_as_they_are_are_scored_without_any_training(capsys):
    """The score of each is that of the slice, cut out of the reference's checkpoint by hand."""
    assert study([*RUN, "--init", "inherit", "--inherit-epochs", "0", "--epochs", "2", "--trials", "4"]) == 0
    teacher, corpus = checkpoint.load(next(Path("results").rglob("trial-0000.pt"))), Tiny()
    with open_database(STORAGE) as database:
        runs = [(run, database.variant(run["variant"])) for run in database.runs("tiny-tiny")]
    assert [(run["epochs"], run["audio_s"]) for run, _ in runs[1:]] == [(0, 0.0)] * 3
    for run, variant in runs[1:]:
        scores = metrics.score_test(take(teacher, variant), corpus, ("si_snr",))
        assert run["si_snri_db"] == pytest.approx(metrics.summary(scores, ("si_snr",)).si_snri_db, abs=1e-4)
    assert study(["report"]) == 0
    assert "is a slice of the reference as it is" in Path("reports/index.html").read_text()
    capsys.readouterr()
    assert study([*RUN, "--trials", "9", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "a trial, 0 where weights are inherited" in said
    assert "stop rule" not in said

    capsys.readouterr()
    assert study(["confirm", "--best", "1", "--seeds", "1", "--workers", "1"]) == 0
    assert "| tiny-tiny | 0 to 1 | 2 | " in capsys.readouterr().out
    assert len(results("tiny-tiny-scratch")) == 2


def test_the_best_of_a_front_enclose_most_with_the_reference():
    """By hand, in octaves of both costs below the reference's: trial 1 adds 2 x 2 octaves x 4 dB, trial 2 a quarter of it."""
    rows = [{"trial": trial, "state": "complete", "si_snri_db": score, "parameters": 2 ** octaves, "macs_per_s": 2 ** octaves}
            for trial, score, octaves in ((0, 8.0, 9), (1, 4.0, 7), (2, 4.5, 8), (3, 1.0, 8))]
    assert best(rows, 1) == [0, 1]
    assert best(rows, 2) == [0, 1, 2]
    assert best(rows, 9) == best(rows) == [0, 1, 2]
    assert best([{**row, "si_snri_db": row["si_snri_db"] - 20} for row in rows], 9) == [0, 1, 2]
    assert best(rows[1:]) == [1, 2]
    assert best([]) == []


def test_what_cannot_go_together_is_said(capsys):
    refused(study, [*RUN, "--trials", "2", "--inherit-epochs", "0"], capsys, "--inherit-epochs 0", "add --init inherit")
    refused(study, [*RUN, "--trials", "2", "--init", "inherit", "--tune", "learning_rate"], capsys,
            "--tune learning_rate", "leave one of them out")


def test_all_networks_of_the_thesis_are_slices_of_its_first():
    assert SPACES["thesis"].slices() is SPACES["thesis"]


def test_a_list_with_a_network_that_is_no_slice_is_refused(capsys):
    refused(study, ["run", "--space", "table2", "--init", "inherit", "--trials", "2"], capsys,
            "table2", "L=40, but 16 there", "train it from scratch")


def test_a_space_loses_what_is_no_slice():
    space = SPACES["full"].slices()
    assert list(space.choices["L"]) == [16]
    assert list(space.choices["Sc"]) == [32, 64, 96, 128]
    assert space.choices["X"] == SPACES["full"].choices["X"]


def test_an_enqueued_variant_must_be_a_slice(capsys):
    assert study([*RUN, "--init", "inherit", "--epochs", "1", "--trials", "1"]) == 0
    capsys.readouterr()
    refused(study, ["enqueue", "L=8"], capsys, "L=8, but 4 there", "cannot inherit")


def test_an_enqueued_variant_that_has_inherited_is_not_trained_again(capsys):
    assert study([*RUN, "--init", "inherit", "--epochs", "1", "--trials", "2"]) == 0
    with open_database(STORAGE) as database:
        variants = [database.variant(run["variant"]) for run in database.runs("tiny-tiny")]
    capsys.readouterr()
    assert study(["enqueue", *(f"N={one.N} H={one.H} X={one.X}" for one in variants)]) == 0
    assert re.findall(r"is trial (\d) already", capsys.readouterr().out) == ["0", "1"]


def test_a_teacher_is_no_choice(capsys):
    refused(study, [*RUN, "--trials", "2", "--init", "teacher"], capsys, "teacher")


def test_fidelity_is_refused_where_trainings_cannot_be_compared(capsys):
    assert study([*RUN, "--init", "inherit", "--epochs", "1", "--trials", "1"]) == 0
    capsys.readouterr()
    refused(study, ["fidelity"], capsys, "tiny-tiny", "from scratch")


def test_the_spread_has_both_ends_and_the_reference():
    rows = [{"trial": trial, "state": "complete", "si_snri_db": 1.0, "parameters": macs, "macs_per_s": macs}
            for trial, macs in enumerate((50, 10, 20, 30, 40, 60, 70))]
    assert [row["macs_per_s"] for row in spread(rows, 3)] in ([50, 10, 70], [50, 40, 70])
    assert {row["trial"] for row in spread(rows, 99)} == set(range(7))
    assert len(spread(rows, 5)) == 5
    assert spread([], 4) == []


def test_what_confirm_trains_again_is_chosen_by_validation_where_all_have_it():
    """Trial 2 is dominated by trial 1 on the test set alone."""
    rows = [fakes.row(0, si_snri_db=7.0, parameters=1000, macs_per_s=1000, valid_si_snri_db=7.0),
            fakes.row(1, si_snri_db=6.0, parameters=400, macs_per_s=400, valid_si_snri_db=5.0),
            fakes.row(2, si_snri_db=5.5, parameters=500, macs_per_s=500, valid_si_snri_db=6.0)]
    assert best(rows) == [0, 1, 2]
    assert best([{**one, "valid_si_snri_db": None} for one in rows]) == [0, 1]
