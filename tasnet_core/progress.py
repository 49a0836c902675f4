"""Long work: by several threads in order, with a progress bar, or lines without a terminal."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tasnet_core.terminal import complain, plain

QUIET_S = 15.0  # between two lines where there is no terminal

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Iterable[Item],
             threads: int | None = None) -> Iterator[Result]:
    """`map` by several threads; only a few results wait at any time, so memory does not grow.

    Threads suffice for audio: reading, decoding and resampling let other threads run meanwhile.
    """
    threads = threads or min(8, os.cpu_count() or 1)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also where the caller stops early
        pool.shutdown(cancel_futures=True)


def shown(items: Iterable[Item], total: int, what: str, unit: str = "") -> Iterator[Item]:
    """The same items, and on stderr their number so far."""
    with progress(what, total, unit) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def progress(what: str, total: float, unit: str = "") -> Iterator[Callable[[float], None]]:
    """Show the progress of work; yields a function to call with each amount done of `total`."""
    with (_bar if sys.stderr.isatty() else _lines)(what, total, unit) as advance:
        yield advance


@contextmanager
def phase(what: str) -> Iterator[None]:
    """Show on stderr what is under way that may take seconds: at a terminal until it is done."""
    if not sys.stderr.isatty():
        complain(what)
        yield
        return
    from rich.console import Console
    from rich.text import Text
    with Console(stderr=True).status(Text(plain(what))):
        yield


@contextmanager
def _bar(what: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
               TextColumn(f"of {{task.total:,.0f}} {unit}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(plain(what), total=total)
        yield lambda amount: shown.advance(task, amount)


@contextmanager
def _lines(what: str, total: float, unit: str) -> Iterator[Callable[[float], None]]:
    done, last = 0.0, time.monotonic()

    def advance(amount: float) -> None:
        nonlocal done, last
        done += amount
        if time.monotonic() - last >= QUIET_S:
            last = time.monotonic()
            complain(f"{what}: {done:,.0f} of {total:,.0f} {unit}".rstrip())
    yield advance
