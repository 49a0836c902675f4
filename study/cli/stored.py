"""A study that is in a database already, for the commands that go on with it."""

from contextlib import suppress

from study.database.device_costs import budget_of
from study.database.migration import Outdated
from study.database.store import Database, open_database
from study.records import Budget, Settings
from tasnet_core.errors import UserError


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
