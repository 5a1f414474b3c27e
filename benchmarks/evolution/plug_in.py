"""The engine as an optimizer of the simulated world (`prompt_world`)."""

from __future__ import annotations

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


def text_between_fences(answer: str) -> str:
    first, last = answer.find("```"), answer.rfind("```")
    return answer[first + 3 : last].strip() if 0 <= first < last else answer.strip()


async def optimize(problem: Any) -> str:
    async def evaluate(candidate: Candidate, item: Item) -> Evaluation:
        messages = problem.messages(candidate.text, item.value)
        answer = await problem.llm.complete(messages, "task")
        score, feedback, _ = problem.evaluate(item.value, answer)
        return Evaluation({"score": score}, "" if score >= 1 else feedback, answer)

    async def propose(request: ProposalRequest) -> str:
        cases = "\n\n".join(
            f"Ticket: {case.item.text}\nAnswer: {case.evaluation.output}\n"
            f"Reviewer: {case.evaluation.remarks}"
            for case in request.failures
        )
        question = QUESTION.format(prompt=request.text, cases=cases)
        answer = await problem.llm.complete([{"role": "user", "content": question}], "reflect")
        return text_between_fences(answer)

    def items(examples: Sequence[Any]) -> list[Item]:
        return [Item(example.id, example, example.text) for example in examples]

    result = await evolve(
        problem.seed_prompt,
        items(problem.train),
        items(problem.val),
        evaluate,
        propose,
        budget=Budget(problem.budget, proposals=problem.budget // 8),
        seed=problem.seed,
        options=Options(width=problem.limit, log=ReportingLog(problem)),
    )
    problem.info.update(proposals=result.proposals, accepted=len(result.heads) - 1)
    return result.best.text
