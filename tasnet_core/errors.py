"""The errors a user can mend. The commands turn them into one line and exit status 2."""


class UserError(Exception):
    """Input that cannot be used: says the thing, what was found, what was wanted, the way out."""


class CorpusError(UserError):
    """A corpus, or a recording in it, that cannot be used."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another variant or recipe."""


def counted(number: int, noun: str) -> str:
    """How many of what, as messages say it: 1 file, 2 files."""
    return f"{number} {noun}{'s' * (number != 1)}"
