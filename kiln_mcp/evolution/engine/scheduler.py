"""Runs pipelines at once: their calls go out at once, their decisions are taken in one order.

Each step of a pipeline has a length in virtual time. Steps are continued in the order of their
virtual ends. So the path of a search depends on its seed and on the answers alone, never on which
answer came first. Calls that the log has answers to are not made again.
"""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final, cast

import anyio
from anyio.abc import TaskGroup

from kiln_mcp.evolution.engine.candidates import Candidate
from kiln_mcp.evolution.engine.decision_log import DecisionLog, Event
from kiln_mcp.evolution.engine.edits import BlockEdit
from kiln_mcp.evolution.engine.steps import Answer, Pause, Propose, Question, Trials, Work
from kiln_mcp.evolution.engine.values import (
    Account,
    Evaluate,
    Evaluation,
    Item,
    ProposalRequest,
)

QUESTION_LENGTH: Final = 8.0
"""A reflection takes about as long as eight evaluations, one after the other."""
SLOWEST: Final = 0.45
"""How much longer the slowest of e evaluations at once takes than one of them."""


@dataclass(slots=True)
class _OpenStep:
    """A step whose calls are in flight."""

    pipeline: Work[None]
    results: list[object]
    is_batch: bool
    missing: int = 0
    done: anyio.Event = field(default_factory=anyio.Event)

    def finish(self, place: int, result: object) -> None:
        self.results[place] = result
        self.missing -= 1
        if self.missing <= 0:
            self.done.set()

    @property
    def answer(self) -> object:
        return self.results if self.is_batch else self.results[0]


def trials_length(count: int) -> float:
    """Return the virtual time of so many evaluations at once: that of the slowest of them."""
    return 1.0 + SLOWEST * math.log(max(1, count))


class Scheduler:
    """Carries out the steps of pipelines within a budget.

    Args:
        evaluate: Runs a candidate on an item.
        propose: Answers questions; None if no pipeline asks any.
        account: Is taken from before calls are sent.
        log: Keeps the answers, and has those of an earlier run.
        width: Calls in flight at once.

    Attributes:
        paid_evaluations: Evaluations that were made, and not read from the log.
        evaluations: All evaluations by candidate, item and repeat.
        account: What is used.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        propose: Propose | None,
        account: Account,
        log: DecisionLog,
        width: int,
    ) -> None:
        self._evaluate = evaluate
        self._propose = propose
        self.account = account
        self._log = log
        self._slots = anyio.Semaphore(width, fast_acquire=True)
        self._runs: Counter[tuple[str, str]] = Counter()
        self._answers: dict[str, Event] = {str(event["key"]): event for event in log.read()}
        self._failures: list[Exception] = []
        self._scope = anyio.CancelScope()
        self.paid_evaluations = 0
        self.evaluations: dict[tuple[str, str, int], Evaluation] = {}

    @property
    def evaluation_count(self) -> int:
        """Evaluations that were asked for so far, also those that the log or a cache answers."""
        return self._runs.total()

    @property
    def can_ask(self) -> bool:
        """Whether there is anybody who answers questions."""
        return self._propose is not None

    def record(self, key: str, event: Event) -> None:
        """Log an event, unless an earlier run has logged the same one."""
        if key not in self._answers:
            self._answers[key] = event
            self._log.append({"key": key, **event})

    async def run(self, pipelines: Sequence[Work[None]]) -> None:
        """Run pipelines until each has ended, or all wait for each other.

        Raises:
            Exception: The first that a call raised; the log has all answers that came.
        """
        with self._scope:
            async with anyio.create_task_group() as group:
                await self._continue_all(pipelines, group)
        if self._failures:
            raise self._failures[0]

    async def _continue_all(self, pipelines: Sequence[Work[None]], group: TaskGroup) -> None:
        queue: list[tuple[float, int, _OpenStep]] = []
        waiting: list[tuple[int, _OpenStep]] = []
        number = 0
        for pipeline in pipelines:
            number += 1
            heapq.heappush(queue, (0.0, number, _idle(pipeline)))
        while queue:
            time, _, step = heapq.heappop(queue)
            await step.done.wait()
            self._settle(step)
            try:
                following = step.pipeline.send(step.answer)
            except StopIteration:
                continue
            number += 1
            if isinstance(following, Pause):
                waiting.append((number, _idle(step.pipeline)))
                continue
            open_step, length = self._open(step.pipeline, following, group)
            heapq.heappush(queue, (time + length, number, open_step))
            for place, idle in waiting:
                heapq.heappush(queue, (time, place, idle))
            waiting.clear()

    def _settle(self, step: _OpenStep) -> None:
        """Give back what caches have saved: here, so that the order of answers changes nothing."""
        budget = self.account.budget
        for result in step.results:
            if isinstance(result, Evaluation):
                self.account.settle(budget.evaluation, result.paid_calls)
            elif isinstance(result, Answer):
                self.account.settle(budget.proposal, result.paid_calls)

    def _open(
        self, pipeline: Work[None], step: Trials | Question, group: TaskGroup
    ) -> tuple[_OpenStep, float]:
        """Send the calls of a step; return it with its virtual length."""
        if isinstance(step, Question):
            open_step = _OpenStep(pipeline, [None], is_batch=False, missing=1)
            self._open_question(open_step, step.request, group)
            return open_step, QUESTION_LENGTH
        count = self.account.take_evaluations(len(step.pairs))
        open_step = _OpenStep(pipeline, [None] * count, is_batch=True, missing=count)
        for place, (candidate, item) in enumerate(step.pairs[:count]):
            self._open_trial(open_step, place, candidate, item, group)
        if not count:
            open_step.done.set()
        return open_step, trials_length(count)

    def _open_trial(
        self, step: _OpenStep, place: int, candidate: Candidate, item: Item, group: TaskGroup
    ) -> None:
        repeat = self._runs[candidate.id, item.id]
        self._runs[candidate.id, item.id] += 1
        key = f"evaluation {candidate.id} {item.id} {repeat}"
        event = self._answers.get(key)
        if event is None:
            item = replace(item, repeat=repeat)
            group.start_soon(self._run_trial, step, place, candidate, item, key)
            return
        evaluation = read_evaluation(event)
        self.evaluations[candidate.id, item.id, repeat] = evaluation
        self.account.cost_usd += evaluation.cost_usd
        step.finish(place, evaluation)

    async def _run_trial(
        self, step: _OpenStep, place: int, candidate: Candidate, item: Item, key: str
    ) -> None:
        try:
            async with self._slots:
                answer = await self._evaluate(candidate, item)
        except Exception as error:  # noqa: BLE001 - run raises it, after the calls in flight ended
            self._fail(error)
            return
        evaluation = answer if isinstance(answer, Evaluation) else Evaluation({"score": answer})
        self.account.cost_usd += evaluation.cost_usd
        self.paid_evaluations += 1
        self.evaluations[candidate.id, item.id, item.repeat] = evaluation
        values = {"candidate": candidate.id, "item": item.id, **evaluation_event(evaluation)}
        self.record(key, {"event": "evaluation", **values})
        step.finish(place, evaluation)

    def _open_question(self, step: _OpenStep, request: ProposalRequest, group: TaskGroup) -> None:
        event = self._answers.get(request.id)
        if event is None:
            group.start_soon(self._run_question, step, request)
        else:
            step.finish(0, _read_answer(event))

    async def _run_question(self, step: _OpenStep, request: ProposalRequest) -> None:
        try:
            async with self._slots:
                reply = await self._propose(request) if self._propose else None
        except Exception as error:  # noqa: BLE001 - run raises it, after the calls in flight ended
            self._fail(error)
            return
        answer = _as_answer(reply)
        self.record(
            request.id,
            {
                "event": "answer",
                "operator": request.operator,
                "base": request.candidate.id,
                "component": request.component,
                "items": [case.item.id for case in request.failures],
                "answer": None if answer is None else asdict(answer),
            },
        )
        step.finish(0, answer)

    def _fail(self, error: Exception) -> None:
        self._failures.append(error)
        self._scope.cancel()


def _idle(pipeline: Work[None]) -> _OpenStep:
    step = _OpenStep(pipeline, [None], is_batch=False)
    step.done.set()
    return step


def _as_answer(reply: Answer | str | Sequence[BlockEdit] | None) -> Answer | None:
    if reply is None or isinstance(reply, Answer):
        return reply
    return Answer(text=reply) if isinstance(reply, str) else Answer(edits=tuple(reply))


def evaluation_event(evaluation: Evaluation) -> Event:
    """Return the parts of an evaluation that are not empty."""
    values = {name: getattr(evaluation, name) for name in Evaluation.__slots__}
    event = {name: value for name, value in values.items() if value}
    if evaluation.paid_calls == 0:
        event["paid_calls"] = 0
    return {"evaluation": event}


def read_evaluation(event: Event) -> Evaluation:
    """Return the evaluation of an event."""
    values: dict[str, object] = {
        "scores": dict[str, float](),
        **cast("dict[str, object]", event["evaluation"]),
    }
    return Evaluation(**values)  # pyright: ignore[reportArgumentType]


def _read_answer(event: Event) -> Answer | None:
    values = cast("dict[str, object] | None", event["answer"])
    if values is None:
        return None
    edits = cast("list[dict[str, str]]", values["edits"])
    read = tuple(BlockEdit(**edit) for edit in edits)  # pyright: ignore[reportArgumentType]
    paid_calls = cast("int | None", values.get("paid_calls"))
    return Answer(read, str(values["text"]), str(values["reason"]), paid_calls)
