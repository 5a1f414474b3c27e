"""Guided flows for the embedded model, which is too small to hold a conversation.

The person chooses a flow, answers its questions, and one tool is called with the answers. The
model alone chooses among the flows, if the person says in a sentence what they want. Where a flow
stands follows from the messages, so that a chat can be resumed in the middle of one.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pydantic import JsonValue

from agent.chat_lines import person_words
from kiln_mcp.llm import EMBEDDED, Engine, Message, ModelError, ModelRequest, ToolCall

LIMITS_NOTE: Final = (
    "I am the small model on this machine. I follow these menus; I cannot judge answers, write "
    "prompts or hold a talk. /model NAME changes to a model that can."
)
_ASKS: Final = re.compile(r"\A(?P<flow>[a-z]+), question (?P<number>[1-9]) of [1-9]: ")
_FEWEST_WORDS: Final = 3
"""Fewer words are no sentence that a model can take for a flow: "hello" opens the menu."""
_LEAVE: Final = frozenset({"stop", "menu", "back", "cancel"})
_SKIP: Final = frozenset({"", "-", "skip"})


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a flow.

    Attributes:
        argument: The argument of the tool that the answer is for.
        words: The question.
        is_number: Whether the answer is a number.
        is_optional: Whether "-" leaves it out.
    """

    argument: str
    words: str
    is_number: bool = False
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow.

    Attributes:
        name: Chooses it.
        title: What it is for.
        tool: Gets the answers.
        questions: What it asks.
        next_step: How the person goes on after it.
    """

    name: str
    title: str
    tool: str
    questions: tuple[Question, ...]
    next_step: str


_PROJECT: Final = Question("project", "Which project? Its name or folder.")
_EVAL: Final = Question("eval", "Which eval?")
FLOWS: Final = (
    Flow(
        "spec",
        "say what a good answer is",
        "build_spec",
        (_PROJECT, Question("wish", "What should answers do, or not do? One sentence.")),
        "/spec goes on with this draft: it asks, shows the edits and saves.",
    ),
    Flow(
        "label",
        "draw items and label them",
        "draw_items_to_label",
        (_PROJECT, _EVAL, Question("count", "How many items? Or -.", True, True)),
        "/label shows the items one by one and takes your labels.",
    ),
    Flow(
        "generate",
        "make test data",
        "generate_data",
        (
            _PROJECT,
            Question("count", "How many items? Or -.", True, True),
            Question("guidance", "What should they be like? Or -.", is_optional=True),
        ),
        "/jobs shows how far it is. Then /label takes your labels.",
    ),
    Flow(
        "optimise",
        "search for a better prompt",
        "improve_prompt",
        (_PROJECT, _EVAL, Question("limit_usd", "At most how many US dollars?", True)),
        "/jobs shows how far it is. Then /compare shows whether the new prompt is better.",
    ),
    Flow(
        "project",
        "begin a project, which all of these need",
        "create_project",
        (
            Question("name", "What is it called?"),
            Question("task", "What does your AI feature do? Two or three words."),
            Question("instruction", "What is it told? Its prompt."),
            Question("folder", "In which folder? Or -.", is_optional=True),
        ),
        "The other menus ask for the project: give its name.",
    ),
)


async def guided_answer(engine: Engine, messages: Sequence[Message]) -> Message:
    """Return the next message of the menus: a question, a call, or the menu.

    Args:
        engine: Asks the embedded model, under the budget of the chat.
        messages: The conversation so far; the last one is the person's or a tool's.
    """
    last = messages[-1]
    if last.role == "tool":
        return _say(_after_call(messages))
    words = person_words(last.content)
    if words.casefold() in _LEAVE:
        return _say(menu())
    place = _place(messages[:-1])
    if place is not None:
        return _next_of(*place, words, messages)
    if flow := _flow_of(words):
        return _say(_question(flow, 0))
    is_sentence = len(words.split()) >= _FEWEST_WORDS
    flow = await _choose_flow(engine, words) if is_sentence else None
    if flow is None:
        return _say(menu())
    return _say(f"I take that for {flow.name}: {flow.title}. stop leaves it.\n{_question(flow, 0)}")


def _after_call(messages: Sequence[Message]) -> str:
    """Return what stands after the answer of a tool: where to see it whole, and what comes next."""
    names = [call.name for m in messages if m.role == "assistant" for call in m.tool_calls]
    flow = next(flow for flow in FLOWS if flow.tool == names[-1])
    return (
        f"That is what {flow.tool} answered; /show shows it whole. If it was done: "
        f"{flow.next_step}\n\n{menu()}"
    )


def menu() -> str:
    """Return the menu."""
    lines = [f"{number}. {flow.name}: {flow.title}" for number, flow in enumerate(FLOWS, 1)]
    return "\n".join([LIMITS_NOTE, "", *lines, "", "Give a number or a name; stop leaves a menu."])


def _place(messages: Sequence[Message]) -> tuple[Flow, int] | None:
    """Return the flow and the number of the question that was asked last, if it is open."""
    last_question = next((m for m in reversed(messages) if m.role == "assistant"), None)
    match = _ASKS.match(_last_line(last_question.content)) if last_question else None
    flow = _flow_of(match["flow"]) if match else None
    return (flow, int(match["number"]) - 1) if flow and match else None


def _next_of(flow: Flow, number: int, words: str, messages: Sequence[Message]) -> Message:
    question = flow.questions[number]
    if fault := _fault(question, words):
        return _say(f"{fault}\n{_question(flow, number)}")
    if number + 1 < len(flow.questions):
        return _say(_question(flow, number + 1))
    arguments = json.dumps(_arguments(flow, messages), ensure_ascii=False)
    return Message("assistant", "", (ToolCall(f"guide-{len(messages)}", flow.tool, arguments),))


def _arguments(flow: Flow, messages: Sequence[Message]) -> dict[str, JsonValue]:
    """Return the answers to the questions of a flow: the last one to each counts."""
    arguments: dict[str, JsonValue] = {}
    for earlier, answer in pairwise(messages):
        match = _ASKS.match(_last_line(earlier.content))
        is_answered = (earlier.role, answer.role) == ("assistant", "user")
        if match is None or not is_answered or match["flow"] != flow.name:
            continue
        number, words = int(match["number"]) - 1, person_words(answer.content)
        question = flow.questions[number]
        if number == 0:
            arguments.clear()
        if _fault(question, words) or words in _SKIP:
            continue
        arguments[question.argument] = _number(words) if question.is_number else words
    return arguments


def _fault(question: Question, words: str) -> str:
    """Return why an answer cannot be taken; empty if it can."""
    if words in _SKIP:
        return "" if question.is_optional else "That needs an answer."
    if question.is_number and _number(words) is None:
        return f"{words[:40]!r} is no number."
    return ""


def _number(words: str) -> float | int | None:
    try:
        number = float(words.strip().removeprefix("$"))
    except ValueError:
        return None
    if not 0 <= number < 1e9:
        return None
    return int(number) if number.is_integer() else number


def _flow_of(words: str) -> Flow | None:
    """Return the flow of a number or a name."""
    for number, flow in enumerate(FLOWS, 1):
        if words.strip().casefold().removeprefix("/") in {str(number), flow.name}:
            return flow
    return None


async def _choose_flow(engine: Engine, words: str) -> Flow | None:
    """Return the flow that the embedded model takes a sentence for; None if it cannot be asked."""
    titles = "\n".join(f"{flow.name}: {flow.title}" for flow in FLOWS)
    question = f"{titles}\nWhich of these does this sentence want?\nSentence: {words}"
    names = tuple(flow.name for flow in FLOWS)
    request = ModelRequest(EMBEDDED, (Message("user", question),), choices=names, max_tokens=8)
    try:
        answer = await engine.complete(request, asker="guide")
    except ModelError:
        return None
    return _flow_of(answer.text)


def _question(flow: Flow, number: int) -> str:
    count = len(flow.questions)
    return f"{flow.name}, question {number + 1} of {count}: {flow.questions[number].words}"


def _say(text: str) -> Message:
    return Message("assistant", text)


def _last_line(text: str) -> str:
    return text.rpartition("\n")[2]
