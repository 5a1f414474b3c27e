"""Jinja templates and expressions over an item; worker processes compile and compute them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from kiln_mcp.run_configs.errors import (
    EvalError,
    ExtractionFailed,
    constant_logic,
    unusable_template,
)
from storage import Usage
from storage.isolation.outcomes import Failed, Invalid, Outcome, Value
from storage.isolation.pool import shared_pool
from storage.text.excerpts import excerpt

_LONGEST_QUOTE: Final = 80
_MOST_REMEMBERED: Final = 256
_NAMES: Final = frozenset({"final_message", "task_input", "trace", "reference_data"})
"""What of an item templates and expressions can name."""


@dataclass(frozen=True, slots=True)
class Case:
    """An item as an evaluator sees it.

    Attributes:
        task_input: The task's input.
        final_message: The output to be judged.
        trace: The conversation, OpenAI-style messages; None if none was kept.
        reference: What the output may be compared with, by key; None if there is none.
        conversation: The conversation in words, if there is more than one question and its answer.
        usage: The tokens, the cost and the time that the output took; None if that is not known.
    """

    task_input: str
    final_message: str
    trace: tuple[Mapping[str, JsonValue], ...] | None = None
    reference: Mapping[str, JsonValue] | None = None
    conversation: str = ""
    usage: Usage | None = None


async def check_expression(expression: str) -> None:
    """Refuse an expression that is not valid Jinja, or takes nothing from the item.

    Raises:
        EvalError: Its syntax is wrong, it cannot be compiled within the limits, or it is constant.
    """
    if _NAMES.isdisjoint(await _names_in(expression)):
        raise constant_logic(
            "expression", expression, f"it names none of {', '.join(sorted(_NAMES))}"
        )


async def extract(expression: str | None, case: Case) -> JsonValue:
    """Return the value of an expression over a case; the output itself if there is no expression.

    Raises:
        EvalError: The expression's syntax is wrong.
        ExtractionFailed: It finds nothing in this case.
        EvalError: It passed a limit of time or memory on this case.
    """
    if not expression or expression == "final_message":  # needs no worker process
        return case.final_message
    if expression == "task_input":
        return case.task_input
    arguments: dict[str, JsonValue] = {"expression": expression, "names": _names(case)}
    outcome = await shared_pool().ask("expression", expression, arguments)
    if isinstance(outcome, Failed) and outcome.breach is None:
        raise ExtractionFailed(f"{_quote(expression)}: {outcome.reason}.")
    return value_of(outcome, "expression", expression)


async def mentions(expression: str | None, name: str) -> bool:
    """Return whether an expression uses a name, such as `trace`.

    Raises:
        EvalError: It cannot be compiled.
    """
    return bool(expression) and name in await _names_in(expression or "")


async def check_template(template: str) -> None:
    """Refuse a judge's template that is not valid or never shows the judge the item.

    Raises:
        EvalError: Its syntax is wrong, or it names neither output, trace nor input.
    """
    outcome = await shared_pool().ask("check_template", template, {"template": template})
    _refuse_unless_valid(outcome, template)


async def render_template(template: str, case: Case, instructions: str = "") -> str:
    """Return a judge's prompt with the case put in.

    Whatever in the case looks like a tag of the template loses its angle bracket. So text under
    judgement cannot leave the place that it was put in.

    Raises:
        EvalError: The syntax is wrong.
        ExtractionFailed: The template needs something that this case does not have.
        EvalError: It passed a limit of time or memory on this case.
    """
    arguments = _arguments(template, case, instructions)
    outcome = await shared_pool().ask("template", template, arguments)
    if isinstance(outcome, Failed) and outcome.breach is None:
        raise ExtractionFailed(f"The template {_quote(template)} {outcome.reason}.")
    return str(value_of(outcome, "template", template))


async def render_ahead(
    template: str, cases: Sequence[Case], instructions: str = ""
) -> list[str | None]:
    """Return the prompts of several cases, made by one call of a worker.

    Returns:
        For each case its prompt; None if `render_template` is to make it, or say why not.
    """
    arguments = [_arguments(template, case, instructions) for case in cases]
    outcomes = await shared_pool().ask_some("template", template, arguments)
    prompts = [str(item.value) if isinstance(item, Value) else None for item in outcomes]
    return prompts + [None] * (len(cases) - len(prompts))


def _arguments(template: str, case: Case, instructions: str) -> dict[str, JsonValue]:
    return {"template": template, "names": _names(case), "instructions": instructions}


def value_of(outcome: Outcome, kind: str, logic: str) -> JsonValue:
    """Return the value of an outcome.

    Args:
        outcome: What came of an item.
        kind: What the logic is, as a noun: "expression".
        logic: Its text.

    Raises:
        EvalError: The logic is not valid.
        EvalError: It failed on this item.
    """
    match outcome:
        case Value(value):
            return value
        case Invalid(reason):
            raise unusable_template(logic, reason)
        case Failed(reason):
            raise EvalError(
                f"The {kind} {_quote(logic)} {reason} on this item. Use a simpler one "
                "in a new evaluator, or set KILN_MCP_ITEM_SECONDS or KILN_MCP_ITEM_MB higher."
            )


_known_names: Final[dict[str, frozenset[str]]] = {}


async def _names_in(expression: str) -> frozenset[str]:
    names = _known_names.get(expression)
    if names is None:
        outcome = await shared_pool().ask(
            "check_expression", expression, {"expression": expression}
        )
        value = _refuse_unless_valid(outcome, expression)
        names = frozenset(map(str, value if isinstance(value, list) else []))
        if len(_known_names) >= _MOST_REMEMBERED:
            _known_names.clear()
        _known_names[expression] = names
    return names


def _refuse_unless_valid(outcome: Outcome, logic: str) -> JsonValue:
    match outcome:
        case Value(value):
            return value
        case Invalid(reason):
            raise unusable_template(logic, reason)
        case Failed(reason):
            raise unusable_template(logic, f"compiling it {reason}")


def _names(case: Case) -> dict[str, JsonValue]:
    conversation: dict[str, JsonValue] = (
        {"conversation": case.conversation} if case.conversation else {}
    )
    return {
        **conversation,
        "final_message": case.final_message,
        "task_input": case.task_input,
        "trace": None if case.trace is None else [dict(message) for message in case.trace],
        "reference_data": None if case.reference is None else dict(case.reference),
    }


def _quote(text: str) -> str:
    return repr(excerpt(text, _LONGEST_QUOTE))
