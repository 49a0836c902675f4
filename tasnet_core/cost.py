"""What a variant needs to run: parameters, MACs and receptive field exactly, memory and speed measured.

The exact figures are sums over `layers(variant)`, which follows the network layer by layer:

    parameters = 2NL + 2N + (NB + B)
               + X·R·[(BH + H) + 1 + 2H + (HP + H) + 1 + 2H + (HB + B) + (H·Sc + Sc)]
               + 1 + (Sc·C·N + C·N)
    MACs per frame = NL + NB + X·R·(BH + HP + HB + H·Sc) + Sc·C·N + C·N·L

less HB + B and HB for the last block's residual convolution where the variant leaves it out, with B in place of
Sc behind the blocks where there is no skip path, and with HP + H and HP more per block where it has an extra dilation.
All norms have a gain and a bias per channel. MACs are those of the convolutions.
"""

import copy
import statistics
import time
import warnings
import weakref
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tasnet_core.model import ConvTasNet, Depthwise, frames_of, seeded
from tasnet_core.records import Cost, Variant


class Layer(NamedTuple):
    """One line of `describe`: what a layer gives out, what it costs, how far it has heard by then."""

    name: str
    channels: tuple[int, ...]  # of its output, before the frames K; () for a waveform of T samples
    parameters: int
    macs_per_frame: int
    receptive_field_samples: int


def layers(variant: Variant) -> list[Layer]:
    """Every layer in order, from the closed formulas alone: nothing is built."""
    v = variant
    heard = v.L
    rows = [Layer("encoder", (v.N,), v.N * v.L, v.N * v.L, heard),
            Layer("norm", (v.N,), 2 * v.N, 0, heard),
            Layer("bottleneck", (v.B,), v.N * v.B + v.B, v.N * v.B, heard)]
    for r in range(v.R):
        for x in range(v.X):
            last = (r, x) == (v.R - 1, v.X - 1)
            rows += _block_layers(v, f"repeat {r + 1} block {x + 1}", 2**x, heard,
                                  residual=v.has_last_residual or not last)
            heard = rows[-1].receptive_field_samples
    width = v.Sc or v.B
    return [*rows,
            Layer("prelu", (width,), 1, 0, heard),
            Layer("masks", (v.C, v.N), width * v.C * v.N + v.C * v.N, width * v.C * v.N, heard),
            Layer("decoder", (v.C,), v.N * v.L, v.C * v.N * v.L, heard)]


def _block_layers(v: Variant, name: str, dilation: int, heard: int, residual: bool) -> list[Layer]:
    wider = heard
    rows = [Layer(f"{name}: widen", (v.H,), v.B * v.H + v.H, v.B * v.H, heard),
            Layer(f"{name}: prelu, norm", (v.H,), 1 + 2 * v.H, 0, heard)]
    for apart in [dilation, v.extra_dilation * dilation][:2 if v.extra_dilation else 1]:
        wider += (v.P - 1) * apart * v.hop
        rows.append(Layer(f"{name}: depthwise, dilation {apart}", (v.H,), v.H * v.P + v.H, v.H * v.P, wider))
    rows.append(Layer(f"{name}: prelu, norm", (v.H,), 1 + 2 * v.H, 0, wider))
    if residual:
        rows.append(Layer(f"{name}: residual", (v.B,), v.H * v.B + v.B, v.H * v.B, wider))
    if v.Sc:
        rows.append(Layer(f"{name}: skip", (v.Sc,), v.H * v.Sc + v.Sc, v.H * v.Sc, wider))
    return rows


def macs(variant: Variant, samples: int) -> int:
    """Multiply-accumulates of the convolutions for a recording of `samples` samples."""
    return frames_of(variant, samples) * sum(layer.macs_per_frame for layer in layers(variant))


def exact(variant: Variant) -> Cost:
    """The part of the cost that formulas give; memory and speed stay None."""
    rows = layers(variant)
    # Frames per second may be a fraction (L=24 at 8 kHz); the MACs are rounded to the nearest whole one.
    per_s = round(sum(layer.macs_per_frame for layer in rows) * variant.sample_rate_hz / variant.hop)
    return Cost(parameters=sum(layer.parameters for layer in rows), macs_per_s=per_s,
                receptive_field_s=variant.receptive_field_samples / variant.sample_rate_hz)


def measure(variant: Variant, runs: int = 9, seconds: float = 0.0) -> Cost:
    """The whole cost: the exact part, peak memory, and the real-time factor on one CPU thread.

    Memory is that of weights and tensors alive at once while one second of sound is separated,
    counted, so equal on every machine; the real-time factor is a median of at least `runs` runs that take
    at least `seconds` together, with the range of the middle half of them, and is not.
    """
    network, second = seeded(variant, 0).eval(), torch.randn(1, variant.sample_rate_hz)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.inference_mode():
            network(second)
            peak = _peak_tensor_bytes(network, second)
            times = [_seconds(network, second) for _ in range(runs)]
            while sum(times) < seconds:
                times.append(_seconds(network, second))
    finally:
        torch.set_num_threads(threads)
    quarters = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else [times[0]] * 3
    return replace(exact(variant), peak_memory_bytes=peak, realtime_factor=statistics.median(times),
                   realtime_factor_spread=quarters[2] - quarters[0])


def _seconds(network: nn.Module, sound: torch.Tensor) -> float:
    """Time of this thread, which is all that works here: what else the machine does meanwhile is not in it."""
    start = time.thread_time()
    network(sound)
    return time.thread_time() - start


class LiveBytes(TorchDispatchMode):
    """Adds up the storages of all tensors that operations make, and notes the most alive at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._meet(tensor.untyped_storage())
        return result

    def _meet(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        if size == 0 or address in self.known:      # a view of something already counted
            return
        self.known.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, address, size)

    def _forget(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.now -= size


def _peak_tensor_bytes(network: nn.Module, sound: torch.Tensor) -> int:
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    with LiveBytes() as live:
        network(sound)
    return int(weights + sound.numel() * sound.element_size() + live.peak)


def macs_by_torch(network: ConvTasNet, samples: int) -> int:
    """The same count by torch's FlopCounterMode, which counts two operations per MAC."""
    network = copy.deepcopy(network).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, samples))
    return int(counter.get_total_flops() // 2)


def macs_by_thop(network: ConvTasNet, samples: int) -> int:
    """The same count by thop, on a copy: thop leaves buffers behind that would enter the state_dict.

    thop 0.1.1 treats ConvTranspose1d like Conv1d, once per output sample: L/2 times too much. It is
    counted once per input frame here. What thop counts for PReLU, batch norm and softmax is left out: they are no
    convolutions. Our depthwise layer is told to be one, since thop goes by the exact type.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)    # thop imports distutils
        import thop

    def transposed(layer: Any, inputs: Any, _: Any) -> None:
        layer.total_ops += inputs[0].numel() * layer.out_channels * layer.kernel_size[0] // layer.groups

    def nothing(layer: Any, inputs: Any, output: Any) -> None:
        pass

    rules = {nn.ConvTranspose1d: transposed, Depthwise: thop.vision.basic_hooks.count_convNd,
             nn.PReLU: nothing, nn.BatchNorm1d: nothing, nn.Softmax: nothing}
    with torch.no_grad():
        total, _ = thop.profile(copy.deepcopy(network).eval(), inputs=(torch.zeros(1, samples),), verbose=False,
                                custom_ops=rules)
    return int(total)
