"""The errors a user can mend. The commands turn them into one line and exit status 2."""

from pathlib import Path


class UserError(Exception):
    """Input that cannot be used: says the thing, what was found, what was wanted, the way out."""


class CorpusError(UserError):
    """A corpus, or a recording in it, that cannot be used."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another variant or recipe."""


class Damaged(CheckpointError):
    """A checkpoint that cannot be read: `path`."""

    def __init__(self, path: Path, how: str):
        super().__init__(
            f"{path}: damaged, or not a checkpoint ({how}); copy it again, or, where a training "
            "was to go on from it, delete it to train from the start")
        self.path = path


class Foreign(CheckpointError):
    """A checkpoint that is whole, and of another corpus or study: `path`, and `how` it shows."""

    def __init__(self, path: Path, how: str):
        super().__init__(f"{path}: {how}; choose another checkpoint file")
        self.path, self.how = path, how


class DiskFull(CheckpointError):
    """There is no space left for a checkpoint; the one before is whole."""


class Abandoned(Exception):
    """Work was given up because somebody asked for it; it can go on later where it was saved."""


def counted(number: int, noun: str) -> str:
    """How many of what, as messages say it: 1 file, 2 files."""
    return f"{number} {noun}{'s' * (number != 1)}"
