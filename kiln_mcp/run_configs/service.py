"""Capabilities: create a run config."""

from typing import Annotated

from pydantic import Field

from kiln_mcp.datasets.held_out import runs_to_show
from kiln_mcp.projects.project_references import (
    ProjectReference,
    TaskReference,
    handle_of,
    is_same_name,
    task_of,
)
from kiln_mcp.run_configs.answers import RunConfigCreated
from kiln_mcp.run_configs.arguments import RunConfigDefinition
from kiln_mcp.run_configs.errors import unsupported_run_config
from kiln_mcp.run_configs.run_config_records import make_run_config
from kiln_mcp.run_configs.system_prompts import (
    WITH_EXAMPLES,
    PromptText,
    built_prompt,
    split_examples,
    with_prompt_named,
)
from kiln_mcp.workbench.capability import Effect, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import Prompt, TaskRunConfig
from storage.errors import NextStep, Refusal


def lack_of_examples(prompt_id: str, prompt: str) -> list[str]:
    """Return a warning where a prompt that shows examples has none to show."""
    if prompt_id not in WITH_EXAMPLES or split_examples(prompt)[1]:
        return []
    return [
        "The prompt shows no example: no run has 4 stars or a repair, except those that evals "
        "measure on, which no prompt shows. Rate or repair runs of the train part, then make "
        "another run config."
    ]


@capability(
    effect=Effect.WRITES,
    title="Create a run config",
    search_hint="try another model, prompt, temperature, variant; switch to GPT or Claude",
)
async def create_run_config(
    workspace: Workspace,
    project: ProjectReference,
    run_config: Annotated[
        RunConfigDefinition, Field(description="Its name, prompt, model and temperature.")
    ],
    task: TaskReference = None,
) -> RunConfigCreated:
    """Save one way to run a task: a model with a prompt, frozen so that it never changes.

    Measure it with run_eval.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    if any(
        is_same_name(run_config.name, config.name)
        for config in await store.children(owner, TaskRunConfig)
    ):
        raise Refusal(
            "There is a run config '{name}' already, and run configs never change. Choose another "
            "name. Nothing has been saved.",
            name=run_config.name,
        )
    text = PromptText(run_config.prompt) if run_config.prompt else None
    if text is None:
        prompts = await store.children(owner, Prompt)
        run_config = with_prompt_named(run_config, prompts)
        examples = await runs_to_show(store, owner)
        text = built_prompt(owner, run_config.prompt_id, prompts, examples)
    if text is None:
        raise unsupported_run_config(
            run_config.name, f"there is no prompt {run_config.prompt_id!r}"
        )
    model = workspace.model_name(run_config.model)
    workspace.engine.check_name(model)
    config = make_run_config(store.project, owner, run_config, model, text)
    saved = await store.save(config, parent=owner)
    return RunConfigCreated(
        run_config=saved.name,
        id=saved.id,
        handle=await handle_of(store, saved),
        model=model,
        prompt=text.prompt,
        warnings=[] if run_config.prompt else lack_of_examples(run_config.prompt_id, text.prompt),
        next=[
            NextStep(tool="run_eval", reason="measure it", arguments={"run_configs": [saved.name]})
        ],
    )
