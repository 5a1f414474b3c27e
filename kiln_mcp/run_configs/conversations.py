"""Items that are conversations: the turns up to the one that a run config answers."""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm import Message
from kiln_mcp.run_configs.task_runs import ADAPTER
from storage import TaskRun
from storage.exchange.examples import message_line

_PROMPTS: Final = frozenset({"system", "developer"})


def conversation_of(run: TaskRun) -> tuple[Message, ...]:
    """Return the turns of a run's conversation up to the last one of its user.

    The trace must show that the input is the last turn, or the transcript of all turns. The traces
    of our own runs hold demonstrations as turns, so they do not count, except with simulated users.

    Returns:
        Users' and assistants' turns; empty if the run is a single turn, or its trace is no
        conversation with the input.
    """
    source = run.output.source
    is_own = source is not None and source.properties.get("adapter_name") == ADAPTER
    if run.trace is None or (is_own and not run.is_simulated):
        return ()
    messages = [message.model_dump(mode="json") for message in run.trace]
    messages = [message for message in messages if message["role"] not in _PROMPTS]
    ends = [place for place, message in enumerate(messages, 1) if message["role"] == "user"]
    if not ends:
        return ()
    turns = messages[: ends[-1]]
    transcript = "\n\n".join(map(message_line, turns))
    if run.input not in {_text(turns[-1]), transcript}:
        return ()
    conversation = tuple(
        Message(message["role"], _text(message))
        for message in turns
        if message["role"] in {"user", "assistant"} and _text(message).strip()
    )
    return conversation if len(conversation) > 1 else ()


def _text(message: Mapping[str, JsonValue]) -> str:
    """Return the text of a message; "" if it holds none."""
    content = message.get("content")
    return content if isinstance(content, str) else ""
