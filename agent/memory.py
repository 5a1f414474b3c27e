"""The part of a long conversation that a model is sent again.

Nothing is summarised by a model. Old results become lines with their ids, handles and numbers, then
old texts of the model lose their middle, in two steps. Long words of the person come last.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, cast

from pydantic import JsonValue

from kiln_mcp.llm import Message
from storage.text.excerpts import excerpt_line

MOST_CHARACTERS: Final = 240_000
"""About 60,000 tokens: what most models read with room for an answer."""
_STEP: Final = 3
"""So much less is tried where a model cannot read what it was sent."""
OMISSION_NOTE: Final = "[An older result, left out here. Call the tool again if it is needed.]"
DIGEST: Final = 600
"""Characters that the digest of an older message may have."""
_LONGEST_VALUE: Final = 120
"""Characters of an argument that stays in an older call."""
_FIRST_LINE: Final = 160
_END: Final = 400
_CRUMB: Final = 60
"""Characters of the beginning, and of the end, of a text that is cut, and of one cut again."""
_FACTS: Final = re.compile(
    r"\b(?:ap-[0-9a-z]{6}|[0-9]{12}|[a-z_]+/[\w-]{2,80})\b"  # approvals, records, handles
    r"|\$[0-9]+(?:\.[0-9]+)?|\b[0-9]+(?:\.[0-9]+)?\s?%"  # prices and rates
)


def shorten_history(
    messages: Sequence[Message], most_characters: int = MOST_CHARACTERS
) -> list[Message]:
    """Return the messages, condensed from the oldest on if all are too long together.

    The last round stays whole. Much is condensed at a time, so that providers can cache the
    beginning of a conversation. First results are condensed, then long arguments of calls and texts
    of the model, and last the long ones of the person.

    Args:
        messages: The whole conversation.
        most_characters: The length above which it is condensed.
    """
    history = list(messages)
    for condense in (_digest_result, _digest_calls, _cut_answer, _crumble_answer, _cut_words):
        if _length(history) <= most_characters:
            break
        history = _condense_beginning(history, most_characters, condense)
    return history


def next_limit(messages: Sequence[Message], most_characters: int) -> int | None:
    """Return a smaller limit at which less is sent; None if nothing more can be left out.

    Args:
        messages: The whole conversation.
        most_characters: The limit at which it was too long for its model.
    """
    length = _length(shorten_history(messages, most_characters))
    limit = min(most_characters, length) // _STEP
    return limit if _length(shorten_history(messages, limit)) < length else None


def _condense_beginning(
    messages: Sequence[Message], most_characters: int, condense: Callable[[Message], Message]
) -> list[Message]:
    """Return the messages with the older ones condensed, up to the last cut that is needed.

    A cut is made where the whole has grown too long, so that it moves seldom.
    """
    length = round_start = cutoff = 0
    saved = 0  # what condensing all that is counted in full would save
    for place, message in enumerate(messages):
        if message.role in {"assistant", "user"}:
            round_start = place
        length += _size(message)
        saved += _saving(message, condense)
        if length > most_characters and round_start > cutoff:
            cutoff = round_start
            saved_of_round = sum(_saving(m, condense) for m in messages[round_start : place + 1])
            length, saved = length - saved + saved_of_round, saved_of_round
    return [condense(m) if place < cutoff else m for place, m in enumerate(messages)]


def _saving(message: Message, condense: Callable[[Message], Message]) -> int:
    return _size(message) - _size(condense(message))


def _length(messages: Sequence[Message]) -> int:
    return sum(map(_size, messages))


def _size(message: Message) -> int:
    return len(message.content) + sum(len(call.arguments) for call in message.tool_calls)


@lru_cache(maxsize=8192)
def _digest_result(message: Message) -> Message:
    """Return a result as its first line, with the ids, handles and numbers that it holds."""
    if message.role != "tool" or len(message.content) <= DIGEST:
        return message
    body = message.content.partition("\n")[2] or message.content
    facts = ", ".join(dict.fromkeys(_FACTS.findall(message.content)))
    text = f"{OMISSION_NOTE}\n{excerpt_line(body.partition(chr(10))[0], _FIRST_LINE)}\n{facts}"
    return replace(message, content=text[:DIGEST])


@lru_cache(maxsize=8192)
def _digest_calls(message: Message) -> Message:
    """Return a message whose calls have no long arguments; names and numbers stay."""
    calls = tuple(
        replace(call, arguments=_digest_arguments(call.arguments))
        if len(call.arguments) > DIGEST
        else call
        for call in message.tool_calls
    )
    return replace(message, tool_calls=calls)


def _digest_arguments(arguments: str) -> str:
    try:
        values = cast("JsonValue", json.loads(arguments))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        return json.dumps({"left_out": f"{len(arguments)} characters"})
    return json.dumps({name: _digest_value(value) for name, value in values.items()})


def _digest_value(value: JsonValue) -> JsonValue:
    length = len(json.dumps(value, ensure_ascii=False))
    return value if length <= _LONGEST_VALUE else f"[{length} characters, left out here]"


def _cut_answer(message: Message) -> Message:
    return _without_middle(message, _END, _END) if message.role == "assistant" else message


def _crumble_answer(message: Message) -> Message:
    """Return a text of the model with its beginning and end; a question at its end stays whole.

    The person's "2" or "yes" means nothing without it.
    """
    if message.role != "assistant":
        return message
    asks = "?" in message.content[-_END:]
    return _without_middle(message, _CRUMB, _END if asks else _CRUMB)


def _cut_words(message: Message) -> Message:
    return _without_middle(message, _END, _END) if message.role == "user" else message


@lru_cache(maxsize=8192)
def _without_middle(message: Message, beginning: int, end: int) -> Message:
    """Return a message without its middle, with the ids, handles and numbers of the middle.

    Args:
        message: The message.
        beginning: Characters of its beginning that stay.
        end: Characters of its end that stay.
    """
    text = message.content
    room = min(beginning, end)
    if len(text) <= beginning + end + room:
        return message
    facts = ", ".join(dict.fromkeys(_FACTS.findall(text[beginning:-end])))[:room]
    return replace(message, content=f"{text[:beginning]}\n[… {facts} …]\n{text[-end:]}")
