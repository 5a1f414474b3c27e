"""Outputs beside right answers: by value where words are fixed, and never prose."""

import pytest
from pydantic import JsonValue

from kiln_mcp.tuning.right_answers import agrees

PROSE = "We are sorry that your parcel is late, and we send you another one tomorrow."
OTHER_PROSE = "Your parcel is late. Sorry! Tomorrow another one leaves our house for you, promised."
SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {
        "team": {"type": "string"},
        "urgent": {"type": "boolean"},
        "reply": {"type": "string"},
    },
}


@pytest.mark.parametrize(
    ("output", "right", "expected"),
    [
        ("Billing.", "billing", True),
        ("shipping", "billing", False),
        (PROSE, OTHER_PROSE, None),
        (PROSE, PROSE, True),
        (PROSE, "billing", False),
        ("これは別の回答です" * 9, "配送が遅れて申し訳ありません" * 6, None),
    ],
)
def test_short_texts_are_compared_and_prose_is_not(
    output: str, right: str, expected: bool | None
) -> None:
    assert agrees(output, [right], None) is expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (f'{{"urgent": true, "team": "billing", "reply": "{OTHER_PROSE}"}}', True),
        (f'{{"urgent": false, "team": "billing", "reply": "{PROSE}"}}', False),
        (f'{{"urgent": true, "team": "shipping", "reply": "{PROSE}"}}', False),
        (f'{{"team": "billing", "reply": "{PROSE}"}}', False),
        ("no JSON", False),
        ('{"urgent": true, "team": "billing"}', True),
    ],
)
def test_fields_are_compared_apart_from_those_of_prose(output: str, expected: bool) -> None:
    right = f'{{"team": "billing", "urgent": true, "reply": "{PROSE}"}}'
    assert agrees(output, [right], SCHEMA) is expected


def test_an_object_of_prose_alone_says_nothing() -> None:
    right = f'{{"reply": "{PROSE}"}}'
    assert agrees(f'{{"reply": "{OTHER_PROSE}"}}', [right], SCHEMA) is None


def test_one_of_several_right_answers_is_enough() -> None:
    assert agrees("shipping", ["billing", "Shipping"], None) is True
    assert agrees("shipping", ["billing", "sales"], None) is False
    assert agrees("shipping", ["billing", PROSE], None) is None
