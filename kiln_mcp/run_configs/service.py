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
from kiln_mcp.run_configs.definitions import SIMPLE_PROMPT, RunConfigDefinition
from kiln_mcp.run_configs.errors import unsupported_run_config
from kiln_mcp.run_configs.run_config_records import make_run_config
from kiln_mcp.run_configs.system_prompts import (
    WITH_EXAMPLES,
    PromptText,
    built_prompt,
    split_examples,
    with_prompt_named,
)
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    capability,
)
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
    discovery=Discovery(
        Heading.PROMPTS,
        "switch to, use, swap, change, set, add, GPT, Claude, Gemini, Llama, Mistral, Haiku, "
        "OpenAI, smaller, larger, cheaper, faster, lower, higher, max tokens, few-shot examples, "
        "chain of thought, shorter, longer, new wording, version, variant, alternative, "
        "candidate, configuration, settings, parameters, instead, what if, use the prompt below, "
        "replace, current one, other, different, another, second prompt, provider, local model, "
        "new, setup, creative, deterministic, reasoning, thinking, examples in the prompt, saved "
        "prompt, as a variant, save it as, compare later, v2, prompt version, smarter, mini, "
        "bigger, bigger model, another LLM, try, upgrade, new prompt, other model, swap the "
        "model, run config",
    ),
)
async def create_run_config(
    workspace: Workspace,
    project: ProjectReference,
    name: str,
    model: Annotated[str | None, Field(description="Left out: the default one.")] = None,
    prompt: Annotated[str | None, Field(description="Left out: what prompt_id says.")] = None,
    prompt_id: Annotated[
        str,
        Field(
            description="The task's instruction, few_shot_prompt_builder (with its best rated "
            "runs), id::<saved prompt>, …"
        ),
    ] = SIMPLE_PROMPT,
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0,
    max_tokens: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000,
            description="Reasoning included; left out: 1024.",
        ),
    ] = None,
    task: TaskReference = None,
) -> RunConfigCreated:
    """Try another model, prompt or temperature: save a variant (run config) of how a task is run.

    It never changes. Measure it with run_eval.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    run_config = RunConfigDefinition(
        name=name,
        prompt=prompt,
        prompt_id=prompt_id,
        model=model,
        max_tokens=max_tokens,
        temperature=temperature,
    )
    if any(
        is_same_name(name, config.name) for config in await store.children(owner, TaskRunConfig)
    ):
        raise Refusal(
            "There is a run config '{name}' already, and run configs never change. Choose another "
            "name. Nothing has been saved.",
            name=name,
        )
    text = PromptText(prompt) if prompt else None
    if text is None:
        prompts = await store.children(owner, Prompt)
        run_config = with_prompt_named(run_config, prompts)
        examples = await runs_to_show(store, owner)
        text = built_prompt(owner, run_config.prompt_id, prompts, examples)
    if text is None:
        raise unsupported_run_config(name, f"there is no prompt {prompt_id!r}")
    model_name = workspace.model_name(model)
    workspace.engine.check_name(model_name)
    config = make_run_config(store.project, owner, run_config, model_name, text)
    saved = await store.save(config, parent=owner)
    return RunConfigCreated(
        run_config=saved.name,
        id=saved.id,
        handle=await handle_of(store, saved),
        model=model_name,
        prompt=text.prompt,
        warnings=[] if prompt else lack_of_examples(prompt_id, text.prompt),
        next=[
            NextStep(tool="run_eval", reason="measure it", arguments={"run_configs": [saved.name]})
        ],
    )
