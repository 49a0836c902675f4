"""Other toolkits' networks by the commands, and files of theirs that were made to harm."""

import re

import numpy as np
import pytest
import soundfile
import torch

import tasnet_core
from tasnet_core.__main__ import main as core
from tasnet_core.checkpoints import espnet
from tasnet_core.errors import CheckpointError
from tests.support.asteroid_files import SMALL, file_of
from tests.support.toolkit_files import espnet_folder, espnet_restated

GIVEN = ["--hyperparameters", "sample_rate_hz=8000"]


def test_the_commands_take_what_another_toolkit_trained(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, weights, conf = espnet_folder(tmp_path / "theirs")
    mixture = np.random.default_rng(0).standard_normal(1216) / 10
    soundfile.write("a.wav", mixture, 8000, subtype="FLOAT")
    assert core(["describe", "theirs"]) == 2
    assert "theirs/valid.loss.ave.pth: ESPnet's network, and its file does not say sample_rate_hz" in capsys.readouterr().err
    assert core(["describe", "theirs", *GIVEN]) == 0
    assert "N12 L16 B6 H9 Sc0 P3 X3 R2 C2" in capsys.readouterr().out
    assert core(["separate", "a.wav", "--checkpoint", "theirs", *GIVEN]) == 0
    expected = espnet_restated(conf, weights, torch.tensor(mixture, dtype=torch.float32)[None])[0].numpy()
    for number, signal in enumerate(expected, 1):       # each has one gain of its own
        found = soundfile.read(f"separated/a_{number}.wav")[0]
        assert np.corrcoef(found, signal)[0, 1] > 1 - 1e-5
    assert core(["export", "--checkpoint", "theirs", *GIVEN, "--out", "ours", "--format", "safetensors"]) == 0
    wanted = tasnet_core.load("theirs", sample_rate_hz=8000)
    assert tasnet_core.load("ours").variant == wanted.variant       # and nothing is asked any more
    assert core(["describe", "N128", *GIVEN]) == 2
    assert "name the checkpoint that they belong to" in capsys.readouterr().err


def test_what_is_given_must_agree_with_any_file(tmp_path):
    path = file_of(tmp_path / "asteroid.pth", SMALL)
    assert tasnet_core.load(path, R=2, mask="sigmoid").variant.R == 2
    with pytest.raises(CheckpointError, match="sample_rate_hz=16000 was given, but its is 8000"):
        tasnet_core.load(path, sample_rate_hz=16000)


def test_a_network_of_nobody_known_is_refused_by_what_is_wanted(tmp_path):
    torch.save(torch.nn.LSTM(2, 3).state_dict(), tmp_path / "lstm.pt")
    with pytest.raises(CheckpointError, match="no network that can be read here; wanted a checkpoint or export of this"):
        tasnet_core.load(tmp_path / "lstm.pt")


ODD = {"a number": torch.tensor(1.0), "nothing": torch.zeros(0), "no taps": torch.zeros(9, 1, 0), "flat": torch.ones(27),
       "whole": torch.ones(9, 1, 3, dtype=int), "truth": torch.ones(9, 1, 3, dtype=bool), "four": torch.ones(9, 1, 3, 1),
       "wide": torch.ones(9, 1, 999), "missing": None}


@pytest.mark.parametrize("changes", [{}, {"causal": True, "norm_type": "BN", "predict_noise": True}], ids=str)
def test_any_weight_of_another_shape_is_refused_in_one_line(tmp_path, changes):
    folder, weights, _ = espnet_folder(tmp_path, changes)
    path, given = folder / "valid.loss.ave.pth", {"sample_rate_hz": 8000}
    assert espnet.network_of(weights, path, given)
    alike = re.compile(r"\.2\.(0\.[12]|1\.)")       # blocks as the first
    for name in (name for name in weights if not alike.search(name)):
        for odd in ODD.values():
            changed = {one: odd if one == name else weight for one, weight in weights.items() if odd is not None or one != name}
            with pytest.raises(CheckpointError) as caught:
                espnet.network_of(changed, path, given)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 600


def test_of_a_whole_model_the_state_dict_is_asked_for(tmp_path):
    torch.save(torch.nn.PReLU(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"PReLU in it; of a network, its state_dict alone is read\)"):
        tasnet_core.load(tmp_path / "model.pt")
