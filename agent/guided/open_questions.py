"""The open question of a menu and the answers to it, as the messages of a chat have them.

A question is a message of its own form, so that a chat can be resumed in the middle of a flow.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, cast

from pydantic import JsonValue

from agent.chat_lines import person_words
from agent.guided.flows import Flow, Question, flow_of
from kiln_mcp.llm import Message

_ASKS: Final = re.compile(
    r"^(?P<flow>[a-z]+), question (?P<number>[1-9]) of [1-9]: (?P<rest>.*)\Z", re.M | re.S
)
_OPTION: Final = re.compile(r"^([0-9]+)\. (.*)$", re.M)
_LONGEST_EXCERPT: Final = 40
_SKIP: Final = frozenset({"", "-", "skip"})
_YES: Final = frozenset({"y", "yes"})
_NO: Final = frozenset({"n", "no"})


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """The question of a flow that waits for an answer.

    Attributes:
        flow: The flow.
        number: The place of the question that is open.
        options: What the question offered, in its order.
    """

    flow: Flow
    number: int
    options: tuple[str, ...]

    @property
    def question(self) -> Question:
        """The question that is open."""
        return self.flow.questions[self.number]

    def answer(self, words: str) -> JsonValue:
        """Return what the person's words mean; None if they leave the answer out.

        Raises:
            ValueError: They are no answer. The sentence says why.
        """
        if words.isdecimal() and self.options and words not in self.options:
            return self._option(int(words))
        if words in _SKIP and len(self.options) == 1 and not self.question.is_optional:
            return self.options[0]
        return _answer_in(self.question, words)

    def _option(self, number: int) -> str:
        if not 0 < number <= len(self.options):
            raise ValueError(f"There is no {number}: 1 to {len(self.options)}, or a name.")
        return self.options[number - 1]

    @property
    def text(self) -> str:
        """The question once more, with what it offered."""
        head = head_of(self.flow, self.number)
        lines = [f"{number}. {name}" for number, name in enumerate(self.options, 1)]
        return "\n".join([head, "", *lines] if lines else [head])


def head_of(flow: Flow, number: int) -> str:
    """Return a question of a flow with its place, as `open_question` reads it."""
    words = flow.questions[number].words
    return f"{flow.name}, question {number + 1} of {len(flow.questions)}: {words}"


def open_question(messages: Sequence[Message]) -> OpenQuestion | None:
    """Return the question that was asked last, if it is open."""
    last = next((m for m in reversed(messages) if m.role == "assistant"), None)
    return _question_in(last) if last else None


def _question_in(message: Message) -> OpenQuestion | None:
    match = _ASKS.search(message.content)
    flow = flow_of(match["flow"]) if match else None
    if match is None or flow is None or int(match["number"]) > len(flow.questions):
        return None
    options = tuple(name for _, name in _OPTION.findall(match["rest"]))
    return OpenQuestion(flow, int(match["number"]) - 1, options)


def answers_of(flow: Flow, messages: Sequence[Message]) -> dict[str, JsonValue]:
    """Return the answers to the questions of a flow: the last one to each counts."""
    answers: dict[str, JsonValue] = {}
    for earlier, reply in pairwise(messages):
        is_answered = (earlier.role, reply.role) == ("assistant", "user")
        question = _question_in(earlier) if is_answered else None
        if question is None or question.flow is not flow:
            continue
        if question.number == 0:
            answers.clear()
        try:
            answer = question.answer(person_words(reply.content))
        except ValueError:
            continue
        if answer is not None:
            answers[question.question.argument] = answer
    return answers


def _answer_in(question: Question, words: str) -> JsonValue:
    if words in _SKIP:
        if question.is_optional:
            return None
        raise ValueError("That needs an answer.")
    match question.kind:
        case "number":
            return _number(question, words)
        case "choice":
            if words.casefold() not in _YES | _NO:
                raise ValueError("Answer yes or no.")
            return words.casefold() in _YES
        case "list":
            entries = [entry for entry in map(str.strip, words.split(";")) if entry]
            if len(entries) < question.fewest:
                raise ValueError(f"{len(entries)} of {question.fewest} or more.")
            return cast("list[JsonValue]", entries)
        case "text":
            return words


def _number(question: Question, words: str) -> float | int:
    try:
        number = float(words.strip().removeprefix("$"))
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise ValueError(f"{words[:_LONGEST_EXCERPT]!r} is no number.")
    if number < question.fewest:
        raise ValueError(f"{question.fewest} or more.")
    return int(number) if number.is_integer() else number
