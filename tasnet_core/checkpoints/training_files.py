"""The files of one training, by the name of its checkpoint.

Standard library only: who looks for them loads no torch.
"""

import re
from pathlib import Path

BEFORE_DECAY, WITHIN_EPOCH = "before-decay", "within-epoch"


def before_decay(path: Path) -> Path:
    """Where a training is kept as it was before its rate began to fall."""
    return path.with_name(f"{path.stem}.{BEFORE_DECAY}{path.suffix}")


def within_epoch(path: Path) -> Path:
    """Where a training is kept in the middle of an epoch."""
    return path.with_name(f"{path.stem}.{WITHIN_EPOCH}{path.suffix}")


def files_of(path: Path) -> tuple[Path, Path, Path]:
    """All files that a training may keep, the one at an epoch's end first."""
    return path, before_decay(path), within_epoch(path)


def checkpoint_beside(name: str) -> str:
    """The inverse: the checkpoint that a file of this name belongs to.

    It may be the checkpoint itself.
    """
    return re.sub(rf"\.({BEFORE_DECAY}|{WITHIN_EPOCH})(\.[^.]*)?$", r"\2", name)
