"""The records of a winner: a prompt, a run config and Kiln's record of the job that found them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evals.measurement import Repeats, plan_run
from kiln_mcp.evals.runner import carry_out
from kiln_mcp.evolution.engine import Candidate
from kiln_mcp.evolution.prompt_texts import thinking_of, tool_texts_of
from kiln_mcp.evolution.search_context import SearchContext
from kiln_mcp.programs.readiness import ready_run_configs
from kiln_mcp.run_configs.definitions import RunConfigDefinition
from kiln_mcp.run_configs.own_properties import TOOL_TEXTS
from kiln_mcp.run_configs.run_config_records import make_run_config
from kiln_mcp.run_configs.system_prompts import SAVED_PROMPT, PromptText
from kiln_mcp.run_configs.task_runs import agent_properties
from storage import Prompt, PromptOptimizationJob, TaskRunConfig
from storage.records.run_config import PROGRAM_FILE

GENERATOR: Final = "kiln_mcp::evolve_prompt"
SUCCEEDED: Final = "succeeded"
"""Kiln's word for a prompt optimization that has ended well."""


@dataclass(frozen=True, slots=True)
class Winner:
    """The records of a candidate, which are not saved yet, and what it says of tools and skills.

    Their ids derive from the job, so that a second attempt finds what the first one saved.
    """

    config: TaskRunConfig
    prompt: Prompt
    job: PromptOptimizationJob
    tool_texts: Mapping[str, str]


def make_winner(search_context: SearchContext, candidate: Candidate) -> Winner:
    """Return the records that a candidate would have."""
    eval_context, workspace = search_context.eval_context, search_context.workspace
    config_id, prompt_id = search_context.id_for("run config"), search_context.id_for("prompt")
    text = PromptText(search_context.texts.prompt(candidate), thinking_of(candidate))
    name = f"{search_context.first.name} evolved {search_context.number[-4:]}"
    properties = agent_properties(search_context.first)
    definition = RunConfigDefinition(name=name, prompt=text.prompt)
    project, model = eval_context.store.project, search_context.resolved_config.model
    draft = make_run_config(project, eval_context.task, definition, model, text, config_id)
    changed_texts = _changed_texts(search_context, candidate)
    own_keys = {TOOL_TEXTS: changed_texts} if changed_texts else {}
    prompt_reference = getattr(draft.run_config_properties, "prompt_id", "")
    config = draft.replace(
        # All settings of the start, so that the prompt is all that differs.
        run_config_properties=properties.replace(prompt_id=prompt_reference, **own_keys),
        prompt=draft.prompt.replace(generator_id=GENERATOR) if draft.prompt else None,
    )
    prompt = Prompt(
        id=prompt_id,
        name=name,
        description="Found by a search for a better prompt, seed "
        f"{search_context.request.seed}; every decision is in {search_context.file_name} "
        f"beside the eval {eval_context.eval_record.name!r}.",
        generator_id=GENERATOR,
        prompt=text.prompt,
        chain_of_thought_instructions=text.thinking,
    )
    job = PromptOptimizationJob(
        id=search_context.id_for("prompt optimization job"),
        name=name,
        description=prompt.description,
        job_id=workspace.job or search_context.number,
        target_run_config_id=search_context.first.id,
        latest_status=SUCCEEDED,
        optimized_prompt=text.prompt,
        created_prompt_id=f"{SAVED_PROMPT}{prompt_id}",
        created_run_config_id=config_id,
        eval_ids=(eval_context.eval_record.id,),
    )
    return Winner(config, prompt, job, changed_texts)


def _changed_texts(search_context: SearchContext, candidate: Candidate) -> dict[str, str]:
    """Return the texts of tools and skills that are not as they are by themselves."""
    own = search_context.tool_texts
    return {name: t for name, t in tool_texts_of(candidate).items() if t != own.get(name)}


async def save_winner(search_context: SearchContext, winner: Winner, repeats: Repeats) -> None:
    """Save the records, all or none, and what start and winner made of the held-out items.

    The outputs come from the response cache: the final measurement has just asked for them.
    """
    eval_context = search_context.eval_context
    store = eval_context.store
    configs = await store.children(eval_context.task, TaskRunConfig)
    if winner.config.id not in {record.id for record in configs}:
        lines = await store.side_lines(search_context.first, PROGRAM_FILE)
        async with store.transaction(is_patient=True) as change:
            change.save(winner.prompt, parent=eval_context.task)
            change.save(winner.job, parent=eval_context.task)
            saved = change.save(winner.config, parent=eval_context.task)
            change.append_lines(saved, PROGRAM_FILE, lines)
    configs = await store.children(eval_context.task, TaskRunConfig)
    config = next(record for record in configs if record.id == winner.config.id)
    configs = [search_context.first, config]
    await ready_run_configs(search_context.workspace, store, configs)
    plan = await plan_run(eval_context, configs, search_context.parts.test, repeats=repeats)
    await carry_out(search_context.workspace, plan)
