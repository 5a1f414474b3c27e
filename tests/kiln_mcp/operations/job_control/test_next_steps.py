"""A next step runs as it stands, or its reason names what the caller has to give."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from bench import Agrees
from kiln_mcp.catalogue import Catalogue, installed_catalogue
from kiln_mcp.operations.job_control.capability_calls import call_capability
from kiln_mcp.operations.job_control.next_steps import complete_answer, complete_step
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.answer_text import STEPS, Step, steps_in
from kiln_mcp.workbench.capability import AnyCapability
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import InvalidValue, NextStep, WorkbenchError

TOOLS = {item.name: item for item in installed_catalogue().capabilities}
NEEDED: Mapping[str, JsonValue] = {
    "eval": "Right",
    "type": "contains",
    "name": "new",
    "record": "Answer",
    "run_config": "Start",
    "start": "Start",
    "starts": ["Start"],
    "compare": ["Start"],
    "teacher": "Start",
    "runs": ["x"],
    "labels": [{"item": "x", "label": "pass"}],
    "rater": "ann",
    "file": "/nowhere.json",
    "split": "x",
    "provider": "openai",
    "base_model": "gpt-4.1-mini",
    "base_models": ["gpt-4.1-mini"],
    "job": "x",
    "conflict": "x",
    "choice": 1,
    "path": "x",
    "change": "x",
    "kind": "run",
    "records": ["x"],
    "key": "x",
    "model": "embedded",
}
"""A value of each argument that some capability requires, for a project with little in it."""


def steps_of(answer: JsonValue) -> Iterator[Step]:
    """Yield the next steps of an answer, wherever they stand."""
    if isinstance(answer, list):
        for item in answer:
            yield from steps_of(item)
    elif isinstance(answer, dict):
        for name, value in answer.items():
            yield from steps_in(value) if name == STEPS else steps_of(value)


def gaps_of(step: Step) -> list[str]:
    """Return the needs of a step's capability that neither its arguments nor its reason have."""
    return [
        " or ".join(group)
        for group in TOOLS[step.tool].needs
        if "approval_id" not in (step.arguments or {})
        and not any(name in (step.arguments or {}) or f"`{name}`" in step.reason for name in group)
    ]


def needed_of(item: AnyCapability, project: str) -> dict[str, JsonValue]:
    """Return the arguments that a capability requires, and no other one."""
    fields = item.arguments.model_fields.items()
    values = {**NEEDED, "project": project}
    if item.name == "settle_copy":
        values["choice"] = "merge"
    return {name: values[name] for name, field in fields if field.is_required()}


@pytest.fixture
async def doorway(tmp_path: Path) -> AsyncGenerator[Workspace]:
    """A project "p" with items, a run config and an eval, as a door opens it."""
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    tools, folder = installed_catalogue(), str(tmp_path / "p")
    async with tools.open_workspace(settings) as opened:
        await tools.perform(
            opened,
            "create_project",
            {"name": "p", "folder": folder, "task": "Answer", "instruction": "Do it."},
        )
        items: JsonValue = [{"input": f"q{number}", "output": "a"} for number in range(3)]
        await tools.perform(opened, "add_data", {"project": "p", "items": items})
        start: dict[str, JsonValue] = {"project": "p", "name": "Start", "model": "embedded"}
        await tools.perform(opened, "create_run_config", start)
        check: dict[str, JsonValue] = {"type": "contains", "substring": "a"}
        await tools.perform(opened, "create_evaluator", {"project": "p", "eval": "Right", **check})
        yield replace(opened, person=Agrees())


async def attempt(
    workspace: Workspace, tools: Catalogue, name: str, arguments: Mapping[str, JsonValue]
) -> tuple[Sequence[Step], WorkbenchError | None]:
    """Return the next steps of a call at a door, and the error if it is refused."""
    try:
        outcome = await call_capability(workspace, tools.find(name), arguments, wait_s=0)
    except WorkbenchError as error:
        return error.next, error
    return list(steps_of(outcome.data)), None


@pytest.mark.parametrize("name", TOOLS)
async def test_each_step_after_a_call_runs_as_it_stands_or_names_what_it_lacks(
    name: str, doorway: Workspace
) -> None:
    item = TOOLS[name]
    steps, error = await attempt(doorway, installed_catalogue(), name, needed_of(item, "p"))
    for step in steps:
        assert gaps_of(step) == [], step
        assert (step.arguments or {}).keys() <= TOOLS[step.tool].arguments.model_fields.keys()
    asks_for_more = isinstance(error, InvalidValue) and "give" in str(error).casefold()
    assert not asks_for_more or item.discovery.alternatives, error


@pytest.mark.parametrize("name", TOOLS)
def test_a_bare_step_of_any_capability_names_all_that_its_call_lacks(name: str) -> None:
    step = complete_step(NextStep(tool=name, reason="do it"), {}, TOOLS[name].needs)
    assert gaps_of(step) == []


def test_a_step_takes_project_and_eval_over_from_the_call_before() -> None:
    step = NextStep(tool="improve_prompt", reason="search")
    call: Mapping[str, JsonValue] = {"project": "p", "eval": "Right", "most_items": 3}
    completed = complete_step(step, call, TOOLS["improve_prompt"].needs)
    assert completed.arguments == {"project": "p", "eval": "Right"}
    assert completed.reason == "search; give `start`"


def test_a_step_that_asks_for_another_eval_does_not_get_that_of_the_call() -> None:
    step = NextStep(tool="create_evaluator", reason="create an `eval` with another name")
    call: Mapping[str, JsonValue] = {"project": "p", "eval": "Right"}
    completed = complete_step(step, call, TOOLS["create_evaluator"].needs)
    assert completed.arguments == {"project": "p"}
    assert completed.reason == "create an `eval` with another name; give `type`"


def test_a_step_with_its_own_eval_keeps_it_and_several_evals_are_not_passed_on() -> None:
    own = NextStep(tool="run_eval", reason="measure", arguments={"eval": "Other"})
    assert complete_step(own, {"eval": "Right"}, TOOLS["run_eval"].needs).arguments == {
        "eval": "Other"
    }
    bare = NextStep(tool="run_eval", reason="measure")
    completed = complete_step(bare, {"eval": ["A", "B"]}, TOOLS["run_eval"].needs)
    assert completed.reason == "measure; give `project` and `eval`"


def test_a_step_with_an_approval_needs_nothing_else() -> None:
    step = NextStep(tool="run_eval", reason="go on", arguments={"approval_id": "a1"})
    assert complete_step(step, {"project": "p"}, TOOLS["run_eval"].needs) == step


def test_steps_of_rows_and_of_results_are_completed_once() -> None:
    step: JsonValue = {"tool": "add_data", "reason": "add items", "arguments": None}
    answer: dict[str, JsonValue] = {"result": {"rows": [{"next": [step]}]}, "n": 1}
    needs = {"add_data": TOOLS["add_data"].needs}
    completed = complete_answer(answer, {"project": "p"}, lambda tool: needs[tool])
    [row] = list(steps_of(completed))
    assert row.arguments == {"project": "p"}
    assert row.reason == "add items; give `file` or `items`"
    assert complete_answer(completed, {"project": "other"}, lambda tool: needs[tool]) == completed
    assert completed["n"] == 1


def test_a_step_that_needs_nothing_has_no_empty_arguments() -> None:
    answer: dict[str, JsonValue] = {"next": [{"tool": "check_job", "reason": "see all"}]}
    assert complete_answer(answer, {}, lambda tool: TOOLS[tool].needs) == answer


async def test_the_step_of_an_error_is_complete_in_its_sentence(doorway: Workspace) -> None:
    arguments: dict[str, JsonValue] = {"project": "p", "eval": "Right"}
    steps, error = await attempt(doorway, installed_catalogue(), "show_prompt_search", arguments)
    assert [step.arguments for step in steps] == [arguments]
    assert str(error).endswith(
        'Next: improve_prompt {"project": "p", "eval": "Right"}: begin one; give `start`.'
    )


async def test_a_new_run_config_is_measured_by_the_only_eval_of_its_task(
    doorway: Workspace,
) -> None:
    tools, folder = installed_catalogue(), str(await doorway.project_folder("p"))
    call: dict[str, JsonValue] = {"project": "p", "name": "Next", "model": "embedded"}
    [step], error = await attempt(doorway, tools, "create_run_config", call)
    assert error is None
    assert (step.tool, step.arguments, step.reason) == (
        "run_eval",
        {"project": folder, "eval": "Right", "run_configs": ["Next"]},
        "measure it",
    )
    check: dict[str, JsonValue] = {"type": "contains", "substring": "b"}
    await tools.perform(doorway, "create_evaluator", {"project": "p", "eval": "Other", **check})
    [step], _ = await attempt(doorway, tools, "create_run_config", {**call, "name": "Third"})
    assert step.arguments == {"project": folder, "run_configs": ["Third"]}
    assert step.reason == "measure it; give `eval`"


async def test_the_step_after_a_second_task_names_it(doorway: Workspace) -> None:
    folder = str(await doorway.project_folder("p"))
    task: dict[str, JsonValue] = {"project": "p", "task": "Sort mail", "instruction": "Sort."}
    [step], error = await attempt(doorway, installed_catalogue(), "create_project", task)
    assert error is None
    assert step.arguments == {"project": folder, "task": "task/sort-mail"}
