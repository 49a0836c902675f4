"""Our ONNX files in int8: the weights alone, or also what the pointwise convolutions compute.

Weights have a scale for each output channel. Activations have a scale and a zero point from
calibration: of all ranges around zero that with the least squared error, since a few large values,
which PReLU and the norms leave, would make 256 steps coarse. Encoder and decoder compute in float:
in int8 they cost most of what naive quantization does (benchmarks/RESULTS.md). So do depthwise
convolutions, which are slower in int8.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasnet_core.checkpoints.onnx_file import session_of
from tasnet_core.checkpoints.onnx_graph import INPUT, as_bytes
from tasnet_core.checkpoints.safetensors_file import optional

Sound = NDArray[np.float32]
Values = NDArray[Any]

POINTWISE = {"bottleneck", "widen", "residual", "skip", "to_masks"}     # computed in int8
STORED = POINTWISE | {"encoder", "decoder"}                 # of which the weights are int8
SAMPLED = 4096          # values of each activation that are kept from a mixture
SHARES = np.linspace(0.2, 1, 17)        # of the whole range: what is tried


class Grid(NamedTuple):
    """Where 256 values lie: (0 … 255 - zero) * scale."""

    scale: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> "Grid":
        scale = max((high - low) / 255, 1e-9)
        return cls(scale, int(np.clip(round(-low / scale), 0, 255)))

    def error(self, values: Values) -> float:
        """The mean squared error of values on the grid."""
        steps = np.clip(np.round(values / self.scale) + self.zero, 0, 255) - self.zero
        return float(np.square(steps * self.scale - values).mean())


def best_grid(values: Values) -> Grid:
    """The one with the least squared error, of shares of the range above 0 and then below it."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)

    def error(share_below: float, share_above: float) -> float:
        return Grid.over(share_below * low, share_above * high).error(values)

    above = min(SHARES, key=lambda share: error(1, share))
    below = min(SHARES, key=lambda share: error(share, above))
    return Grid.over(below * low, above * high)


def calibrated(model: Any, mixtures: Iterable[Sound]) -> dict[str, Grid]:
    """The grids of what goes into and out of pointwise convolutions, over mixtures [T]."""
    onnx, seen = optional("onnx"), copy.deepcopy(model)
    names = sorted({name for node in model.graph.node if role(node) in POINTWISE
                    for name in (node.input[0], node.output[0])})
    del seen.graph.output[:]
    seen.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = session_of(as_bytes(seen))
    values: dict[str, list[Values]] = {name: [] for name in names}
    for mixture in mixtures:
        for name, found in zip(names, session.run(names, {INPUT: mixture[None]}), strict=True):
            # Not the extremes on purpose: they would count a hundred times what they are.
            values[name].append(found.ravel()[:: max(1, found.size // SAMPLED)])
    return {name: best_grid(np.concatenate(kept)) for name, kept in values.items()}


def role(node: Any) -> str:
    """What a convolution does in its block, "" of another node."""
    return node.name.rpartition(".")[2] if node.op_type == "Conv" else ""


def in_int8(model: Any, grids: Mapping[str, Grid]) -> Any:
    """A copy of a model of `onnx_graph`; without grids with its weights alone in int8."""
    return Quantizer(model, grids).model


class Quantizer:
    """Builds the nodes of a model anew, with what stands around each convolution."""

    def __init__(self, model: Any, grids: Mapping[str, Grid]):
        self.onnx, self.grids = optional("onnx"), grids
        self.model = copy.deepcopy(model)
        self.numbers = {one.name: one for one in self.model.graph.initializer}
        self.nodes: list[Any] = []
        self.read_as: dict[str, str] = {}       # what reads an activation reads this instead
        self.stepped: dict[str, str] = {}
        for node in self.model.graph.node:
            self._add(copy.deepcopy(node))
        for field, made in (("node", self.nodes), ("initializer", self.numbers.values())):
            self.model.graph.ClearField(field)
            getattr(self.model.graph, field).extend(made)

    def _add(self, node: Any) -> None:
        source = node.input[0]
        for place, name in enumerate(node.input):
            node.input[place] = self.read_as.get(name, name)
        kind = role(node)
        grid = self.grids.get(source) if kind in POINTWISE else None
        if kind in STORED:
            self._store(node, grid)
        if grid:
            node.input[0] = self._on_grid(source)
        self.nodes.append(node)
        if grid:
            self.read_as[node.output[0]] = self._on_grid(node.output[0])

    def _on_grid(self, name: str) -> str:
        if name not in self.stepped:
            grid, x = self.grids[name], self.read_as.get(name, name)
            given = [self._number(f"{name}.s", np.array(grid.scale, np.float32)),
                     self._number(f"{name}.z", np.array(grid.zero, np.uint8))]
            self._node("QuantizeLinear", [x, *given], f"{name}.q")
            self.stepped[name] = self._node("DequantizeLinear", [f"{name}.q", *given], f"{name}.d")
        return self.stepped[name]

    def _store(self, node: Any, grid: Grid | None) -> None:
        """Replace a convolution's weight, and with a grid of its input the bias."""
        weight = self._taken(node.input[1])
        scale = np.abs(weight).reshape(len(weight), -1).max(1) / 127
        if grid:    # the sum of bias and products stays in int32, also where all weights are 0
            bias = self._taken(node.input[2])
            scale = np.maximum(scale, np.abs(bias) / (grid.scale * 2**30))
            scale[scale == 0] = 1
            node.input[2] = self._stored(
                node.input[2], bias, (scale * grid.scale).astype(np.float32), np.int32)
        scale[scale == 0] = 1
        node.input[1] = self._stored(node.input[1], weight, scale.astype(np.float32), np.int8)

    def _taken(self, name: str) -> Values:
        values: Values = self.onnx.numpy_helper.to_array(self.numbers.pop(name))
        return values.astype(np.float64)

    def _stored(self, name: str, values: Values, scale: Values, dtype: Any) -> str:
        steps = np.round(values / scale.reshape(-1, *[1] * (values.ndim - 1))).astype(dtype)
        given = [self._number(f"{name}.q", steps), self._number(f"{name}.s", scale)]
        return self._node("DequantizeLinear", given, name, axis=0)

    def _number(self, name: str, value: Values) -> str:
        self.numbers[name] = self.onnx.numpy_helper.from_array(value, name)
        return name

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output
