"""Shapes of outputs that people preferred: pairs as for DPO, and labels as for KTO.

Each output becomes an answer with a rating: a preferred one passes, a rejected one fails.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import takewhile
from typing import Final

from storage.exchange.chat_shapes import labels_of
from storage.exchange.columns import Row
from storage.exchange.examples import (
    AnswerRecord,
    Example,
    Message,
    conversation,
    fields_of,
    messages_of,
    object_of,
    text_of_value,
)

_RIGHT_COLUMNS: Final = ("chosen", "chosenresponse", "preferredoutput")
_WRONG_COLUMNS: Final = ("rejected", "rejectedresponse", "nonpreferredoutput")
_PROMPTS: Final = ("prompt", "question", "instruction", "query", "messages", "conversations")
_COMPLETIONS: Final = ("completion", "response")
_LABELS: Final = ("label", "ktotag")
_TURN: Final = "\n\nAssistant:"
_FIRST_TURN: Final = "\n\nHuman:"
_VERDICTS: Final[Mapping[str, bool]] = {"true": True, "false": False}


class PreferencePairs:
    """`chosen` beside `rejected`, as texts or as messages, with or without the prompt."""

    name = "preference pairs (chosen outputs are rated as right, rejected ones as wrong)"

    def fits(self, row: Row) -> bool:
        """Whether a row has a preferred output and a rejected one."""
        fields = fields_of(row)
        return (
            _first(fields, _RIGHT_COLUMNS) is not None
            and _first(fields, _WRONG_COLUMNS) is not None
        )

    def read(self, row: Row) -> Example:
        """Return the preferred output alone; raises as `read_all` does."""
        return self.read_all(row)[0]

    def read_all(self, row: Row) -> tuple[Example, ...]:
        """Return the preferred output and the rejected one of a row.

        Raises:
            ValueError: One is missing, both are the same, or there is no prompt.
        """
        fields = fields_of(row)
        right, wrong = _first(fields, _RIGHT_COLUMNS), _first(fields, _WRONG_COLUMNS)
        if right is None or wrong is None:
            raise ValueError("it has no chosen output, or no rejected one")
        if right == wrong:
            raise ValueError("its chosen output and its rejected one are the same")
        prompt = _prompt(fields)
        if prompt is None:
            prompt, right, wrong = _without_shared_prompt(right, wrong)
        return (
            _answer(fields, prompt, right, is_right=True),
            _answer(fields, prompt, wrong, is_right=False),
        )


class LabelledCompletions:
    """`prompt` and `completion` with a `label` that is true or false."""

    name = "labelled completions (true is rated as right, false as wrong)"

    def fits(self, row: Row) -> bool:
        """Whether a row has a prompt, a completion and a label that is a truth value."""
        fields = fields_of(row)
        parts = ("prompt" in fields, _first(fields, _COMPLETIONS), _label(fields))
        return parts[0] and None not in parts

    def read(self, row: Row) -> Example:
        """Return the completion of a row with its rating.

        Raises:
            ValueError: It has no prompt, no completion or no label.
        """
        fields = fields_of(row)
        prompt, completion = _prompt(fields), _first(fields, _COMPLETIONS)
        label = _label(fields)
        if prompt is None or completion is None or label is None:
            raise ValueError("it lacks a prompt, a completion, or a label that is true or false")
        return _answer(fields, prompt, completion, is_right=label)


def _first(fields: Row, names: Iterable[str]) -> object | None:
    return next((fields[name] for name in names if name in fields), None)


def _label(fields: Row) -> bool | None:
    value = _first(fields, _LABELS)
    return value if isinstance(value, bool) else _VERDICTS.get(str(value).strip().casefold())


def _prompt(fields: Row) -> tuple[Message, ...] | None:
    """Return the messages of a row's prompt; None if it has none of its own."""
    inner = object_of(fields.get("input"))
    messages_within = messages_of((inner or {}).get("messages"))
    value = _first(fields, _PROMPTS)
    if messages_within is None and value is None:
        return None
    messages = messages_within or messages_of(value) or _as_question(fields, value)
    system = fields.get("system")
    if system is not None and messages[0]["role"] != "system":
        return ({"role": "system", "content": text_of_value(system)}, *messages)
    return messages


def _as_question(fields: Row, value: object) -> tuple[Message, ...]:
    """Return text as a user's message; an instruction is followed by its input."""
    parts = [value]
    if "instruction" in fields and "input" in fields and value == fields["instruction"]:
        parts.append(fields["input"])
    return ({"role": "user", "content": "\n\n".join(map(text_of_value, parts))},)


def _without_shared_prompt(
    right: object, wrong: object
) -> tuple[tuple[Message, ...], object, object]:
    """Return the beginning that two conversations share as the prompt, and what differs.

    Raises:
        ValueError: They share no beginning that ends before an answer.
    """
    first, second = _turns(right), _turns(wrong)
    pairs = zip(first or (), second or (), strict=False)
    shared = tuple(message for message, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    if first is None or second is None or not any(m["role"] == "user" for m in shared):
        raise ValueError("it has no prompt, and its two outputs do not begin with the same one")
    return shared, list(first[len(shared) :]), list(second[len(shared) :])


def _turns(value: object) -> Sequence[Message] | None:
    """Return messages, also of text whose turns begin with `Human:` and `Assistant:`."""
    messages = messages_of(value)
    if messages is not None or not isinstance(value, str):
        return messages
    text = f"\n\n{value.lstrip()}"
    if not text.startswith(_FIRST_TURN):
        return None
    turns: list[Message] = []
    for part in text.split(_FIRST_TURN)[1:]:
        question, *answers = part.split(_TURN)
        turns.append({"role": "user", "content": question.strip()})
        turns += [{"role": "assistant", "content": answer.strip()} for answer in answers]
    return turns


def _answer(fields: Row, prompt: tuple[Message, ...], output: object, *, is_right: bool) -> Example:
    """Return an output as the answer to a prompt, with its rating.

    Raises:
        ValueError: The output holds no answer, or the prompt no message of a user.
    """
    messages = messages_of(output) or messages_of([output])
    if messages is None:
        messages = ({"role": "assistant", "content": text_of_value(output)},)
    elif _texts(messages[: len(prompt)]) == _texts(prompt):
        messages = messages[len(prompt) :]
    elif messages[0]["role"] in ("system", "user"):  # the prompt without its system message
        users = [message for message in prompt if message["role"] != "system"]
        own = [message for message in messages if message["role"] != "system"]
        messages = tuple(own[len(users) :]) if _texts(own[: len(users)]) == _texts(users) else ()
    if not messages or messages[-1]["role"] != "assistant":
        raise ValueError("one of its outputs holds no answer of an assistant to its prompt")
    example = conversation((*prompt, *messages))
    tags, topic = labels_of(fields)
    content = "\n".join((text_of_value(example.input), text_of_value(example.reference)))
    record = AnswerRecord(
        id=f"preference {blake2b(content.encode(errors='replace'), digest_size=16).hexdigest()}",
        rating=float(is_right),
        is_thumb=True,
    )
    return replace(
        example, reference=None, answer=example.reference, record=record, tags=tags, topic=topic
    )


def _texts(messages: Sequence[Message]) -> list[object]:
    return [message.get("content") for message in messages]
