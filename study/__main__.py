"""`python -m study`: run a study of size-reduced networks, watch it, show it, report on it, mend it."""

import sys

from study.commands import COMMANDS
from study.options import parser
from tasnet_core.errors import UserError

INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    given = parser().parse_args(argv)
    given.words = sys.argv[1:] if argv is None else argv
    try:
        COMMANDS[given.command](given)
        return 0
    except UserError as error:
        print(f"python -m study {given.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; everything is saved: run the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        from study.connection import damage
        if not (found := damage(error)):
            raise
        print(f"python -m study {given.command}: {given.storage}: the database is damaged ({found}); end all runs of it, then: "
              f"python -m study doctor --storage {given.storage}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
