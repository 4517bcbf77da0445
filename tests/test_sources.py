"""What all source modules share."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from preprocess.sources.tools import natural

NAMES = st.text(alphabet="ab0129 (.)/-é²٣", max_size=12) | st.text(st.characters(exclude_characters="\0"), max_size=6)


def pieces(text: str) -> list[tuple[int, int, str]]:
    """Texts and numbers in turn, numbers before texts: the order as anyone would write it down."""
    found = re.findall(r"(\d+)|(\D+)", text)
    return [(0, int(number), "") if number else (1, 0, word) for number, word in found]


@given(NAMES, NAMES)
def test_natural_order_is_that_of_texts_and_numbers(first, second):
    assert (natural(first) < natural(second)) == (pieces(first) < pieces(second))
    assert (natural(first) == natural(second)) == (pieces(first) == pieces(second))


def test_numbers_of_any_length_are_ordered_by_value():
    numbers = (10**19, 9, 10**64, 10)
    uids = [f"1.3.6.{number}.2" for number in numbers]
    assert sorted(uids, key=natural) == [f"1.3.6.{number}.2" for number in sorted(numbers)]
