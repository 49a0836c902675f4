"""Pauses, waits and heartbeats: what a process does about a run beside training it."""

import math
import threading
import time

from study.database.connection import see_in_place
from study.database.leases import RENEW_S
from study.database.store import Database
from study.search.events import Message, OnEvent
from tasnet_core.training.trainer import Paused

MESSAGE_EVERY_S = 60.0      # while waiting for the same or another reason


class Waiting:
    """The stop signal of a process, and its waits, which end with it."""

    def __init__(self, on_event: OnEvent, stop: threading.Event | None = None):
        self.on_event = on_event
        self.stop = stop or threading.Event()   # set: save everything, pause at the next step
        self.message_s = -math.inf

    def pause_if_asked(self) -> None:
        if self.stop.is_set():
            raise Paused

    def wait(self, reason: str = "", seconds: float = 0.05) -> None:
        """Wait a little for what passes by itself; a message gives the reason now and then.

        Raises:
            Paused: `stop` is set.
        """
        if reason and time.monotonic() - self.message_s > MESSAGE_EVERY_S:
            self.message_s = time.monotonic()
            self.on_event(Message(f"waiting: {reason}"))
        self.stop.wait(max(seconds, 0.5) if reason else seconds)
        self.pause_if_asked()


class Heartbeat:
    """The lease of one run, renewed while it is trained."""

    def __init__(self, database: Database, run: int, stop: threading.Event):
        self.database, self.run, self.stop = database, run, stop
        self.renewed()

    def renewed(self) -> None:
        """Note that the lease was renewed just now."""
        self.renewed_s = time.monotonic()       # no clock that is set back stops it

    def beat(self) -> bool:
        """Renew the lease now and then; returns whether to pause.

        Raises:
            Misplaced: a file of the study was moved; what is trained is not saved in its place.
            LeaseLost: the run is another process's by now.
        """
        see_in_place(self.database.held)
        if time.monotonic() - self.renewed_s > RENEW_S:
            self.renewed()
            self.database.renew(self.run)
        return self.stop.is_set()
