"""Check whether an answer may be used, and say why if it may not."""

import re
from dataclasses import replace
from typing import Final

from kiln_mcp.llm.answer_states import AnswerState
from kiln_mcp.llm.errors import BadAnswer
from kiln_mcp.llm.json_pieces import json_pieces
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from storage.text.excerpts import excerpt_line

_LONGEST_REFUSAL: Final = 600
_LONGEST_QUOTE: Final = 120
_REFUSAL: Final = re.compile(
    r"(i'?m|i am) (really |very |so )?(sorry|unable|not able|not comfortable)\b"
    r"|(sorry|apologies|unfortunately),? (but )?i (can|am|'m|won)"
    r"|i (can ?not|can'?t|won'?t|will not|must decline|have to decline|decline)\b"
    r"|(as an ai|this request (violates|goes against))",
    re.IGNORECASE,
)


def settle(answer: ModelAnswer, request: ModelRequest, problem: str | None) -> ModelAnswer:
    """Return an answer with the reason of its end as its text shows it.

    Args:
        answer: What the provider returned.
        request: The request.
        problem: Why the answer does not fit the request's schema or choices; None if it fits.

    A refusal in words where JSON was asked for is a refusal. A value that is whole was not cut off.
    """
    is_bound = request.schema is not None or bool(request.choices)
    if not is_bound or answer.tool_calls:
        return answer
    if problem is not None:
        is_refusal = _is_refusal(answer.text) and answer.finish == "stop"
        return replace(answer, finish="refused") if is_refusal else answer
    is_whole = answer.finish == "length" and (
        bool(request.choices) or _ends_with_value(answer.text)
    )
    return replace(answer, finish="stop") if is_whole else answer


def bad_answer(
    answer: ModelAnswer, request: ModelRequest, state: AnswerState, problem: str, attempts: int
) -> BadAnswer:
    """Return the error for an answer that may not be used."""
    match state:
        case "truncated" if answer.reasoning and not answer.text.strip():
            problem = f"its reasoning used up max_tokens ({request.max_tokens})"
        case "truncated":
            problem = f"it was cut off at max_tokens ({request.max_tokens})"
        case "refused":
            words = excerpt_line(answer.text, _LONGEST_QUOTE)
            problem = repr(words) if words else "its provider filtered the answer"
        case "empty" if answer.reasoning:
            problem = "it holds reasoning alone"
        case "empty":
            problem = "it holds no text"
        case _:
            pass
    return BadAnswer(request.model, problem, attempts, state)


def _is_refusal(text: str) -> bool:
    words = text.strip()
    return (
        0 < len(words) <= _LONGEST_REFUSAL
        and _REFUSAL.match(words.replace("\u2019", "'")) is not None
        and not json_pieces(words)
    )


def _ends_with_value(text: str) -> bool:
    pieces = json_pieces(text)
    return bool(pieces) and not text[pieces[-1].end :].strip(" \t\r\n`")
