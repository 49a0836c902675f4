"""Budgets: how many lines of Python each folder may have, and how long and wide a file may be.

A new room takes the place of another, or the same commit raises the budget and says why. The budgets add up to the size of
the packages.
"""

import pytest

from tests.support import ROOT

LINES = {
    "study": 650,
    "study/analysis": 4_200,
    "study/cli": 2_125,
    "study/database": 2_250,
    "study/devices": 1_125,
    "study/engines": 1_000,
    "study/maintenance": 475,
    "study/planning": 600,
    "study/report": 3_775,
    "study/search": 1_675,
    "study/space": 1_125,
    "tasnet_core": 1_625,
    "tasnet_core/backend": 1_125,
    "tasnet_core/checkpoints": 2_400,
    "tasnet_core/corpora": 3_125,
    "tasnet_core/cost": 375,
    "tasnet_core/evaluation": 475,
    "tasnet_core/inference": 1_175,
    "tasnet_core/network": 575,
    "tasnet_core/training": 1_000,
}
LONG, WIDE = 400, 100


def python_files(folder):
    """Those of a wing with all below it; of a package only those beside its wings."""
    return sorted((ROOT / folder).glob("*.py" if "/" not in folder else "**/*.py"))


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("folder", LINES)
def test_a_folder_keeps_its_budget(folder):
    lines = sum(len(lines_of(path)) for path in python_files(folder))
    assert lines <= LINES[folder], f"{folder} has {lines} lines"
    assert lines > LINES[folder] - 100, f"{folder} has {lines} lines: lower its budget"


def test_every_file_has_a_budget():
    known = {path for folder in LINES for path in python_files(folder)}
    assert known == {path for package in ("study", "tasnet_core") for path in (ROOT / package).rglob("*.py")}


@pytest.mark.parametrize("name", [path.relative_to(ROOT).as_posix() for folder in LINES for path in python_files(folder)])
def test_no_file_is_long_and_no_line_wide(name):
    lines = lines_of(ROOT / name)
    assert len(lines) <= LONG, "two rooms in one"
    assert max(map(len, lines), default=0) <= WIDE
