"""All slash commands, one line each; the module of a command is imported when it is used."""

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from storage.errors import Refusal

if TYPE_CHECKING:
    from agent.session import Session


class Action(Protocol):
    """What a command does."""

    async def __call__(self, session: "Session", words: str) -> None:
        """Carry out the command with what follows its name."""
        ...


class Command(NamedTuple):
    """One command.

    Attributes:
        name: With its slash.
        arguments: What may follow, as the help shows it.
        help: What it does.
        action: The module below `agent.commands` and the function.
        completes: The kinds of names that complete its first word.
        in_turn: Whether it can be used while the model answers.
    """

    name: str
    arguments: str
    help: str
    action: str
    completes: str = ""
    in_turn: bool = False


COMMANDS: Final[Sequence[Command]] = (
    Command("/spec", "[WISH]", "build specs of what a good output is, edit by edit", "spec:build"),
    Command("/label", "[EVAL]", "label items with single keys", "label:label", "eval"),
    Command("/align", "[EVAL]", "check how far a judge agrees with your labels", "tools:run",
            "eval"),
    Command("/generate", "[GUIDANCE]", "make test cases up", "tools:run"),
    Command("/compare", "[EVAL]", "compare run configs on the same items", "tools:run", "eval"),
    Command("/optimize", "[EVAL]", "search for a better prompt", "tools:run", "eval"),
    Command("/tune", "[MODEL]", "train a model on checked data", "tools:run", "model"),
    Command("/jobs", "[JOB]", "the jobs, or one of them", "tools:run", "job", in_turn=True),
    Command("/project", "[NAME]", "name the project that commands are about", "project:choose",
            "project", in_turn=True),
    Command("/status", "", "where the project stands, and what to do next", "project:describe"),
    Command("/tools", "", "list the workbench's tools", "tools:list_all", in_turn=True),
    Command("/call", "TOOL JSON", 'call a tool yourself: /call read {"project": "demo", …}',
            "tools:call", "tool"),
    Command("/show", "[N]", "show a result whole (Ctrl-O: the last one)", "tools:show", "result",
            in_turn=True),
    Command("/model", "[NAME]", "change the model: provider/name, or one of --api-base",
            "talk:change_model", "model"),
    Command("/mode", "[ask|auto|plan]", "how much is done without a question", "talk:change_mode",
            "mode", in_turn=True),
    Command("/cost", "", "what the model calls of this chat cost", "talk:show_cost", in_turn=True),
    Command("/chats", "[WORDS]", "list the saved chats, or those with some words", "chats:list_all",
            in_turn=True),
    Command("/new", "", "begin another chat", "chats:begin"),
    Command("/resume", "[CHAT]", "continue a saved chat; without a name, the last one",
            "chats:resume", "chat"),
    Command("/title", "[TEXT]", "name this chat", "chats:rename", in_turn=True),
    Command("/fork", "[N]", "begin a chat like this one up to message N", "chats:fork"),
    Command("/export", "[FILE]", "write this chat as Markdown", "chats:export", in_turn=True),
    Command("/help", "[COMMAND]", "show this text", "talk:show_help", "command", in_turn=True),
    Command("/quit", "", "end (also Ctrl-D); Ctrl-C stops what runs", "talk:quit", in_turn=True),
)  # fmt: skip


def find_command(name: str) -> Command:
    """Return the command of a name.

    Raises:
        Refusal: There is none.
    """
    names = [command.name for command in COMMANDS]
    if name in names:
        return COMMANDS[names.index(name)]
    close = get_close_matches(name, names, 1)
    raise Refusal(
        "There is no {name}.{hint} /help lists the commands; a text without / goes to the model.",
        name=name,
        hint=f" Did you mean {close[0]}?" if close else "",
    )


def action_of(command: Command) -> Action:
    """Return what a command does; its module is imported now."""
    module, _, function = command.action.partition(":")
    return cast("Action", getattr(import_module(f"agent.commands.{module}"), function))


def help_text() -> str:
    """Return a line for each command."""
    heads = [f"{command.name} {command.arguments}".strip() for command in COMMANDS]
    width = max(map(len, heads))
    lines = (
        f"{head:<{width}}  {command.help}" for head, command in zip(heads, COMMANDS, strict=True)
    )
    return "\n".join(lines)
