"""Printing at a terminal that may know few characters, act on some, or be cut off at any line.

The only file that prints; rich's consoles, in `study.cli.terminal` and `progress`, use it too.
"""

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps

CLOSED_PIPE = 141       # as a shell reports a write to a pipe that nobody reads: 128 + SIGPIPE
FULL = 2
# C0 and C1 with line ends and ESC, DEL, changes of writing direction, separators of lines, halves
# of a surrogate pair.
ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class CutOff(Exception):
    """Standard output takes no more: nobody reads it, or its disk is full."""


def plain(text: object) -> str:
    """One line that acts on no terminal: control characters and line ends are shown as escapes."""
    return ACTING.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


@contextmanager
def written() -> Iterator[None]:
    """Around what writes to standard output.

    Raises:
        CutOff: it takes no more; `guarded` ends the program then.
    """
    try:
        yield
    except OSError as error:
        raise CutOff(*error.args) from error


def say(*lines: object) -> None:
    """Print lines, at once, also into a file that somebody follows."""
    with written():
        print(*map(plain, lines), sep="\n", flush=True)


def complain(line: object) -> None:
    """Print a line to stderr, if that can be written."""
    with suppress(OSError):
        print(plain(line), file=sys.stderr, flush=True)


def encodable() -> None:
    """From now on characters that standard output does not know are escapes, not errors."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def guarded(main: Callable[[list[str] | None], int]) -> Callable[..., int]:
    """A command's `main`, at a terminal that may know few characters or be cut off.

    A pipe that closes early ends it without a message, as it ends other programs; a full disk by
    one line.
    """
    @wraps(main)
    def main_at_a_terminal(argv: list[str] | None = None) -> int:
        encodable()
        try:
            try:
                return main(argv)
            finally:        # what is written when Python ends would fail where nothing can be done
                if sys.stdout:
                    with written():
                        sys.stdout.flush()
        except CutOff as cut:
            _write_no_more()
            number, *why = cut.args
            if number == errno.EPIPE:
                return CLOSED_PIPE
            cause = ", ".join(map(str, why)) or number
            complain(f"standard output: cannot be written ({cause}); all that was done is saved")
            return FULL
    return main_at_a_terminal


def _write_no_more() -> None:
    """Let what waits for standard output go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
