"""Matrix products from each library that may have them."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch

from tasnet_core.backend import blas, build
from tasnet_core.backend.blas import Unavailable

TORCH = Path(torch.__file__).with_name("lib") / "libtorch_cpu.so"


def there(name):
    try:
        return blas.SOURCES[name]()
    except Unavailable as error:
        return pytest.skip(str(error))


def product(address, a, b):
    """a b by a routine of BLAS, which sees the transposed matrices of C."""
    (m, k), n = a.shape, b.shape[1]
    out = np.full((m, n), np.nan, a.dtype)
    scalar = ctypes.c_double if a.dtype == np.float64 else ctypes.c_float
    sizes = [ctypes.byref(ctypes.c_int(size)) for size in (n, m, k)]
    one, zero = ctypes.byref(scalar(1)), ctypes.byref(scalar(0))
    ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address.value)(
        b"N", b"N", *sizes, one, b.ctypes.data, sizes[0], a.ctypes.data, sizes[2], zero, out.ctypes.data, sizes[0])
    return out


@pytest.mark.parametrize("name", ["mkl", "scipy"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_library_multiplies_matrices(name, dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in [(5, 7), (7, 3)])
    found = product(getattr(there(name), dtype), a, b)
    assert np.allclose(found, a.astype(float) @ b, rtol=0, atol=10 * np.finfo(dtype).eps)


def test_scipy_multiplies_on_the_thread_that_asks():
    from threadpoolctl import threadpool_info, threadpool_limits
    with threadpool_limits(2, "blas"):
        there("scipy")
        threads = {one["num_threads"] for one in threadpool_info() if "scipy.libs" in one["filepath"]}
    assert threads == {1}


def test_scipy_with_sizes_of_64_bits_is_not_called(monkeypatch):
    from scipy.linalg import cython_blas
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
        ("PyCapsule_New", ctypes.pythonapi))
    signature = b"void (char *, char *, int64_t *, int64_t *, int64_t *)"
    monkeypatch.setitem(cython_blas.__pyx_capi__, "sgemm", new(1, signature, None))
    with pytest.raises(Unavailable, match="other sizes than int"):
        blas.SOURCES["scipy"]()


def test_accelerate_is_loaded_on_macos_alone_and_told_to_use_one_thread(monkeypatch, tmp_path):
    with pytest.raises(Unavailable, match="macOS"):
        blas.SOURCES["accelerate"]()
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(Unavailable, match="cannot be loaded"):
        blas.SOURCES["accelerate"]()
    asked = []

    class Library(ctypes.CDLL):
        BLASSetThreading = staticmethod(asked.append)
    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(blas, "ACCELERATE", str(TORCH))
    there("mkl")
    a = np.eye(2, dtype="float32")
    assert (product(blas.SOURCES["accelerate"]().float32, a, a) == a).all()
    assert asked == [1]         # vecLib's thread_api.h: BLAS_THREADING_SINGLE_THREADED


def unavailable(name):
    def find():
        raise Unavailable(f"no {name}")
    return find


def test_the_first_library_that_is_there_is_taken_unless_another_is_named(monkeypatch):
    monkeypatch.setattr(blas, "SOURCES", {"mkl": unavailable("mkl"), "accelerate": lambda: 2, "scipy": lambda: 3})
    for asked, found in {"auto": 2, "": 2, "accelerate": 2, "scipy": 3}.items():
        monkeypatch.setenv("TASNET_BLAS", asked)
        assert blas.routines() == found
    monkeypatch.delenv("TASNET_BLAS")
    assert blas.routines() == 2


@pytest.mark.parametrize(("asked", "said"), [
    ("mkl", "TASNET_BLAS=mkl: no mkl"), ("auto", "no mkl; no scipy"), ("blis", "'blis' is not one of auto, mkl, scipy")])
def test_where_there_is_none_one_line_says_so_and_the_plain_layers_serve(asked, said, monkeypatch):
    monkeypatch.setattr(blas, "SOURCES", {name: unavailable(name) for name in ("mkl", "scipy")})
    monkeypatch.setenv("TASNET_BLAS", asked)
    library, reason = build.compiled.__wrapped__()
    assert library is None
    assert said in reason
    assert "\n" not in reason
