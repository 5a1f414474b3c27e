"""Capability: create a run config."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field, JsonValue

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
from kiln_mcp.run_configs.new_programs import (
    ProgramArguments,
    after_run_config,
    read_new_program,
    trust_warning,
)
from kiln_mcp.run_configs.new_run_config import make_record, save_record
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
    Proposal,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage import Eval, ProjectStore, Prompt, Task, TaskRunConfig
from storage.errors import Refusal


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
        "model, run config, my own code, program under test, script, endpoint, HTTP API, "
        "MCP tools, agent with tools",
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
    program: Annotated[
        str | None,
        Field(
            description="Your own code instead of a model: 'command: python bot.py "
            "{prompt_file}' (input on stdin), a URL, 'python: module:function', "
            "'mcp: server/tool'."
        ),
    ] = None,
    tools: Annotated[list[str] | None, Field(description="MCP tools: server/tool.")] = None,
    settings: Annotated[
        dict[str, JsonValue] | None,
        Field(description="Of a program: folder, environment, body, output_field …"),
    ] = None,
    task: TaskReference = None,
) -> Proposal[RunConfigCreated]:
    """Try another model, prompt or temperature: save a variant (run config) of how a task is run.

    It never changes. Measure it with run_eval.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    definition = RunConfigDefinition(
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
    if program is not None and (model or max_tokens or tools):
        raise Refusal(
            "A program makes the outputs by itself: leave out model, max_tokens and tools. Nothing "
            "has been saved."
        )
    arguments = ProgramArguments(
        program, tools or (), settings or {}, bool(prompt) or prompt_id != SIMPLE_PROMPT
    )
    new = await read_new_program(workspace, store, name, arguments)
    if new.own_prompt:
        definition = replace(definition, prompt=new.own_prompt)
    text = None
    if new.program is None or new.program.hands_over_prompt:
        definition, text = await _prompt_of(store, owner, definition)
    record = make_record(workspace, store.project, owner, definition, text, new)

    async def save() -> RunConfigCreated:
        saved = await save_record(store, owner, record, new)
        examples = [] if prompt or text is None else lack_of_examples(prompt_id, text.prompt)
        runs_here = trust_warning(workspace, store) if new.code else []
        evals = [record.name for record in await store.children(owner, Eval)]
        return RunConfigCreated(
            run_config=saved.name,
            id=saved.id,
            handle=await handle_of(store, saved),
            model=record.model,
            prompt=text.prompt if text else "",
            warnings=[*examples, *runs_here],
            next=after_run_config(saved.name, new.program, evals),
        )

    return Proposal(new.plan(name), save)


async def _prompt_of(
    store: ProjectStore, owner: Task, definition: RunConfigDefinition
) -> tuple[RunConfigDefinition, PromptText]:
    """Return a definition whose saved prompt is named by its id, and the prompt.

    Raises:
        Refusal: There is no such prompt.
    """
    if definition.prompt:
        return definition, PromptText(definition.prompt)
    prompts = await store.children(owner, Prompt)
    definition = with_prompt_named(definition, prompts)
    examples = await runs_to_show(store, owner)
    text = built_prompt(owner, definition.prompt_id, prompts, examples)
    if text is None:
        raise unsupported_run_config(
            definition.name, f"there is no prompt {definition.prompt_id!r}"
        )
    return definition, text
