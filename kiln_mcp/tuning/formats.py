"""Training examples in the formats that fine-tuning services and libraries read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from pydantic import JsonValue

from kiln_mcp.run_configs.system_prompts import Example, with_examples
from storage.text.json_lines import json_line

JsonObject = dict[str, JsonValue]

TOOL: Final = "task_response"
"""The tool whose arguments are the answer, in the tool-call formats; Kiln's name for it."""

FINAL_ANSWER: Final = "Considering the above, give the final answer alone."


class ExportFormat(StrEnum):
    """How a line of the file looks."""

    OPENAI_CHAT = "openai_chat_jsonl"
    """`messages`, the answer as text."""
    OPENAI_JSON = "openai_chat_json_schema_jsonl"
    """`messages`, the answer as JSON text that fits the task's schema."""
    OPENAI_TOOL = "openai_chat_toolcall_jsonl"
    """`messages` and `tools`, the answer as a tool call."""
    HUGGINGFACE = "huggingface_chat_template_jsonl"
    """`conversations` for a tokenizer's chat template."""
    HUGGINGFACE_TOOL = "huggingface_chat_template_toolcall_jsonl"
    """`conversations` and `tools`, the answer as a tool call with arguments as an object."""
    VERTEX = "vertex_gemini"
    """`systemInstruction` and `contents`."""


NEEDS_SCHEMA: Final = frozenset(
    {ExportFormat.OPENAI_JSON, ExportFormat.OPENAI_TOOL, ExportFormat.HUGGINGFACE_TOOL}
)


class Thinking(StrEnum):
    """What becomes of a run's reasoning; the values are Kiln's data strategies."""

    FINAL_ONLY = "final_only"
    TWO_MESSAGES = "two_message_cot"
    """The model thinks in a message of its own, and answers in the next."""
    LEGACY = "final_and_intermediate"
    """As two_message_cot, with the request to think in a system message; Kiln's older form."""
    TAGGED = "final_and_intermediate_r1_compatible"
    """`<think>…</think>` before the answer, as reasoning models write."""


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One message before the last."""

    role: Literal["user", "assistant", "system"]
    content: str


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One conversation to learn from.

    Attributes:
        system: The system message.
        turns: What comes before the answer; the last is the user's.
        answer: The answer to learn; JSON text where there is a schema.
        schema: JSON Schema of the answer; None for plain text.
    """

    system: str
    turns: tuple[ChatTurn, ...]
    answer: str
    schema: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the model is told, in the form in which run configs tell it.

    Attributes:
        system: The system message, without demonstrations.
        thinking: How to think, where it shall.
        examples: The demonstrations: turns of the conversation, as when the prompt is run.
    """

    system: str
    thinking: str
    examples: tuple[Example, ...] = ()

    @property
    def full_text(self) -> str:
        """The prompt as one text, as records hold it."""
        return with_examples(self.system, self.examples)

    @property
    def turns(self) -> tuple[ChatTurn, ...]:
        """The demonstrations as turns."""
        return tuple(
            turn
            for example in self.examples
            for turn in (
                ChatTurn("user", example.task_input),
                ChatTurn("assistant", example.output),
            )
        )


def example_of(
    instructions: Instructions,
    run: tuple[str, str, str],
    strategy: Thinking,
    schema: Mapping[str, JsonValue] | None,
) -> TrainingExample:
    """Return the conversation of a run.

    Args:
        instructions: What the model is told.
        run: Input, reasoning ("" for none) and output.
        strategy: What becomes of the reasoning.
        schema: JSON Schema of the output; None for plain text.
    """
    task_input, reasoning, output = run
    demonstrations, question = instructions.turns, ChatTurn("user", task_input)
    match strategy:
        case Thinking.FINAL_ONLY:
            return TrainingExample(instructions.system, (*demonstrations, question), output, schema)
        case Thinking.TWO_MESSAGES:
            turns = (
                *demonstrations,
                ChatTurn("user", f"{task_input}\n\n{instructions.thinking}"),
                ChatTurn("assistant", reasoning),
                ChatTurn("user", FINAL_ANSWER),
            )
            return TrainingExample(instructions.system, turns, output, schema)
        case Thinking.LEGACY:
            turns = (
                *demonstrations,
                question,
                ChatTurn("system", instructions.thinking),
                ChatTurn("assistant", reasoning),
                ChatTurn("user", FINAL_ANSWER),
            )
            return TrainingExample(instructions.system, turns, output, schema)
        case Thinking.TAGGED:
            answer = f"<think>\n{reasoning}\n</think>\n\n{output}"
            return TrainingExample(instructions.system, (*demonstrations, question), answer, schema)


def line_of(example: TrainingExample, shape: ExportFormat) -> str:
    """Return an example as one line of JSON, without its line break.

    Raises:
        ValueError: The format needs an answer that is a JSON object, and this one is not.
    """
    match shape:
        case ExportFormat.OPENAI_CHAT:
            data: JsonObject = {
                "messages": [*_opening(example), _message("assistant", example.answer)]
            }
        case ExportFormat.OPENAI_JSON:
            text = json.dumps(_answer_object(example), ensure_ascii=False)
            data = {"messages": [*_opening(example), _message("assistant", text)]}
        case ExportFormat.OPENAI_TOOL:
            arguments = json.dumps(_answer_object(example), ensure_ascii=False)
            function: JsonObject = {"name": TOOL, "arguments": arguments}
            call: JsonObject = {"id": "call_1", "type": "function", "function": function}
            last: JsonObject = {"role": "assistant", "content": None, "tool_calls": [call]}
            data = {"messages": [*_opening(example), last], "tools": [_tool(example)]}
        case ExportFormat.HUGGINGFACE:
            data = {
                "conversations": [*_opening(example), _message("assistant", example.answer)],
            }
        case ExportFormat.HUGGINGFACE_TOOL:
            function = {"name": TOOL, "id": "call_1", "arguments": _answer_object(example)}
            last = {"role": "assistant", "tool_calls": [{"type": "function", "function": function}]}
            data = {"conversations": [*_opening(example), last], "tools": [_tool(example)]}
        case ExportFormat.VERTEX:
            data = {
                "systemInstruction": _parts("system", example.system),
                "contents": [
                    *(
                        _parts("model" if turn.role == "assistant" else "user", turn.content)
                        for turn in example.turns
                    ),
                    _parts("model", example.answer),
                ],
            }
    return json_line(data)


def _opening(example: TrainingExample) -> list[JsonValue]:
    return [
        _message("system", example.system),
        *(_message(turn.role, turn.content) for turn in example.turns),
    ]


def _message(role: str, content: str) -> JsonObject:
    return {"role": role, "content": content}


def _parts(role: str, text: str) -> JsonObject:
    return {"role": role, "parts": [{"text": text}]}


def _tool(example: TrainingExample) -> JsonObject:
    return {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "Give the task's answer.",
            "parameters": dict(example.schema or {}),
        },
    }


def _answer_object(example: TrainingExample) -> JsonObject:
    value: JsonValue = json.loads(example.answer)
    if not isinstance(value, dict):
        raise ValueError("the output is not a JSON object")  # noqa: TRY004 - a value, not a type
    return value
