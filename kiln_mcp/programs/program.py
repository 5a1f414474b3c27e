"""What a program under test is: its kind, its settings, and where the prompt goes."""

import re
import shlex
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

PLACEHOLDER: Final = re.compile(r"\{(prompt_file|prompt|input_file|input|messages|sample|seed)\}")
"""What is filled in in a command, a URL, a body or the arguments of a tool."""
VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A variable of our environment in a header."""
_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
VariableName = Annotated[str, Field(pattern=_NAME)]


class ProgramSettings(BaseModel):
    """What all kinds have in common.

    Attributes:
        timeout_s: The longest that one run may take.
        concurrency: Runs at once.
        retries: Runs again after a failure: running it twice must do no harm.
        largest_output: Bytes.
        output_field: Where in a JSON answer the output lies, as `choices.0.text`; "" for all of it.
        cost_field: Where in it the cost in US dollars lies; "" if it is not reported.
        trace_field: Where in it the list of messages lies; "" if it is not reported.
        hands_over_prompt: Whether the run config's prompt is handed over.
        origin_id: The id of the run config that it was made for first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    concurrency: int = Field(default=4, ge=1, le=256)
    retries: int = Field(default=0, ge=0, le=10)
    largest_output: int = Field(default=1_048_576, ge=1, le=64 * 1_048_576)
    output_field: str = ""
    cost_field: str = ""
    trace_field: str = ""
    hands_over_prompt: bool = False
    origin_id: str = ""

    @property
    def prompt_places(self) -> bool:
        """Whether the definition itself names a place for the prompt."""
        return False

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of our environment that it gets."""
        return ()


class CommandProgram(ProgramSettings):
    """A command.

    Attributes:
        command: The command and its arguments, with placeholders.
        folder: Where it runs, from the project's folder on.
        stdin: What its standard input holds: the input, a JSON object of all, or nothing.
        prompt_variable: The variable that holds the prompt; "" for none.
        text_file: A file that it finds by itself, from its folder on. Each run gets a copy of the
            folder in which this file holds the prompt; "" for none.
        environment: Names of variables of our environment that it gets.
    """

    kind: Literal["command"] = "command"
    command: tuple[str, ...] = Field(min_length=1)
    folder: str = "."
    stdin: Literal["", "input", "json", "none"] = ""
    prompt_variable: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = ""
    text_file: str = ""
    environment: tuple[VariableName, ...] = ()

    @property
    def prompt_places(self) -> bool:
        """Whether an argument, a variable or a file of its own holds the prompt."""
        return bool(self.prompt_variable or self.text_file) or bool(
            {"prompt", "prompt_file"} & placeholders(self.command)
        )

    @property
    def takes_any_prompt(self) -> bool:
        """Whether a prompt that is given has a place to go."""
        return self.prompt_places or self.stdin == "json"

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of our environment that it gets."""
        return self.environment

    @property
    def input_mode(self) -> Literal["input", "json", "none"]:
        """What its standard input holds."""
        if self.stdin:
            return self.stdin
        return "none" if {"input", "input_file"} & placeholders(self.command) else "input"

    @property
    def text(self) -> str:
        """The command as a shell would be given it."""
        head = shlex.join(self.command)
        return description_of(self, head, folder=self.folder, text_file=self.text_file)


class FunctionProgram(ProgramSettings):
    """A Python function, run by an interpreter of its own.

    Attributes:
        function: `module:function`; it takes `input`, and may take `prompt`, `messages`,
            `sample` and `seed`.
        python: The interpreter, from the project's folder on; "" for that of `.venv` or `venv`
            in `folder`, or the first `python3` on the PATH.
        folder: Where it runs and modules are looked up, from the project's folder on.
        text_file: As for a command.
        environment: Names of variables of our environment that it gets.
    """

    kind: Literal["python"] = "python"
    function: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    python: str = ""
    folder: str = "."
    text_file: str = ""
    environment: tuple[VariableName, ...] = ()

    @property
    def prompt_places(self) -> bool:
        """Whether a file of its own holds the prompt."""
        return bool(self.text_file)

    @property
    def takes_any_prompt(self) -> bool:
        """Whether a prompt that is given has a place to go."""
        return True

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of our environment that it gets."""
        return self.environment

    @property
    def text(self) -> str:
        """The function and its interpreter."""
        python = self.python or "the project's Python"
        head = f"{python}: {self.function}"
        return description_of(self, head, folder=self.folder, text_file=self.text_file)


class EndpointProgram(ProgramSettings):
    """An HTTP endpoint.

    Attributes:
        url: Its address, with placeholders in its path or query.
        method: How it is asked.
        body: The JSON that it is sent, with placeholders; None for the usual one.
        headers: With `${NAME}` for a variable of our environment.
    """

    kind: Literal["http"] = "http"
    url: str = Field(pattern=r"^https?://[^\s/]+")
    method: Literal["GET", "POST", "PUT", "PATCH"] = "POST"
    body: JsonValue = None
    headers: dict[str, str] = Field(default_factory=dict)

    @property
    def prompt_places(self) -> bool:
        """Whether the address or the body holds the prompt."""
        return "prompt" in placeholders((self.url, *texts_in(self.body)))

    @property
    def takes_any_prompt(self) -> bool:
        """Whether a prompt that is given has a place to go."""
        return self.prompt_places or (self.body is None and self.method != "GET")

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of our environment that its headers hold."""
        names = [name for value in self.headers.values() for name in VARIABLE.findall(value)]
        return tuple(dict.fromkeys(names))

    @property
    def text(self) -> str:
        """The request."""
        return description_of(self, f"{self.method} {self.url}")


class ToolProgram(ProgramSettings):
    """A tool of an MCP server of the project.

    Attributes:
        server: The id of the server's record.
        tool: The tool's name.
        arguments: Its arguments, with placeholders; None for the input as its arguments.
    """

    kind: Literal["mcp"] = "mcp"
    server: str
    tool: str
    arguments: dict[str, JsonValue] | None = None

    @property
    def prompt_places(self) -> bool:
        """Whether an argument holds the prompt."""
        return "prompt" in placeholders(texts_in(self.arguments))

    @property
    def takes_any_prompt(self) -> bool:
        """Whether a prompt that is given has a place to go."""
        return self.prompt_places

    @property
    def text(self) -> str:
        """The tool."""
        return description_of(self, f"the tool {self.tool} of the MCP server {self.server}")


Program = Annotated[
    CommandProgram | FunctionProgram | EndpointProgram | ToolProgram, Field(discriminator="kind")
]
AnyProgram = CommandProgram | FunctionProgram | EndpointProgram | ToolProgram
PROGRAM: Final[TypeAdapter[AnyProgram]] = TypeAdapter(Program)


def own_text_file(program: AnyProgram) -> str:
    """Return the file of a program that the prompt takes the place of; "" if there is none."""
    match program:
        case CommandProgram() | FunctionProgram():
            return program.text_file
        case _:
            return ""


def placeholders(texts: tuple[str, ...]) -> frozenset[str]:
    """Return the names of the placeholders in some texts."""
    return frozenset(name for text in texts for name in PLACEHOLDER.findall(text))


def texts_in(value: JsonValue) -> tuple[str, ...]:
    """Return all texts within a JSON value, without keys."""
    match value:
        case str():
            return (value,)
        case list():
            return tuple(text for item in value for text in texts_in(item))
        case dict():
            return tuple(text for item in value.values() for text in texts_in(item))
        case _:
            return ()


def description_of(
    program: ProgramSettings, head: str, *, folder: str = "", text_file: str = ""
) -> str:
    """Return what is run, and what it gets of this machine."""
    lines = [head]
    if folder not in {"", "."}:
        lines.append(f"in the folder {folder}")
    if text_file:
        lines.append(f"with the prompt in a copy of its file {text_file}")
    if program.variables:
        lines.append(f"with these variables of this machine: {', '.join(program.variables)}")
    return "\n".join(lines)
