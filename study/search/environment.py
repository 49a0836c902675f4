"""Where a run was trained: the machine and the software, for the row that keeps its scores."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from tasnet_core.backend.devices import device_of
from tasnet_core.backend.processor import cpu_name


@cache
def environment(device: str) -> dict[str, str | int]:
    """Machine, device, threads, versions and commit, as plain values."""
    chosen = device_of(device)
    packages = {name: _version(name) for name in ("torch", "optuna", "numpy", "tasnet-study")}
    return {
        "machine": platform.machine(), "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu_name(), "cores": os.cpu_count() or 0, "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else chosen.type,
        "python": platform.python_version(), **packages, "commit": _commit()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The commit of the source tree this package runs from; empty for an installed copy."""
    source = Path(__file__).parents[2]
    if not (source / ".git").exists():
        return ""
    try:
        told = subprocess.run(["git", "-C", str(source), "describe", "--always", "--dirty"],
                              capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip()
