"""Work that lasts: by several threads in order; and how far it is, a bar in a terminal, a line now and then elsewhere."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tasnet_core.terminal import complain, plain

QUIET_S = 15.0      # between two lines where there is no terminal

Thing = TypeVar("Thing")
Made = TypeVar("Made")


def in_order(function: Callable[[Thing], Made], things: Iterable[Thing], threads: int | None = None) -> Iterator[Made]:
    """`map` by several threads. Only a few results wait at any time, so memory does not grow with the work.

    Threads suffice for sound: reading, decoding and resampling let other threads run meanwhile.
    """
    threads = threads or min(8, os.cpu_count() or 1)
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for thing in things:
            waiting.append(pool.submit(function, thing))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:        # also where whoever asks stops early
        pool.shutdown(cancel_futures=True)


def shown(things: Iterable[Thing], total: int, what: str, unit: str = "") -> Iterator[Thing]:
    """The same things, and on stderr how many of them there were so far."""
    with progress(what, total, unit) as advance:
        for thing in things:
            yield thing
            advance(1)


@contextmanager
def progress(what: str, total: float, unit: str = "") -> Iterator[Callable[[float], None]]:
    """Show work that has `total` of something ahead; yields what is called with each amount done."""
    with (_bar if sys.stderr.isatty() else _lines)(what, total, unit) as advance:
        yield advance


@contextmanager
def _bar(what: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
               TextColumn(f"of {{task.total:,.0f}} {unit}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(plain(what), total=total)
        yield lambda amount: shown.advance(task, amount)


@contextmanager
def _lines(what: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    done, told = 0.0, time.monotonic()

    def advance(amount: float) -> None:
        nonlocal done, told
        done += amount
        if time.monotonic() - told >= QUIET_S:
            told = time.monotonic()
            complain(f"{what}: {done:,.0f} of {total:,.0f} {unit}".rstrip())
    yield advance
