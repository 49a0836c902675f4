"""What int8 costs is measured, printed, and decides what is written."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from tasnet_core.__main__ import main as core
from tasnet_core.checkpoints import checkpoint, onnx_file
from tasnet_core.corpora import registry
from tasnet_core.inference import int8_export
from tasnet_core.inference.int8_export import ALL, FLOAT, WEIGHTS, Measured, chosen
from tasnet_core.network.model import seeded
from tests.support.tiny import RECIPE, TINY, Tiny

pytest.importorskip("onnxruntime")

BIG = replace(TINY, N=64, B=48, H=64, Sc=48)


def three(losses, times, sizes=(30, 40)):
    rows = zip((FLOAT, WEIGHTS, ALL), (100, *sizes), (0.0, *losses), times, strict=True)
    return [Measured(kind, size, 5 - loss, loss, 0.01, time) for kind, size, loss, time in rows]


@pytest.mark.parametrize(("found", "kind"), [
    (three((0.0, 0.05), (1.0, 1.0, 0.95)), WEIGHTS),        # not fast enough for more loss
    (three((0.0, 0.05), (1.0, 1.0, 0.5)), ALL),
    (three((0.0, 0.2), (1.0, 1.0, 0.5)), WEIGHTS),
    (three((0.2, 0.2), (1.0, 1.0, 0.5)), None),
    (three((0.0, 0.0), (1.0, 1.0, 0.5), sizes=(110, 120)), None),
    (three((0.0, 0.0), (1.0, 1.0, 0.5), sizes=(70, 80)), WEIGHTS)])
def test_it_is_written_only_where_it_pays(found, kind):
    best = chosen(found)
    assert (best and best.kind) == kind


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(registry.CORPORA, "tiny", lambda *_: Tiny())
    monkeypatch.setattr(int8_export, "RUNS", 3)
    monkeypatch.setattr(int8_export, "CALIBRATION", 4)
    monkeypatch.setattr(int8_export, "CALIBRATION_S", 0.2)
    checkpoint.save(tmp_path / "a.pt", BIG, RECIPE, [], {"best": seeded(BIG, 0).state_dict()})
    return tmp_path


def test_the_command_prints_loss_and_speed_and_writes_the_file(here, capsys):
    assert core(["export", "--checkpoint", "a.pt", "--out", "net", "--format", "onnx", "--int8", "tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines if line.startswith((FLOAT, WEIGHTS, f"{ALL}  "))]
    assert len(table) == 3
    assert all(re.search(r"-?\d\.\d\d dB .*\d\.\d{4}$", line) for line in table)
    assert re.search(r"net/model\.int8\.onnx: int8( weights)?, \d\d% of the bytes, -?0\.\d\d dB lost", lines[-1])
    mixture = Tiny().mixture("test", 0).mixture[None]
    whole, small = (onnx_file.load_onnx(here / "net" / name)(mixture) for name in ("model.onnx", "model.int8.onnx"))
    assert np.abs(whole - small).max() < 0.1 * np.abs(whole).max()
    assert (here / "net/model.int8.onnx").stat().st_size < 0.75 * (here / "net/model.onnx").stat().st_size


def test_what_loses_too_much_is_not_written_and_said_so(here, capsys, monkeypatch):
    monkeypatch.setattr(int8_export, "MOST_LOSS_DB", -99)
    assert core(["export", "--checkpoint", "a.pt", "--out", "net", "--int8", "tiny"]) == 0
    assert "not written in int8: wanted at most -99 dB lost" in capsys.readouterr().out
    assert not (here / "net/model.int8.onnx").exists()
    assert (here / "net/model.onnx").exists()


def test_a_fixed_length_is_fixed_in_int8_too(here):
    assert core(["export", "--checkpoint", "a.pt", "--out", "net", "--samples", "500", "--int8", "tiny"]) == 0
    session = onnx_file.session_of(here / "net/model.int8.onnx")
    assert session.get_inputs()[0].shape == [1, 500]


@pytest.mark.parametrize(("corpus", "words"), [
    ("nothing", "'nothing' is unknown"), ("tiny", "model.int8.onnx: is there already")])
def test_what_cannot_be_is_one_line_and_writes_nothing(here, capsys, corpus, words):
    (here / "net").mkdir()
    (here / "net/model.int8.onnx").write_bytes(b"mine")
    assert core(["export", "--checkpoint", "a.pt", "--out", "net", "--int8", corpus]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert [path.name for path in (here / "net").iterdir()] == ["model.int8.onnx"]


def test_int8_without_onnxruntime_is_one_line(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert core(["export", "--checkpoint", "a.pt", "--out", "net", "--format", "onnx", "--int8", "tiny"]) == 2
    assert "onnxruntime: not installed" in capsys.readouterr().err
