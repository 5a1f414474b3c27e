"""Programs that are started for each item: commands and Python functions."""

import errno
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio.to_thread

from kiln_mcp.llm import ModelAnswer, ModelRequest
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.programs.attempts import Retry, with_attempts
from kiln_mcp.programs.errors import ProgramFailure, cannot_run
from kiln_mcp.programs.handover import Handover
from kiln_mcp.programs.program import CommandProgram, FunctionProgram
from kiln_mcp.programs.program_answers import read_answer
from kiln_mcp.programs.program_place import ProgramPlace
from kiln_mcp.programs.text_file import TextFile
from storage.isolation.commands import Command, CommandLimits, CommandResult, run_command
from storage.isolation.outcomes import Failed

LONGEST_ARGUMENT: Final = 100_000
"""Bytes of an argument or a variable; Linux takes 128 KB."""
LARGEST_SOURCE: Final = 4 * 1024 * 1024
"""Bytes of a file of the command that is watched for changes."""
RUNNER: Final = str(Path(__file__).with_name("function_runner.py"))


@dataclass(frozen=True, slots=True)
class CommandModel:
    """Runs a command for each request."""

    program: CommandProgram
    place: ProgramPlace

    def check(self) -> None:
        """Refuse a command that can run for no item. It blocks.

        Raises:
            ModelError: Its folder, the command, or a variable is missing.
        """
        name, folder = self.place.name, self.place.within(self.program.folder)
        if not folder.is_dir():
            raise cannot_run(name, f"there is no folder {folder}. Give another `folder`.")
        variables = self.place.variables(self.program.environment)
        command = self.program.command[0]
        if shutil.which(_command_path(command, folder), path=variables.get("PATH")) is None:
            raise cannot_run(name, _why_not(command, folder))
        if self.program.text_file:
            text_file_of(self.program, self.place).check()

    def source_digest(self) -> str:
        """Return a digest of the files that the command names. It blocks."""
        folder = self.place.within(self.program.folder)
        digest = hashlib.blake2b(digest_size=8)
        for part in self.program.command:
            with_folder = folder / part
            if self.program.text_file and with_folder == folder / self.program.text_file:
                continue
            try:
                if with_folder.is_file() and with_folder.stat().st_size <= LARGEST_SOURCE:
                    digest.update(with_folder.read_bytes())
            except (OSError, ValueError):
                continue
        return digest.hexdigest()

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Run the command.

        Raises:
            ProgramFailure: It failed, passed a limit, or answered nothing that can be used.
            ModelError: It cannot be started.
        """
        attempt = partial(self._run, Handover.of(request))
        return await with_attempts(self.program.retries, attempt)

    async def _run(self, handover: Handover) -> ModelAnswer:
        program, name = self.program, self.place.name
        with TemporaryDirectory(prefix="kiln-mcp-") as scratch:
            command = await anyio.to_thread.run_sync(self._command, handover, Path(scratch))
            result = await run_command(command)
        if isinstance(result, Failed):
            raise self._failure(result)
        self._check_result(result)
        return read_answer(name, program, result.output, result.seconds, self.place.mask)

    def _command(self, handover: Handover, scratch: Path) -> Command:
        program = self.program
        files: dict[str, str] = {}
        for key, text in (
            ("prompt_file", handover.prompt),
            ("input_file", handover.task_input),
        ):
            file = scratch / f"{key.partition('_')[0]}.txt"
            if any(f"{{{key}}}" in part for part in program.command):
                file.write_text(text, encoding="utf-8", newline="")
            files[key] = str(file)
        command = tuple(handover.fill(part, files) for part in program.command)
        folder = self.place.within(program.folder)
        if program.text_file:
            copy = scratch / "folder"
            self._copy_folder(copy, handover.prompt)
            command = tuple(_in_copy(part, folder, copy) for part in command)
            folder = copy
        environment = self.place.variables(program.environment)
        environment |= {"KILN_MCP_SAMPLE": str(handover.sample)}
        if program.prompt_variable and handover.prompt:
            environment[program.prompt_variable] = handover.prompt
        for text in (*command, *environment.values()):
            self._check_argument(text)
        return Command(
            arguments=(_command_path(command[0], folder), *command[1:]),
            folder=folder,
            environment=environment,
            input=self._input(handover),
            limits=CommandLimits(
                seconds=program.timeout_s,
                megabytes=None,
                processes=None,
                output_bytes=program.largest_output,
            ),
        )

    def _copy_folder(self, copy: Path, prompt: str) -> None:
        try:
            text_file_of(self.program, self.place).copy_to(copy, prompt)
        except OSError as error:
            raise ProgramFailure(
                self.place.name, f"could not be given a copy of its folder ({error})"
            ) from error

    def _check_argument(self, text: str) -> None:
        if "\0" in text:
            raise ProgramFailure(
                self.place.name, "cannot take a text with a NUL as an argument or a variable"
            )
        if len(text.encode("utf-8", "surrogatepass")) > LONGEST_ARGUMENT:
            raise ProgramFailure(
                self.place.name,
                "cannot take a text of more than 100 KB as an argument or a variable; use "
                "{input_file}, {prompt_file} or its standard input",
            )

    def _input(self, handover: Handover) -> bytes:
        match self.program.input_mode:
            case "input":
                text = handover.task_input
            case "json":
                own_handover = replace(handover, prompt="") if self.program.text_file else handover
                text = json.dumps(own_handover.as_object, ensure_ascii=False)
            case "none":
                text = ""
        return text.encode("utf-8", "replace")

    def _failure(self, failure: Failed) -> ModelError:
        """Return the error of a command that passed a limit or could not be started."""
        program, name = self.program, self.place.name
        if failure.breach == "time":
            return Retry(name, f"took longer than {program.timeout_s:g} s and was ended")
        if failure.breach is not None:
            return ProgramFailure(name, failure.reason)
        return cannot_run(name, _start_sentence(failure.reason, program.command[0]))

    def _check_result(self, result: CommandResult) -> None:
        if not result.exit_code:
            return
        name, code = self.place.name, result.exit_code
        lines = self.place.mask(result.errors.decode("utf-8", "replace")).split("\n")
        words = next((line.strip() for line in reversed(lines) if line.strip()), "")
        last_words = f" and said: {words}" if words else ""
        end = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise Retry(name, f"{end}{last_words}")


@dataclass(frozen=True, slots=True)
class FunctionModel:
    """Calls a Python function for each request, in a process of its own."""

    program: FunctionProgram
    place: ProgramPlace

    @property
    def _command(self) -> CommandModel:
        """The command that calls the function."""
        program = self.program
        return CommandModel(
            CommandProgram(
                command=(self._python(), "-X", "utf8", RUNNER, program.function),
                folder=program.folder,
                text_file=program.text_file,
                stdin="json",
                environment=program.environment,
                **program.model_dump(include=set(_SHARED)),
            ),
            self.place,
        )

    def _python(self) -> str:
        """Return the interpreter: the one that is named, the project's own, or the system's."""
        if self.program.python:
            return str(self.place.within(self.program.python))
        folder = self.place.within(self.program.folder)
        for name in (".venv", "venv"):
            if (python := folder / name / "bin" / "python").is_file():
                return str(python)
        return "python3"

    def check(self) -> None:
        """Refuse a function whose interpreter or module is missing. It blocks.

        Raises:
            ModelError: One is missing.
        """
        self._command.check()

    def source_digest(self) -> str:
        """Return a digest of the function's module, if it lies in the folder. It blocks."""
        module = self.program.function.partition(":")[0].replace(".", os.sep)
        command = self._command
        file = CommandProgram(
            command=(f"{module}.py",),
            folder=self.program.folder,
            text_file=self.program.text_file,
        )
        return replace(command, program=file).source_digest()

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        """Call the function.

        Raises:
            ProgramFailure: It failed, passed a limit, or returned nothing that can be used.
            ModelError: Its interpreter cannot be started.
        """
        return await self._command.complete(request)


_SHARED: Final = (
    "timeout_s",
    "retries",
    "largest_output",
    "output_field",
    "cost_field",
    "trace_field",
    "hands_over_prompt",
)


def text_file_of(program: CommandProgram | FunctionProgram, place: ProgramPlace) -> TextFile:
    """Return the text file of a program that has one."""
    return TextFile(place.name, place.within(program.folder), program.text_file)


def _in_copy(part: str, folder: Path, copy: Path) -> str:
    """Return an argument; a path in the program's folder becomes the same one in the copy."""
    path = Path(part)
    return str(copy / path.relative_to(folder)) if path.is_relative_to(folder) else part


def _command_path(command: str, folder: Path) -> str:
    """Return a command with a slash as an absolute path; a bare name as it is."""
    return str(folder / command) if os.sep in command else command


def _why_not(command: str, folder: Path) -> str:
    if os.sep not in command:
        return f"there is no command {command!r} on the PATH. Install it, or give its whole path."
    file = folder / command
    if not file.exists():
        return f"there is no file {file}. Give the path from the folder {folder} on."
    return f"{file} is not executable. Make it so: chmod +x {file}"


def _start_sentence(reason: str, command: str) -> str:
    if os.strerror(errno.E2BIG) in reason:
        return "its arguments are too long. Hand texts over by {input_file} or {prompt_file}."
    return f"{command} {reason}."
