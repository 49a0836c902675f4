"""Numbers as people read and write them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from study.analysis.wording import engineering, scaled


@given(st.integers(0, 10**15 - 1) | st.floats(1, 1e15, exclude_max=True))
@example(999_999)
@example(999_500)
@example(999_499.99)
def test_what_is_written_of_a_number_is_read_as_that_number_within_three_digits(number):
    text = engineering(number)
    assert "e" not in text
    assert scaled(text) == pytest.approx(number, rel=0.005)


@pytest.mark.parametrize("text", ["", "k", "1e3", "-1", "3 k", "3T", "1.k", ".5k", "1kk", "inf"])
def test_other_text_is_no_number(text):
    assert scaled(text) is None
