"""The commands as users meet them: what they print, what they refuse, and what they leave behind."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
import soundfile

from study.__main__ import main as study
from study.cli import commands, options, training
from tasnet_core.__main__ import main as core
from tasnet_core.checkpoints import checkpoint
from tasnet_core.network.model import seeded
from tasnet_core.training.trainer import train
from tests.support import ROOT, tiny_study
from tests.support.commands import RUN, refused
from tests.support.tiny import RECIPE, TINY, Tiny


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, own_cache):
    """An empty folder to stand in, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sound(path, seconds=1.0, rate=8000, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate)), rate)


@pytest.mark.parametrize(("arguments", "words"), [
    (("run",), ["--trials"]),
    (("run", "--trials", "0"), ["'0' is not a whole number of at least 1"]),
    (("run", "--trials", "three"), ["'three'"]),
    (("run", "--trials", "2", "--space", "qiuck"), ["'qiuck'", "choose from quick, full"]),
    (("run", "--trials", "2", "--sampler", "magic"), ["magic"]),
    (("run", "--trials", "2", "--device", "tpu"), ["tpu"]),
    (("run", "--trials", "2", "--segment-s", "-1"), ["'-1' is not a number above 0"]),
    (("run", "--trials", "2", "--timeout", "soon"), ["'soon' is no duration"]),
    (("run", "--trials", "2", "--corpus", "voice"), ["'voice' is unknown", "voices, folder"]),
    (("run", "--trials", "2", "--corpus", "folder:nowhere"), ["nowhere"]),
    (("run", "--trials", "2", "--storage", "nonsense://x"), ["nonsense://x"]),
    (("run", "--trials", "2", "--stop-margin", "-1"), ["'-1' is neither a number of dB above 0 nor off"]),
    (("run", "--trials", "2", "--workers", "0"), ["'0' is not a whole number of at least 1"]),
    (("run", "--trials", "2", "--seeds", "0"), ["'0' is not a whole number of at least 1"]),
    (("run", "--trials", "2", "--objectives", "si_snri,weight"), ["'weight' is unknown", "parameters, macs"]),
    (("run", "--trials", "2", "--objectives", "si_snri,memory@phone"), ["memory@phone", "study measured", "no such study"]),
    (("run", "--trials", "2", "--at-most", "speed@phone=1"), ["'speed@phone=1' is no limit such as"]),
    (("run", "--trials", "2", "--tune", "epochs"), ["'epochs'", "learning_rate, segment_s, batch_size"]),
    (("run", "--trials", "2", "--space", "table2", "--sampler", "gp"), ["--sampler gp", "is a list"]),
    (("run", "--trials", "2", *tiny_study.ARGUMENTS, "--max-parameters", "90"), ["93 parameters, 3 more than", "raise it"]),
    (("run", "--trials", "2", "--space", "gone.toml"), ["gone.toml: no such file"]),
    (("space", "qiuck"), ["'qiuck'", "choose from quick, full"]),
    (("enqueue", "X4"), ["no such study database"]), (("confirm",), ["no such study database"]),
    (("continue", "1"), ["no such study database"]), (("doctor",), ["no such study database"]),
    (("backup", "copy.db"), ["no such study database"]),
    (("report",), ["no such study database", "python -m study run --trials 6"]),
    (("status",), ["no such study database"]),
    (("show", "0"), ["no such study database"]),
    (("export",), ["no such study database"]), (("export", "--format", "xlsx"), ["xlsx", "csv", "parquet", "json"]),
    (("show", "first"), ["'first'"]),
    (("run", "--trials", "2", "--space", "~nobody-at-all/my.toml"), ["~nobody-at-all/my.toml: nobody knows the folder of"]),
    (("status", "--storage", "~nobody-at-all/a.db"), ["~nobody-at-all/a.db: nobody knows the folder of"]),
    (("status", "--storage", "sqlite:///~nobody-at-all/a.db"), ["~nobody-at-all/a.db: nobody knows the folder of"]),
    (("report", "--out", "~nobody-at-all/reports"), ["--out: ~nobody-at-all/reports: nobody knows the folder of"]),
    (("dance",), ["dance"])])
def test_input_a_study_cannot_use_is_one_line_and_writes_nothing(arguments, words, capsys):
    refused(study, arguments, capsys, *words)


@pytest.mark.parametrize(("choices", "words"), [
    ("Q = [1, 2]", ["'Q': unknown", "choose from N, L, B"]), ("X = {from = 2, to = 1}", ["X: from 2 to 1 is empty"]),
    ("N = [2, 4]", ["N: 2 to 4 without the reference's 8"]),
    ("N = [2, 8]\n[budget]\nmax_parameters = 9", ["no variant fits", "more than max_parameters = 9 allows"])])
def test_a_space_file_no_study_can_search_is_one_line_and_writes_nothing(choices, words, capsys, here):
    reference = ", ".join(f"{letter} = {getattr(TINY, letter)}" for letter in "N L B H Sc X R".split())
    (here / "mine.toml").write_text(f"reference = {{{reference}}}\n[choices]\n{choices}\n")
    refused(study, ("run", "--trials", "1", "--corpus", "tiny", "--space", "mine.toml"), capsys, "mine.toml: ", *words)


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql"])
@pytest.mark.parametrize("arguments", [("run", "--trials", "1", *tiny_study.ARGUMENTS), ("status",), ("doctor",)],
                         ids=lambda one: one[0])
def test_a_server_that_refuses_is_one_line_without_the_password(driver, arguments, capsys):
    refused(study, (*arguments, "--storage", f"{driver}://ann:secret@localhost:1/studies"), capsys,
            f"{driver}://ann:***@localhost:1/studies: cannot be opened")


def test_an_unwritable_results_folder_is_one_line(capsys, here):
    (here / "results").write_text("a file where a folder is wanted")
    refused(study, (*RUN, "--trials", "1"), capsys, "cannot be opened")


@pytest.mark.parametrize(("arguments", "words"), [
    (("describe", "L15"), ["L=15 must be even"]), (("describe", "P4"), ["P=4 must be odd"]),
    (("describe", "N0"), ["N=0 must be at least 1"]), (("describe", "H=-3"), ["H=-3 must be at least 1"]),
    (("describe", "Q3"), ["'Q3': no letter"]), (("describe", "norm=cLN"), ["norm='cLN' is unknown; choose from"]),
    (("describe", "causal=true"), ["hears the future"]), (("describe", "gone.pt"), ["gone.pt: no such checkpoint"]),
    *((("check", f"{corpus}~nobody-at-all"), ["~nobody-at-all: nobody knows the folder of ~nobody-at-all"])
      for corpus in ("folder:", "wsj0mix:", "librimix:", "folder:.?speakers=")),
    (("separate", "x.wav", "--checkpoint", "~nobody-at-all/a.pt"), ["--checkpoint: ~nobody-at-all/a.pt: nobody knows"]),
    (("check", "folder:nowhere"), ["nowhere"]), (("check", "wsj"), ["'wsj' is unknown"]),
    (("train", "--corpus", "tiny"), ["--checkpoint"]),
    (("train", "--corpus", "tiny", "--checkpoint", "a.pt", "--epochs", "0"), ["epochs=0 must be at least 1"]),
    (("train", "--corpus", "tiny", "--checkpoint", "a.pt", "--schedule", "cosine"), ["'cosine' is unknown"]),
    (("separate", "--checkpoint", "a.pt"), ["wanted either FILES"]),
    (("separate", "x.wav", "--checkpoint", "a.pt"), ["a.pt: no such checkpoint"])])
def test_input_the_core_cannot_use_is_one_line_and_writes_nothing(arguments, words, capsys):
    refused(core, arguments, capsys, *words)


def bad_folders():
    """Folders of recordings no study can use, each with the word that says why."""
    def empty(folder):
        folder.mkdir()

    def one_speaker(folder):
        for number in range(8):
            sound(folder / "ann" / f"{number}.wav", seed=number)

    def no_sound(folder):
        folder.mkdir()
        (folder / "notes.wav").write_text("no sound at all")
    return [(empty, "empty"), (one_speaker, "speaker"), (no_sound, "notes.wav")]


@pytest.mark.parametrize(("make", "word"), bad_folders(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_folder_no_study_can_use_is_one_line(make, word, capsys, here):
    make(here / "speech")
    refused(study, ("run", "--trials", "1", "--corpus", "folder:speech"), capsys, "speech", word)


def test_what_is_wrong_with_a_file_is_said_and_training_goes_on_without_it(capsys, here):
    for speaker in "abcdef":
        for number in range(3):
            sound(here / "speech" / speaker / f"{number}.wav", seed=ord(speaker) + number)
    bad = here / "speech" / "a"
    (bad / "text.wav").write_text("no sound")
    (bad / "empty.wav").write_bytes(b"")
    soundfile.write(bad / "silent.wav", np.zeros(8000), 8000)
    soundfile.write(bad / "short.wav", np.full(7, 0.5), 8000)
    soundfile.write(bad / "nan.wav", np.array([0.1, np.nan] * 4000), 8000, subtype="FLOAT")
    whole = (bad / "0.wav").read_bytes()
    (bad / "cut.wav").write_bytes(whole[:len(whole) // 2])
    bad_names = ("text", "empty", "silent", "short", "nan", "cut")
    assert core(["check", "folder:speech"]) == 0
    said = capsys.readouterr().out
    assert "6 unusable files" in said
    for name in bad_names:
        assert f"a/{name}.wav" in said
    recipe = ("--epochs", "1", "--epoch-segments", "2", "--segment-s", "0.1", "--batch-size", "2")
    assert core(["train", *"N4 L4 B4 H4 Sc4 X1 R1".split(), "--corpus", "folder:speech", "--checkpoint", "a.pt",
                 *recipe]) == 0
    said = capsys.readouterr().out
    for name in bad_names:
        assert f"a/{name}.wav" in said
    assert "epoch 1/1" in said
    assert "SI-SNRi over" in said


def test_a_training_says_at_once_that_it_loads(tmp_path):
    """In a process that has not loaded torch: this is seen in the first tenths of a second."""
    done = subprocess.run([sys.executable, "-m", "study", "run", "--trials", "1", "--corpus", "folder:none"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    first, *others = done.stderr.splitlines()
    assert (first, len(others), done.returncode) == ("loading torch and Optuna", 1, 2)
    assert "none" in others[0]


def test_a_study_from_its_first_trial_to_its_report(capsys, here):
    assert study([*RUN, "--trials", "3"]) == 0
    assert "3 of 3 trials trained" in capsys.readouterr().out
    assert study(["status"]) == 0
    assert "study tiny-tiny: 3 complete" in capsys.readouterr().out
    assert study(["show", "0"]) == 0
    shown = capsys.readouterr().out
    for words in ("N8 L4 B4 H8 Sc4", "state complete", "epoch   1", "hardest test/", "results/checkpoints/tiny-tiny"):
        assert words in shown
    assert study(["report"]) == 0
    assert (here / "reports/index.html").is_file()
    assert study(["run", "--trials", "4", *tiny_study.ARGUMENTS]) == 0     # what is left out is as it was
    assert "4 of 4 trials trained" in capsys.readouterr().out


def test_a_study_continued_with_other_settings_lists_the_differences(capsys):
    assert study([*RUN, "--trials", "1"]) == 0
    capsys.readouterr()
    refused(study, ("run", "--trials", "2", *tiny_study.ARGUMENTS, "--epochs", "7", "--max-parameters", "1k"), capsys,
            "epochs: 7, not 1", "max_parameters: 1000, not None")
    refused(study, ("show", "7"), capsys, "trial 7: not in study 'tiny-tiny'")
    refused(study, ("report", "--study", "other"), capsys, "'other'", "tiny-tiny")


def test_a_study_validated_on_segments_is_read_and_reported_and_not_gone_on_with(capsys, here):
    assert study([*RUN, "--trials", "2"]) == 0
    with closing(sqlite3.connect("results/study.db")) as database, database:       # as it was before there was a choice
        database.execute("UPDATE study_settings SET settings = json_remove(settings, '$.validation')")
    for command in (("run", "--trials", "3", *tiny_study.ARGUMENTS), ("confirm", "0"), ("fidelity", "--budgets", "2")):
        capsys.readouterr()
        assert study(command) == 2
        assert "validation: whole mixtures, not segments; its curves mean something else" in capsys.readouterr().err
    for command in ("status", "report"):
        assert study([command]) == 0


def test_batch_size_auto_keeps_the_batch_and_asks_for_a_fit(capsys, monkeypatch):
    from study.engines import base, local
    from tasnet_core.training import step
    fitted, jobs = [], []

    class Idle:
        def __init__(self, job, *_):
            jobs.append(job)

        def run(self, timeout_s):
            return base.Outcome(True)
    monkeypatch.setattr(step.Stepper, "fit_memory", lambda one: fitted.append(one.recipe.batch_size))
    monkeypatch.setattr(local, "Workers", Idle)
    assert study([*RUN, "--trials", "1", "--batch-size", "auto"]) == 0
    assert study([*RUN, "--trials", "2"]) == 0      # the same settings: how a batch is computed is none of them
    assert [job.plan.micro_batches for job in jobs] == [0, 1]    # 0: as few as memory allows
    assert core(["train", *str(TINY).split(), "--corpus", "tiny", "--checkpoint", "b.pt", "--epochs", "1", "--epoch-segments",
                 "4", "--segment-s", "0.05", "--batch-size", "auto"]) == 0
    assert fitted == [4]


def test_describe_adds_up_to_the_papers_network(capsys):
    assert core(["describe", "last_residual=true"]) == 0
    lines = capsys.readouterr().out.splitlines()
    parameters = [int(line.split()[-3].replace(",", "")) for line in lines[2:-2]]
    assert sum(parameters) == 5_050_545
    assert "5,050,545" in lines[-2]
    assert "4,976,640,000 MACs per second" in lines[-1]
    assert "512 × 999" in lines[2]
    assert "2 × 8000" in lines[-3]


def test_describe_reads_a_checkpoint(capsys, here):
    network = seeded(TINY, 0)
    checkpoint.save(here / "a.pt", TINY, RECIPE, [], {"model": network.state_dict(), "best": network.state_dict()})
    assert core(["describe", "a.pt"]) == 0
    from_file = capsys.readouterr().out
    assert core(["describe", *str(TINY).split()]) == 0
    assert capsys.readouterr().out == from_file


def test_train_continues_and_separate_writes_what_it_scores(capsys, here):
    recipe = ("--corpus", "tiny", "--checkpoint", "a.pt", "--epochs", "2", "--epoch-segments", "4", "--segment-s", "0.05")
    assert core(["train", *str(TINY).split(), *recipe]) == 0
    first = capsys.readouterr().out
    assert core(["train", *str(TINY).split(), *recipe]) == 0
    assert capsys.readouterr().out == first
    refused(core, ("train", "N4", *recipe), capsys, "N: 8, not 4")
    assert core(["separate", "--checkpoint", "a.pt", "--corpus", "tiny", "--mixture", "test/001"]) == 0
    said = capsys.readouterr().out
    mixed, _ = soundfile.read("separated/test-001_mixture_1.wav")
    np.testing.assert_allclose(mixed, Tiny().mixture("test", 1).mixture, atol=1e-4)
    assert "separated/test-001_2.wav: high" in said
    assert core(["separate", "separated/test-001_mixture_1.wav", "--checkpoint", "a.pt", "--out", "again"]) == 0
    for number in (1, 2):
        made, rate = soundfile.read(f"again/test-001_mixture_1_{number}.wav")
        assert (len(made), rate) == (len(mixed), 8000)
    refused(core, ("separate", "--checkpoint", "a.pt", "--corpus", "tiny", "--mixture", "test/9"), capsys, "test/000")
    sound(here / "silent.wav", 0)
    refused(core, ("separate", "silent.wav", "--checkpoint", "a.pt"), capsys, "silent.wav")


def test_a_checkpoint_of_another_trial_stops_the_study_with_one_line(capsys, here):
    assert study([*RUN, "--trials", "1"]) == 0
    capsys.readouterr()
    folder = here / "results/checkpoints/tiny-tiny"
    (folder / "trial-0001.pt").write_bytes((folder / "trial-0000.pt").read_bytes())
    assert study([*RUN, "--trials", "2"]) == 2
    said = capsys.readouterr().err
    assert "trial-0001.pt: trained with" in said
    assert said.count("\n") == 1
    (folder / "trial-0001.pt").unlink()
    assert study([*RUN, "--trials", "2"]) == 0      # the way out that the message names


def test_separate_refuses_stereo_instead_of_averaging(capsys, here):
    next(train(TINY, RECIPE, Tiny(), here / "a.pt"))
    soundfile.write("stereo.wav", np.ones((100, 2)) * 0.1, 8000)
    refused(core, ("separate", "stereo.wav", "--checkpoint", "a.pt"), capsys, "2 channels", "one channel")


@pytest.mark.parametrize("arguments", [("study", "--help"), ("study", "run", "--help"), ("tasnet_core", "--help"),
                                       ("study", "report", "--help"), ("study", "export", "--help")])
def test_help_answers_without_torch(arguments):
    probe = (f"import sys, runpy; sys.argv = {list(arguments)!r}\n"
             f"try: runpy.run_module({arguments[0]!r}, run_name='__main__')\n"
             "except SystemExit as stop: assert stop.code == 0\n"
             "loaded = {'torch', 'optuna', 'pandas', 'seaborn', 'numpy'} & set(sys.modules)\nassert not loaded, loaded")
    subprocess.run([sys.executable, "-c", probe], check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
                   env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_every_command_has_options_and_something_that_does_it():
    assert {*options.COMMANDS} == {*commands.COMMANDS, *training.TRAININGS}
