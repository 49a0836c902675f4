"""kernels.cpp, compiled into a library when first needed and kept in the cache.

One library per machine, source and compiler. Where it cannot be made, `why_not` says why, and the
plain layers serve.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasnet_core.backend import blas, processor
from tasnet_core.backend.blas import Unavailable
from tasnet_core.errors import UserError
from tasnet_core.files import cache_folder

SOURCES = [Path(__file__).with_name(name)
           for name in ("kernels.cpp", "kernels.h", "waveforms.h", "update.h")]
# A loop may forget about errno and floating-point exceptions, and so be vectorised; it may not
# reorder or assume finite. For ARM, clang knows this machine by -mcpu alone.
NATIVE = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
FLAGS = ("-O3", NATIVE, "-std=c++20", "-fPIC", "-fno-math-errno", "-fno-trapping-math")
# Several threads, or one: where the compiler has no OpenMP, or another than torch has loaded.
OPENMP = ("-fopenmp", "-fopenmp-simd")
FOLDER = "compiled"     # of the cache: only this user's, also where a group may write the rest
BY_DESCRIPTOR = "/proc/self/fd/{}"
PATIENCE_S = 120.0


def why_not() -> str:
    """Why there are no compiled layers here; empty where there are.

    The first call may take some seconds.
    """
    return compiled()[1]


def call(name: str, sizes: Sequence[int], given: Sequence[Any]) -> None:
    """Let a function of kernels.cpp work on contiguous tensors of one dtype, float32 or float64.

    `given` begins with a tensor, and may have records of tensors in it; None is one that is not
    there.
    """
    library, reason = compiled()
    assert library is not None, reason
    dtype = str(given[0].dtype).removeprefix("torch.")
    addresses = [None if tensor is None else tensor.data_ptr() for tensor in _flat(given)]
    getattr(library, f"{name}_{dtype}")(
        (ctypes.c_long * len(sizes))(*sizes), (ctypes.c_void_p * len(addresses))(*addresses))


def _flat(given: Sequence[Any]) -> list[Tensor | None]:
    found: list[Tensor | None] = []
    for one in given:
        if isinstance(one, tuple):
            found += one
        else:
            found.append(one)
    return found


@cache
def compiled() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("TASNET_PLAIN"):
        return None, "TASNET_PLAIN is set"
    try:
        routines = blas.routines()
        library = load_or_make()
    except Unavailable as error:
        return None, str(error)
    use(library, routines)
    return library, ""


def use(library: ctypes.CDLL, routines: blas.Routines) -> None:
    """Let it multiply matrices by these."""
    library.use_blas((ctypes.c_void_p * len(routines))(*routines))


def load_or_make() -> ctypes.CDLL:
    """The library of these sources, compiler and machine, from the cache where it is there."""
    compiler, place = _compiler_and_place()
    # Not there yet, damaged, or somebody else may have written it.
    with contextlib.suppress(OSError):
        return open_library(place)
    try:
        # Nobody else's: its mode is 0700.
        with tempfile.TemporaryDirectory(prefix="fused.") as scratch:
            made = Path(scratch) / place.name
            compile_library(compiler, made)
            try:
                _keep(made, place)
                return open_library(place)
            # A cache that others may write, or that we may not: made anew by each process.
            except OSError:
                return open_library(made)
    except OSError as error:
        raise Unavailable(f"{place.parent}: {error.strerror or error}") from None


def to_compile() -> bool:
    """Whether the first use of the compiled layers takes some seconds, as they are not there yet.
    """
    if os.environ.get("TASNET_PLAIN"):
        return False
    try:
        return not _compiler_and_place()[1].exists()
    except (OSError, Unavailable):
        return False


def _compiler_and_place() -> tuple[str, Path]:
    """The compiler, and where the library that it makes of these sources is kept."""
    names = (os.environ.get("CXX") or "", "g++", "c++", "clang++")
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        raise Unavailable("no C++ compiler was found; install g++, or name one in CXX")
    made_of = [
        *(source.read_text() for source in SOURCES), *FLAGS, *OPENMP, compiler, *_machine(),
        torch.__version__]
    try:
        folder = cache_folder()
    except UserError as error:
        raise Unavailable(str(error)) from None
    digest = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
    return compiler, folder / FOLDER / f"fused-{digest}.so"


def open_library(place: Path) -> ctypes.CDLL:
    """Load a library that nobody but this user or root can have written, file and folder.

    What was examined is what is loaded, by its descriptor: whoever may rename a folder above has
    nothing to exchange.

    Raises:
        OSError: when it is not there, is no library, or somebody else may have written it.
    """
    with _folder(place.parent) as folder:
        descriptor = os.open(place.name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder)
        try:
            _check_owner(descriptor, place)
            by_descriptor = BY_DESCRIPTOR.format(descriptor)
            if os.path.exists(by_descriptor):
                # Where it succeeds the descriptor stays open: dlopen knows by its name what it has
                # loaded.
                return ctypes.CDLL(by_descriptor)
            # No Linux: nor may anybody else write those above.
            for above in (real := place.resolve(strict=True)).parents:
                with _folder(above):
                    pass
            return ctypes.CDLL(str(real))
        except OSError:
            os.close(descriptor)
            raise


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    """A folder's descriptor, where it is this user's or root's and nobody else may write it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _check_owner(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def _check_owner(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    is_ours = found.st_uid in (0, os.geteuid())
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if stat.S_ISFIFO(found.st_mode) or not is_ours or others_write:
        raise PermissionError(errno.EPERM, "somebody else may have written it", str(path))


def _keep(made: Path, place: Path) -> None:
    """Put a library into the cache, whole or not at all, where nobody else may write."""
    place.parent.parent.mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    with _folder(place.parent) as folder:
        scratch = f"{place.name}.{os.getpid()}.tmp"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch, dir_fd=folder)
        def opener(name: str, flags: int) -> int:
            return os.open(name, flags, 0o700, dir_fd=folder)

        with open(scratch, "xb", opener=opener) as file:
            file.write(made.read_bytes())
        os.replace(scratch, place.name, src_dir_fd=folder, dst_dir_fd=folder)


def compile_library(compiler: str, library: Path) -> None:
    """Write the library, with OpenMP where that can be had.

    Raises:
        Unavailable: when the compiler fails, or the library cannot be loaded.
    """
    for openmp in OPENMP:
        try:
            _compile(compiler, openmp, library)
            ctypes.CDLL(str(library))
            return
        except Unavailable as error:
            reason = str(error)
        except OSError as error:
            reason = f"{compiler} made what cannot be loaded: {error}"
    raise Unavailable(reason)


def _compile(compiler: str, openmp: str, library: Path) -> None:
    # -fopenmp at the linker would bring a second OpenMP along; torch has loaded its own, and its
    # threads are to be used.
    made = library.with_suffix(".o")
    for step in (
        [*FLAGS, openmp, "-c", str(SOURCES[0]), "-o", str(made)],
        ["-shared", str(made), "-o", str(library)]):
        try:
            done = subprocess.run(
                [compiler, *step], capture_output=True, text=True, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{compiler} took more than {PATIENCE_S:g} s") from None
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            first = errors[0] if errors else done.stderr.strip()[:200]
            raise Unavailable(f"{compiler} failed: {first}")


def _machine() -> list[str]:
    """What -march=native goes by: a folder may be shared by machines of several kinds."""
    lines = processor.lines("model name", "flags", "Features")
    return sorted({platform.machine(), platform.processor(), *lines})
