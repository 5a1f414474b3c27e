"""What a project would have this machine run, once its folder is trusted."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from storage.format.layout import folder_of
from storage.record_files import RecordFiles, read_project
from storage.records import (
    CodeEval,
    CodeTool,
    Eval,
    EvalConfig,
    ExternalToolServer,
    Project,
    Task,
)
from storage.records.tools import LocalServer
from storage.records.workbench_checks import CommandCheck, WorkbenchCheck


def list_programs(folder: Path) -> list[str]:
    """Return a line for each program that the records of a project name now.

    Its files are only read. It blocks.

    Raises:
        StorageError: The folder holds no project that can be read.
    """
    files, project = RecordFiles(folder), read_project(folder)
    return [
        *_tool_servers(files, project),
        *(
            f"code tool '{tool.name}': {folder_of(tool.saved.path)}/tool.py"
            for tool in files.children(project, CodeTool)
        ),
        *_code_evaluators(files, project),
    ]


def _tool_servers(files: RecordFiles, project: Project) -> Iterator[str]:
    for server in files.children(project, ExternalToolServer):
        match server.properties:
            case LocalServer(command=command, args=arguments):
                yield f"MCP tool server '{server.name}': {shlex.join([command, *arguments])}"
            case _:
                continue


def _code_evaluators(files: RecordFiles, project: Project) -> Iterator[str]:
    for task in files.children(project, Task):
        for parent in files.children(task, Eval):
            for judge in files.children(parent, EvalConfig):
                match judge.properties:
                    case CodeEval():
                        code = f"{folder_of(judge.saved.path)}/scorer.py"
                        yield f"code evaluator '{judge.name}': {code}"
                    case WorkbenchCheck(kiln_mcp_check=CommandCheck(command=command)):
                        yield f"command evaluator '{judge.name}': {shlex.join(command)}"
                    case _:
                        continue
