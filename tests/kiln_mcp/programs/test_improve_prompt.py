"""The search for better texts of a program, of a model's tools and of its skills."""

import json
from pathlib import Path

import pytest

from kiln_mcp.evals import service as evals
from kiln_mcp.evolution.answers import EvolutionReport
from kiln_mcp.evolution.service import improve_prompt
from kiln_mcp.llm import ModelAnswer, ModelRequest, ToolCall
from kiln_mcp.programs.program_files import read_program
from program_bench import PYTHON, ProgramBench, open_program_bench
from storage import DataSource, Skill, Task, TaskOutput, TaskRun, TaskRunConfig
from storage.errors import Refusal

SCRIPT = """
read -r word
case "$SYSTEM_PROMPT" in
  *twice*) printf '%s%s' "$word" "$word" ;;
  *) printf '%s' "$word" ;;
esac
"""
EDIT = {"operation": "add", "block": "b1", "text": "Say it twice.", "reason": "it is said once"}
SERVER = f"command: {PYTHON} -S {Path(__file__).parents[2] / 'fakes' / 'tool_server.py'}"
SERVERS = {"servers": {"weather": SERVER}}
PARTS = {"train": range(6), "val": range(10, 26), "test": range(30, 46)}


async def prepare(bench: ProgramBench, script: str = SCRIPT, **settings: object) -> None:
    """Add items and their eval, and a script as the program."""
    await prepare_items(bench)
    (bench.folder / "bot.sh").write_text(script, encoding="utf-8")
    await bench.create("command: sh bot.sh", **settings)


async def prepare_items(bench: ProgramBench) -> None:
    """Add items in three parts, whose right output is the input said twice, and their eval."""
    person = DataSource(type="human", properties={"created_by": "ann"})
    async with bench.bench.store.transaction() as change:
        for part, numbers in PARTS.items():
            for number in numbers:
                output = TaskOutput(output=f"w{number}w{number}", source=person)
                run = TaskRun(input=f"w{number}", output=output, tags=(part,))
                change.save(run, parent=bench.bench.task)
    filters = {f"{part}_filter": f"tag::{part}" for part in PARTS}
    await evals.create_evaluator.invoke(
        bench.bench.workspace,
        {
            "project": str(bench.folder),
            "eval": "Twice",
            "type": "exact_match",
            "reference_key": "reference_answer",
            **filters,
        },
    )


async def improve(bench: ProgramBench, max_calls: int = 60) -> EvolutionReport:
    report = await improve_prompt.invoke(
        bench.bench.workspace,
        {
            "project": str(bench.folder),
            "eval": "Twice",
            "start": "Bot",
            "max_calls": max_calls,
            "reflect_with": "scripted",
        },
    )
    assert isinstance(report, EvolutionReport)
    return report


@pytest.mark.slow
async def test_a_program_gets_a_better_prompt_by_the_variable_that_it_reads(
    tmp_path: Path,
) -> None:
    task = Task(name="Say", instruction="Say the word.")
    answer = json.dumps({"failure": "once", "edits": [EDIT]})
    async with open_program_bench(tmp_path, {"a": "A"}, task=task, answer=answer) as bench:
        settings = {"prompt_variable": "SYSTEM_PROMPT"}
        await prepare(bench, prompt="Say the word.", settings=settings)
        report = await improve(bench)
        assert report.gain_shown
        assert report.winner_prompt == "Say the word.\n\nSay it twice."
        store = bench.bench.store
        winner = await store.find(TaskRunConfig, str(report.winner), parent=bench.bench.task)
        start = await store.find(TaskRunConfig, "Bot", parent=bench.bench.task)
        assert await read_program(store, winner) == await read_program(store, start)
        assert winner.prompt is not None
        assert winner.prompt.prompt == report.winner_prompt


@pytest.mark.slow
async def test_a_text_file_of_a_program_gets_better_and_stays_as_it_is_on_the_disk(
    tmp_path: Path,
) -> None:
    answer = json.dumps({"failure": "once", "edits": [EDIT]})
    async with open_program_bench(tmp_path, {"a": "A"}, answer=answer) as bench:
        skill = bench.folder / "skill.md"
        skill.write_text("Say the word.\n", encoding="utf-8")
        script = SCRIPT.replace("$SYSTEM_PROMPT", "$(cat skill.md)")
        await prepare(bench, script, settings={"text_file": "skill.md"})
        report = await improve(bench)
        assert report.gain_shown
        assert report.start_prompt == "Say the word."
        assert report.winner_prompt == "Say the word.\n\nSay it twice."
        assert any("put winner_prompt into it" in warning for warning in report.warnings)
        assert skill.read_text(encoding="utf-8") == "Say the word.\n"


def ask_tool(name: str, arguments: str) -> ModelAnswer:
    return ModelAnswer(text="", tool_calls=(ToolCall("c1", name, arguments),))


def edit_of(place: str, block: str, request: ModelRequest) -> str:
    """Answer a request for edits: the one that helps in one place, none in the others."""
    is_there = place in request.messages[-1].content
    return json.dumps({"failure": "once", "edits": [{**EDIT, "block": block}] if is_there else []})


def said(request: ModelRequest, text: str) -> str:
    """Say the word of a request, twice if a text asks for it."""
    word = next(m.content for m in reversed(request.messages) if m.role == "user")
    return word + word if "twice" in text else word


def by_description(request: ModelRequest) -> str:
    if request.schema is not None:
        return edit_of("the tool 'look_up'", "tool look_up-1", request)
    return said(request, next(t.description for t in request.tools if t.name == "look_up"))


def by_skill(request: ModelRequest) -> str | ModelAnswer:
    if request.schema is not None:
        return edit_of("the skill 'say-it'", "skill say-it-1", request)
    assert "- say-it: How to say a word." in request.messages[0].content
    last = request.messages[-1]
    if last.role != "tool":
        return ask_tool("skill", arguments='{"name": "say-it"}')
    return said(request, last.content)


async def winner_texts(bench: ProgramBench, report: EvolutionReport) -> object:
    """Return what the saved winner says of tools and skills."""
    store = bench.bench.store
    winner = await store.find(TaskRunConfig, str(report.winner), parent=bench.bench.task)
    return (winner.run_config_properties.model_extra or {}).get("kiln_mcp_tool_texts")


async def test_the_description_of_a_tool_gets_better_and_the_winner_keeps_it(
    tmp_path: Path,
) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}, answer=by_description) as bench:
        await prepare_items(bench)
        await bench.create_model(tools=["weather/look_up"], settings=SERVERS)
        report = await improve(bench, max_calls=200)
        assert report.gain_shown
        [(name, text)] = report.tool_texts.items()
        assert (name, text.endswith("Say it twice.")) == ("tool look_up", True)
        assert await winner_texts(bench, report) == report.tool_texts
        assert any("put tool_texts into them" in warning for warning in report.warnings)
        again = await bench.bench.run(eval="Twice", run_configs=[str(report.winner)])
        assert again.table[0].mean == 1


async def test_the_text_of_a_skill_gets_better_and_the_skill_stays_as_it_is(
    tmp_path: Path,
) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}, answer=by_skill) as bench:
        store = bench.bench.store
        skill = await store.save(
            Skill(name="say-it", description="How to say a word."), parent=store.project
        )
        body = store.side_folder(skill) / "SKILL.md"
        body.write_text("---\nname: say-it\n---\n\nSay the word.\n", encoding="utf-8")
        await prepare_items(bench)
        await bench.create_model(tools=["skill/say-it"])
        report = await improve(bench, max_calls=200)
        assert report.gain_shown
        assert report.tool_texts == {"skill say-it": "Say the word.\nSay it twice.\n"}
        assert await winner_texts(bench, report) == report.tool_texts
        assert body.read_text(encoding="utf-8").endswith("\nSay the word.\n")


async def test_a_program_with_a_prompt_of_its_own_cannot_be_improved(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await prepare(bench)
        with pytest.raises(Refusal, match="is not handed the prompt"):
            await improve(bench)
