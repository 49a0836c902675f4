"""Names of studies, and the folders of their checkpoints: no two studies share one."""

import re
import unicodedata
from pathlib import Path

from tasnet_core.errors import UserError

# Among a study's checkpoints a network that was given as its reference: as it is, and, where the
# study confirms another one, as that one adapted it.
GIVEN, ADAPTED = "reference.pt", "adapted.pt"
MOST_BYTES = 150        # of a name: with what folders and files add, it fits on any file system


def check_name(study: str) -> None:
    """See that a new study may be called so.

    Raises:
        UserError: the name is empty, too long, one of `.` and `..`, or holds a separator of paths
            or what cannot be printed.
    """
    why = ("is empty" if not study.strip() else
           "means a folder" if study.strip() in (".", "..") else
           "holds a character that cannot be printed" if not study.isprintable() else
           "holds a path's separator" if set(study) & {"/", "\\"} else
           f"has {len(study.encode())} bytes, more than {MOST_BYTES}"
           if len(study.encode()) > MOST_BYTES else "")
    if why:
        raise UserError(f"--study {study[:MOST_BYTES]!r}: {why}; "
                        "name it with letters, digits, spaces and signs such as - or _")


def is_text(study: str) -> bool:
    """Whether a name can be written down: what a command line gives that is no UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in study)


def former_folder(study: str) -> str:
    """The folder of a study in versions where several names could lead to one."""
    return re.sub(r"[^\w.-]", "_", study)


def claim(parent: Path, study: str, identity: str) -> Path:
    """A new folder with the name of a study, or, where that is taken, with a part of its identity
    behind it.

    Names that differ in case or in how an accent is written are one to some file systems, so they
    are here.
    """
    parent.mkdir(parents=True, exist_ok=True)
    plain = former_folder(unicodedata.normalize("NFC", study)).strip(".") or "study"
    for name in (plain, f"{plain}-{identity[:8]}", f"{plain}-{identity}"):
        if _seen(name) not in {_seen(path.name) for path in parent.iterdir()}:
            try:
                (parent / name).mkdir()
            except FileExistsError:     # somebody else's at this moment
                continue
            return parent / name
    raise UserError(f"{parent}: no folder can be made for study {study!r}; name another --study")


def checkpoint_name(trial: int, replicate: int | None = None) -> str:
    """The name of a trial's checkpoint; with the seed where that is not the study's own."""
    return f"trial-{trial:04}{'' if replicate is None else f'-seed-{replicate}'}.pt"


def _seen(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
