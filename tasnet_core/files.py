"""Files that appear whole or not at all; and the folders of users."""

import glob
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tasnet_core.errors import UserError


def home(path: str) -> Path:
    """The path with the folder of a user for a leading `~` or `~user`.

    A file of that very name is meant itself.

    Raises:
        UserError: when there is no such user, or the folder is unknown.
    """
    found = os.path.expanduser(path)
    if found.startswith("~") and not os.path.lexists(found):
        user = path.partition("/")[0]
        unset = ""
        if user == "~":
            unset = " (HOME is not set, and this user is in no list of users)"
        raise UserError(f"{path}: nobody knows the folder of {user}{unset}; "
                        f"write the path in full")
    return Path(found)


def write_atomically(path: Path, write: Callable[[BinaryIO], object], lasting: bool = True) -> None:
    """Let `write` fill a scratch file beside `path`, then put it in place in one step.

    Whatever stood at `path` stays until the new content is safely on the disk. Unless `lasting`,
    only until the system has it, which is milliseconds faster: a power failure may then leave less
    than the whole.

    Raises:
        OSError: when it cannot be written; the scratch file is gone and `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(scratch, "wb") as file:
            write(file)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def state(path: Path) -> tuple[int, int, int, int] | None:
    """Size, times and inode of a file, or None where there is none.

    Another file in its place has another state, even of equal size and time of change.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # the latter for what no file can be called
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns


def clear_scratch(path: Path) -> None:
    """Remove the scratch files that killed writers of `path` left.

    Only for a process that alone may write `path`: a slow writer, too, loses its scratch file and
    can no longer put its content in place.
    """
    for scratch in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        scratch.unlink(missing_ok=True)


def cache_folder() -> Path:
    """$TASNET_CACHE, or tasnet-study in $XDG_CACHE_HOME, or ~/.cache/tasnet-study.

    Raises:
        UserError: when none of them gives a folder.
    """
    if own := os.environ.get("TASNET_CACHE"):
        return home(own)
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(shared):  # else it counts for nothing, by the XDG specification
        return Path(shared) / "tasnet-study"
    try:
        return home("~/.cache/tasnet-study")
    except UserError as error:
        raise UserError(f"cache folder {error}, but corpora are kept there; "
                        f"name a folder that can be written in TASNET_CACHE") from None
