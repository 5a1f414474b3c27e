"""What a project would have this machine run, once its folder is trusted."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from storage.commits.side_files import read_side_file, side_path, whole_lines
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
    TaskRunConfig,
)
from storage.records.run_config import PROGRAM_FILE
from storage.records.tools import LocalServer, RemoteServer
from storage.records.workbench_checks import CommandCheck, WorkbenchCheck
from storage.text.excerpts import excerpt_line


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
        *_programs_under_test(folder, files, project),
    ]


def _tool_servers(files: RecordFiles, project: Project) -> Iterator[str]:
    for server in files.children(project, ExternalToolServer):
        match server.properties:
            case LocalServer(command=command, args=arguments):
                yield f"MCP tool server '{server.name}': {shlex.join([command, *arguments])}"
            case RemoteServer(server_url=url):
                yield f"MCP tool server '{server.name}': {url}"
            case _:
                continue


def _programs_under_test(folder: Path, files: RecordFiles, project: Project) -> Iterator[str]:
    for task in files.children(project, Task):
        for config in files.children(task, TaskRunConfig):
            path = side_path(config.saved.path, PROGRAM_FILE)
            for line in whole_lines(read_side_file(folder, path) or b""):
                yield f"program of the run config '{config.name}': {_description(line)}"


def _description(line: str) -> str:
    """Return what the file of a program says of it, as far as it can be read."""
    try:
        values: JsonValue = json.loads(line)
    except (ValueError, RecursionError):
        return excerpt_line(line)
    match values:
        case {"command": [*parts]}:
            return shlex.join(map(str, parts))
        case {"function": name} | {"url": name} | {"tool": name}:
            return str(name)
        case _:
            return excerpt_line(line)


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
