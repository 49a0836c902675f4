"""A bundle of networks, and the program that measures them where only numpy and onnxruntime are."""

import ast
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from study.__main__ import main as study
from study.api import Study
from study.database.store import open_database
from study.devices.standalone import measure
from tasnet_core import load, load_onnx
from tasnet_core.checkpoints import onnx_file, safetensors_file
from tasnet_core.corpora.registry import CORPORA
from tasnet_core.inference import int8_export
from tasnet_core.network.model import seeded
from tasnet_core.records import Variant
from tests.support.commands import refused


def test_the_networks_of_a_bundle_are_those_of_the_study(bundled, finished):
    manifest = json.loads((bundled / "bundle.json").read_text())
    with open_database(str(finished / "study.db")) as database:
        runs = {run["trial"]: run for run in database.runs("tiny-tiny")}
        assert manifest["identity"] == database.identity("tiny-tiny") != ""
    assert [one["trial"] for one in manifest["networks"]] == [0, 1, 2]
    for one in manifest["networks"]:
        assert one["variant"] == runs[one["trial"]]["variant"]
        network = load(finished.parent / runs[one["trial"]]["checkpoint"]).eval()
        mixture = torch.randn(1, 1001, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            wanted = network(mixture).numpy()
        found = load_onnx(bundled / one["file"])(mixture.numpy())
        np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_the_program_imports_nothing_but_the_standard_library_numpy_and_onnxruntime(bundled):
    for program in ("measure.py",):
        tree = ast.parse((bundled / program).read_text())
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        tops = {name.partition(".")[0] for name in names}
        assert tops <= set(sys.stdlib_module_names) | {"numpy", "onnxruntime"}


def run_program(folder, *arguments):
    return subprocess.run([sys.executable, folder / "measure.py", *arguments], capture_output=True, text=True, check=False)


def test_the_program_measures_every_network_and_keeps_earlier_files(bundled, tmp_path):
    folder = shutil.copytree(bundled, tmp_path / "phone")
    for name in ("measured.json", "measured-2.json"):
        ended = run_program(folder, "--rounds", "1", "--seconds", "0.5")
        assert ended.returncode == 0, ended.stderr
        found = json.loads((folder / name).read_text())
    assert (found["threads"], found["recording_s"], found["study"]) == (1, 0.5, "tiny-tiny")
    assert found["versions"].keys() == {"python", "numpy", "onnxruntime"}
    for one in found["networks"]:
        assert 0 < one["realtime_factor"] < 10
        assert one["runs"] >= measure.RUNS
        assert 1e7 < one["base_memory_bytes"] <= one["peak_memory_bytes"]
        assert one["chunks"] == []


def test_a_network_that_cannot_be_run_is_named_and_the_others_are_measured(bundled, tmp_path):
    folder = shutil.copytree(bundled, tmp_path / "phone")
    (folder / "trial-0001.onnx").write_bytes(b"cut off")
    assert run_program(folder, "--rounds", "1", "--seconds", "0.5").returncode == 0
    first, second, third = json.loads((folder / "measured.json").read_text())["networks"]
    assert second["failed"].startswith("its process ended with status 1")
    assert all("realtime_factor" in one for one in (first, third))


def test_the_spread_is_from_the_first_to_the_third_quarter_of_the_runs():
    times = [0.4, 0.1, 0.3, 0.2, 0.5]
    rounds = [{"times_s": times[:2], "peak_bytes": 5, "base_bytes": 3}, {"times_s": times[2:], "peak_bytes": 7, "base_bytes": 2}]
    found = measure.summary({"trial": 1, "variant": "a", "name": "b"}, rounds, 2.0)
    low, middle, high = np.quantile(times, (0.25, 0.5, 0.75)) / 2.0
    assert found["realtime_factor"] == pytest.approx(middle)
    assert found["realtime_factor_spread"] == pytest.approx(high - low)
    assert (found["peak_memory_bytes"], found["base_memory_bytes"], found["stream_memory_bytes"]) == (7, 3, None)


@pytest.fixture
def int8_pays(monkeypatch):
    """Also in networks of a hundred parameters."""
    monkeypatch.setattr(int8_export, "MOST_LOSS_DB", 99)
    monkeypatch.setattr(int8_export, "MOST_BYTES", 99)


def test_a_network_in_int8_is_measured_beside_it_and_its_numbers_come_back(here, int8_pays, capsys):
    Study().bundle(2, out="phone")
    assert "  in int8: " in capsys.readouterr().out
    one, = json.loads((here / "phone/bundle.json").read_text())["networks"]
    whole, small = (here / "phone" / name for name in (one["file"], one["int8"]["file"]))
    assert (one["bytes"], one["int8"]["bytes"]) == (whole.stat().st_size, small.stat().st_size)
    ended = run_program(here / "phone", "--rounds", "2", "--seconds", "0.5")
    assert f"in int8, {one['int8']['loss_db']:.2f} dB lost" in ended.stdout, ended.stderr
    found = json.loads((here / "phone/measured.json").read_text())["networks"][0]
    Study().measured("phone/measured.json", "phone")
    with open_database("results/study.db") as database:
        stored, = database.device_costs()
    assert stored["file_bytes"] == one["bytes"]
    assert stored["realtime_factor"] == found["realtime_factor"] != found["int8"]["realtime_factor"]
    assert {name: stored[f"int8_{name}"] for name in ("file_bytes", "loss_db", "realtime_factor", "memory_bytes")} == {
        "file_bytes": one["int8"]["bytes"], "loss_db": one["int8"]["loss_db"],
        "realtime_factor": found["int8"]["realtime_factor"], "memory_bytes": found["int8"]["peak_memory_bytes"]}


def test_a_device_that_cannot_run_int8_keeps_the_numbers_of_float(here, int8_pays, capsys):
    Study().bundle(1, out="phone")
    (here / "phone/trial-0001.int8.onnx").write_bytes(b"cut off")
    assert run_program(here / "phone", "--rounds", "1", "--seconds", "0.5").returncode == 0
    Study().measured("phone/measured.json", "phone")
    assert "trial 1 in int8: its process ended with status 1" in capsys.readouterr().out
    with open_database("results/study.db") as database:
        stored, = database.device_costs()
    assert stored["realtime_factor"] > 0
    assert stored["int8_realtime_factor"] is None


def test_without_the_corpus_or_where_it_is_not_wanted_there_is_float_alone(here, int8_pays, monkeypatch, capsys):
    Study().bundle(1, out="plain", float_only=True)
    monkeypatch.delitem(CORPORA, "tiny")
    Study().bundle(1, out="gone")
    assert "not in int8, which is tested on the study's corpus: corpus 'tiny': 'tiny' is unknown" in capsys.readouterr().out
    for folder in ("plain", "gone"):
        assert {path.name for path in (here / folder).iterdir()} == {"bundle.json", "measure.py", "README.md", "trial-0001.onnx"}


@pytest.mark.long
def test_named_trials_and_the_front_alone_are_taken(here):
    Study().bundle(2, out="one")
    assert {path.name for path in (here / "one").iterdir()} == {"bundle.json", "measure.py", "README.md", "trial-0002.onnx"}
    Study().bundle(front=True, out="front")
    with open_database("results/study.db") as database:
        front = {0, *(row["trial"] for row in database.front("tiny-tiny"))}
    assert {one["trial"] for one in json.loads((here / "front/bundle.json").read_text())["networks"]} == front


@pytest.mark.parametrize(("arguments", "words"), [
    (("9",), ["trial 9: not in study 'tiny-tiny'"]),
    (("1", "--front"), ["--front", "1 are chosen"]),
    (("--out", "results"), ["results: holds files already", "choose a new folder with --out"]),
    (("--out", "results/study.db"), ["results/study.db: is a file"]),
    (("--study", "other"), ["study 'other': not in this database"])])
def test_a_bundle_that_cannot_be_made_is_one_line_and_writes_nothing(here, arguments, words, capsys):
    refused(study, ("bundle", *arguments), capsys, *words)


def test_a_bundle_without_onnx_is_one_line(here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused(study, ("bundle",), capsys, "onnx: not installed; it comes with: pip install 'tasnet-study[export]'")
    assert safetensors_file.optional("json")


def test_a_checkpoint_that_is_gone_is_named(here, capsys):
    next(here.glob("results/checkpoints/*/trial-0001.pt")).unlink()
    refused(study, ("bundle", "1"), capsys, "trial 1: its checkpoint", "trial-0001.pt is gone")


def test_a_stream_is_measured_in_chunks_with_the_states_of_cumulative_norms(tmp_path):
    variant = Variant(N=8, L=4, B=4, H=8, Sc=4, X=2, R=1, causal=True, norm="cumulative")
    onnx_file.write(seeded(variant, 0), tmp_path / "stream.onnx", streaming=True)
    found = measure.in_chunks(tmp_path / "stream.onnx", variant.sample_rate_hz, variant.hop, 1)
    assert [part["samples"] for part in found["chunks"].values()] == [80, 160, 320]
