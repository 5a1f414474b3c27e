"""Shapes whose rows hold messages: OpenAI's files, ShareGPT, and prompts with completions."""

from collections.abc import Mapping
from dataclasses import replace

from storage.exchange.column_names import OUTPUTS, TOPICS
from storage.exchange.columns import Row
from storage.exchange.examples import (
    Example,
    conversation,
    fields_of,
    list_of,
    messages_of,
    object_of,
    tags_of,
    text_of_value,
    topic_of,
)


class OpenAIChat:
    """`messages` with roles: fine-tuning files and the requests of a batch."""

    name = "OpenAI chat messages"

    def fits(self, row: Row) -> bool:
        """Whether a row holds the messages of a request."""
        return messages_of(_request(fields_of(row)).get("messages")) is not None

    def read(self, row: Row) -> Example:
        """Return the example of a row.

        Raises:
            ValueError: It holds no messages that can be read.
        """
        fields = fields_of(row)
        messages = messages_of(_request(fields).get("messages"))
        if messages is None:
            raise ValueError("it has no list of messages with role and content")
        reference: object | None = None
        if messages[-1]["role"] != "assistant":
            reference = next((fields[name] for name in OUTPUTS if name in fields), None)
        return _with_labels(conversation(messages, reference), fields)


class OpenAIEvals:
    """`input`, text or messages, with `ideal`: one right answer or several."""

    name = "OpenAI evals samples"

    def fits(self, row: Row) -> bool:
        """Whether a row has an ideal answer."""
        return {"input", "ideal"} <= fields_of(row).keys()

    def read(self, row: Row) -> Example:
        """Return the example of a row; the first ideal answer is the reference.

        Raises:
            ValueError: It has no input or no ideal answer.
        """
        fields = fields_of(row)
        return example_of(fields, fields.get("input"), fields.get("ideal"), has_alternatives=True)


class ShareGPT:
    """`conversations` whose messages have `from` and `value`."""

    name = "ShareGPT conversations"

    def fits(self, row: Row) -> bool:
        """Whether a row holds a conversation."""
        fields = fields_of(row)
        return messages_of(fields.get("conversations", fields.get("conversation"))) is not None

    def read(self, row: Row) -> Example:
        """Return the example of a row.

        Raises:
            ValueError: It holds no conversation that can be read.
        """
        fields = fields_of(row)
        messages = messages_of(fields.get("conversations", fields.get("conversation")))
        if messages is None:
            raise ValueError("it has no list of conversations with from and value")
        system = fields.get("system")
        if system is not None and messages[0]["role"] != "system":
            messages = ({"role": "system", "content": system}, *messages)
        return _with_labels(conversation(messages), fields)


def example_of(
    fields: Row,
    question: object,
    answer: object | None,
    *,
    has_alternatives: bool = False,
    columns: Mapping[str, object] | None = None,
) -> Example:
    """Return an example whose input may be messages.

    Args:
        fields: The row as `fields_of` has it, which holds its tags and its topic.
        question: Its input.
        answer: Its reference; None if there is none.
        has_alternatives: Whether a list of answers means that each of them is right.
        columns: Others of our columns.

    Raises:
        ValueError: There is no input.
    """
    if question is None:
        raise ValueError("its input is empty")
    answers = list_of(answer) if has_alternatives else None
    options = answers if answers is not None else ([] if answer is None else [answer])
    chat = _chat_of(question, options[0] if options else None)
    tags, topic = labels_of(fields)
    return Example(
        chat.input if chat else question,
        chat.reference if chat else (options[0] if options else None),
        tags,
        topic,
        chat.messages if chat else (),
        tuple(options[1:]),
        columns=columns or {},
    )


def _chat_of(question: object, answer: object | None) -> Example | None:
    """Return the example of a question or an answer in messages; None if both are no messages."""
    messages, answers = messages_of(question), messages_of(answer)
    if answers is not None and answers[-1]["role"] == "assistant":
        prompt = messages or ({"role": "user", "content": text_of_value(question)},)
        return conversation((*prompt, *answers))
    return conversation(messages, answer) if messages else None


def _with_labels(example: Example, fields: Row) -> Example:
    """Return an example with the tags and the topic of its row or of the row's metadata."""
    tags, topic = labels_of(fields)
    return replace(example, tags=tags, topic=topic)


def labels_of(fields: Row) -> tuple[tuple[str, ...], str | None]:
    """Return the tags and the topic of a row or of its metadata."""
    metadata = object_of(fields.get("metadata")) if "metadata" in fields else None
    sources = (fields, fields_of(metadata)) if metadata else (fields,)
    tags = next((source["tags"] for source in sources if "tags" in source), None)
    topics = [source[name] for source in sources for name in TOPICS if name in source]
    return () if tags is None else _tags(tags), topic_of(*topics) if topics else None


def _tags(value: object) -> tuple[str, ...]:
    """Return the tags of a column of that name; text without commas has spaces between them."""
    if isinstance(value, str) and not set(value) & set(",;") and not value.startswith("["):
        return tags_of(value.split())
    return tags_of(value)


def _request(fields: Row) -> Row:
    """Return what holds the messages: the row, a request's body, or an input with messages."""
    inner = object_of(fields.get("body")) or object_of(fields.get("input"))
    return fields if "messages" in fields else fields_of(inner or {})
