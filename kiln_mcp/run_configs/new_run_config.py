"""The record of a new run config, and saving it with its program's file and its servers."""

from dataclasses import dataclass, replace

from kiln_mcp.programs.program_files import model_of_tool, program_line, program_model
from kiln_mcp.run_configs.definitions import RunConfigDefinition
from kiln_mcp.run_configs.new_programs import NewProgram
from kiln_mcp.run_configs.run_config_records import make_run_config
from kiln_mcp.run_configs.system_prompts import PromptText
from kiln_mcp.workbench.workspace import Workspace
from storage import Project, ProjectStore, Task, TaskRunConfig, new_id
from storage.records.run_config import PROGRAM_FILE


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A run config that is not saved yet.

    Attributes:
        config: The record.
        model: The model or the program that makes its outputs, as answers name it.
        program_line: What the file of its program holds; "" for none.
    """

    config: TaskRunConfig
    model: str
    program_line: str = ""


def make_record(
    workspace: Workspace,
    project: Project,
    task: Task,
    definition: RunConfigDefinition,
    text: PromptText | None,
    new: NewProgram,
) -> NewRecord:
    """Return a new run config.

    Args:
        workspace: Knows the default model.
        project: The project.
        task: The task.
        definition: Its name and settings.
        text: The prompt; None for a program that has its own.
        new: Its program and its tools.

    Raises:
        ModelError: No model has this name.
    """
    identity = new_id()
    if (tool := new.stored_tool) is not None:
        config = TaskRunConfig(id=identity, name=definition.name, run_config_properties=tool)
        return NewRecord(config, model_of_tool(config))
    if new.program is not None:
        program = new.program.model_copy(update={"origin_id": identity})
        model = program_model(program)
        config = make_run_config(project, task, definition, model, text, identity)
        return NewRecord(config.replace(description=program.text), model, program_line(program))
    model = workspace.model_name(definition.model)
    workspace.engine.check_name(model)
    record = NewRecord(make_run_config(project, task, definition, model, text, identity), model)
    if not new.tools:
        return record
    properties = record.config.run_config_properties
    with_tools = properties.replace(tools_config=new.tools_config, **new.limits)
    return replace(record, config=record.config.replace(run_config_properties=with_tools))


async def save_record(
    store: ProjectStore, task: Task, record: NewRecord, new: NewProgram
) -> TaskRunConfig:
    """Save a run config with its program's file and the servers that come with it, or nothing."""
    async with store.transaction() as change:
        for server in new.servers:
            change.save(server, parent=store.project)
        saved = change.save(record.config, parent=task)
        if record.program_line:
            change.append_lines(saved, PROGRAM_FILE, [record.program_line])
    return saved
