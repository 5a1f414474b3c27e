"""A next step on the command line is a command that can be typed as it is."""

import shlex
from typing import cast

import click
import pytest
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.cli.next_steps import command_line, error_text
from kiln_mcp.doors.cli.options import Need, option_of
from storage.errors import NextStep, Refusal, WorkbenchError


def typed(line: str, tool: str) -> dict[str, JsonValue]:
    """Return the arguments that a command line gives to a tool."""
    _, command, *words = shlex.split(line, comments=True)
    assert command == tool.replace("_", "-")
    schema = installed_catalogue().find(tool).input_schema["properties"]
    assert isinstance(schema, dict)
    options: list[click.Parameter] = [
        option_of(name, part, Need.NONE) for name, part in schema.items() if isinstance(part, dict)
    ]
    with click.Command(command, params=options).make_context(command, words) as context:
        return {
            name: list(cast("tuple[JsonValue, ...]", value)) if isinstance(value, tuple) else value
            for name, value in context.params.items()
            if value is not None and value != ()
        }


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("resume_job", {"job": "a1", "limit_calls": 4}),
        ("stop_job", {"job": "it's $HOME", "pause": False}),
        ("list_models", {"models": ["a b", "c"]}),
        ("check_job", {"job": "a1", "seconds": 2.5}),
    ],
)
def test_a_next_step_is_read_back_with_the_very_arguments(
    tool: str, arguments: dict[str, JsonValue]
) -> None:
    line = command_line(NextStep(tool=tool, reason="go on", arguments=arguments))
    assert typed(line, tool) == arguments
    assert line.endswith("  # go on")


def test_a_next_step_without_arguments_is_the_bare_command() -> None:
    assert command_line(NextStep(tool="check_job", reason="see all")) == (
        "kiln-mcp check-job  # see all"
    )


def test_a_next_step_of_an_unknown_tool_is_still_a_command() -> None:
    step = NextStep(tool="foreign_tool", reason="look", arguments={"names": ["a"]})
    assert command_line(step) == """kiln-mcp foreign-tool --names '["a"]'  # look"""


def test_the_next_steps_of_an_error_are_commands_on_lines_of_their_own() -> None:
    steps = [
        NextStep(tool="resume_job", reason="go on", arguments={"job": "a1"}),
        NextStep(tool="check_job", reason="see all"),
    ]
    assert error_text(Refusal("The job {job} failed.", job="a1", next=steps)) == (
        "The job a1 failed.\n  kiln-mcp resume-job --job a1  # go on\n"
        "  kiln-mcp check-job  # see all"
    )
    assert error_text(WorkbenchError("The server is down.")) == "The server is down."


def test_a_step_of_a_project_names_the_project_of_the_command_before() -> None:
    line = command_line(NextStep(tool="settle_copy", reason="settle it"), "/tmp/p")
    assert typed(line, "settle_copy") == {"project": "/tmp/p"}
    line = command_line(NextStep(tool="check_job", reason="look"), "/tmp/p")
    assert "/tmp/p" not in line
