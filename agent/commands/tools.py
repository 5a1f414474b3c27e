"""Commands that call one tool of the workbench, and show its whole answer."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from agent.commands.arguments import read_arguments
from agent.terminal.results import whole_result

if TYPE_CHECKING:
    from agent.session import Session
    from agent.tool_server import ToolResult


@dataclass(frozen=True, slots=True)
class _ToolCommand:
    """A command that is a tool.

    Attributes:
        tool: Its name.
        first: The argument that words without a name give.
        constants: Arguments that the command always gives, if the words do not.
    """

    tool: str
    first: str
    constants: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])


TOOLS: Final = {
    "/align": _ToolCommand("check_judge", "eval"),
    "/generate": _ToolCommand("generate_data", "guidance"),
    "/compare": _ToolCommand("show_results", "eval", {"detail": "full"}),
    "/optimize": _ToolCommand("improve_prompt", "eval"),
    "/tune": _ToolCommand("train_model", "model"),
    "/jobs": _ToolCommand("check_job", "job"),
}


async def run(session: "Session", words: str) -> None:
    """Call the tool of the command; the workbench asks before it spends, sends or destroys."""
    command = TOOLS[session.command]
    tool = session.tool(command.tool)
    arguments = {**command.constants, **read_arguments(words, tool.input_schema, command.first)}
    await session.add_places(tool, arguments)
    await _call_and_show(session, command.tool, arguments)


async def call(session: "Session", words: str) -> None:
    """Call a tool with arguments as JSON, or as name=value."""
    name, _, rest = words.partition(" ")
    if rest.strip() and not rest.strip().startswith(("{", "[")):
        arguments = read_arguments(rest, session.tool(name).input_schema, "")
        await _call_and_show(session, name, arguments)
        return
    _show_whole(session, await session.call_text(name, rest.strip() or "{}"))


async def list_all(session: "Session", words: str) -> None:
    """List the tools, those whose text has some words."""
    for tool in session.conversation.toolbox.tools:
        summary, _, _ = tool.description.partition("\n")
        line = f"{tool.name} ({tool.effect}): {summary}"
        if words.casefold() in line.casefold():
            session.front.say(line)


async def show(session: "Session", words: str) -> None:
    """Show a result whole."""
    session.front.view.show_whole(words)


async def _call_and_show(session: "Session", name: str, arguments: dict[str, JsonValue]) -> None:
    _show_whole(session, await session.call(name, arguments))


def _show_whole(session: "Session", result: "ToolResult") -> None:
    """Show the last result whole; the line of a failure has said all."""
    if not result.failed:
        session.front.print(whole_result(session.front.view.results.find("")))
