"""Text in CSV files, as spreadsheets and as we read it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasnet_core.cells import as_cell, of_cell

# https://owasp.org/www-community/attacks/CSV_Injection
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.mark.parametrize("first", FORMULAS)
def test_what_a_spreadsheet_would_calculate_begins_with_an_apostrophe(first):
    assert as_cell(f"{first}cmd|' /C calc'!A0") == f"'{first}cmd|' /C calc'!A0"


@pytest.mark.parametrize("text", ["", "test/000", "espeak_1+espeak_2", "0.5", "'quoted'", "a=b"])
def test_other_text_stays_as_it_is(text):
    assert as_cell(text) == of_cell(text) == text


@given(st.text(st.sampled_from("'=+-@\ta ＝")))
def test_text_survives_and_no_cell_begins_as_a_formula(text):
    cell = as_cell(text)
    assert of_cell(cell) == text
    assert not cell.startswith(FORMULAS)
