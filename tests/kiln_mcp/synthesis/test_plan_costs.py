"""The cost of a kept item is that of all calls of its plan, not of the outputs alone."""

from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from data_writer import DataWriter, data_project
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.synthesis.answers import DataPlanReport
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.synthesis.report_service import report_data
from kiln_mcp.workbench.workspace import Workspace


async def as_job(workspace: Workspace, project: str, job: str, plan: JsonValue) -> object:
    """Carry out a step as a job does: under a budget of its own."""
    budget = await workspace.engine.budget(f"jobs/{job}", BudgetLimit())
    attempt = replace(workspace, job=job, engine=workspace.engine.within(budget))
    return await generate_data(attempt, project, plan=plan)


async def test_the_calls_for_topics_and_inputs_count_as_those_for_outputs(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        plan = await as_job(workspace, project, "4711", {"count": 10})
        assert isinstance(plan, DataPlanReport)
        await as_job(workspace, project, "4712", plan.id)
        assert len(writer.requests) == 1 + 2 + 10
        report = await report_data(workspace, project)
        figure = next(own for own in report.figures if own.name == "Cost a kept item")
        assert figure.meaning.startswith("All 13 calls of models for 10 kept items")
