"""Checks of the workbench that Kiln does not know.

Kiln's format has a closed list of kinds, and Kiln opens no eval with a record of another one. So
such a check is a code evaluator for Kiln, whose file says where it runs. Its settings stand in an
open place of that record, and once more in the file, because Kiln drops them if it saves the
record. What a number was lies with each result, in `intermediate_outputs` (docs/side-files.md).
"""

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Final, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag, model_validator

from storage.records.record import Part, Text

CHECK_KEY: Final = "kiln_mcp_check"
"""The key of a code evaluator's properties under which the settings of such a check stand."""
_CODE: Final = """\
# {key}: {settings}
# The Kiln workbench (kiln-mcp) made this file, and runs the check itself.


def score(output):
    raise NotImplementedError("This check runs in the Kiln workbench (kiln-mcp) alone.")
"""
LONGEST_TIMEOUT_S: Final = 300

Measure = Literal[
    "latency_s",
    "cost",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "characters",
    "words",
    "lines",
]
"""What is measured of an output without an expression: its run's usage, or its length."""


class NumberBounds(Part):
    """What a number is worth.

    Attributes:
        at_least: Less fails.
        at_most: More fails.
        best: Where the score is 1; numbers beyond it too. With `worst`, instead of the two above.
        worst: Where the score is 0. It says by its side of `best` which direction is better.
    """

    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    best: float | None = Field(default=None, allow_inf_nan=False)
    worst: float | None = Field(default=None, allow_inf_nan=False)

    @property
    def has_limit(self) -> bool:
        """Whether the number passes or fails."""
        return self.at_least is not None or self.at_most is not None

    @property
    def has_scale(self) -> bool:
        """Whether the score lies between the best and the worst number."""
        return self.best is not None

    @model_validator(mode="after")
    def _check_bounds(self) -> "NumberBounds":
        if (self.best is None) != (self.worst is None) or (self.has_scale and self.has_limit):
            raise ValueError("give at_least, at_most or both; or best and worst together")
        if self.best is not None and self.best == self.worst:
            raise ValueError("best and worst are the same number")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least is more than at_most, so no number passes")
        return self


class NumberCheck(NumberBounds):
    """A number of the output or of its run is small or large enough.

    Attributes:
        measure: What is measured; null for the number that `value_expression` takes.
    """

    type: Literal["number_check"] = "number_check"
    measure: Measure | None = None
    value_expression: str | None = None

    @model_validator(mode="after")
    def _check_source(self) -> "NumberCheck":
        if (self.measure is None) == (self.value_expression is None):
            raise ValueError("give exactly one of measure and value_expression")
        if self.measure is not None and not (self.has_limit or self.has_scale):
            raise ValueError(
                "a measure needs at_most or at_least, for pass or fail; or best and worst, for a "
                "score between them"
            )
        return self


class SchemaCheck(Part):
    """The output is JSON that fits a schema.

    Attributes:
        expected_schema: The JSON schema; null for the task's own.
        value_expression: The part of the output that must fit; null for all of it.
    """

    type: Literal["json_schema"] = "json_schema"
    expected_schema: dict[str, JsonValue] | None = None
    value_expression: str | None = None


def _words(value: object) -> object:
    """Return a command line as its words; a list stays as it is."""
    return shlex.split(value) if isinstance(value, str) else value


class CommandCheck(NumberBounds):
    """A command is run on the output, confined to a scratch folder.

    Attributes:
        command: Its words; no shell reads them. `{output}`, `{input}`, `{reference}` and `{trace}`
            stand for the names of files with these. Without `{output}` it reads the output from
            its standard input. `python` is the Python of this program.
        files: Files and folders of the project that it may read, by their paths there; in the
            scratch folder they have the same names.
        programs: Other programs that it starts, which are looked for in PATH.
        output_file: The name of the file with the output.
        result: `exit_code`: 0 passes, any other fails; `number`: the last line that it writes.
        megabytes: Of memory, all its processes together.
        project: The project's folder, once the evaluator was loaded. The record does not hold it.
    """

    type: Literal["command_check"] = "command_check"
    command: Annotated[tuple[Text, ...], BeforeValidator(_words)] = Field(min_length=1)
    files: tuple[Text, ...] = ()
    programs: tuple[Text, ...] = ()
    output_file: str = Field(default="output.txt", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")
    result: Literal["exit_code", "number"] = "exit_code"
    timeout_seconds: int = Field(default=30, ge=1, le=LONGEST_TIMEOUT_S)
    megabytes: int = Field(default=1024, ge=64, le=65_536)
    project: str | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _check_result(self) -> "CommandCheck":
        if self.result == "exit_code" and (self.has_limit or self.has_scale):
            raise ValueError("at_least, at_most, best and worst need result: number")
        return self


class JudgeCascade(Part):
    """Judges that are asked in turn: the last one only where the others are in doubt.

    Attributes:
        judges: Their names when the cascade was made; the last may stand for a person.
        stages: Copies of their records, without a person's.
    """

    type: Literal["cascade"] = "cascade"
    judges: tuple[Text, ...] = Field(min_length=2)
    stages: tuple[dict[str, JsonValue], ...] = Field(min_length=1)


_EXTENSION_TYPE: Final = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+")


class ExtensionProperties(Part):
    """An evaluator of a kind that another distribution offers; its settings are extra keys."""

    type: str = Field(pattern=rf"^{_EXTENSION_TYPE.pattern}$")


def is_extension_type(name: str) -> bool:
    """Return whether a type is an extension's: `<vendor>.<kind>`, which Kiln's own never are."""
    return bool(_EXTENSION_TYPE.fullmatch(name))


def _check_type(value: object) -> str:
    if isinstance(value, dict):
        kind = str(cast("Mapping[str, object]", value).get("type", ""))
    else:
        kind = str(getattr(value, "type", ""))
    return "extension" if is_extension_type(kind) else kind


class WorkbenchCheck(Part):
    """An evaluator of a kind that Kiln does not know, as a code evaluator that Kiln can open.

    Attributes:
        kiln_mcp_check: The evaluator itself: a check of the workbench, or of another distribution.
    """

    type: Literal["code_eval"] = "code_eval"
    reference_keys: tuple[str, ...] = ()
    timeout_seconds: int = Field(default=180, ge=1, le=LONGEST_TIMEOUT_S)
    tool_allowlist: tuple[str, ...] = ()
    kiln_mcp_check: Annotated[
        Annotated[NumberCheck, Tag("number_check")]
        | Annotated[SchemaCheck, Tag("json_schema")]
        | Annotated[CommandCheck, Tag("command_check")]
        | Annotated[JudgeCascade, Tag("cascade")]
        | Annotated[ExtensionProperties, Tag("extension")],
        Discriminator(_check_type),
    ]

    @property
    def code(self) -> str:
        """The text of scorer.py, which Kiln needs beside the record."""
        return _CODE.format(key=CHECK_KEY, settings=self.kiln_mcp_check.model_dump_json())

    @classmethod
    def from_code(cls, code: str) -> "WorkbenchCheck | None":
        """Return the check whose file this is; None for any other code.

        Raises:
            ValueError: Its settings cannot be used.
        """
        first_line, _, _ = code.partition("\n")
        mark, _, settings = first_line.partition(": ")
        if mark != f"# {CHECK_KEY}":
            return None
        return cls.model_validate_json(f'{{"{CHECK_KEY}": {settings}}}')
