"""Devices, the precision each is fast in, and whether a CPU has the compiled layers."""

from collections.abc import Callable

import torch

from tasnet_core.backend import build
from tasnet_core.backend.fused import supports
from tasnet_core.backend.processor import cpu_flags
from tasnet_core.errors import UserError
from tasnet_core.records import Variant


def device_of(name: str) -> torch.device:
    """The device a word stands for: auto, cpu, cuda.

    Raises:
        UserError: when there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device {name!r}: this torch finds no CUDA device; use cpu or auto")
    return torch.device(name)


def precision_of(name: str, device: str) -> str:
    """The precision of a name: float32, bf16, or auto: bf16 where the device multiplies it faster.

    On a CPU without AMX tiles it does not: 75 instead of 150 billion operations per second and core
    were seen.
    """
    if name != "auto":
        return name
    if device_of(device).type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = "amx_bf16" in cpu_flags()
    return "bf16" if fast else "float32"


def say_if_plain(variant: Variant, device: str, say: Callable[[str], None]) -> None:
    """Say why a training on this CPU goes by the plain layers, where it does."""
    if device_of(device).type == "cpu" and supports(variant) and (reason := build.why_not()):
        say(f"the plain layers are used, at less than half the speed: {reason}")
