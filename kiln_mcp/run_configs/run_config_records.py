"""The records of run configs."""

from kiln_mcp.run_configs.definitions import SIMPLE_PROMPT, RunConfigDefinition
from kiln_mcp.run_configs.model_names import stored_model
from kiln_mcp.run_configs.own_properties import MAX_TOKENS
from kiln_mcp.run_configs.system_prompts import PromptText
from storage import BasePrompt, KilnAgentProperties, Project, Task, TaskRunConfig, new_id


def make_run_config(
    project: Project,
    task: Task,
    definition: RunConfigDefinition,
    model: str,
    text: PromptText | None,
    record_id: str | None = None,
) -> TaskRunConfig:
    """Return a run config whose prompt is frozen into it, so that it never changes.

    Args:
        project: The project.
        task: The task.
        definition: Its name and settings.
        model: The model's name.
        text: The prompt; None for a program that has its own.
        record_id: Its id; None for a new one.
    """
    identity = record_id or new_id()
    frozen_prompt = f"task_run_config::{project.id}::{task.id}::{identity}"
    model_pair = stored_model(model)
    properties = KilnAgentProperties(
        model_name=model_pair.name,
        model_provider_name=model_pair.provider,
        prompt_id=frozen_prompt if text else SIMPLE_PROMPT,
        temperature=definition.temperature,
        structured_output_mode="json_schema" if task.output_json_schema else "default",
    )
    if definition.max_tokens is not None:
        properties = properties.replace(**{MAX_TOKENS: definition.max_tokens})
    return TaskRunConfig(
        id=identity,
        name=definition.name,
        run_config_properties=properties,
        prompt=BasePrompt(
            name=definition.name, prompt=text.prompt, chain_of_thought_instructions=text.thinking
        )
        if text
        else None,
    )
