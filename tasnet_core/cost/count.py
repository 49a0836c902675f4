"""The cost of a variant: exact by `formulas`, memory and speed measured, MACs also by others."""

import copy
import statistics
import time
import warnings
import weakref
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tasnet_core.cost.formulas import Layer, exact, layers
from tasnet_core.network.model import ConvTasNet, Depthwise, frames_of, seeded
from tasnet_core.records import Cost, Variant

__all__ = ["Layer", "exact", "layers", "macs", "macs_by_thop", "macs_by_torch", "measure"]


def macs(variant: Variant, samples: int) -> int:
    """Multiply-accumulates of the convolutions for a recording of `samples` samples."""
    return frames_of(variant, samples) * sum(layer.macs_per_frame for layer in layers(variant))


def measure(variant: Variant, runs: int = 9, seconds: float = 0.0) -> Cost:
    """The whole cost: the exact part, peak memory, and the real-time factor on one CPU thread.

    Memory is that of weights and tensors alive at once while one second of audio is separated,
    counted, so equal on every machine; the real-time factor is a median of at least `runs` runs
    that take at least `seconds` together, with the range of the middle half of them, and is not.
    """
    network, second = seeded(variant, 0).eval(), torch.randn(1, variant.sample_rate_hz)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.inference_mode():
            network(second)
            peak = peak_tensor_bytes(network, second)
            times = [thread_seconds(network, second) for _ in range(runs)]
            while sum(times) < seconds:
                times.append(thread_seconds(network, second))
    finally:
        torch.set_num_threads(threads)
    quarters = [times[0]] * 3
    if len(times) > 1:
        quarters = statistics.quantiles(times, n=4, method="inclusive")
    return replace(exact(variant), peak_memory_bytes=peak, realtime_factor=statistics.median(times),
                   realtime_factor_spread=quarters[2] - quarters[0])


def thread_seconds(network: nn.Module, signal: torch.Tensor) -> float:
    """Time of this thread, without what else the machine does meanwhile."""
    start = time.thread_time()
    network(signal)
    return time.thread_time() - start


class LiveBytes(TorchDispatchMode):
    """Adds up the storages of tensors that operations make, and keeps the most alive at once."""

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


def peak_tensor_bytes(network: nn.Module, signal: torch.Tensor) -> int:
    """Weights and the most tensors alive at once while the network separates the signal."""
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    with LiveBytes() as live:
        network(signal)
    return int(weights + signal.numel() * signal.element_size() + live.peak)


def macs_by_torch(network: ConvTasNet, samples: int) -> int:
    """The same count by torch's FlopCounterMode, which counts two operations per MAC."""
    network = copy.deepcopy(network).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, samples))
    return int(counter.get_total_flops() // 2)


def macs_by_thop(network: ConvTasNet, samples: int) -> int:
    """The same count by thop, on a copy: it leaves buffers behind in the state_dict.

    thop 0.1.1 treats ConvTranspose1d like Conv1d, once per output sample: L/2 times too much. It is
    counted once per input frame here. What thop counts for PReLU, batch norm and softmax is left
    out: they are no convolutions. Our depthwise layer is declared to be one, since thop goes by the
    exact type.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)    # thop imports distutils
        import thop

    def transposed(layer: Any, inputs: Any, _: Any) -> None:
        layer.total_ops += (
            inputs[0].numel() * layer.out_channels * layer.kernel_size[0] // layer.groups)

    def nothing(layer: Any, inputs: Any, output: Any) -> None:
        pass

    rules = {nn.ConvTranspose1d: transposed, Depthwise: thop.vision.basic_hooks.count_convNd,
             nn.PReLU: nothing, nn.BatchNorm1d: nothing, nn.Softmax: nothing}
    with torch.no_grad():
        total, _ = thop.profile(
            copy.deepcopy(network).eval(), inputs=(torch.zeros(1, samples),), verbose=False,
            custom_ops=rules)
    return int(total)
