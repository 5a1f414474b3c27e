"""A counter counts the calls that its work was sent, and no answer that other work paid for."""

from pathlib import Path

from kiln_mcp.llm import BudgetLimit, CallCounter, Engine, EngineSettings, Message, ModelRequest
from scripted_model import ScriptedModel

QUESTION = ModelRequest("m", (Message("user", "Is it right?"),))


async def counted(folder: Path, *askers: str) -> list[int]:
    """Return what each asker's question counts in one attempt of a job, asked in turn."""
    settings = EngineSettings(response_cache=folder / "responses.sqlite", environment={})
    counters = [CallCounter() for _ in askers]
    async with Engine(settings, models={"m": ScriptedModel(lambda request: "yes")}) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit())
        for asker, counter in zip(askers, counters, strict=True):
            await engine.with_counter(counter).complete(QUESTION, asker=asker, budget=budget)
    return [counter.calls for counter in counters]


async def test_an_answer_that_another_asker_of_the_job_paid_for_counts_for_one(
    tmp_path: Path,
) -> None:
    assert await counted(tmp_path, "trial 1", "trial 2", "trial 3") == [1, 0, 0]


async def test_what_an_asker_paid_for_before_a_kill_counts_when_the_job_goes_on(
    tmp_path: Path,
) -> None:
    assert await counted(tmp_path, "trial 1") == [1]
    assert await counted(tmp_path, "trial 2", "trial 1") == [0, 1]
