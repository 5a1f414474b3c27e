"""Make a training out of what a call asks for; nothing is sent, written or trained."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from kiln_mcp.datasets.held_out import runs_to_show
from kiln_mcp.evals.lookups import find_run_configs
from kiln_mcp.programs.readiness import tools_of
from kiln_mcp.programs.skills import read_skills, skills_section
from kiln_mcp.run_configs.system_prompts import (
    DEFAULT_THINKING,
    instruction_prompt,
    prompt_text,
    split_examples,
)
from kiln_mcp.run_configs.task_runs import output_schema
from kiln_mcp.tuning.export import Recipe, check_recipe
from kiln_mcp.tuning.file_limits import check_thinking
from kiln_mcp.tuning.formats import Instructions, Thinking
from kiln_mcp.tuning.providers.provider import Value, check_parameters
from kiln_mcp.tuning.providers.registry import ProviderName, open_provider
from kiln_mcp.tuning.training_checks import check_training_data, choose_shape, parts_to_learn
from kiln_mcp.tuning.training_files import FrozenData, read_training_data
from kiln_mcp.tuning.trainings import Training
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Prompt, Task


@dataclass(frozen=True, slots=True)
class TrainingWish:
    """A training as a call asks for it.

    Attributes:
        provider: Who trains.
        base_model: What is trained, as the provider names it.
        name: Of what comes out; None for one from the base and the split.
        run_config: Whose prompt it learns and runs with; None for the task's.
        thinking: What becomes of the reasoning.
        parameters: By name, not yet checked.
        seed: Of whatever is random.
        despite_faults: Whether grave faults of the data are accepted.
        label: Tells the trainings of one call apart; "" for the only one.
    """

    provider: ProviderName
    base_model: str
    name: str | None = None
    run_config: str | None = None
    thinking: Thinking = Thinking.FINAL_ONLY
    parameters: Mapping[str, Value] | None = None
    seed: int = 0
    despite_faults: bool = False
    label: str = ""

    @property
    def arguments(self) -> dict[str, JsonValue]:
        """The arguments of the call that asks for it, without those left at their defaults."""
        values: dict[str, JsonValue] = {
            "name": self.name,
            "run_config": self.run_config,
            "thinking": None if self.thinking is Thinking.FINAL_ONLY else str(self.thinking),
            "parameters": dict(self.parameters or {}) or None,
            "seed": self.seed or None,
            "despite_faults": self.despite_faults or None,
        }
        wishes = {name: value for name, value in values.items() if value is not None}
        return {"provider": str(self.provider), "base_model": self.base_model, **wishes}


async def draft_training(workspace: Workspace, data: FrozenData, wish: TrainingWish) -> Training:
    """Return a training, its data and its provider checked.

    Raises:
        InvalidValue: A parameter or the base is not valid.
        Refusal: The data cannot be learnt, or this machine lacks what trains.
        KeyProblem: The provider's key is missing.
    """
    provider = open_provider(wish.provider, workspace.settings.engine)
    check_thinking(provider, wish.thinking)
    parameters = check_parameters(provider.hyperparameters, wish.parameters or {})
    schema = output_schema(data.task)
    recipe = Recipe(
        choose_shape(provider.shapes, schema, wish.thinking),
        wish.thinking,
        await read_instructions(data.store, data.task, wish.run_config),
        schema,
    )
    check_recipe(data.task, recipe)
    training_data = await read_training_data(data, parts_to_learn(data.split), recipe)
    check_training_data(training_data, provider, despite_faults=wish.despite_faults)
    await provider.check(wish.base_model)
    return Training(
        workspace,
        data,
        training_data,
        recipe,
        wish.provider,
        provider,
        wish.base_model,
        wish.name or f"{wish.base_model.rpartition('/')[2]} on {data.split.name}",
        parameters,
        wish.seed,
        workspace.id_for(f"finetune {wish.label}".rstrip()),
        workspace.id_for(f"run config {wish.label}".rstrip()),
    )


async def read_instructions(store: ProjectStore, task: Task, reference: str | None) -> Instructions:
    """Return the prompt to train with: a run config's, or the task's own.

    A model that may read skills is shown their list, so it is a part of the prompt.

    Raises:
        RecordNotFound: There is no such run config.
        ModelError: A skill of it is not there, or cannot be read.
    """
    thinking = task.thinking_instruction or DEFAULT_THINKING
    if reference is None:
        return Instructions(instruction_prompt(task), thinking)
    (config,) = await find_run_configs(store, task, [reference])
    prompts = await store.children(task, Prompt)
    text = prompt_text(task, config, prompts, await runs_to_show(store, task))
    system, examples = split_examples(text.prompt)
    skills = await read_skills(store, tools_of(config), config.name)
    return Instructions(system + skills_section(skills), text.thinking or thinking, examples)
