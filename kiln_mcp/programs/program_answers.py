"""Read what a program answered: its output, and the cost and the trace that it reports."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from pydantic import JsonValue

from kiln_mcp.llm import ModelAnswer, Usage
from kiln_mcp.programs.errors import ProgramFailure
from kiln_mcp.programs.program import ProgramSettings
from storage.text.characters import repair_surrogates
from storage.text.excerpts import excerpt

_MISSING: Final = object()
_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})


def read_answer(
    name: str,
    settings: ProgramSettings,
    content: bytes,
    seconds: float,
    mask: Callable[[str], str],
) -> ModelAnswer:
    """Return a program's answer without secrets: records keep it, and others read these.

    Args:
        name: The run config.
        settings: Where in the answer the output, the cost and the trace lie.
        content: What it wrote.
        seconds: How long it took.
        mask: Return a text without secrets.

    Raises:
        ProgramFailure: The answer is empty, or not as the settings say.
    """
    text = repair_surrogates(content.decode("utf-8", "replace")).removesuffix("\n")
    fields = (settings.output_field, settings.cost_field, settings.trace_field)
    document = _parse(name, text, mask) if any(fields) else None
    output = text
    if settings.output_field:
        output = text_of(field_of(name, document, settings.output_field))
    output = mask(output)
    if not output.strip():
        raise ProgramFailure(name, "answered with nothing")
    return ModelAnswer(
        text=output,
        usage=Usage(cost_usd=_cost(name, document, settings.cost_field)),
        latency_s=seconds,
        trace=_trace(name, document, settings.trace_field),
    )


def text_of(value: JsonValue) -> str:
    """Return a JSON value as an output: text as it is, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def field_of(name: str, value: JsonValue, path: str) -> JsonValue:
    """Return what lies at a path such as `choices.0.text`.

    Raises:
        ProgramFailure: Nothing lies there.
    """
    current: object = value
    for step in path.split("."):
        current = _step(current, step)
        if current is _MISSING:
            excerpt_text = excerpt(text_of(value), 120)
            raise ProgramFailure(name, f"answered without the field {path!r}: {excerpt_text}")
    return cast("JsonValue", current)


def _step(value: object, step: str) -> object:
    match value:
        case dict():
            return cast("Mapping[str, object]", value).get(step, _MISSING)
        case list():
            entries = cast("Sequence[object]", value)
            return entries[int(step)] if step.isdecimal() and int(step) < len(entries) else _MISSING
        case _:
            return _MISSING


def _without_secrets(value: JsonValue, mask: Callable[[str], str]) -> JsonValue:
    """Return a JSON value without secrets."""
    match value:
        case str():
            return mask(value)
        case list():
            return [_without_secrets(entry, mask) for entry in value]
        case dict():
            return {mask(key): _without_secrets(entry, mask) for key, entry in value.items()}
        case _:
            return value


def _parse(name: str, text: str, mask: Callable[[str], str]) -> JsonValue:
    try:
        value = _without_secrets(json.loads(text), mask)
    except (ValueError, RecursionError) as error:
        raise ProgramFailure(
            name, f"answered with something that is no JSON: {excerpt(mask(text), 120)}"
        ) from error
    return value


def _cost(name: str, document: JsonValue, path: str) -> float | None:
    if not path:
        return 0.0
    cost = field_of(name, document, path)
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return None
    return float(cost) if math.isfinite(cost) and cost >= 0 else None


def _trace(name: str, document: JsonValue, path: str) -> tuple[Mapping[str, JsonValue], ...]:
    if not path:
        return ()
    messages = field_of(name, document, path)
    if isinstance(messages, list) and all(
        isinstance(message, dict) and message.get("role") in _ROLES for message in messages
    ):
        return tuple(cast("list[dict[str, JsonValue]]", messages))
    raise ProgramFailure(name, f"reported a trace in {path!r} that is no list of messages")
