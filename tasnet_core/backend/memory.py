"""Training in the memory there is: errors for lack of it, and the micro-batch that fits.

A step of the optimizer follows the mean over a whole batch. It may be computed in micro-batches one
after another, whose gradients add up to the same sum; only batch norm, which needs all of its
batch, would give other numbers.
"""

import os
from collections.abc import Callable
from pathlib import Path

import torch

# Of the memory that is free, for the tensors counted: allocators need some between them.
SHARE = 0.8
OUT_OF_MEMORY = ("can't allocate memory", "MPS backend out of memory")      # a CPU's, Apple's GPU's


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in OUT_OF_MEMORY)


def micro_sizes(batch: int) -> list[int]:
    """The sizes worth trying, falling: a batch in 1, 2, 3 … nearly equal micro-batches."""
    return sorted({-(-batch // parts) for parts in range(1, batch + 1)}, reverse=True)


def largest_fitting(batch: int, fits: Callable[[int], bool]) -> int:
    """The largest of `micro_sizes` that fits, the batch first, then by halves; 1 if none does."""
    sizes = micro_sizes(batch)
    if fits(batch):
        return batch
    # sizes[low] does not fit; sizes[high] is 1, which nothing is below.
    low, high = 0, len(sizes) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(sizes[middle]) else (middle, high)
    return sizes[high]


def available_bytes() -> int:
    """Memory that is free without swapping, of the system or within its control group's limit."""
    free = []
    if hasattr(os, "sysconf"):
        free = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")]
    meminfo, group = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
    try:
        facts = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = [1024 * int(facts["MemAvailable"].split()[0])]
        free.append(
            int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError, KeyError):       # another system, or no limit: its word is "max"
        pass
    return min(free, default=2**31)
