"""Answer inputs by running the task, as a run config says."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.llm import Engine
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.run_configs.definitions import RunConfigDefinition
from kiln_mcp.run_configs.run_config_records import make_run_config
from kiln_mcp.run_configs.system_prompts import PromptText, instruction_prompt
from kiln_mcp.run_configs.task_runs import ResolvedRunConfig, produce, to_task_run
from storage import DataSource, Project, Task, TaskRun, TaskRunConfig
from storage.records.handles import choose

FIRST: Final = "Starting prompt"
"""The name of the run config that is made where a task has none."""


@dataclass(frozen=True, slots=True)
class TaskInput:
    """An input.

    Attributes:
        text: Its text.
        source: Where it came from.
        tags: The tags of its run.
        sample: Which of several outputs of it is wanted; 0 for the first.
    """

    text: str
    source: DataSource
    tags: tuple[str, ...]
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Answers:
    """The runs, in the order of the inputs, None for those that failed; and why, by place."""

    runs: tuple[TaskRun | None, ...]
    failures: Mapping[int, str]


def choose_run_config(
    project: Project,
    task: Task,
    configs: Sequence[TaskRunConfig],
    reference: str | None,
    model: str,
) -> TaskRunConfig:
    """Return the run config that is named, the task's default, the oldest, or a new one.

    Raises:
        RecordNotFound: There is none of this name.
    """
    if reference is not None:
        return choose(TaskRunConfig, configs, reference)
    default = [config for config in configs if config.id == task.default_run_config_id]
    if default or configs:
        return (default or list(configs))[0]
    definition = RunConfigDefinition(name=FIRST)
    return make_run_config(project, task, definition, model, PromptText(instruction_prompt(task)))


async def answer_all(
    engine: Engine,
    run_config: TaskRunConfig,
    resolved_config: ResolvedRunConfig,
    inputs: Sequence[TaskInput],
    report: Callable[[int], Awaitable[None]],
) -> Answers:
    """Run the task on every input, as many at once as the model's server allows.

    An input whose model fails is left out, not fatal.

    Args:
        engine: The engine.
        run_config: The run config, for the runs' source.
        resolved_config: The same, resolved.
        inputs: The inputs.
        report: Called with the number of inputs that are done.
    """
    runs: list[TaskRun | None] = [None] * len(inputs)
    failures: dict[int, str] = {}
    done = 0

    async def answer(place: int) -> None:
        nonlocal done
        item = inputs[place]
        try:
            config = replace(resolved_config, sample=item.sample)
            production = await produce(engine, config, item.text, "synthesis/outputs")
        except ModelError as error:
            failures[place] = str(error)
        else:
            run = to_task_run(production, item.text, run_config, config)
            runs[place] = run.replace(input_source=item.source, tags=item.tags)
        done += 1
        await report(done)

    await for_each(range(len(inputs)), answer, engine.width([resolved_config.model]))
    return Answers(tuple(runs), dict(sorted(failures.items())))
