"""Devices, the precision each is fast in, and whether a CPU has the compiled layers."""

import contextlib
from collections.abc import Callable

import torch

from tasnet_core.backend import blas, build
from tasnet_core.backend.fused import supports
from tasnet_core.backend.processor import cpu_flags
from tasnet_core.errors import UserError
from tasnet_core.records import Variant


def device_of(name: str) -> torch.device:
    """The device a word stands for: auto, cpu, cuda, mps. `auto` is never mps: the compiled layers
    of a CPU serve Macs.

    Raises:
        UserError: when there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device {name!r}: this torch finds no CUDA device; use cpu or auto")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"device {name!r}: this torch finds no GPU of Apple's; use cpu or auto")
    return torch.device(name)


def precision_of(name: str, device: str) -> str:
    """The precision of a name: float32, bf16, or auto: bf16 where the device multiplies it faster.

    On a CPU without AMX tiles it does not: 75 instead of 150 billion operations per second and core
    were seen.

    Raises:
        UserError: for bf16 on mps.
    """
    kind = device_of(device).type
    if name == "bf16" and kind == "mps":
        raise UserError("precision 'bf16': on device 'mps' networks train in float32; use float32")
    if name != "auto":
        return name
    if kind == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = kind == "cpu" and _has_bf16()
    return "bf16" if fast else "float32"


def _has_bf16() -> bool:
    """Whether this CPU has tiles for bfloat16, and the compiled layers a product that uses them."""
    product: object = True
    with contextlib.suppress(blas.Unavailable):
        product = blas.routines().bf16
    return "amx_bf16" in cpu_flags() and bool(product)


def make_layers(variant: Variant, device: str, say: Callable[[str], None]) -> None:
    """Compile the layers that networks of this kind have on this device, where they are not yet."""
    if _compiled(variant, device):
        if build.to_compile():
            say("compiling the layers for this processor, once")
        build.why_not()


def say_if_plain(variant: Variant, device: str, say: Callable[[str], None]) -> None:
    """Say why a training on this CPU goes by the plain layers, where it does."""
    if _compiled(variant, device) and (reason := build.why_not()):
        say(f"the plain layers are used, at less than half the speed: {reason}")


def _compiled(variant: Variant, device: str) -> bool:
    return device_of(device).type == "cpu" and supports(variant)
