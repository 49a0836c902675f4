"""The owner of a run: a lease names the process that trains it, and ends unless it is renewed.

A process of this machine holds its runs as long as it lives, whatever the clock says, and not a
moment longer. Of another machine only the lease's end is known, by the clock of the database's
server.
"""

import hashlib
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

LEASE_S = 180.0     # how long a lease lasts
RENEW_S = 20.0      # how often a training renews it, and at every epoch's end


class Owner(NamedTuple):
    """A process that may hold a lease, in the database as `host:boot:process:started`."""

    host: str
    boot: str           # the machine's last start, and the container: process numbers are theirs
    process: int
    started: str        # when the process was started: its number is given out again

    def __str__(self) -> str:
        return ":".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The owner of a lease, also in the old form `host:process`; None for any other text."""
        match text.split(":"):
            case host, boot, process, start if process.isdecimal():
                return cls(host, boot, int(process), start)
            case host, process if process.isdecimal():
                return cls(host, "", int(process), "")
        return None


def me() -> Owner:
    """This process."""
    return Owner(socket.gethostname(), _boot(), os.getpid(), started(os.getpid()))


def is_held(run: Mapping[str, Any], now_s: float) -> bool:
    """Whether another process is at work on this run.

    A lease that lasts longer than any lease does was made by a clock that has been set back since:
    it is void.
    """
    if run["owner"] in (None, str(me())):
        return False
    owner = Owner.parse(run["owner"])
    if owner and (owner.host, owner.boot) == (me().host, me().boot):
        return started(owner.process) == owner.started
    return bool(now_s <= (run["lease_until_s"] or 0) <= now_s + LEASE_S)


@cache
def _boot() -> str:
    facts = [_read("/proc/sys/kernel/random/boot_id")]
    with suppress(OSError):
        facts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("".join(facts).encode()).hexdigest()[:8]


def started(process: int) -> str:
    """When a process was started, as the system counts; "" when there is none."""
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
