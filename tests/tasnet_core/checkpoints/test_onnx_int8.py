"""Networks in int8: steps of known size, the best range, and every kind of network still runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.checkpoints import onnx_file, onnx_graph, onnx_int8
from tasnet_core.checkpoints.onnx_int8 import Grid, best_grid
from tasnet_core.network.model import seeded
from tasnet_core.records import Variant
from tests.support.exact import unlike_fresh
from tests.support.tiny import TINY
from tests.support.variants import variants

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NETWORK = Variant(N=32, L=8, B=16, H=32, Sc=16, X=3, R=2)


def noise(samples, count=1):
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(samples)).astype(np.float32) for _ in range(count)]


def test_uniform_values_have_the_error_of_a_twelfth_of_a_step_squared():
    values = np.random.default_rng(0).uniform(-1, 3, 100_000)
    grid = best_grid(values)
    assert grid.scale == pytest.approx(4 / 255, rel=1e-3)
    assert grid.error(values) == pytest.approx(grid.scale**2 / 12, rel=0.02)


def test_a_few_large_values_are_cut_off_where_that_is_less_error():
    values = np.append(np.random.default_rng(0).standard_normal(1_000_000), 12.0)
    widest = Grid.over(values.min(), values.max())
    assert best_grid(values).error(values) < widest.error(values) / 2


def test_calibration_on_a_sample_of_values_widens_no_steps(monkeypatch):
    # Extremes added to a sample of 500 would count as what they are not, and widen the steps.
    model = onnx_graph.model_of(unlike_fresh(replace(NETWORK, X=1)))
    mixtures = [(0.1 * np.random.default_rng(seed).laplace(size=8000)).astype(np.float32) for seed in range(4)]
    monkeypatch.setattr(onnx_int8, "SAMPLED", 500)
    sampled = onnx_int8.calibrated(model, mixtures)
    monkeypatch.setattr(onnx_int8, "SAMPLED", 10**9)
    every = onnx_int8.calibrated(model, mixtures)
    steps = [sampled[name].scale / every[name].scale for name in every]
    assert 0.6 < np.exp(np.log(steps).mean()) < 1.05


def test_weights_are_at_most_half_a_step_of_their_channel_off():
    network = unlike_fresh(NETWORK)
    model = onnx_graph.model_of(network)
    known = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    quantized = onnx_int8.in_int8(model, {})
    found = {one.name: onnx.numpy_helper.to_array(one) for one in quantized.graph.initializer}
    stored = [name for name in known if f"{name}.q" in found]
    assert {name.split(".")[-2] for name in stored} == onnx_int8.STORED
    for name in stored:
        assert found[f"{name}.q"].dtype == np.int8
        scale = found[f"{name}.s"].reshape(-1, *[1] * (known[name].ndim - 1))
        assert np.all(np.abs(found[f"{name}.q"] * scale - known[name]) <= 0.501 * scale)


@settings(deadline=None, max_examples=8)
@given(variants, st.integers(1, 200))
def test_every_kind_of_network_runs_in_int8(variant, samples):
    network = unlike_fresh(variant)
    model = onnx_graph.model_of(network)
    grids = onnx_int8.calibrated(model, noise(400, 2))
    mixture = noise(samples)[0][None]
    with torch.no_grad():
        wanted = network(torch.from_numpy(mixture)).numpy()
    for given_grids in ({}, grids):
        quantized = onnx_int8.in_int8(model, given_grids)
        onnx.checker.check_model(quantized, full_check=True)
        found = onnx_file.load_onnx(onnx_graph.as_bytes(quantized))(mixture)
        assert found.shape == wanted.shape
        assert np.isfinite(found).all()


@pytest.mark.parametrize("calibrate", [False, True])
def test_int8_is_the_network_to_about_30_db(calibrate):
    network = seeded(NETWORK, 0).eval()
    model = onnx_graph.model_of(network)
    grids = onnx_int8.calibrated(model, noise(8000, 3)) if calibrate else {}
    mixture = noise(8000)[0][None]
    with torch.no_grad():
        wanted = network(torch.from_numpy(mixture)).numpy()
    found = onnx_file.load_onnx(onnx_graph.as_bytes(onnx_int8.in_int8(model, grids)))(mixture)
    assert 10 * np.log10(np.square(wanted).sum() / np.square(found - wanted).sum()) > 25


def test_onnxruntime_computes_every_pointwise_convolution_in_int8(tmp_path):
    import onnxruntime
    model = onnx_graph.model_of(seeded(NETWORK, 0))
    quantized = onnx_int8.in_int8(model, onnx_int8.calibrated(model, noise(400)))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "as_run.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(onnx_graph.as_bytes(quantized), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "as_run.onnx").graph.node]
    pointwise = [node for node in model.graph.node if onnx_int8.role(node) in onnx_int8.POINTWISE]
    assert sum("QLinearConv" in kind for kind in kinds) == len(pointwise)


def test_a_channel_of_zeros_with_a_bias_stays_its_bias():
    network = unlike_fresh(replace(TINY, norm="batch"))
    with torch.no_grad():
        network.separator.blocks[0].widen.weight[2] = 0
    model = onnx_graph.model_of(network)
    grids = onnx_int8.calibrated(model, noise(400))
    quantized = onnx_int8.in_int8(model, grids)
    found = {one.name: onnx.numpy_helper.to_array(one) for one in quantized.graph.initializer}
    wanted = network.separator.blocks[0].widen.bias[2].item()
    assert found["0.widen.b.q"][2] * found["0.widen.b.s"][2] == pytest.approx(wanted, rel=1e-6)
