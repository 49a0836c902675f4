"""`python -m study`: run a study of size-reduced networks, show it, report on it, mend it."""

import sys

from study.cli.commands import perform
from study.cli.options import InDatabase, read
from tasnet_core.errors import UserError
from tasnet_core.terminal import complain, guarded

INTERRUPTED = 130


@guarded
def main(argv: list[str] | None = None) -> int:
    asked = read(argv)
    try:
        perform(asked)
        return 0
    except UserError as error:
        complain(f"python -m study {asked.command}: {error}")
        return 2
    except KeyboardInterrupt:
        complain("stopped; everything is saved: run the same command again to continue")
        return INTERRUPTED
    except Exception as error:
        from study.database.connection import damage
        if not (found := damage(error)) or not isinstance(asked, InDatabase):
            raise
        complain(f"python -m study {asked.command}: {asked.storage}: the database is damaged "
                 f"({found}); end all runs of it, then: "
                 f"python -m study doctor --storage {asked.storage}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
