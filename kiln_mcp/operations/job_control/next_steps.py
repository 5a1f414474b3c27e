"""Complete the next steps of an answer, so that a call that is copied runs as it stands.

An answer names the arguments that only it knows. What the step takes over from the call itself is
added here, and a step's reason names what the caller still has to give.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, cast

from pydantic import JsonValue

from kiln_mcp.workbench.answer_text import STEPS, Step, steps_in
from kiln_mcp.workbench.needs import Needs, NeedsOf
from storage.errors import NextStep, WorkbenchError

_SAME_AS_IN_CALL: Final = ("project", "eval")
"""Arguments that a next step needs with the same value as the call before, unless it says so."""
_APPROVAL: Final = "approval_id"
"""The argument that stands for all others."""
_MOST_ALTERNATIVES: Final = 2
"""How many of the arguments that may stand for each other a reason names: the usual ones."""


def complete_answer(
    answer: dict[str, JsonValue], arguments: Mapping[str, JsonValue], needs_of: NeedsOf
) -> dict[str, JsonValue]:
    """Return an answer's JSON form with complete next steps, wherever they stand in it.

    Args:
        answer: The answer to a call.
        arguments: The arguments of that call.
        needs_of: Returns what a capability needs.
    """

    def complete(node: JsonValue) -> JsonValue:
        if isinstance(node, list):
            return [complete(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: _complete_rows(steps, arguments, needs_of)
            if key == STEPS and (steps := steps_in(value))
            else complete(value)
            for key, value in node.items()
        }

    return cast("dict[str, JsonValue]", complete(answer))


@contextmanager
def complete_errors(arguments: Mapping[str, JsonValue], needs_of: NeedsOf) -> Generator[None]:
    """Complete the next steps of the error that ends a call.

    Args:
        arguments: The arguments of the call.
        needs_of: Returns what a capability needs.
    """
    try:
        yield
    except WorkbenchError as error:
        steps = [complete_step(step, arguments, needs_of(step.tool)) for step in error.next]
        error.replace_next(steps)
        raise


def complete_step(step: Step, arguments: Mapping[str, JsonValue], needs: Needs) -> NextStep:
    """Return a step with the arguments of the call before, and a reason that names the rest.

    Args:
        step: The step. An argument that its reason names in backticks is the caller's to give.
        arguments: The arguments of the call before.
        needs: What the step's capability needs.
    """
    own = step.arguments or {}
    is_approved = _APPROVAL in own
    gaps = [] if is_approved else [group for group in needs if not _is_met(group, own, step.reason)]
    shared_values = {
        name: value
        for name in _SAME_AS_IN_CALL
        if [name] in map(list, gaps) and isinstance(value := arguments.get(name), str)
    }
    certain = {**shared_values, **own}
    missing = [_choice(group) for group in gaps if not shared_values.keys() & set(group)]
    hint = f"; give {' and '.join(missing)}" if missing else ""
    return NextStep(tool=step.tool, reason=f"{step.reason}{hint}", arguments=certain or None)


def _is_met(group: Sequence[str], arguments: Mapping[str, JsonValue], reason: str) -> bool:
    return any(name in arguments or f"`{name}`" in reason for name in group)


def _choice(group: Sequence[str]) -> str:
    return " or ".join(f"`{name}`" for name in group[:_MOST_ALTERNATIVES])


def _complete_rows(
    rows: Iterable[Step], arguments: Mapping[str, JsonValue], needs_of: NeedsOf
) -> list[JsonValue]:
    steps = (complete_step(row, arguments, needs_of(row.tool)) for row in rows)
    return [step.model_dump(mode="json", exclude_none=True) for step in steps]
