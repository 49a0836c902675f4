"""Text in the cells of CSV files: never a formula to a spreadsheet, and read back as it was."""

import re

# What a spreadsheet begins to calculate with, as full-width forms of East Asian keyboards, too;
# after apostrophes of ours.
FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def as_cell(text: str) -> str:
    """The text with an apostrophe in front where a spreadsheet would take it for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def of_cell(cell: str) -> str:
    """The text that `as_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
