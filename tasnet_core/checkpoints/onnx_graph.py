"""A network as a graph of plain ONNX operators, written node by node: small, and the same bytes.

It computes what the network's layers do, in fewer passes over the data: a norm's scale and shift
go into the convolution behind it, all but the shift in front of a depthwise one, whose zeros around
come after it. What is left of a norm is one node, a function in the file, which runtimes inline.
Shapes are [batch, channels, frames] in the letters of the network.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tasnet_core.checkpoints.onnx_functions import FUNCTIONS, SUMS
from tasnet_core.checkpoints.safetensors_file import KIND, optional
from tasnet_core.network.model import (
    Block,
    ConvTasNet,
    CumulativeNorm,
    Depthwise,
    FrameNorm,
    GlobalNorm,
    frames_of,
    zeros_around,
)

OPSET, IR_VERSION = 15, 8       # the oldest with functions in a file: onnxruntime 1.10
DOMAIN = "tasnet"
INPUT, OUTPUT = "mixture", "signals"
CHUNK, NEXT = "chunk", "next_"  # of a stream: its input, and what a state's output begins with
ABOUT_STREAM = """Separates audio as it arrives. Each call takes a chunk of a whole number of hops
(L/2 samples) and the states that the call before gave as next_*; its signals are of the chunk that
ends one hop earlier. At the start all states are zero, except past_samples: the first hop of the
recording, with the first chunk behind it. At the end, zeros as past_samples and as chunk give the
last hop."""

Array = NDArray[Any]

NORMS = {GlobalNorm: "GlobalNorm", FrameNorm: "FrameNorm", CumulativeNorm: "CumulativeNorm"}


class Norm(NamedTuple):
    """The function of a norm, "" where it is fixed, and what follows: x * scale + shift."""

    function: str
    scale: Array
    shift: Array


class Graph:
    """Nodes and numbers of an ONNX graph; each method returns the name of what it added."""

    def __init__(self) -> None:
        self.onnx = optional("onnx")
        self.nodes: list[Any] = []
        self.numbers: dict[str, Any] = {}
        self.functions: dict[str, Any] = {}

    def node(self, kind: str, name: str, *inputs: str, also: Sequence[str] = (),
             **attributes: Any) -> str:
        """One node, named as its first output; `also` are the others."""
        if kind in FUNCTIONS and kind not in self.functions:
            self.functions[kind] = self.onnx.parser.parse_function(
                f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]> {kind} {FUNCTIONS[kind]}')
        self.nodes.append(self.onnx.helper.make_node(
            kind, inputs, [name, *also], name, domain=DOMAIN if kind in FUNCTIONS else None,
            **attributes))
        return name

    def number(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """A constant; one of a name that is there already is that one."""
        if name not in self.numbers:
            array = np.array(value, dtype=dtype, order="C")
            self.numbers[name] = self.onnx.numpy_helper.from_array(array, name)
        return name

    def reshape(self, name: str, x: str, *sizes: int) -> str:
        """0 keeps a size, -1 is what is left."""
        return self.node("Reshape", name, x, self.shape(*sizes))

    def shape(self, *sizes: int) -> str:
        return self.number("x".join(map(str, sizes)), sizes, np.int64)

    def conv(self, name: str, x: str, weight: Array, bias: Array | None = None,
             **attributes: Any) -> str:
        inputs = [x, self.number(f"{name}.w", weight)]
        if bias is not None:
            inputs.append(self.number(f"{name}.b", bias))
        return self.node("Conv", name, *inputs, **attributes)


class Writer:
    """The graph of one network, whole recordings or a stream of chunks."""

    def __init__(self, network: ConvTasNet, samples: int | None, streaming: bool):
        self.network, self.variant = network, network.variant
        self.samples, self.streaming = samples, streaming
        self.graph = Graph()
        self.open_length: str | None = None
        self.states: dict[str, tuple[int, int, bool]] = {}     # channels, frames, float64

    def state(self, name: str, channels: int, frames: int, double: bool = False) -> str:
        self.states[name] = (channels, frames, double)
        return name

    def remember(self, name: str, x: str, channels: int, frames: int) -> str:
        """The frames before x, from the chunk before, joined to it."""
        start = self.graph.number(f"-{frames}", [-frames], np.int64)
        past = self.state(f"past_{name}", channels, frames)
        return self.graph.node("Remember", f"{name}.in", past, x, start, also=[NEXT + past])

    def all_nodes(self) -> None:
        frames = self.encoder()
        norm = norm_of(self.network.separator.norm)
        x = self.statistics("norm", norm, frames)
        x = self.pointwise("bottleneck", self.network.separator.bottleneck, x, norm)
        total = ""
        for index, block in enumerate(self.network.separator.blocks):
            assert isinstance(block, Block)
            x, skip = self.block(f"{index}", block, x)
            if skip:
                total = self.graph.node("Add", f"{index}.sum", total, skip) if total else skip
        y = self.prelu("prelu", self.network.separator.prelu, total or x)
        masks = self.masks(self.pointwise("to_masks", self.network.separator.to_masks, y))
        self.decoder(self.masked(masks, frames))

    def encoder(self) -> str:
        graph, v = self.graph, self.variant
        weight, pads = array(self.network.encoder.weight), (0, 0)
        if self.streaming:
            chunk = graph.reshape("chunk_1", CHUNK, 0, 1, -1)
            x = self.remember("samples", chunk, 1, v.hop)
        else:
            x = graph.reshape("mixture_1", INPUT, 0, 1, -1)
            if self.samples:
                pads = zeros_around(v, self.samples)
            elif v.encoder_padding:
                pads = (v.hop, v.L - 1)
            else:
                x = self.padded(x)
        x = graph.conv("encoder", x, weight, strides=[v.hop], pads=pads)
        return graph.node("Relu", "rectified", x) if v.encoder == "relu" else x

    def padded(self, x: str) -> str:
        """Zeros behind a recording of any length: one frame at least, or until a whole one fits."""
        graph, v = self.graph, self.variant
        missing = graph.node(
            "Sub", "missing", graph.number("L", [v.L], np.int64), self.length())
        behind = graph.node(
            "Max", "behind", missing, graph.number("hop-1", [v.hop - 1], np.int64))
        pads = graph.node(
            "Concat", "pads", graph.number("front", [0] * 5, np.int64), behind, axis=0)
        return graph.node("Pad", "padded", x, pads)

    def length(self) -> str:
        if self.open_length is None:
            self.open_length = self.graph.node("Shape", "length", INPUT, start=1)
        return self.open_length

    def statistics(self, name: str, norm: Norm, x: str) -> str:
        if not norm.function:
            return x
        graph, channels = self.graph, len(norm.scale)
        inputs = [x, graph.number(f"1/{channels}", np.full((1, channels), 1 / channels))]
        if norm.function != "CumulativeNorm":
            return graph.node(norm.function, name, *inputs)
        if not self.streaming:
            past = graph.number("no_past", np.zeros((1, SUMS, 1)), np.float64)
            return graph.node(norm.function, name, *inputs, past, also=[f"{name}.next"])
        past = self.state(f"past_{name}", SUMS, 1, double=True)
        return graph.node(norm.function, name, *inputs, past, also=[NEXT + past])

    def pointwise(self, name: str, layer: nn.Conv1d, x: str, norm: Norm | None = None) -> str:
        weight, bias = array(layer.weight), array(layer.bias)
        if norm:
            bias = bias + weight[..., 0] @ norm.shift
            weight = weight * norm.scale[:, None]
        return self.graph.conv(name, x, weight, bias)

    def prelu(self, name: str, layer: nn.PReLU, x: str) -> str:
        return self.graph.node("LeakyRelu", name, x, alpha=layer.weight.item())

    def block(self, name: str, block: Block, x: str) -> tuple[str, str]:
        graph, norm1, norm2 = self.graph, norm_of(block.norm1), norm_of(block.norm2)
        H = len(norm1.scale)
        y = self.pointwise(f"{name}.widen", block.widen, x)
        y = self.prelu(f"{name}.prelu1", block.prelu1, y)
        y = self.statistics(f"{name}.norm1", norm1, y)
        y, scale = self.shifted(f"{name}.shift", norm1, y)
        y = self.depthwise(f"{name}.depthwise", block.depthwise, y, scale)
        if block.extra is not None:
            y = self.depthwise(f"{name}.extra", block.extra, y, np.ones(H))
        y = self.prelu(f"{name}.prelu2", block.prelu2, y)
        y = self.statistics(f"{name}.norm2", norm2, y)
        skip = self.pointwise(f"{name}.skip", block.skip, y, norm2) if block.skip else ""
        if block.residual:
            residual = self.pointwise(f"{name}.residual", block.residual, y, norm2)
            x = graph.node("Add", f"{name}.out", x, residual)
        return x, skip

    def shifted(self, name: str, norm: Norm, x: str) -> tuple[str, Array]:
        """A norm's shift added, and the scale that is left for the convolution behind it."""
        graph, H = self.graph, len(norm.scale)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            shift = (norm.shift / norm.scale).astype(np.float32)
        scale = np.ones(H)
        if np.isfinite(shift).all():
            scale = norm.scale
        else:       # a channel is scaled by 0
            shift, factor = norm.shift, graph.number(f"{name}.w", norm.scale[:, None])
            x = graph.node("Mul", f"{name}.scaled", x, factor)
        return graph.node("Add", name, x, graph.number(f"{name}.b", shift[:, None])), scale

    def depthwise(self, name: str, layer: Depthwise, x: str, scale: Array) -> str:
        weight, bias = array(layer.weight) * scale[:, None, None], array(layer.bias)
        past, ahead = layer.past, layer.padding[0]
        pads = [past, ahead]
        if past and layer.reflect:
            x, pads = self.mirrored(name, x, past), [0, 0]
        elif past and self.streaming:
            x, pads = self.remember(name, x, len(scale), past), [0, 0]
        return self.graph.conv(
            name, x, weight, bias, dilations=list(layer.dilation), pads=pads, group=layer.groups)

    def mirrored(self, name: str, x: str, frames: int) -> str:
        graph = self.graph
        if self.samples and frames < frames_of(self.variant, self.samples):
            around = graph.number(f"{frames} around", [0, 0, frames] * 2, np.int64)
            return graph.node("Pad", f"{name}.in", x, around, mode="reflect")
        return graph.node("Mirror", f"{name}.in", x, graph.number(f"{frames}", frames, np.int64))

    def masks(self, x: str) -> str:
        graph, v = self.graph, self.variant
        if v.mask == "softmax":
            x = graph.reshape("by_speaker", x, 0, v.C, v.N, -1)
            return graph.node("Softmax", "masks", x, axis=1)
        x = graph.node({"sigmoid": "Sigmoid", "relu": "Relu"}[v.mask], "mask", x)
        return graph.reshape("masks", x, 0, v.C, v.N, -1)

    def masked(self, masks: str, frames: str) -> str:
        graph, v = self.graph, self.variant
        frames = graph.reshape("frames", frames, 0, 1, v.N, -1)
        product = graph.node("Mul", "product", masks, frames)
        return graph.reshape("masked", product, 0, v.C * v.N, -1)

    def decoder(self, masked: str) -> None:
        """Each hop of a signal from the two frames that hold it: a convolution of kernel size 2."""
        graph, v = self.graph, self.variant
        pads = [0 if v.encoder_padding else 1, 1]
        if self.streaming:
            masked, pads = self.remember("masked", masked, v.C * v.N, 1), [0, 0]
        filters = array(self.network.decoder.weight)[:, 0]                          # [N, L]
        # The second half of the frame before, the first of this one: [hop, N, 2].
        weight = np.stack((filters[:, v.hop:].T, filters[:, :v.hop].T), -1)
        hops = graph.conv("decoder", masked, np.tile(weight, (v.C, 1, 1)), pads=pads, group=v.C)
        hops = graph.reshape("hops", hops, 0, v.C, v.hop, -1)
        turned = graph.node("Transpose", "turned", hops, perm=[0, 1, 3, 2])
        if self.streaming:
            graph.reshape(OUTPUT, turned, 0, v.C, -1)
            return
        whole = graph.reshape("whole", turned, 0, v.C, -1)
        end = graph.number("T", [self.samples], np.int64) if self.samples else self.length()
        graph.node("Slice", OUTPUT, whole, graph.number("zero", [0], np.int64), end,
                   graph.number("along", [2], np.int64))


def array(weight: Tensor | nn.Module | None) -> Array:
    assert isinstance(weight, Tensor)
    return weight.detach().cpu().double().numpy()


def norm_of(layer: nn.Module) -> Norm:
    if isinstance(layer, nn.BatchNorm1d):
        mean, variance = array(layer.running_mean), array(layer.running_var)
        scale = array(layer.weight) / np.sqrt(variance + layer.eps)
        return Norm("", scale, array(layer.bias) - mean * scale)
    return Norm(NORMS[type(layer)], array(layer.weight), array(layer.bias))


def model_of(network: ConvTasNet, samples: int | None = None, streaming: bool = False) -> Any:
    """The network as an onnx.ModelProto, checked."""
    writer = Writer(network, samples, streaming)
    writer.all_nodes()
    graph, v, onnx = writer.graph, network.variant, writer.graph.onnx

    def info(name: str, *shape: Any, kind: Any = onnx.TensorProto.FLOAT) -> Any:
        return onnx.helper.make_tensor_value_info(name, kind, shape)

    batch, length = 1 if samples or streaming else "batch", samples or "samples"
    inputs = [info(CHUNK if streaming else INPUT, batch, length)]
    outputs = [info(OUTPUT, batch, v.C, length)]
    for name, (channels, frames, double) in writer.states.items():
        kind = onnx.TensorProto.DOUBLE if double else onnx.TensorProto.FLOAT
        inputs.append(info(name, batch, channels, frames, kind=kind))
        outputs.append(info(NEXT + name, batch, channels, frames, kind=kind))
    model = wrapped(graph, inputs, outputs, ABOUT_STREAM if streaming else "")
    onnx.helper.set_model_props(model, {"variant": json.dumps(asdict(v))})
    onnx.checker.check_model(model, full_check=True)
    return model


def wrapped(graph: Graph, inputs: Sequence[Any], outputs: Sequence[Any], about: str = "") -> Any:
    helper = graph.onnx.helper
    made = helper.make_graph(graph.nodes, KIND, inputs, outputs, list(graph.numbers.values()))
    return helper.make_model(
        made, producer_name="tasnet-study", ir_version=IR_VERSION, doc_string=about,
        functions=list(graph.functions.values()),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)])


def as_bytes(model: Any) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))
