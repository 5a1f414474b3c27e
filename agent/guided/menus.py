"""The menus of the embedded model, which is too small to hold a conversation.

The person chooses a flow, answers its questions, and tools are called with the answers. The model
alone chooses among the flows, if the person says in a sentence what they want. Where a flow stands
follows from the messages, so that a chat can be resumed in the middle of one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from agent.chat_lines import person_words
from agent.fences import is_not_done, results_of
from agent.guided.flows import FLOWS, Flow, flow_of
from agent.guided.open_questions import OpenQuestion, answers_of, head_of, open_question
from agent.guided.places import Places
from kiln_mcp.llm import EMBEDDED, Engine, Message, ModelError, ModelRequest, ToolCall
from storage.text.excerpts import excerpt_line

LIMITS_NOTE: Final = (
    "I am the small model on this machine. I follow these menus; I cannot judge answers, write "
    "prompts or hold a talk. /model NAME changes to a model that can."
)
_FEWEST_WORDS: Final = 3
"""Fewer words are no sentence that a model can take for a flow: "hello" opens the menu."""
_MOST_OPTIONS: Final = 12
_SHORTEST_SENTENCE: Final = 40
_LONGEST_SENTENCE: Final = 400
_LEAVE: Final = frozenset({"stop", "menu", "back", "cancel"})


@dataclass(frozen=True, slots=True)
class Menus:
    """The menus.

    Attributes:
        engine: Asks the embedded model, under the budget of the chat.
        places: Knows the names that questions offer.
    """

    engine: Engine
    places: Places

    async def answer(self, messages: Sequence[Message]) -> Message:
        """Return the next message of the menus: a question, calls, or the menu.

        Args:
            messages: The conversation so far; the last one is the person's or a tool's.
        """
        last = messages[-1]
        if last.role == "tool":
            return _say(_after_calls(messages))
        words, current = person_words(last.content), open_question(messages[:-1])
        if reports := results_of("check_job", last.content):
            return _say(_after_jobs(reports, messages, current))
        if words.casefold() in _LEAVE:
            return _say(menu())
        if current is not None:
            return await self._next_of(current, words, messages)
        if flow := flow_of(words):
            return _say(await self._question(flow, 0, messages))
        is_sentence = len(words.split()) >= _FEWEST_WORDS
        flow = await self._choose_flow(words) if is_sentence else None
        if flow is None:
            return _say(menu())
        question = await self._question(flow, 0, messages)
        return _say(f"I take that for {flow.name}: {flow.title}. stop leaves it.\n\n{question}")

    async def _next_of(
        self, current: OpenQuestion, words: str, messages: Sequence[Message]
    ) -> Message:
        flow, number = current.flow, current.number
        try:
            current.answer(words)
        except ValueError as fault:
            return _say(f"{fault}\n\n{await self._question(flow, number, messages)}")
        if number + 1 < len(flow.questions):
            return _say(await self._question(flow, number + 1, messages))
        calls = flow.calls(flow, answers_of(flow, messages))
        return Message(
            "assistant",
            "",
            tuple(
                ToolCall(f"guide-{len(messages)}-{place}", tool, _as_json(arguments))
                for place, (tool, arguments) in enumerate(calls)
            ),
        )

    async def _question(self, flow: Flow, number: int, messages: Sequence[Message]) -> str:
        question = flow.questions[number]
        head = head_of(flow, number)
        if not question.options:
            return head
        project = str(answers_of(flow, messages).get("project", ""))
        names = await self.places.names(question.options, project)
        if question.first and names is not None and not names:
            kind = question.options.replace("_", " ")
            return f"There is no {kind} yet: {question.first} comes first.\n\n{_short_menu()}"
        lines = [f"{place}. {name}" for place, name in enumerate((names or ())[:_MOST_OPTIONS], 1)]
        return "\n".join(
            [f"{head} A number chooses one of these:", "", *lines] if lines else [head]
        )

    async def _choose_flow(self, words: str) -> Flow | None:
        """Return the flow that the embedded model takes a sentence for; None without an answer."""
        titles = "\n".join(f"{flow.name}: {flow.title}" for flow in FLOWS)
        question = f"{titles}\nWhich of these does this sentence want?\nSentence: {words}"
        names = tuple(flow.name for flow in FLOWS)
        request = ModelRequest(EMBEDDED, (Message("user", question),), choices=names, max_tokens=8)
        try:
            answer = await self.engine.complete(request, asker="guide")
        except ModelError:
            return None
        return flow_of(answer.text)


def menu() -> str:
    """Return the menu."""
    lines = [f"{number}. {flow.name}: {flow.title}" for number, flow in enumerate(FLOWS, 1)]
    return "\n".join([LIMITS_NOTE, "", *lines, "", "Give a number or a name; stop leaves a menu."])


def _short_menu() -> str:
    names = ", ".join(f"{number} {flow.name}" for number, flow in enumerate(FLOWS, 1))
    return f"The menus: {names}."


def _after_calls(messages: Sequence[Message]) -> str:
    """Return what stands after the results of a flow: what comes next."""
    place = max(place for place, m in enumerate(messages) if m.tool_calls)
    names = [call.name for call in messages[place].tool_calls]
    flow = next(flow for flow in FLOWS if flow.tool == names[-1])
    if any(is_not_done(m.content) for m in messages[place + 1 :]):
        refusal = f"That was not done: the line above says why. {flow.name} asks again."
        return f"{refusal}\n\n{_short_menu()}"
    verdict = _sentence_in(messages[-1].content)
    return f"{verdict}/show shows the whole result. Next: {flow.next_step}\n\n{_short_menu()}"


def _sentence_in(result: str) -> str:
    """Return the first line of a fenced result if it is a sentence; else nothing."""
    line = result.partition("\n")[2].partition("\n")[0]
    is_sentence = len(line) >= _SHORTEST_SENTENCE
    return f"{excerpt_line(line, _LONGEST_SENTENCE)}\n\n" if is_sentence else ""


def _after_jobs(
    reports: Sequence[str], messages: Sequence[Message], current: OpenQuestion | None
) -> str:
    """Return what stands after the end of jobs, with the question that is still open."""
    names = {call.name for m in messages for call in m.tool_calls}
    flows = [flow for flow in FLOWS if flow.tool in names and any(flow.tool in r for r in reports)]
    steps = " ".join(flow.next_step for flow in flows)
    text = f"/jobs shows what came out. Next: {steps}" if steps else "/jobs shows what came out."
    return f"{text}\n\n{current.text if current else _short_menu()}"


def _as_json(arguments: dict[str, JsonValue]) -> str:
    return json.dumps(arguments, ensure_ascii=False)


def _say(text: str) -> Message:
    return Message("assistant", text)
