"""The same judge calls through pydantic-evals. In a venv with pydantic-evals and
pydantic-ai-slim[openai]:

    python peer_pydantic_evals.py PORT CALLS CONCURRENCY
"""

import asyncio
import sys
from dataclasses import dataclass

from meter import Meter
from pydantic import BaseModel
from pydantic_ai import Agent, PromptedOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Evaluator, EvaluatorContext


class Verdict(BaseModel):
    score: str


def dataset(calls: int, agent: Agent[None, Verdict]) -> Dataset[str, str, None]:
    @dataclass
    class Judge(Evaluator[str, str, None]):
        async def evaluate(self, ctx: EvaluatorContext[str, str, None]) -> bool:
            answer = await agent.run(ctx.output)
            return answer.output.score == "pass"

    cases = [
        Case(name=str(n), inputs=f"Answer {n}: thank you for your patience.") for n in range(calls)
    ]
    return Dataset(name="judge", cases=cases, evaluators=[Judge()])


async def main() -> None:
    port, calls, concurrency = map(int, sys.argv[1:4])
    provider = OpenAIProvider(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
    model = OpenAIChatModel("judge", provider=provider)
    agent = Agent(
        model,
        output_type=PromptedOutput(Verdict),
        instructions="Judge whether the answer is polite. " * 10,
    )

    async def same(text: str) -> str:
        return text

    cases = dataset(calls, agent)
    meter = Meter()
    report = await cases.evaluate(same, max_concurrency=concurrency, progress=False)
    meter.stop()
    assert len(report.cases) == calls
    meter.tell("pydantic-evals", calls, concurrency)


asyncio.run(main())
