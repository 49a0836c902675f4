"""Where the compiled layers take matrix products from: MKL inside torch, Accelerate, or scipy.

All have the Fortran interface of the reference BLAS, with 32-bit sizes. The layers call them from
threads of their own, so that each product is to run on the thread that asks for it.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

ACCELERATE = "/System/Library/Frameworks/Accelerate.framework/Accelerate"
SINGLE_THREADED = 1         # of Accelerate's BLASSetThreading
SIZES = 6                   # m, n, k, and the strides of three matrices

Address = ctypes.c_void_p
NONE = Address(None)


class Unavailable(Exception):
    """No compiled layers, and why."""


class Routines(NamedTuple):
    """Addresses of matrix products."""

    float32: Address
    float64: Address
    bf16: Address           # of two bfloat16 matrices into float32; null where there is none


def routines() -> Routines:
    """Those of the library that TASNET_BLAS names; with `auto`, of the first that is there.

    Raises:
        Unavailable: when it is not there, or no such name is known.
    """
    asked = os.environ.get("TASNET_BLAS") or "auto"
    if asked != "auto" and asked not in SOURCES:
        raise Unavailable(f"TASNET_BLAS={asked!r} is not one of auto, {', '.join(SOURCES)}")
    reasons = []
    for name in SOURCES if asked == "auto" else [asked]:
        try:
            return SOURCES[name]()
        except Unavailable as error:
            reasons.append(str(error))
    forced = "" if asked == "auto" else f"TASNET_BLAS={asked}: "
    raise Unavailable(forced + "; ".join(reasons))


def _mkl() -> Routines:
    try:
        torch_cpu = ctypes.CDLL(str(Path(torch.__file__).with_name("lib") / "libtorch_cpu.so"))
        return Routines(*(
            _address(torch_cpu, name) for name in ("sgemm_", "dgemm_", "gemm_bf16bf16f32_")))
    except (OSError, AttributeError):
        raise Unavailable(
            "this build of torch does not share its matrix products (MKL)") from None


def _accelerate() -> Routines:
    if sys.platform != "darwin":
        raise Unavailable("Accelerate is a part of macOS")
    try:
        library = ctypes.CDLL(ACCELERATE)
        found = Routines(_address(library, "sgemm_"), _address(library, "dgemm_"), NONE)
    except (OSError, AttributeError) as error:
        raise Unavailable(f"Accelerate cannot be loaded: {error}") from None
    if hasattr(library, "BLASSetThreading"):      # since macOS 15
        library.BLASSetThreading(SINGLE_THREADED)
    return found


def _scipy() -> Routines:
    try:
        from scipy.linalg import cython_blas
        from threadpoolctl import ThreadpoolController
    except ImportError as error:
        raise Unavailable(f"scipy's matrix products cannot be loaded: {error}") from None
    made = cython_blas.__pyx_capi__
    found = Routines(_of_capsule(made["sgemm"]), _of_capsule(made["dgemm"]), NONE)
    folder = Path(torch.__file__).parent
    for library in ThreadpoolController().lib_controllers:
        if library.user_api == "blas" and folder not in Path(library.filepath).parents:
            library.set_num_threads(1)
    return found


SOURCES: dict[str, Callable[[], Routines]] = {
    "mkl": _mkl, "accelerate": _accelerate, "scipy": _scipy}


def _address(library: ctypes.CDLL, name: str) -> Address:
    return ctypes.cast(getattr(library, name), Address)


def _of_capsule(capsule: Any) -> Address:
    """The address in a capsule of Cython's, whose name is the function's signature."""
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
        ("PyCapsule_GetName", ctypes.pythonapi))
    pointer_of = ctypes.PYFUNCTYPE(Address, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi))
    signature = name_of(capsule)
    if signature.count(b"int *") != SIZES:
        raise Unavailable(f"scipy's matrix products have other sizes than int: {signature!r}")
    return Address(pointer_of(capsule, signature))
