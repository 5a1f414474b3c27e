"""The report of a search: while it runs, when it was stopped, and when it has ended."""

import json
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from kiln_mcp.evolution.report_answers import PromptSearchPage, PromptSearchReport
from kiln_mcp.evolution.service import show_prompt_search
from kiln_mcp.llm import ModelRequest
from kiln_mcp.llm.errors import RejectedRequest
from search_bench import PARTS, Bench, by_demonstrations, by_instruction, open_search_bench
from storage import PromptOptimizationJob
from storage.errors import InvalidValue, Refusal


async def report_of(bench: Bench, **arguments: object) -> PromptSearchReport:
    answer = await show_prompt_search.invoke(bench.workspace, arguments_of(bench, arguments))
    assert isinstance(answer, PromptSearchReport)
    return answer


def arguments_of(bench: Bench, arguments: dict[str, object]) -> dict[str, JsonValue]:
    call = {"project": str(bench.store.folder), "eval": "Right", **arguments}
    return json.loads(json.dumps(call))


async def test_the_tree_names_each_candidate_with_its_lesson_and_items(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        answer = await bench.evolve(max_calls=120, reflect_with="editor")
        report = await report_of(bench)
        assert (report.state, report.verdict) == ("ended", answer.verdict)
        kept = [row for row in report.tree if row.accepted]
        assert [row.lesson for row in kept] == [race.change for race in answer.race_wins]
        assert all(row.items for row in kept if row.operator == "reflect")
        parents = {point.candidate for point in report.curve}
        assert {row.parent for row in report.tree if row.parent} <= parents
        assert report.curve[-1].candidate == kept[-1].name
        assert [f"candidate {race.race}" for race in answer.race_wins] == [r.name for r in kept]
        numbers = {str(number) for number in PARTS["train"]}
        for row in report.tree:
            assert {item.partition(" (")[0] for item in row.items} <= numbers
        assert report.best_prompt.startswith("Do it.")
        assert report.comparison == answer.comparison
        assert report.stop_sentence == answer.stop_sentence != ""


async def test_any_two_candidates_are_compared_also_rejected_ones(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_instruction) as bench:
        await bench.evolve(max_calls=120, reflect_with="editor")
        report = await report_of(bench)
        assert "+double it" in report.difference.splitlines()
        rejected = next(row for row in report.tree if row.candidate and not row.accepted)
        for name in (rejected.candidate, rejected.name, rejected.name.split()[1]):
            other = await report_of(bench, compare=[name, "start"])
            assert other.difference.startswith(f"--- {name}")
        trials = [row.candidate for row in report.standings]
        for name in trials:
            assert (await report_of(bench, compare=["start", name])).difference
        with pytest.raises(InvalidValue, match="no candidate 'nobody'"):
            await report_of(bench, compare=["nobody", "best"])


async def test_a_search_can_be_watched_before_it_has_ended(tmp_path: Path) -> None:
    count = 0

    def answer(request: ModelRequest) -> str:
        nonlocal count
        count += 1
        if count > 130:
            raise RejectedRequest(request.model, "it is closed now.")
        return by_demonstrations(request)

    async with open_search_bench(tmp_path, answer) as bench:
        attempt = replace(bench, workspace=replace(bench.workspace, job="1"))
        with pytest.raises(RejectedRequest):
            await attempt.evolve(max_calls=200, seed=1)
        report = await report_of(bench)
        assert report.state == "unfinished"
        (log,) = (bench.workspace.settings.home / "searches").iterdir()
        events = await anyio.Path(log).read_text(encoding="utf-8")
        assert len(report.tree) == events.count('"event": "decision"') > 0
        assert report.verdict.endswith("Nothing is claimed yet.")


async def test_a_search_that_goes_on_reports_the_calls_of_all_attempts(tmp_path: Path) -> None:
    failures = [RejectedRequest("small", "it is closed now.")]
    reports: list[float] = []

    def answer(request: ModelRequest) -> str:
        if len(reports) > 60 and failures:
            raise failures.pop()
        return by_demonstrations(request)

    async def report(done: float, total: float | None, message: str) -> None:
        if message.startswith("Searching"):
            reports.append(done)

    async with open_search_bench(tmp_path, answer) as bench:
        attempt = replace(bench, workspace=replace(bench.workspace, job="1", report=report))
        with pytest.raises(RejectedRequest):
            await attempt.evolve(max_calls=200, seed=1)
        first = max(reports)
        reports.clear()
        answer_of_all = await attempt.evolve(max_calls=200, seed=1)
        assert first >= 60
        assert min(reports) >= first
        assert max(reports) == answer_of_all.search_calls


async def test_the_page_has_the_tree_the_curve_and_the_prompt(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        answer = await bench.evolve(max_calls=100, seed=1)
        page = await show_prompt_search.invoke(
            bench.workspace, arguments_of(bench, {"markdown": True})
        )
        assert isinstance(page, PromptSearchPage)
        assert answer.verdict in page.content
        for heading in (
            "## On held-out items",
            "## Best prompt",
            "## Gain by calls",
            "## Tree",
            "```diff",
        ):
            assert heading in page.content


async def test_lines_that_are_damaged_cost_themselves_alone(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        answer = await bench.evolve(max_calls=100, seed=1)
        path = anyio.Path(answer.search_log)
        text = await path.read_text(encoding="utf-8")
        garbage = '{"event": "decision", "gain": "much"}\n[1]\nno json\n'
        await path.write_text(text + garbage, encoding="utf-8")
        report = await report_of(bench)
        assert len(report.tree) == answer.races


async def test_an_eval_without_searches_says_so_with_the_next_step(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        with pytest.raises(Refusal, match=r"No search .* lies beside 'Right'.*improve_prompt"):
            await report_of(bench)


async def test_kilns_record_of_the_job_names_what_it_made(tmp_path: Path) -> None:
    async with open_search_bench(tmp_path, by_demonstrations) as bench:
        answer = await bench.evolve(max_calls=100, seed=1)
        (job,) = await bench.store.children(bench.task, PromptOptimizationJob)
        assert (job.created_prompt_id, job.optimized_prompt) == (
            f"id::{answer.prompt_id}",
            answer.winner_prompt,
        )
        assert job.latest_status == "succeeded"
