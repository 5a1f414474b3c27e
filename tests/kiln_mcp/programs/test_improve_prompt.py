"""The search for a better prompt of a program that somebody's repository holds."""

import json
from pathlib import Path

import pytest

from kiln_mcp.evals import service as evals
from kiln_mcp.evolution.answers import EvolutionReport
from kiln_mcp.evolution.service import improve_prompt
from kiln_mcp.programs.program_files import read_program
from program_bench import ProgramBench, open_program_bench
from storage import DataSource, Task, TaskOutput, TaskRun, TaskRunConfig
from storage.errors import Refusal

SCRIPT = """
read -r word
case "$SYSTEM_PROMPT" in
  *twice*) printf '%s%s' "$word" "$word" ;;
  *) printf '%s' "$word" ;;
esac
"""
EDIT = {"operation": "add", "block": "b1", "text": "Say it twice.", "reason": "it is said once"}
PARTS = {"train": range(6), "val": range(10, 26), "test": range(30, 46)}


async def prepare(bench: ProgramBench, script: str = SCRIPT, **settings: object) -> None:
    """Add items in three parts, whose right output is the input said twice, and a script."""
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
    (bench.folder / "bot.sh").write_text(script, encoding="utf-8")
    await bench.create("command: sh bot.sh", **settings)


async def improve(bench: ProgramBench) -> EvolutionReport:
    report = await improve_prompt.invoke(
        bench.bench.workspace,
        {
            "project": str(bench.folder),
            "eval": "Twice",
            "start": "Bot",
            "max_calls": 60,
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


async def test_a_program_with_a_prompt_of_its_own_cannot_be_improved(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        await prepare(bench)
        with pytest.raises(Refusal, match="is not handed the prompt"):
            await improve(bench)
