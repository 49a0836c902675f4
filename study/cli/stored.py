"""A study that is in a database already, for the commands that go on with it."""

from contextlib import suppress
from typing import TYPE_CHECKING

from study.database.device_costs import budget_of
from study.database.migration import Outdated
from study.database.store import Database, open_database
from study.records import Budget, Settings
from study.space.toml import space_of
from tasnet_core.errors import UserError
from tasnet_core.terminal import say

if TYPE_CHECKING:
    from tasnet_core.corpora.registry import Corpus


def check_there(storage: str) -> None:
    """See that there is such a database, perhaps of another version."""
    with suppress(Outdated):
        open_database(storage).close()


def budget_in(storage: str, settings: Settings) -> Budget:
    """The budget of a study, begun or not, with what devices measured that its settings name.

    Raises:
        UserError: a device has measured nothing, or too little to predict the others.
    """
    if not settings.device_axes:
        return settings.budget
    try:
        database = open_database(storage)
    except UserError as error:
        axes = ", ".join(settings.device_axes)
        raise UserError(f"{axes}: what the device measured must be in the database, with "
                        f"python -m study measured; but {error}") from None
    with database:
        return budget_of(database, settings)


def corpus_of(database: Database, study: str) -> "Corpus":
    """The corpus of a study, as it was when the study began.

    Raises:
        UserError: it is not there, or holds other recordings now.
    """
    from tasnet_core.corpora.registry import open_corpus
    study, settings = settings_in(database, study)
    reference = space_of(settings).reference
    corpus = open_corpus(settings.corpus, reference.C, reference.sample_rate_hz, say=say)
    if corpus.fingerprint != database.fingerprint(study):
        raise UserError(f"corpus {settings.corpus} holds other recordings now than when study "
                        f"{study!r} was trained, or this version reads or splits them otherwise, "
                        "so its test mixtures are gone; restore them, or use the version that "
                        "trained it")
    return corpus


def corpus_there(database: Database, study: str) -> "Corpus | None":
    """The same to test int8 on; None, with a line, where it is not there."""
    try:
        return corpus_of(database, study)
    except UserError as error:
        say(f"not in int8, which is tested on the study's corpus: {error}")
        return None


def to_write(storage: str) -> Database:
    """A database that is there, for writing: a name that was mistyped makes none."""
    check_there(storage)
    return open_database(storage, read_only=False)


def settings_in(database: Database, study: str | None,
                to_derive: bool = False) -> tuple[str, Settings]:
    """The name and the settings of the study that is meant."""
    name = database.choose(study, to_derive)
    settings = database.settings(name)
    assert settings is not None
    return name, settings
