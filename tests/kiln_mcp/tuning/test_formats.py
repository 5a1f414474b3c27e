import json
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import JsonValue

from kiln_mcp.run_configs.system_prompts import Example, split_examples
from kiln_mcp.tuning.formats import (
    FINAL_ANSWER,
    ExportFormat,
    Instructions,
    Thinking,
    example_of,
    line_of,
)

SCHEMA: Mapping[str, JsonValue] = {"type": "object", "properties": {"city": {"type": "string"}}}
TOLD = Instructions("Extract.", "Think.")
ANSWER = '{"city": "Köln"}'
RUN = ("To Köln", "It says Köln.", ANSWER)
OPENING: list[JsonValue] = [
    {"role": "system", "content": "Extract."},
    {"role": "user", "content": "To Köln"},
]
TOOLS: list[JsonValue] = [
    {
        "type": "function",
        "function": {
            "name": "task_response",
            "description": "Give the task's answer.",
            "parameters": dict(SCHEMA),
        },
    }
]


def written(shape: ExportFormat, thinking: Thinking = Thinking.FINAL_ONLY) -> JsonValue:
    line = line_of(example_of(TOLD, RUN, thinking, SCHEMA), shape)
    assert "\n" not in line
    assert "Köln" in line
    return cast("JsonValue", json.loads(line))


@pytest.mark.parametrize("thinking", [*Thinking])
def test_demonstrations_are_turns_before_the_question_as_when_the_prompt_is_run(
    thinking: Thinking,
) -> None:
    told = Instructions("Extract.", "Think.", (Example("To Bonn", '{"city": "Bonn"}'),))
    example = example_of(told, RUN, thinking, SCHEMA)
    assert example.system == "Extract."
    assert [(turn.role, turn.content) for turn in example.turns[:2]] == [
        ("user", "To Bonn"),
        ("assistant", '{"city": "Bonn"}'),
    ]
    assert example.turns[2].content.startswith("To Köln")
    assert split_examples(told.full_text) == ("Extract.", told.examples)


@pytest.mark.parametrize("shape", [ExportFormat.OPENAI_CHAT, ExportFormat.OPENAI_JSON])
def test_chat_lines_end_with_the_answer_as_text(shape: ExportFormat) -> None:
    assert written(shape) == {"messages": [*OPENING, {"role": "assistant", "content": ANSWER}]}


def test_openai_tool_lines_carry_the_arguments_as_text_and_the_tool() -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "task_response", "arguments": ANSWER},
    }
    last = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert written(ExportFormat.OPENAI_TOOL) == {"messages": [*OPENING, last], "tools": TOOLS}


def test_chat_template_lines_are_conversations() -> None:
    last: JsonValue = {"role": "assistant", "content": ANSWER}
    assert written(ExportFormat.HUGGINGFACE) == {"conversations": [*OPENING, last]}


def test_chat_template_tool_lines_carry_the_arguments_as_an_object() -> None:
    function = {"name": "task_response", "id": "call_1", "arguments": {"city": "Köln"}}
    last = {"role": "assistant", "tool_calls": [{"type": "function", "function": function}]}
    assert written(ExportFormat.HUGGINGFACE_TOOL) == {
        "conversations": [*OPENING, last],
        "tools": TOOLS,
    }


def test_vertex_lines_have_the_system_apart_and_call_the_assistant_model() -> None:
    assert written(ExportFormat.VERTEX, Thinking.TWO_MESSAGES) == {
        "systemInstruction": {"role": "system", "parts": [{"text": "Extract."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "To Köln\n\nThink."}]},
            {"role": "model", "parts": [{"text": "It says Köln."}]},
            {"role": "user", "parts": [{"text": FINAL_ANSWER}]},
            {"role": "model", "parts": [{"text": ANSWER}]},
        ],
    }


def test_the_older_form_asks_to_think_in_a_system_message() -> None:
    line = written(ExportFormat.OPENAI_CHAT, Thinking.LEGACY)
    assert line == {
        "messages": [
            {"role": "system", "content": "Extract."},
            {"role": "user", "content": "To Köln"},
            {"role": "system", "content": "Think."},
            {"role": "assistant", "content": "It says Köln."},
            {"role": "user", "content": FINAL_ANSWER},
            {"role": "assistant", "content": ANSWER},
        ]
    }


def test_tagged_reasoning_stands_before_the_answer() -> None:
    line = written(ExportFormat.OPENAI_CHAT, Thinking.TAGGED)
    assert "<think>\\nIt says Köln.\\n</think>\\n\\n{" in json.dumps(line, ensure_ascii=False)


@given(st.sampled_from(ExportFormat), st.sampled_from(Thinking), st.text(), st.text())
@example(ExportFormat.OPENAI_CHAT, Thinking.TAGGED, "a\u2028b", "c\x85d")
def test_any_text_makes_one_line_that_reads_back(
    shape: ExportFormat, thinking: Thinking, task_input: str, value: str
) -> None:
    if thinking is Thinking.TAGGED and shape not in {ExportFormat.OPENAI_CHAT, ExportFormat.VERTEX}:
        return
    run = (task_input, value, json.dumps({"city": value}))
    line = line_of(example_of(TOLD, run, thinking, SCHEMA), shape)
    assert len(line.splitlines()) == 1  # some readers take U+2028 for the end of a line
    assert json.loads(line)


@pytest.mark.parametrize("output", ["[1]", "text"])
def test_an_answer_that_is_no_object_is_refused_where_one_is_needed(output: str) -> None:
    example = example_of(TOLD, ("a", "", output), Thinking.FINAL_ONLY, SCHEMA)
    with pytest.raises(ValueError, match=r"not a JSON object|Expecting value"):
        line_of(example, ExportFormat.OPENAI_TOOL)
