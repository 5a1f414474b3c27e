"""The last answer of an item: what it answers, and how another one is put in its place.

Right answers and minimal pairs of a conversation change its last answer alone. The turns before it
stay as the simulated user and the run config said them.
"""

from collections.abc import Mapping, Sequence

from kiln_mcp.datasets import lineage
from kiln_mcp.llm import Message
from storage import DataSource, TaskOutput, TaskRun, TraceMessage
from storage.exchange.examples import message_line
from storage.records.run import TURNS

_OF_CONVERSATIONS = (TURNS, lineage.STOP)


def transcript(trace: Sequence[TraceMessage]) -> str:
    """Return the turns up to the last one of the user, as text."""
    messages = [message.model_dump(mode="json") for message in trace if message.role != "system"]
    end = max(place for place, message in enumerate(messages, 1) if message["role"] == "user")
    return "\n\n".join(map(message_line, messages[:end]))


def question_of(run: TaskRun) -> str:
    """Return what a run's last answer answers, as a judge reads it."""
    return transcript(run.trace) if run.is_simulated and run.trace else run.input


def history_of(run: TaskRun) -> tuple[Message, ...]:
    """Return the turns before the last one of a simulated user, without calls of tools."""
    if not run.is_simulated:
        return ()
    messages = [
        Message("user" if message.role == "user" else "assistant", str(message.content))
        for message in run.trace or ()
        if message.role in {"user", "assistant"} and isinstance(message.content, str)
    ]
    end = max((place for place, own in enumerate(messages) if own.role == "user"), default=0)
    return tuple(message for message in messages[:end] if message.content)


def with_other_answer(
    run: TaskRun, text: str, properties: Mapping[str, str | int | float]
) -> TaskRun:
    """Return a run with another last answer, and where that comes from.

    What the model took and thought belongs to the answer that was there.
    """
    source = run.output.source
    own = {} if source is None else source.properties
    own_properties = {name: own[name] for name in _OF_CONVERSATIONS if name in own}
    trace = None
    if run.is_simulated and run.trace:
        trace = (*run.trace[:-1], run.trace[-1].replace(content=text))
    return run.replace(
        output=TaskOutput(
            output=text,
            source=DataSource(type="synthetic", properties={**own_properties, **properties}),
        ),
        trace=trace,
        usage=None,
        cumulative_usage=None,
        intermediate_outputs=None,
    )
