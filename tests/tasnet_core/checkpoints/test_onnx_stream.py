"""A causal network as ONNX for a stream of chunks: the output of the whole recording."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.__main__ import main as core
from tasnet_core.checkpoints import checkpoint, onnx_file, onnx_graph
from tasnet_core.errors import UserError
from tasnet_core.inference.stream import Stream
from tasnet_core.network.model import CumulativeNorm, seeded
from tests.support.exact import largest_error, unlike_fresh
from tests.support.tiny import RECIPE, TINY
from tests.support.variants import causal_variants

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CAUSAL = replace(TINY, causal=True, norm="cumulative", P=3, X=3)


def noise(samples, level=0.1):
    return level * torch.randn(1, samples, generator=torch.Generator().manual_seed(samples))


def in_chunks(stream, mixture, sizes):
    """What a stream gives for chunks of these sizes and for the end."""
    parts, start = [], 0
    for size in sizes:
        parts.append(stream(mixture[:, start:start + size]))
        start += size
    return np.concatenate([*parts, stream.finish()], -1)


@settings(deadline=None, max_examples=12)
@given(causal_variants, st.lists(st.integers(1, 9), min_size=1, max_size=6), st.sampled_from([0.0, 1e-4, 0.1, 10.0]))
def test_a_stream_in_chunks_of_any_hops_is_the_whole_recording(variant, hops, level):
    network = unlike_fresh(variant)
    sizes = [count * variant.hop for count in hops]
    sizes[0] += variant.hop
    mixture = noise(sum(sizes), level)
    stream = onnx_file.load_onnx(onnx_file.to_onnx(network, streaming=True))
    for _ in range(2):      # the second recording begins anew
        assert largest_error(in_chunks(stream, mixture.numpy(), sizes), network, mixture) <= 1


def test_a_stream_gives_each_chunk_what_torch_gives_with_the_same_latency():
    network = unlike_fresh(CAUSAL)
    mine, theirs = onnx_file.load_onnx(onnx_file.to_onnx(network, streaming=True)), Stream(network)
    for samples in (5, 3, 1, 8):
        chunk = noise(samples * CAUSAL.hop)
        wanted = theirs(chunk).numpy()
        np.testing.assert_allclose(mine(chunk.numpy()), wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_fixed_chunk_leaves_no_size_open_and_states_begin_as_zeros():
    network, chunk = unlike_fresh(CAUSAL), 4 * CAUSAL.hop
    bytes_of = onnx_file.to_onnx(network, chunk, streaming=True)
    graph = onnx.load_model_from_string(bytes_of).graph
    assert not any(size.dim_param for value in (*graph.input, *graph.output) for size in value.type.tensor_type.shape.dim)
    assert [value.name for value in graph.output][1:] == ["next_" + value.name for value in graph.input][1:]
    mixture = noise(10 * chunk + CAUSAL.hop)
    # As the file's description says it, without a line of ours.
    session = onnx_file.session_of(bytes_of)
    kinds = {"tensor(float)": "float32", "tensor(double)": "float64"}
    states = {one.name: np.zeros(one.shape, kinds[one.type]) for one in session.get_inputs()[1:]}
    states["past_samples"] = mixture[:, None, :CAUSAL.hop].numpy()
    parts = []
    for start in range(CAUSAL.hop, mixture.shape[-1], chunk):
        signals, *after = session.run(None, {"chunk": mixture[:, start:start + chunk].numpy(), **states})
        states = dict(zip(states, after, strict=True))
        parts.append(signals)
    zeros = {"chunk": np.zeros((1, chunk), np.float32), **states, "past_samples": np.zeros_like(states["past_samples"])}
    parts.append(session.run(["signals"], zeros)[0][..., :CAUSAL.hop])
    assert largest_error(np.concatenate(parts, -1), network, mixture) <= 1


@pytest.mark.parametrize("norm", ["cumulative", "frame", "batch"])
def test_a_block_of_a_stream_has_few_nodes(norm):
    model = onnx.load_model_from_string(onnx_file.to_onnx(seeded(replace(CAUSAL, norm=norm), 0), streaming=True))
    assert len([node for node in model.graph.node if node.name.startswith("1.")]) <= 12
    assert not {"Shape", "Range", "Expand"} & {node.op_type for node in model.graph.node}


def test_the_variance_of_ten_minutes_is_that_of_torch_where_the_mean_is_large_against_it():
    graph, frames, norm = onnx_graph.Graph(), 600_000, CumulativeNorm(2)
    past = graph.number("past", np.zeros((1, onnx_graph.SUMS, 1)), np.float64)
    graph.node("CumulativeNorm", "y", "x", graph.number("share", [[0.5, 0.5]]), past, also=["next"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 2, "K")) for name in "xy"]
    model = onnx_graph.wrapped(graph, [values[0]], [values[1]])
    x = torch.full((1, 2, frames), 30.0) + noise(2 * frames, 1e-3).reshape(1, 2, frames)
    x[..., 1000:2000] = 30.0
    found = onnx_file.session_of(onnx_graph.as_bytes(model)).run(["y"], {"x": x.numpy()})[0]
    with torch.no_grad():
        wanted = norm(x).numpy()
        exact = norm.double()(x.double()).numpy()
    assert np.isfinite(found).all()
    assert np.abs(found - exact).max() <= 2 * np.abs(wanted - exact).max()


def saved(tmp_path, variant):
    checkpoint.save(tmp_path / "a.pt", variant, RECIPE, [], {"best": seeded(variant, 0).state_dict()})
    return ["export", "--checkpoint", str(tmp_path / "a.pt"), "--out", str(tmp_path / "net"), "--streaming"]


@pytest.mark.parametrize(("more", "words"), [
    (("--samples", "32"), "chunks of [1, 32], opset"), ((), "chunks of [1, any number of whole hops], opset")])
def test_the_command_writes_a_stream_beside_the_whole(tmp_path, capsys, more, words):
    assert core([*saved(tmp_path, CAUSAL), *more]) == 0
    assert words in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "net").iterdir()} == {
        "model.onnx", "stream.onnx", "model.safetensors", "config.json"}


@pytest.mark.parametrize(("variant", "more", "words"), [
    (TINY, (), "--streaming: this network has causal=False"),
    (CAUSAL, ("--samples", "33"), "--samples 33: a chunk of a stream is a whole number of hops of L/2 = 2 samples, such as 32"),
    (CAUSAL, ("--samples", "0"), "--samples")])
def test_a_stream_that_cannot_be_is_one_line_and_nothing_is_written(tmp_path, capsys, variant, more, words):
    try:
        status = core([*saved(tmp_path, variant), *more])
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(("chunk", "shape", "wanted"), [
    (None, (1, 5), r"\[1, samples\], 2 or more whole hops of 2 samples"), (None, (1, 2), ".*2 or more whole hops"),
    (None, (1, 4, 2), ".*2 or more"), (None, (2, 4), r"\[1, samples\]"), (8, (1, 8), r"\[1, 10\]")])
def test_a_first_chunk_of_another_shape_is_one_line(chunk, shape, wanted):
    stream = onnx_file.load_onnx(onnx_file.to_onnx(seeded(CAUSAL, 0), chunk, streaming=True))
    assert stream.finish().shape == (1, 2, 0)
    with pytest.raises(UserError, match=f"ONNX: audio of shape .*; wanted {wanted}"):
        stream(np.zeros(shape, np.float32))


@pytest.mark.parametrize(("chunk", "shape"), [(None, (1, 3)), (None, (1, 0)), (8, (1, 6))])
def test_a_later_chunk_of_another_length_is_refused_and_changes_nothing(chunk, shape):
    network = unlike_fresh(CAUSAL)
    stream = onnx_file.load_onnx(onnx_file.to_onnx(network, chunk, streaming=True))
    mixture = noise(18)
    parts = [stream(mixture[:, :10].numpy())]
    with pytest.raises(UserError, match="1 or more whole hops of 2 samples"):
        stream(np.zeros(shape, np.float32))
    parts += [stream(mixture[:, 10:].numpy()), stream.finish()]
    assert largest_error(np.concatenate(parts, -1), network, mixture) <= 1
