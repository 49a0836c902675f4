"""Training steps that a GPU takes from one launch: recorded once as a CUDA graph, then replayed.

A step of a small network is a thousand kernels of some microseconds each, and Python needs longer
to launch one than the GPU to compute it. Everything here but CudaGraphs is of no device.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

# Calls before a recording: libraries prepare themselves, and Adam makes its state.
WARM_UP = 3

Work = Callable[[], Tensor]


class Recorder(Protocol):
    """How a device keeps work to do it again."""

    def run(self, work: Work) -> Tensor:
        """Do work that will be recorded."""

    def record(self, work: Work) -> Work:
        """Keep work without doing it.

        What is returned does it, on the same memory as often as it is called.
        """


class CudaGraphs:
    """The recorder of a CUDA device."""

    def __init__(self, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)
        # For all recordings: no two of them are at work at once.
        self.pool = torch.cuda.graph_pool_handle()

    def run(self, work: Work) -> Tensor:
        """Not on the default stream, as recording asks for."""
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        try:
            with torch.cuda.stream(self.stream):
                return work()
        finally:
            here.wait_stream(self.stream)

    def record(self, work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device), torch.cuda.graph(graph, self.pool, self.stream):
            result = work()

        def replay() -> Tensor:
            graph.replay()
            return result
        return replay


class Captured:
    """Work on tensors of which, after some calls, a recording is replayed.

    One for each combination of shapes.
    """

    def __init__(self, recorder: Recorder):
        self.recorder = recorder
        self.calls: Counter[tuple[torch.Size | None, ...]] = Counter()
        self.recordings: dict[tuple[torch.Size | None, ...], tuple[list[Tensor | None], Work]] = {}

    def __call__(self, work: Callable[..., Tensor], *given: Tensor | None) -> Tensor:
        """The result of the work, always the same, for these tensors; replays share its memory.

        The work is not kept: it would keep whoever owns this, and with it memory of the device.
        """
        shapes = tuple(None if one is None else one.shape for one in given)
        self.calls[shapes] += 1
        if self.calls[shapes] <= WARM_UP:
            return self.recorder.run(partial(work, *given))
        if shapes not in self.recordings:
            kept = [None if one is None else one.clone() for one in given]
            self.recordings[shapes] = kept, self.recorder.record(partial(work, *kept))
        places, replay = self.recordings[shapes]
        for place, one in zip(places, given, strict=True):
            if place is not None and one is not None:
                place.copy_(one)
        return replay()


def recorder_of(device: torch.device) -> Recorder | None:
    """What records on a device; None where a launch costs next to nothing."""
    return CudaGraphs(device) if device.type == "cuda" else None


def adam(network: torch.nn.Module, device: torch.device,
         kind: type[torch.optim.Adam] = torch.optim.Adam) -> torch.optim.Adam:
    """Adam, or a `kind` of it; where its steps are recorded, with a rate on the device that
    `set_rate` writes."""
    recorded = device.type == "cuda"
    rate = torch.zeros((), device=device) if recorded else 0.0
    return kind(network.parameters(), rate, fused=True, capturable=recorded)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the steps to come, recorded or not."""
    group = optimizer.param_groups[0]
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
