"""The engine as an optimizer of the simulated world (`prompt_world`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kiln_mcp.evolution.engine import (
    Budget,
    Candidate,
    Evaluation,
    Item,
    MemoryLog,
    Options,
    ProposalRequest,
    evolve,
)

if TYPE_CHECKING:
    from kiln_mcp.evolution.engine.decision_log import Event

QUESTION = """<current_prompt>
{prompt}
</current_prompt>

{cases}

Rewrite the instruction so that the reviewer's complaints would not come up again. Keep what works.
Put the whole new instruction between ``` marks."""


class ReportingLog(MemoryLog):
    """Reports each new best prompt to the world."""

    def __init__(self, problem: Any) -> None:
        super().__init__()
        self._problem = problem

    def append(self, event: Event) -> None:
        if event["event"] == "decision" and event["accepted"]:
            blocks: Any = event["blocks"]
            texts = [block["gap"] * (n > 0) + block["text"] for n, block in enumerate(blocks)]
            self._problem.report("".join(texts))


def question_of(request: ProposalRequest) -> str:
    """Return what the world's reflecting model is asked."""
    cases = "\n\n".join(
        f"Ticket: {case.item.text}\nAnswer: {case.evaluation.output}\n"
        f"Reviewer: {case.evaluation.remarks}"
        for case in request.failures
    )
    return QUESTION.format(prompt=request.text, cases=cases)


def evaluation_of(judge: Any, item: Item, answer: str) -> Evaluation:
    """Return what a world or a problem says of an answer."""
    score, feedback, _ = judge.evaluate(item.value, answer)
    return Evaluation({"score": score}, "" if score >= 1 else feedback, answer)


def items_of(examples: Sequence[Any]) -> list[Item]:
    return [Item(example.id, example, example.text) for example in examples]


def text_between_fences(answer: str) -> str:
    first, last = answer.find("```"), answer.rfind("```")
    return answer[first + 3 : last].strip() if 0 <= first < last else answer.strip()


async def optimize(problem: Any) -> str:
    """Search on the loop of the simulated provider, as a client has one loop with its requests."""
    future = asyncio.run_coroutine_threadsafe(search(problem), problem.llm.loop)
    return await asyncio.wrap_future(future)


async def search(problem: Any) -> str:
    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        messages = problem.messages(candidate.text, item.value)
        answer = await problem.llm.complete(messages, "task")
        return evaluation_of(problem, item, answer)

    async def propose(request: ProposalRequest) -> str:
        message = {"role": "user", "content": question_of(request)}
        answer = await problem.llm.complete([message], "reflect")
        return text_between_fences(answer)

    result = await evolve(
        problem.seed_prompt,
        items_of(problem.train),
        items_of(problem.val),
        evaluate,
        propose,
        budget=Budget(problem.budget, proposals=problem.budget // 8),
        seed=problem.seed,
        options=Options(width=problem.limit, log=ReportingLog(problem)),
    )
    problem.info.update(proposals=result.proposals, accepted=len(result.heads) - 1)
    return result.best.text
