"""Whose a run is. A lease names the process that trains it and ends by itself unless it is renewed.

On its own machine a process is asked for: it holds its runs as long as it lives, whatever the clock says, and not a
moment longer. Of another machine only the lease's end is known, by the clock of the database's server.
"""

import hashlib
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

LEASE_S = 180.0     # how long a lease lasts
RENEW_S = 20.0      # how often a training renews it, and at every epoch's end


def me() -> str:
    """This process, among those that may hold a lease: host, machine, process, its start."""
    return f"{_host()}:{os.getpid()}:{started(os.getpid())}"


def is_held(run: Mapping[str, Any], now_s: float) -> bool:
    """Whether another process is at work on this run.

    A lease that lasts longer than any lease does was made by a clock that has been set back since: it is void.
    """
    owner = run["owner"]
    if owner in (None, me()):
        return False
    host, _, process = owner.rpartition(":")[0].rpartition(":")
    if host == _host():
        return bool(started(int(process)) == owner.rpartition(":")[2])
    return bool(now_s <= (run["lease_until_s"] or 0) <= now_s + LEASE_S)


@cache
def _host() -> str:
    """This machine since its last start, and within it this container: where process numbers mean the same."""
    facts = [_read("/proc/sys/kernel/random/boot_id")]
    with suppress(OSError):
        facts.append(os.readlink("/proc/self/ns/pid"))
    return f"{socket.gethostname()}:{hashlib.sha256(''.join(facts).encode()).hexdigest()[:8]}"


def started(process: int) -> str:
    """When a process was started, as the system counts; empty when there is none. Numbers are given out again."""
    stat = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
    if stat:
        return "" if stat[0] in "ZX" else stat[19]      # a zombie does no work
    return "alive" if not os.path.exists("/proc/self/stat") and _alive(process) else ""


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
