"""What this machine's processor says of itself, in Linux' words."""

import platform
from pathlib import Path


def lines(*names: str) -> list[str]:
    """The lines of /proc/cpuinfo that begin with one of these names.

    None where there is no such file.
    """
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    return [line for line in text.splitlines() if line.startswith(names)]


def cpu_flags() -> set[str]:
    """What it can do, such as "amx_bf16"; nothing where it does not say."""
    return {flag for line in lines("flags", "Features") for flag in line.partition(":")[2].split()}


def cpu_name() -> str:
    """What it is called."""
    names = [line.partition(":")[2].strip() for line in lines("model name")]
    return names[0] if names else platform.processor()
