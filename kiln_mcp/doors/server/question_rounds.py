"""The questions that answers end with: the client puts them to the person, one after the other.

An answer goes on as the call that passes it on, whose answer may end with the next question. What
the person leaves unanswered ends it. Since 2026-07-28 the client repeats its call with the answer
and with what this door gave it to keep: the call to go on with. It is sealed, so that what comes
back is what this door wrote.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, get_args

import mcp_types as types
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.server.client_state import seal, unseal
from kiln_mcp.doors.server.elicitation import LATER, PersonLater, PersonNow
from kiln_mcp.operations.job_control.capability_calls import Outcome, call_capability
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.workbench.answer_size import fit
from kiln_mcp.workbench.capability import JsonObject, Result
from kiln_mcp.workbench.person_questions import PersonQuestion
from kiln_mcp.workbench.workspace import Workspace

_WORK_ARGUMENTS: Final = ("project", "task")
_REPLY_ARGUMENTS: Final = ("model", "wait_s")


class Frame(BaseModel):
    """The answer about a job that a result lies in.

    Attributes:
        data: The answer.
        place: The keys of the result in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    data: dict[str, JsonValue]
    place: tuple[str, ...] = ("result",)

    def around(self, result: JsonObject) -> dict[str, JsonValue]:
        """Return the answer with another result."""
        if self.place[0] != "jobs":
            return {**self.data, "result": dict(result)}
        jobs = self.data["jobs"]
        assert isinstance(jobs, list)
        assert isinstance(jobs[0], dict)
        return {**self.data, "jobs": [{**jobs[0], "result": dict(result)}, *jobs[1:]]}


class Round(BaseModel):
    """A call, and the question that its answer ended with.

    Attributes:
        tool: The capability.
        arguments: Of the call.
        question: The question that waits for the person; None if the call itself is to be made.
        answers: The ids of the questions that the person answered.
        frame: The answer about a job that the first result lay in; None for no job.
        base: The result that asks, if another capability takes the answer; None otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    tool: str
    arguments: dict[str, JsonValue]
    question: PersonQuestion | None = None
    answers: tuple[str, ...] = ()
    frame: Frame | None = None
    base: dict[str, JsonValue] | None = None


@dataclass(slots=True)
class QuestionRounds:
    """The calls of one request.

    Attributes:
        workspace: Of the request.
        catalogue: The capabilities.
        person: The way to the person; None if the client cannot ask.
        round: The present call; None before the first one.
        follow_up: What the last answer leads to at once; None for nothing.
    """

    workspace: Workspace
    catalogue: Catalogue
    person: PersonNow | PersonLater | None
    round: Round | None = None
    follow_up: PersonQuestion | None = None

    async def call(self, params: types.CallToolRequestParams, wait_s: float | None) -> Outcome:
        """Make the call, or go on with the one that the client kept, and ask what it leads to.

        Raises:
            WorkbenchError: A call failed.
        """
        self.round = await self._kept_round(params)
        if self.round is None:
            self.round = Round(tool=params.name, arguments=dict(params.arguments or {}))
            outcome = await self._make(self.round, wait_s)
        elif self.round.question is not None:
            outcome = await self._reply(self.round, self.round.question)
        else:
            outcome = await self._make(self.round)
        while (question := await self._question(self.round, outcome)) is not None:
            self.round = self.round.model_copy(update={"question": question})
            outcome = await self._reply(self.round, question)
        return self._in_frame(self.round, outcome)

    async def question_for_client(self) -> types.InputRequiredResult | None:
        """Return what the client has to ask before it repeats the call; None if nothing is.

        Raises:
            OSError: The home has no key to seal what the client keeps.
        """
        if not isinstance(self.person, PersonLater) or self.person.question is None:
            return None
        is_first = self.round is None or not (self.round.question or self.round.answers)
        if is_first or self.round is None:
            return self.person.question
        text = self.round.model_dump_json()
        state = await to_thread.run_sync(seal, text, self.workspace.settings.home)
        return self.person.question.model_copy(update={"request_state": state})

    async def _kept_round(self, params: types.CallToolRequestParams) -> Round | None:
        """Return what the client kept; None if it kept nothing that can be read."""
        if params.request_state is None:
            return None
        home = self.workspace.settings.home
        text = await to_thread.run_sync(unseal, params.request_state, home)
        try:
            return None if text is None else Round.model_validate_json(text)
        except ValidationError:  # of another version
            return None

    async def _make(self, call: Round, wait_s: float | None = None) -> Outcome:
        # An answer that the person typed was passed on by no assistant.
        workspace = replace(self.workspace, assistant="") if call.answers else self.workspace
        item = self.catalogue.find(call.tool)
        return await call_capability(workspace, item, call.arguments, wait_s=wait_s)

    async def _reply(self, call: Round, question: PersonQuestion) -> Outcome:
        """Ask the person, and pass on what they answer."""
        answer = None if self.person is None else await self.person.answer(question)
        if answer is LATER:
            return Outcome("asking", {})
        if question.is_aside and call.base is not None:
            return await self._reply_aside(call, question, call.base, answer)
        if answer is None:
            self.person = None
            arguments = question.arguments
        else:
            arguments = question.call_with(answer)
            call = call.model_copy(update={"answers": (*call.answers, question.id)})
        self.round = call.model_copy(
            update={"tool": question.reply_tool, "arguments": arguments, "question": None}
        )
        outcome = await self._make(self.round)
        return outcome if answer is not None else _with_message(outcome, _left_open(question.id))

    async def _reply_aside(
        self,
        call: Round,
        question: PersonQuestion,
        base: dict[str, JsonValue],
        answer: str | None,
    ) -> Outcome:
        """Pass an answer on to another capability, and return the result that asked, after it."""
        if answer is None:
            self.person = None
            outcome = Outcome("done", base, whole_data=base)
            return _with_message(outcome, _left_open(question.id))
        self.round = call.model_copy(
            update={"answers": (*call.answers, question.id), "question": None, "base": None}
        )
        tool, arguments = question.reply_tool, question.call_with(answer)
        reply = await self._make(
            self.round.model_copy(update={"tool": tool, "arguments": arguments})
        )
        if reply.status != "done":
            return reply
        shapes = _shapes(self.catalogue.find(question.tool).result)
        shape = next((own for own in shapes if base.keys() <= own.model_fields.keys()), None)
        if shape is None:  # another version asked the question
            return reply
        data, self.follow_up = shape.after_answer(base, question, answer, reply.data)
        return Outcome("done", dict(data), whole_data=dict(data))

    async def _question(self, call: Round, outcome: Outcome) -> PersonQuestion | None:
        """Return the next question to ask; None if there is none, or nobody to ask."""
        follow_up, self.follow_up = self.follow_up, None
        if self.person is None or outcome.status != "done":
            return None
        if follow_up is not None:
            self.round = call.model_copy(update={"base": outcome.whole_data})
            return follow_up
        async with aclosing(self._results(call, outcome)) as results:
            async for result in results:
                shapes = _shapes(self.catalogue.find(result.tool).result)
                questions = [shape.person_question(result.data) for shape in shapes]
                question = next((entry for entry in questions if entry is not None), None)
                if question is not None and len(call.answers) < question.limit:
                    update: dict[str, object] = {"frame": result.frame or call.frame}
                    if question.is_aside:
                        update["base"] = dict(result.data)
                    self.round = call.model_copy(update=update)
                    return _with_arguments(question, result.arguments)
        return None

    async def _results(self, call: Round, outcome: Outcome) -> "AsyncGenerator[_Result]":
        """Yield the result of a call, or that of the job that it reports."""
        data = outcome.whole_data
        yield _Result(call.tool, call.arguments, data)
        jobs = data.get("jobs")
        is_list = isinstance(jobs, list) and bool(jobs)
        report = jobs[0] if isinstance(jobs, list) and jobs else data
        if not isinstance(report, Mapping) or report.get("state") != "done":
            return
        result = report.get("result")
        if isinstance(result, dict):
            runner = await job_client_of(self.workspace).runner()
            job = await runner.find(str(report["job"]))
            frame = Frame(data=outcome.data, place=("jobs",) if is_list else ("result",))
            yield _Result(job.capability, job.arguments, result, frame)

    def _in_frame(self, call: Round, outcome: Outcome) -> Outcome:
        """Return the outcome as the answer to the client's own call, with what was asked."""
        if outcome.status == "asking":
            return outcome
        if call.answers:
            sentence = f"The person answered {', '.join(call.answers)} in a form of the client."
            outcome = _with_message(outcome, sentence)
        if call.frame is None or not call.tool or outcome.status != "done":
            return outcome
        data = call.frame.around(outcome.data)
        limit = self.workspace.answer_tokens
        return replace(outcome, data=data if limit is None else fit(data, None, limit))


@dataclass(frozen=True, slots=True)
class _Result:
    """A result, the call that it answers, and the answer about a job that it lies in."""

    tool: str
    arguments: JsonObject
    data: JsonObject
    frame: Frame | None = None


def _shapes(result: type[BaseModel]) -> list[type[Result]]:
    """Return the shapes that a result can have: those of a union, or its own."""
    if issubclass(result, Result):
        return [result]
    root = result.model_fields.get("root")
    members: tuple[object, ...] = get_args(root.annotation) if root is not None else ()
    return [own for own in members if isinstance(own, type) and issubclass(own, Result)]


def _with_arguments(question: PersonQuestion, arguments: JsonObject) -> PersonQuestion:
    """Return a question whose calls are about the same work as an earlier call."""
    own = {name: arguments[name] for name in _WORK_ARGUMENTS if name in arguments}
    reply = {name: arguments[name] for name in _REPLY_ARGUMENTS if name in arguments}
    update = {"arguments": {**own, **question.arguments}, "reply_arguments": reply}
    return question.model_copy(update=update)


def _left_open(question: str) -> str:
    return (
        f"Question {question} got no answer in the client's form: ask it here only if the person "
        "wants to go on."
    )


def _with_message(outcome: Outcome, sentence: str) -> Outcome:
    earlier = outcome.data.get("message")
    text = f"{earlier} {sentence}" if isinstance(earlier, str) else sentence
    return replace(outcome, data={**outcome.data, "message": text})
