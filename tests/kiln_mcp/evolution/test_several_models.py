"""One search for several models, at the door: a table, a prompt and a claim for each."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from kiln_mcp.evolution.answers import ModelsReport
from kiln_mcp.evolution.report_answers import PromptSearchReport
from kiln_mcp.evolution.service import improve_prompt_for_models, show_prompt_search
from kiln_mcp.llm import ModelRequest
from kiln_mcp.run_configs import service as run_configs_service
from search_bench import (
    Bench,
    by_coin,
    by_instruction,
    constant,
    edits,
    edits_of_no_block,
    open_search_bench,
)
from storage import Prompt, PromptOptimizationJob, TaskRun
from storage import TaskRunConfig as RunConfig
from storage.errors import InvalidValue, Refusal


async def add_start(bench: Bench, name: str, model: str, prompt: str | None = None) -> None:
    call: dict[str, JsonValue] = {"name": name, "model": model, "prompt": prompt}
    await run_configs_service.create_run_config.invoke(
        bench.workspace, {"project": str(bench.store.folder), **call}
    )


async def improve(bench: Bench, **arguments: object) -> ModelsReport:
    call = {
        "project": str(bench.store.folder),
        "eval": "Right",
        "starts": ["start", "cheap start"],
        "max_calls": 300,
        "reflect_with": "editor",
        **arguments,
    }
    report = await improve_prompt_for_models.invoke(bench.workspace, json.loads(json.dumps(call)))
    assert isinstance(report, ModelsReport)
    return report


async def test_each_model_gets_a_line_a_prompt_and_a_claim_of_its_own(tmp_path: Path) -> None:
    useful = [edits]

    def editor(request: ModelRequest) -> str:
        return (useful.pop() if useful else edits_of_no_block)(request)

    async with open_search_bench(tmp_path, by_instruction, editor=editor) as bench:
        await add_start(bench, "cheap start", "cheap")
        report = await improve(bench)
        assert [line.model for line in report.models] == ["small", "cheap"]
        assert all(line.report.gain_shown for line in report.models)
        assert all(line.best_value > line.start_value for line in report.models)
        # What one model's failures taught was tried on the other without asking again.
        assert sorted(line.shared_edits for line in report.models) == [0, 1]
        assert sorted(line.own_edits for line in report.models) == [0, 1]
        assert report.search_calls <= report.max_calls
        assert report.verdict == "A gain is shown for start, cheap start."
        # The second claim on the same items is made at a sharper level.
        first, second = (line.report.comparison[0].test for line in report.models)
        assert first != second
        configs = {c.name: c for c in await bench.store.children(bench.task, RunConfig)}
        winners = [configs[str(line.winner)] for line in report.models]
        names = [getattr(c.run_config_properties, "model_name", "") for c in winners]
        assert names == ["small", "cheap"]
        assert len(await bench.store.children(bench.task, Prompt)) == 2
        assert len(await bench.store.children(bench.task, PromptOptimizationJob)) == 2


async def test_the_search_of_each_model_can_be_shown(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        await add_start(bench, "cheap start", "cheap")
        report = await improve(bench)
        call = {"project": str(bench.store.folder), "eval": "Right"}
        shown = await show_prompt_search.invoke(bench.workspace, json.loads(json.dumps(call)))
        assert isinstance(shown, PromptSearchReport)
        assert {row.start for row in shown.searches} == {"start", "cheap start"}
        items = {run.id for run in await bench.store.children(bench.task, TaskRun)}
        for row, line in zip(
            sorted(shown.searches, key=lambda own: own.start, reverse=True),
            report.models,
            strict=True,
        ):
            one = await show_prompt_search.invoke(
                bench.workspace, json.loads(json.dumps({**call, "search": row.search}))
            )
            assert isinstance(one, PromptSearchReport)
            assert one.verdict == line.claim
            assert one.best_prompt == line.report.winner_prompt
            assert 0 < len(one.tree) <= line.report.races
            names = [item for candidate in one.tree for item in candidate.items]
            train = {name.rpartition(" (")[2].rstrip(")") for name in names}
            assert train <= items


async def test_a_model_without_a_gain_keeps_its_prompt(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, constant) as bench:
        await add_start(bench, "cheap start", "cheap")
        report = await improve(bench, max_calls=80)
        assert report.verdict == "No gain could be shown."
        assert [line.winner for line in report.models] == [None, None]
        assert await bench.store.children(bench.task, Prompt) == []


async def test_run_configs_with_other_prompts_or_named_twice_are_refused(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_coin) as bench:
        await add_start(bench, "cheap start", "cheap", prompt="Work it out.")
        with pytest.raises(Refusal, match=r"different prompts.*create_run_config"):
            await improve(bench)
        with pytest.raises(InvalidValue, match="named once"):
            await improve(bench, starts=["start", "start"])
        assert bench.model.requests == []
