"""One network taken home: what is in the folder, that it separates alone, and trainings that go on."""

import json
import shutil
import subprocess
import sys
import wave

import numpy as np
import pytest
import torch

from study.__main__ import main as study
from study.api import Study
from study.database.store import open_database
from study.devices.standalone import run as program
from study.devices.take import corpus_name, spread
from tasnet_core import load
from tasnet_core.checkpoints.checkpoint import read
from tasnet_core.inference import int8_export
from tests.support.commands import RUN, refused


def runs(trial):
    with open_database("results/study.db") as database:
        return [run for run in database.runs("tiny-tiny") if run["trial"] == trial]


@pytest.fixture
def taken(here):
    Study().take(1, "home")
    return here / "home"


def test_the_folder_holds_the_network_of_the_trial_and_what_its_card_says(taken):
    run, = runs(1)
    network, kept = load(taken), load(run["checkpoint"])
    assert all(torch.equal(mine, other) for mine, other in
               zip(network.state_dict().values(), kept.state_dict().values(), strict=True))
    names = {path.relative_to(taken).as_posix() for path in taken.rglob("*") if path.is_file()}
    assert names >= {"config.json", "model.safetensors", "model.onnx", "run.py", "README.md"}
    assert len({name for name in names if name.endswith("mixture.wav")}) == 3      # of three there are
    card = (taken / "README.md").read_text()
    assert card.startswith("---\nlicense: unknown\n")
    assert f"| SI-SNRi | {run['si_snri_db']:.2f} dB".replace("-", "\N{MINUS SIGN}").replace("| SI\N{MINUS SIGN}", "| SI-") in card
    assert "trial 1, seed 0, of study `tiny-tiny`" in card
    assert "int8" not in card + " ".join(names)         # it does not pay in 93 parameters


def test_where_int8_pays_it_is_there_and_the_card_says_what_it_costs(here, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(int8_export, "MOST_LOSS_DB", 99)
    monkeypatch.setattr(int8_export, "MOST_BYTES", 99)
    Study().take(1, "home")
    card, size = (here / "home/README.md").read_text(), (here / "home/model.int8.onnx").stat().st_size
    assert f" | {size:,} |" in card
    printed = capsys.readouterr().out
    assert "in int8: int8" in printed
    assert "model.int8.onnx, run.py" in printed
    assert "On the same test mixtures it loses" in card
    program.write(tmp_path / "talk.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 8000).astype(np.float32), 8000)
    for model, status in (("model.int8.onnx", 0), ("none.onnx", 1)):
        ended = subprocess.run([sys.executable, "home/run.py", tmp_path / "talk.wav", "--out", model, "--model", model],
                               capture_output=True, text=True, check=False)
        assert ended.returncode == status, ended.stderr
    assert "none.onnx: no such file; choose another network with --model" in ended.stderr


def test_the_program_separates_as_the_network_does_and_clips_nothing(taken, tmp_path):
    rng = np.random.default_rng(0)
    mixture = (0.5 * rng.standard_normal(8000 * 3)).clip(-1, 1).astype(np.float32)
    program.write(tmp_path / "talk.wav", mixture, 8000)
    ended = subprocess.run([sys.executable, taken / "run.py", tmp_path / "talk.wav"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = [program.read(tmp_path / f"talk-{place}.wav", 8000) for place in (1, 2)]
    with torch.no_grad():
        wanted = load(taken).eval()(torch.from_numpy(program.read(tmp_path / "talk.wav", 8000))[None])[0].numpy()
    for mine, other in zip(found, wanted, strict=True):
        assert abs(np.corrcoef(mine, other)[0, 1]) > 0.9999
        assert np.abs(mine).max() <= 1
    again = subprocess.run([sys.executable, taken / "run.py", tmp_path / "talk.wav"], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "talk-1.wav: is there already" in again.stderr


def test_a_long_recording_is_separated_in_pieces_whose_speakers_keep_their_places():
    """Of a network that gives the halves of a spectrum, in either order, the pieces are those of the whole."""
    rate, turn = 1000, [0]

    def run(part):
        turn[0] += 1
        low = np.convolve(part, np.ones(5) / 5, mode="same")
        return np.stack([low, part - low])[::1 if turn[0] % 2 else -1]
    mixture = np.random.default_rng(0).standard_normal(25_300)
    found = program.separate(run, mixture, rate)
    assert found.shape == (2, len(mixture))
    turn[0] = 0
    np.testing.assert_allclose(found[:, 100:-100], run(mixture)[:, 100:-100], atol=0.5)
    assert np.corrcoef(found[0], run(mixture)[1])[0, 1] > 0.99


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_wav_files_of_every_width_are_read_and_channels_averaged(tmp_path, bits):
    wanted, path = np.array([0.5, -0.5, 0.25, 0.0]), tmp_path / "a.wav"
    whole = np.repeat(np.round(wanted * 2 ** (bits - 1)).astype(np.int64)[:, None], 2, axis=1)
    whole += 128 * (bits == 8)
    with wave.open(str(path), "wb") as file:
        file.setparams((2, bits // 8, 8000, 0, "NONE", ""))
        file.writeframes(b"".join(int(one).to_bytes(bits // 8, "little", signed=bits > 8) for one in whole.ravel()))
    np.testing.assert_allclose(program.read(path, 8000), wanted, atol=1e-6)


@pytest.mark.parametrize("make", [lambda path: path.write_text("no sound"), lambda path: program.write(path, np.zeros(9), 16000),
                                  lambda path: program.write(path, np.zeros(0), 8000), lambda path: None])
def test_a_recording_the_program_cannot_use_is_one_line(taken, tmp_path, make):
    make(tmp_path / "talk.wav")
    ended = subprocess.run([sys.executable, taken / "run.py", tmp_path / "talk.wav"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "talk.wav: " in ended.stderr


def test_a_training_goes_on_from_before_its_decay(tmp_path, monkeypatch, own_cache, capsys):
    monkeypatch.chdir(tmp_path)
    assert study([*RUN, "--trials", "1", "--epochs", "5"]) == 0
    run, = runs(0)
    Study().take(0, "home", audio_s=2 * run["audio_s"])
    assert "seed 0: goes on to" in capsys.readouterr().out
    kept, = (tmp_path / "results/checkpoints/tiny-tiny/taken").glob("*epochs-10.pt")
    epochs, before = read(kept)["epochs"], read(tmp_path / run["checkpoint"])["epochs"]
    assert len(epochs) == 10
    assert epochs[:3] == before[:3]         # the rate falls over the last 40 %
    assert epochs[3].learning_rate == before[0].learning_rate > before[4].learning_rate


def test_of_several_seeds_trained_on_the_best_by_validation_is_taken(here, capsys):
    run, = runs(1)
    audio_s = 4 * run["audio_s"]
    Study().take(1, "home", audio_s=audio_s, seeds=2)
    folder = here / "results/checkpoints/tiny-tiny/taken"
    trainings = [read(path) for path in sorted(folder.glob("*epochs-4.pt"))]
    assert [training["recipe"].seed for training in trainings] == [0, 1]
    assert [training["epochs"][-1].audio_s for training in trainings] == pytest.approx([audio_s] * 2)
    best = max(trainings, key=lambda training: max(epoch.valid_si_snri_db for epoch in training["epochs"]))
    assert all(torch.equal(mine, other) for mine, other in
               zip(load(here / "home").state_dict().values(), best["best"].values(), strict=True))
    assert f"seed {best['recipe'].seed}, of study" in (here / "home/README.md").read_text()
    assert runs(1) == [run]
    capsys.readouterr()
    Study().take(1, "again", audio_s=audio_s, seeds=2)      # nothing is trained again
    assert json.loads((here / "again/config.json").read_text()) == json.loads((here / "home/config.json").read_text())
    assert (here / "again/model.safetensors").read_bytes() == (here / "home/model.safetensors").read_bytes()


@pytest.mark.parametrize(("arguments", "words"), [
    (("9", "--out", "home"), ["trial 9: not in study 'tiny-tiny'"]),
    (("1",), ["--out"]),
    (("1", "--out", "results"), ["results: holds files already"]),
    (("1", "--out", "home", "--seeds", "3"), ["--seeds 3: only with --audio-s", "python -m study confirm 1 --seeds 3"]),
    (("1", "--out", "home", "--audio-s", "0.1"), ["--audio-s 0.1: it was trained on"]),
    (("1", "--out", "home", "--audio-s", "soon"), ["'soon'"])])
def test_what_cannot_be_taken_is_one_line_and_writes_nothing(here, arguments, words, capsys):
    refused(study, ("take", *arguments), capsys, *words)


def test_without_onnx_it_is_one_line(here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused(study, ("take", "1", "--out", "home"), capsys, "onnx: not installed")


@pytest.mark.parametrize(("spec", "shown"), [
    ("voices2", "voices2"), ("voices2?seed=1", "voices2"), ("folder:/home/me/talks", "folder:talks"),
    ("folder:/home/me/talks?speakers=/home/me/who.csv&noise=/srv/noise", "folder:talks")])
def test_the_card_names_the_corpus_without_a_path_of_the_machine(spec, shown):
    assert corpus_name(spec) == shown


def test_five_mixtures_are_spread_over_the_test_set():
    assert spread(100) == [10, 30, 50, 70, 90]
    assert spread(2) == [0, 1]
    assert spread(0) == []


def test_show_names_the_checkpoint_and_the_command(here, capsys):
    Study().show(1)
    said = capsys.readouterr().out
    assert "trial-0001.pt" in said
    assert "python -m study take 1 --study tiny-tiny --out DIR" in said
    shutil.rmtree("results")
