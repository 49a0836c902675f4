"""Exported networks: equal bit for bit as safetensors, equal to rounding as ONNX, for every length and batch."""

import copy
import json
import re
import sys
from collections import Counter
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
from tasnet_core.records import NORMS, Variant
from tests.support import ROOT
from tests.support.exact import largest_error, unlike_fresh
from tests.support.tiny import RECIPE, TINY
from tests.support.variants import variants

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# A norm per frame has no shelter of its own: eps is all that stands between silence and a division by zero.
VARIANT = replace(TINY, C=3, norm="frame", mask="softmax")
DEVICE = Variant(N=64, L=16, B=32, H=64, Sc=32, X=5, R=2)      # 65 thousand parameters


@settings(deadline=None, max_examples=12)
@given(variants, st.integers(1, 300), st.sampled_from([0.0, 1e-4, 0.1, 10.0]))
def test_every_network_is_the_same_in_onnx_for_every_length_and_level(variant, samples, level):
    network = unlike_fresh(variant)
    mixture = level * torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    assert largest_error(onnx_file.load_onnx(onnx_file.to_onnx(network))(mixture.numpy()), network, mixture) <= 1
    fixed = onnx_file.load_onnx(onnx_file.to_onnx(network, samples))
    assert largest_error(fixed(mixture[:1].numpy()), network, mixture[:1]) <= 1


def test_the_norms_are_as_exact_after_a_minute_as_after_a_second():
    # onnxruntime's InstanceNormalization, of which a global norm can be made, is 0.1 to 1 % off here.
    network = unlike_fresh(replace(TINY, H=32, X=1))
    mixture = torch.randn(1, 60 * 8000, generator=torch.Generator().manual_seed(0))
    assert largest_error(onnx_file.load_onnx(onnx_file.to_onnx(network))(mixture.numpy()), network, mixture) <= 1


def test_a_channel_scaled_by_zero_keeps_its_shift():
    network = unlike_fresh(TINY)
    with torch.no_grad():
        network.separator.blocks[0].norm1.weight[3] = 0
    mixture = torch.randn(1, 301, generator=torch.Generator().manual_seed(0))
    assert largest_error(onnx_file.load_onnx(onnx_file.to_onnx(network))(mixture.numpy()), network, mixture) <= 1


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("Sc", [0, 32])
def test_a_file_is_small_and_has_few_nodes(norm, Sc):
    variant = replace(DEVICE, norm=norm, Sc=Sc, H=96)
    network = seeded(variant, 0)
    parameters = sum(weight.numel() for weight in network.parameters())
    assert parameters > 50_000
    model = onnx_file.to_onnx(network)
    assert len(model) <= 1.2 * 4 * parameters
    graph = onnx.load_model_from_string(model).graph
    blocks = Counter(node.name.partition(".")[0] for node in graph.node if node.name[0].isdigit())
    assert len(blocks) == variant.X * variant.R
    assert max(blocks.values()) <= 12
    kinds = Counter(node.op_type for node in graph.node)
    assert not kinds.keys() & {"Range", "CastLike", "Expand"}
    assert kinds["Shape"] <= 1


def test_a_fixed_length_leaves_no_size_open():
    model = onnx.load_model_from_string(onnx_file.to_onnx(seeded(TINY, 0), 321))
    assert not {"Shape", "Pad", "Max"} & {node.op_type for node in model.graph.node}
    values = (*model.graph.input, *model.graph.output)
    shapes = [[size.dim_value for size in value.type.tensor_type.shape.dim] for value in values]
    assert shapes == [[1, 321], [1, 2, 321]]


@pytest.mark.parametrize("shape", [(1, 320), (2, 321), (321,), (1, 0)])
def test_audio_of_another_shape_is_one_line(shape):
    run = onnx_file.load_onnx(onnx_file.to_onnx(seeded(TINY, 0), 321))
    with pytest.raises(UserError, match=r"ONNX: audio of shape \[.*\]; wanted \[1, 321\]$"):
        run(np.zeros(shape, np.float32))


def test_the_bytes_are_the_same_again_and_hold_no_path():
    network = seeded(VARIANT, 0)
    model = onnx_file.to_onnx(network)
    assert onnx_file.to_onnx(copy.deepcopy(network)) == model
    for place in (str(ROOT), sys.prefix, ".py", "site-packages", "/home", "/usr", "/tmp"):
        assert place.encode() not in model
    assert not re.search(rb"(/[\w.-]+){2,}", model.replace(b"1/", b""))
    (fact,) = onnx.load_model_from_string(model).metadata_props
    assert Variant(**json.loads(fact.value)) == VARIANT


def test_parity_is_measured_and_what_is_another_network_is_not_written(tmp_path, monkeypatch):
    network, other = (seeded(VARIANT, seed).eval() for seed in (0, 1))
    model = onnx_file.to_onnx(network)
    assert 0 < onnx_file.parity(network, model) < 1e-5
    assert onnx_file.parity(other, model) > 0.1
    monkeypatch.setattr(onnx_file, "to_onnx", lambda *_: model)
    with pytest.raises(UserError, match="differs from torch by"):
        onnx_file.export(other, tmp_path / "out", ["onnx"], print)
    assert not (tmp_path / "out").exists()


def test_an_output_of_nearly_nothing_is_compared_by_the_level_of_the_mixture():
    network, other = (seeded(replace(VARIANT, mask="relu"), 0).eval() for _ in range(2))
    with torch.no_grad():
        for one, size in ((network, 1e-9), (other, 2e-9)):
            one.decoder.weight.mul_(size)
    assert onnx_file.parity(network, onnx_file.to_onnx(other)) < 1e-5


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


def test_the_command_writes_three_files_and_overwrites_none(tmp_path, monkeypatch, capsys):
    network = seeded(VARIANT, 0).eval()
    model = onnx_file.to_onnx(network)
    monkeypatch.chdir(tmp_path)
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
    network = seeded(replace(TINY, P=5, X=2, R=1, norm="global", padding_mode="reflect", encoder_padding=True), 0).eval()
    assert onnx_file.parity(network, onnx_file.to_onnx(network)) < 1e-5
