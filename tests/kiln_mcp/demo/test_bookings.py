import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.demo.bookings import DAYS, FORMS, SCHEMA, WORDS, make_bookings
from storage.text.json_schema import problem_with


def test_no_name_and_no_wording_stands_in_two_forms() -> None:
    names = [name for form in FORMS for name in form[1:]]
    assert len(names) == len(set(names)) == 3 * len(FORMS)
    assert len({form[0] for form in FORMS}) == len(FORMS)


@given(st.integers(0, 10**9))
def test_every_value_stands_in_its_message_and_fits_the_schema(seed: int) -> None:
    for booking in make_bookings(seed):
        assert booking.name in booking.message
        assert booking.time in booking.message
        said = (str(booking.people), WORDS[booking.people - 2])
        assert any(word in booking.message.casefold() for word in said)
        assert [day for day in DAYS if day in booking.message] == [booking.day]
        assert problem_with(booking.item["output"], SCHEMA) is None


@given(st.integers(0, 10**9))
def test_a_seed_makes_three_different_messages_of_every_form(seed: int) -> None:
    made = make_bookings(seed)
    assert made == make_bookings(seed)
    assert len({booking.message for booking in made}) == len(made) == 144
    assert set(Counter(booking.form for booking in made).values()) == {3}
    assert json.dumps([booking.item for booking in made])
