"""Conversations with a simulated user, as the format declares them."""

from collections.abc import Callable
from pathlib import Path

from kiln_mcp.evals.eval_items import items_of
from kiln_mcp.evals.lookups import find_eval, find_run_configs, load_measurement
from kiln_mcp.evals.measurement import plan_run
from kiln_mcp.llm import ModelRequest
from program_bench import ProgramBench, open_program_bench
from storage import EvalInput, Task
from storage.records.evaluation import (
    DriveConfig,
    EvalInputSplit,
    MultiTurnData,
    SyntheticUserInfo,
    UserMessage,
)

TASK = Task(name="Chat", instruction="Chat.", turn_mode="multiturn")


async def add_user(bench: ProgramBench, turns: int, first_message: str | None = None) -> None:
    """Add an input with a simulated user, and let the eval measure such inputs."""
    data = MultiTurnData(
        first_message=UserMessage(text=first_message) if first_message else None,
        synthetic_user_info=SyntheticUserInfo(persona="Impatient.", goal="A refund."),
        drive_config=DriveConfig(
            model_name="scripted", model_provider="openai_compatible", turns=turns
        ),
    )
    store, task = bench.bench.store, bench.bench.task
    record = EvalInput(data=data, tags=("eval_right",), reference={"reference_answer": "answer 2"})
    await store.save(record, parent=task)
    measured = await find_eval(store, "Right")
    split = EvalInputSplit(filter_id="tag::eval_right")
    await store.save(measured.eval_record.replace(splits={"test": split}))


def roles(request: ModelRequest) -> str:
    return "".join(message.role[0] for message in request.messages)


def speaker(end_after: int = 99) -> tuple[Callable[[ModelRequest], str], list[str]]:
    """Return a model of both sides, which numbers its answers."""
    asked: list[str] = []

    def answer(request: ModelRequest) -> str:
        asked.append(roles(request))
        if "Impatient." in request.messages[0].content:
            turns = sum(message.role == "assistant" for message in request.messages)
            return "[END]" if turns >= end_after else f"turn {turns + 1}"
        return f"answer {sum(message.role == 'user' for message in request.messages)}"

    return answer, asked


async def test_the_user_and_the_run_config_take_turns(tmp_path: Path) -> None:
    answer, asked = speaker()
    async with open_program_bench(tmp_path, {}, task=TASK, answer=answer) as bench:
        await add_user(bench, turns=2)
        await bench.create_model()
        report = await bench.run()
        assert report.table[0].mean == 1
        run = await bench.only_run()
        assert run.trace is not None
        assert [message.content for message in run.trace[1:]] == [
            "turn 1",
            "answer 1",
            "turn 2",
            "answer 2",
        ]
        assert run.synthetic_user_usage is not None
        assert asked == ["su", "su", "suau", "suau"]


async def test_a_user_who_has_what_they_want_ends_the_conversation(tmp_path: Path) -> None:
    answer, _ = speaker(end_after=2)
    async with open_program_bench(tmp_path, {}, task=TASK, answer=answer) as bench:
        await add_user(bench, turns=20, first_message="Hi")
        await bench.create_model()
        await bench.run()
        assert (await bench.only_run()).output.output == "answer 2"


async def test_the_plan_counts_the_turns_of_both(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {}, task=TASK) as bench:
        await add_user(bench, turns=5)
        await bench.create_model()
        store = bench.bench.store
        measurement = await load_measurement(store, await find_eval(store, "Right"), None)
        configs = await find_run_configs(store, measurement.task, ["Bot"])
        items = await items_of(store, measurement.task, measurement.eval_record.part("test"))
        work = await plan_run(measurement, configs, items)
        assert work.calls_by_model == {"scripted": 10}
