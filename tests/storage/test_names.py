"""Any name that a person types is stored in a form that the format accepts, and shown again."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import InvalidName
from storage.names import LONGEST_NAME, check_name, folder_name, shown_name, stored_name

_ACCEPTED = re.compile(r'[^/\\?%*:|"<>.,;=\x00-\x1f\x7f]+')


@pytest.mark.parametrize(
    "name",
    [
        "Café",
        "Kiln.v2",
        "a/b",
        "What? Why: 5 % <= 6",
        'She said "no"; twice, = 2',
        "日本語",
        "👩‍👩‍👧",
    ],
)
def test_a_name_is_shown_as_it_was_typed(name: str) -> None:
    assert check_name(name) == name
    assert shown_name(stored_name(name)) == name


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("a  b", "a b"),
        ("\ta\nb ", "a b"),
        ("_x_", "x"),
        ("a\u202eb\u200b", "ab"),
        ("½", "1\u20442"),
    ],
)
def test_what_cannot_be_seen_or_stored_is_left_out(typed: str, shown: str) -> None:
    assert check_name(typed) == shown


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "\x00", "x" * (LONGEST_NAME + 1)])
def test_a_name_of_nothing_or_of_too_much_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        check_name(name)


@given(st.text(min_size=1, max_size=60))
def test_every_accepted_name_has_a_stored_form_that_the_format_accepts(name: str) -> None:
    try:
        shown = check_name(name)
    except InvalidName:
        return
    stored = stored_name(shown)
    assert _ACCEPTED.fullmatch(stored)
    assert unicodedata.normalize("NFKD", stored) == stored
    assert stored == stored.strip()
    assert shown_name(stored) == shown
    assert "/" not in folder_name("1", shown)
