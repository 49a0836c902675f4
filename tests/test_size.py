"""Budgets: how many lines of Python each folder may have, and how wide they may be.

Whoever adds a room takes one away, or raises the budget in the same commit and says why in its message. The sum of the
budgets is the size of the package.
"""

import pytest

from tests.support import ROOT

LINES = {}
WIDE = 100


def python_files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", LINES)
def test_a_folder_keeps_its_budget(folder):
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(folder))
    assert lines <= LINES[folder], f"{folder} has {lines} lines"
    assert lines > 0.9 * LINES[folder] - 50, f"{folder} has {lines} lines only: lower its budget"


def test_every_file_has_a_budget():
    known = [path for folder in LINES for path in python_files(folder)]
    assert sorted(known) == sorted([*python_files("study"), *python_files("tasnet_core")])


@pytest.mark.parametrize("package", ["study", "tasnet_core"])
def test_no_file_is_long_and_no_line_is_wide(package):
    for path in python_files(package):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 410, f"{path.name} has {len(lines)} lines: two rooms in one"
        assert max(map(len, lines), default=0) <= WIDE, f"{path.name} has wide lines"
