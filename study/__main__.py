"""`python -m study`: run a study of size-reduced networks, watch it, show it, report on it, mend it."""

import sys

from study.cli.commands import COMMANDS
from study.cli.options import parser
from tasnet_core.errors import UserError
from tasnet_core.terminal import complain, guarded

INTERRUPTED = 130


@guarded
def main(argv: list[str] | None = None) -> int:
    given = parser().parse_args(argv)
    given.words = sys.argv[1:] if argv is None else argv
    try:
        COMMANDS[given.command](given)
        return 0
    except UserError as error:
        complain(f"python -m study {given.command}: {error}")
        return 2
    except KeyboardInterrupt:
        complain("stopped; everything is saved: run the same command again to continue")
        return INTERRUPTED
    except Exception as error:
        from study.database.connection import damage
        if not (found := damage(error)):
            raise
        complain(f"python -m study {given.command}: {given.storage}: the database is damaged ({found}); end all runs of it, "
                 f"then: python -m study doctor --storage {given.storage}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
