"""Details are found by their form, and what all of some texts name is known."""

import pytest

from kiln_mcp.datasets.text_details import details_of, missing_details, usual_details
from kiln_mcp.demo.bookings import make_bookings


@pytest.mark.parametrize(
    ("text", "details"),
    [
        ("20:15 Uhr am 3.12.2026 für zwei", ["time 20:15", "date 3.12.2026", "number zwei"]),
        ("5 Personen um 18 Uhr, Freitag", ["number 5", "time 18 Uhr", "day Freitag"]),
        ("Order 12345 costs $30.50, at 7pm", ["code 12345", "amount $30.50", "time 7pm"]),
        ("月曜日 18時に3人", ["day 月曜", "time 18時", "number 3"]),
        ("Mail a.b@c.example on Mondays", ["email a.b@c.example", "day Mondays"]),
        ("At 26:07, or 1:2:3?", []),
        ("Nobody came.", []),
    ],
)
def test_details_are_found_in_order(text: str, details: list[str]) -> None:
    found = list(details_of(text))
    assert [f"{detail.kind} {detail.text}" for detail in found] == details
    assert all(text[detail.start : detail.end] == detail.text for detail in found)


def test_what_all_inputs_name_is_missed_in_one_that_ends_early() -> None:
    kinds = usual_details([booking.message for booking in make_bookings(1)])
    assert kinds == {"day", "number", "time"}
    assert missing_details("A table for 9 on Saturday.", kinds) == ["time"]
    assert missing_details("Hello, Lindqvist here.", kinds) == ["day", "number", "time"]
    assert missing_details("A table for 9 on Saturday at 19:30.", kinds) == []


def test_five_texts_or_texts_that_differ_say_nothing_of_what_is_usual() -> None:
    assert usual_details(["At 19:30"] * 5) == frozenset()
    assert usual_details(["At 19:30"] * 6) == {"time"}
    assert usual_details([*["At 19:30"] * 9, "At noon"]) == frozenset()
    assert usual_details([*["At 19:30"] * 19, "At noon"]) == {"time"}
