"""Items that are conversations: run configs answer the last turn, given the turns before."""

import json
from pathlib import Path

from kiln_mcp.llm import ModelRequest
from kiln_mcp.run_configs.conversations import conversation_of
from kiln_mcp.synthesis.service import add_data
from program_bench import open_program_bench
from storage import DataSource, TaskOutput, TaskRun, TraceMessage

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "My name?"},
]
PERSON = DataSource(type="human", properties={"created_by": "ann"})


def run_of(text: str, messages: list[dict[str, str]], source: DataSource = PERSON) -> TaskRun:
    output = TaskOutput(output="Ann", source=source)
    trace = tuple(TraceMessage.model_validate(message) for message in messages)
    return TaskRun(input=text, output=output, trace=trace, tags=("eval_right",))


async def test_a_model_answers_the_last_turn_given_the_turns_before(tmp_path: Path) -> None:
    asked: list[list[tuple[str, str]]] = []

    def answer(request: ModelRequest) -> str:
        asked.append([(message.role, message.content) for message in request.messages])
        return "Ann"

    async with open_program_bench(tmp_path, {}, answer=answer) as bench:
        run = run_of("My name?", CHAT)
        await bench.bench.store.save(run, parent=bench.bench.task)
        await bench.create_model()
        report = await bench.run()
        assert report.table[0].mean == 1
        assert asked == [
            [("system", "Do."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "My name?")]
        ]


async def test_imported_chats_are_answered_turn_by_turn(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def answer(request: ModelRequest) -> str:
        asked.append([message.role for message in request.messages])
        return "Ann"

    async with open_program_bench(tmp_path, {}, answer=answer) as bench:
        file = tmp_path / "chats.jsonl"
        row = {"messages": [*CHAT, {"role": "assistant", "content": "Ann"}]}
        file.write_text(json.dumps(row), encoding="utf-8")
        await add_data.invoke(
            bench.bench.workspace,
            {"project": str(bench.folder), "file": str(file), "tags": ["eval_right"]},
        )
        await bench.create_model()
        report = await bench.run()
        assert report.table[0].mean == 1
        assert asked == [["system", "user", "assistant", "user"]]


async def test_a_program_gets_all_turns_and_the_last_one_as_input(tmp_path: Path) -> None:
    code = (
        "import json, sys; d = json.load(sys.stdin)\n"
        "print(d['input'], [m['content'] for m in d['messages']])"
    )
    async with open_program_bench(tmp_path, {}) as bench:
        await bench.bench.store.save(run_of("My name?", CHAT), parent=bench.bench.task)
        await bench.create(bench.script("chat.py", code), settings={"stdin": "json"})
        await bench.run()
        expected = "My name? ['Hi', 'Hello!', 'My name?']"
        assert await bench.outputs() == {"My name?": expected}


def test_demonstrations_in_our_own_traces_are_no_turns() -> None:
    source = DataSource(
        type="synthetic",
        properties={"model_name": "m", "model_provider": "p", "adapter_name": "kiln_mcp"},
    )
    assert conversation_of(run_of("My name?", CHAT, source)) == ()


def test_a_trace_that_does_not_end_with_the_input_is_no_conversation_with_it() -> None:
    assert conversation_of(run_of("Something else", CHAT)) == ()


def test_a_single_turn_is_no_conversation() -> None:
    assert conversation_of(run_of("My name?", CHAT[3:])) == ()
