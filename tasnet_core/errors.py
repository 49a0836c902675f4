"""The errors a user can mend. The commands turn them into one line and exit status 2."""


class UserError(Exception):
    """Input that cannot be used: says the thing, what was found, what was wanted, the way out."""


class CorpusError(UserError):
    """A corpus, or a recording in it, that cannot be used."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another variant or recipe."""
