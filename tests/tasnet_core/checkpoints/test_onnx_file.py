"""Exported networks: equal bit for bit as safetensors, equal to rounding as ONNX, for every length and batch."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tasnet_core
from tasnet_core.__main__ import main as core
from tasnet_core.checkpoints import checkpoint, onnx_file, safetensors_file
from tasnet_core.errors import CheckpointError, UserError
from tasnet_core.network.model import seeded
from tests.support.tiny import RECIPE, TINY

# A norm per frame has no shelter of its own: eps is all that stands between silence and a division by zero.
VARIANT = replace(TINY, C=3, norm="frame", mask="softmax")


@pytest.fixture(scope="module")
def made():
    """A network and its ONNX; made once, since exporting takes seconds."""
    pytest.importorskip("onnxruntime")
    network = seeded(VARIANT, 0).eval()
    return network, onnx_file.to_onnx(network)


def test_onnx_gives_what_torch_gives_for_every_length_and_batch(made):
    network, model = made
    run = onnx_file.load_onnx(model)
    for samples in (*range(1, 3 * VARIANT.L + 1), 1000, 8001):
        for batch in (1, 2, 5):
            mixture = torch.randn(batch, samples, generator=torch.Generator().manual_seed(samples))
            with torch.no_grad():
                wanted = network(mixture).numpy()
            np.testing.assert_allclose(run(mixture.numpy()), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("level", [0.0, 1e-5, 1e-4, 10.0])
def test_onnx_keeps_the_eps_of_the_norms(made, level):
    # The exporter's optimizer takes 1e-8 for zero: 0.8 % off at a level of 5e-4, NaN on silence.
    network, model = made
    mixture = level * torch.randn(2, 301, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = network(mixture).numpy()
    np.testing.assert_allclose(onnx_file.load_onnx(model)(mixture.numpy()), wanted, atol=1e-5 * np.abs(wanted).max())


def test_parity_is_measured_and_what_is_another_network_is_not_written(made, tmp_path, monkeypatch):
    network, model = made
    assert 0 < onnx_file.parity(network, model) < 1e-5
    other = seeded(VARIANT, 1).eval()
    assert onnx_file.parity(other, model) > 0.1
    monkeypatch.setattr(onnx_file, "to_onnx", lambda network: model)
    with pytest.raises(UserError, match="differs from torch by"):
        onnx_file.export(other, tmp_path / "out", ["onnx"], print)
    assert not (tmp_path / "out").exists()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 300))
def test_what_is_traced_frames_a_recording_as_the_network_does(samples):
    network, mixture = seeded(VARIANT, 0).eval(), torch.randn(2, samples)
    assert torch.equal(onnx_file.Traced(network)(mixture), network(mixture))


def test_safetensors_come_back_bit_for_bit(tmp_path):
    network = seeded(VARIANT, 3).eval()
    safetensors_file.save_hub(network, tmp_path / "net")
    for place in (tmp_path / "net", tmp_path / "net/model.safetensors", str(tmp_path / "net")):
        loaded = tasnet_core.load(place)
        assert loaded.variant == VARIANT
        assert not loaded.training
        mine, theirs = network.state_dict(), loaded.state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    config = json.loads((tmp_path / "net/config.json").read_text())
    assert (config["model_type"], config["N"], config["norm"]) == ("conv-tasnet", 8, "frame")


@pytest.mark.parametrize(("change", "words"), [
    (lambda folder: (folder / "config.json").unlink(), r"config\.json: no such file"),
    (lambda folder: (folder / "model.safetensors").unlink(), r"model\.safetensors: no such file"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"no tensors"), "is damaged"),
    (lambda folder: (folder / "config.json").write_text("{}"), "model_type None, but 'conv-tasnet'"),
    (lambda folder: rewritten(folder, norm="cLN"), "norm='cLN' is unknown"),
    (lambda folder: rewritten(folder, Q=3), "describes no network of this version"),
    (lambda folder: rewritten(folder, H=16), r"do not fit its variant .*: H=8, not 16$")])
def test_a_folder_that_is_no_network_is_one_line(tmp_path, change, words):
    safetensors_file.save_hub(seeded(VARIANT, 0), tmp_path)
    change(tmp_path)
    with pytest.raises(CheckpointError, match=words) as error:
        tasnet_core.load(tmp_path)
    assert "\n" not in str(error.value)


def rewritten(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_a_missing_package_names_the_extra_that_brings_it(monkeypatch, tmp_path):
    for name, use in (("safetensors.torch", lambda: safetensors_file.save_hub(seeded(VARIANT, 0), tmp_path)),
                      ("onnxruntime", lambda: onnx_file.load_onnx(b"")), ("onnx", lambda: onnx_file.to_onnx(seeded(VARIANT, 0)))):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UserError, match=rf"{name}: not installed; it comes with: pip install 'tasnet-study\[export\]'"):
            use()


def test_the_command_writes_three_files_and_overwrites_none(made, tmp_path, monkeypatch, capsys):
    network, model = made
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(onnx_file, "to_onnx", lambda network: model)
    checkpoint.save(tmp_path / "a.pt", VARIANT, RECIPE, [], {"best": network.state_dict()})
    assert core(["export", "--checkpoint", "a.pt", "--out", "net"]) == 0
    said = capsys.readouterr().out
    assert {path.name for path in (tmp_path / "net").iterdir()} == {"model.onnx", "model.safetensors", "config.json"}
    assert "read back equal bit for bit" in said
    assert "largest difference from torch" in said
    wanted, found = (onnx_file.load_onnx(one)(np.ones((1, 9))) for one in (model, tmp_path / "net/model.onnx"))
    assert np.array_equal(found, wanted)
    assert core(["export", "--checkpoint", "a.pt", "--out", "net"]) == 2
    assert "net/model.safetensors: is there already" in capsys.readouterr().err
    assert core(["export", "--checkpoint", "net", "--out", "net", "--overwrite", "--format", "safetensors"]) == 0


def test_a_file_that_is_no_onnx_is_one_line(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"a\.onnx: no ONNX that onnxruntime can run") as error:
        onnx_file.load_onnx(tmp_path / "a.onnx")
    assert "\n" not in str(error.value)


def test_padding_on_both_sides_and_mirrored_frames_are_in_the_onnx_file_for_every_length():
    pytest.importorskip("onnxruntime")
    network = seeded(replace(TINY, P=5, X=2, R=1, norm="global", padding_mode="reflect", encoder_padding=True), 0).eval()
    assert onnx_file.parity(network, onnx_file.to_onnx(network)) < 1e-5
