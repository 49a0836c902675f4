"""Commands called in this process, and what every refusal has in common."""

from pathlib import Path

from tests.support import tiny_study

RUN = ("run", *tiny_study.ARGUMENTS, "--epochs", "1", "--epoch-segments", "4")


def refused(main, arguments, capsys, *words):
    """See that a command ends with status 2, one line without a traceback, and nothing written."""
    before = files()
    try:
        status = main(list(arguments))
    except SystemExit as stop:      # argparse
        status = stop.code
    printed, said = capsys.readouterr()
    assert status == 2
    assert "secret" not in printed + said
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert files() == before


def files():
    """What lies here, but SQLite's own: whoever reads makes these and cannot remove them."""
    return sorted(path for path in Path().rglob("*") if not path.name.endswith(("-wal", "-shm")))
