"""Clauses that a check can decide are suggested as checks, and others are not."""

import pytest
from pydantic import JsonValue

from kiln_mcp.evaluators.check_suggestions import check_step, check_steps
from kiln_mcp.evaluators.definitions import read_definition
from kiln_mcp.spec_texts.check_hints import check_hints, rule_texts
from kiln_mcp.spec_texts.spec_kinds import SpecKind


@pytest.mark.parametrize(
    ("clause", "kind", "arguments"),
    [
        (
            "The answer has at most 120 words.",
            "number_check",
            {"settings": {"measure": "words", "at_most": 120.0}},
        ),
        (
            "Write at least 50 and no more than 1,000 characters.",
            "number_check",
            {"settings": {"measure": "characters", "at_least": 50.0, "at_most": 1000.0}},
        ),
        (
            "Keep it between 3 and 5 lines.",
            "number_check",
            {"settings": {"measure": "lines", "at_least": 3.0, "at_most": 5.0}},
        ),
        (
            "It answers within 3 seconds.",
            "number_check",
            {"settings": {"measure": "latency_s", "at_most": 3.0}},
        ),
        ("Return valid JSON with the city.", "json_schema", {}),
        (
            'Never mention the word "guarantee".',
            "contains",
            {"substring": "guarantee", "mode": "must_not_contain"},
        ),
        ('End with "Kind regards".', "contains", {"substring": "Kind regards"}),
        ("The generated command runs without an error.", "command_check", {}),
        ("The SQL query must execute on our tables.", "command_check", {}),
        ("It calls the refund tool before it answers.", "tool_call_check", {}),
        ("Dates are written as YYYY-MM-DD.", "pattern_match", {}),
        ("A request costs at most 2 cents.", "number_check", {"settings": {"measure": "cost"}}),
    ],
)
def test_a_clause_that_can_be_executed_or_counted_suggests_a_check(
    clause: str, kind: str, arguments: dict[str, JsonValue]
) -> None:
    [hint] = check_hints([clause])
    assert (hint.kind, dict(hint.arguments)) == (kind, arguments)
    assert check_step(hint).arguments == {"type": kind, **arguments}


@pytest.mark.parametrize(
    "clause",
    [
        "The answer is polite and helpful.",
        "It never promises a refund.",
        "Do not give legal advice.",
        "The summary keeps the main points of the article.",
        "The tone fits a bank.",
    ],
)
def test_a_clause_that_needs_judgement_suggests_none(clause: str) -> None:
    assert check_hints([clause]) == ()


def test_what_is_suggested_with_its_settings_can_be_created() -> None:
    for hint in check_hints(["At most 120 words.", 'Say "thank you".']):
        own = {name: value for name, value in hint.arguments.items() if name != "settings"}
        settings = hint.arguments.get("settings", {})
        assert isinstance(settings, dict)
        read_definition("create_evaluator", hint.kind, own, settings)


def test_examples_of_a_spec_suggest_nothing_and_few_steps_are_shown() -> None:
    fields = {
        "core_requirement": "At most 10 words. Valid JSON. It runs the script.",
        "tone_description": "Friendly.",
        "acceptable_examples": "At most 99 words.",
    }
    steps = check_steps(rule_texts(SpecKind.TONE, fields))
    assert [step.arguments["type"] for step in steps if step.arguments] == [
        "number_check",
        "json_schema",
    ]
