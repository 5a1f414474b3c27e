"""Which tools a client is shown, by the standard library alone: the bridge reads it too."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

DEFAULT: Final = "default"
TOOLSETS: Final = (DEFAULT, "team", "admin")
"""The sets of tools; the first one is always shown."""
TOOLSETS_VARIABLE: Final = "KILN_MCP_TOOLSETS"
OUTPUT_SCHEMAS_VARIABLE: Final = "KILN_MCP_OUTPUT_SCHEMAS"
TOOLSETS_HEADER: Final = "kiln-mcp-toolsets"
OUTPUT_SCHEMAS_HEADER: Final = "kiln-mcp-output-schemas"
TOOLSET_META: Final = "kiln-mcp/toolset"
"""The key of a tool's `_meta` with its set, if that is not the default one."""


class ToolChoice(NamedTuple):
    """What a client is shown of the tools.

    Attributes:
        toolsets: The sets beside the default one.
        output_schemas: Whether the list holds the schemas of answers.
    """

    toolsets: tuple[str, ...] = ()
    output_schemas: bool = False

    def shows(self, toolset: str) -> bool:
        """Return whether the tools of a set are shown."""
        return toolset == DEFAULT or toolset in self.toolsets

    def as_headers(self) -> dict[str, str]:
        """Return the headers that carry it."""
        return {
            TOOLSETS_HEADER: ",".join(self.toolsets) or DEFAULT,
            OUTPUT_SCHEMAS_HEADER: str(int(self.output_schemas)),
        }


DEFAULT_CHOICE: Final = ToolChoice()


def read_toolsets(text: str) -> tuple[str, ...]:
    """Return the sets of a list with commas, without the default one.

    Raises:
        ValueError: One of them does not exist; the text is a sentence.
    """
    names = [name for name in (part.strip().casefold() for part in text.split(",")) if name]
    for name in names:
        if name not in TOOLSETS:
            near = difflib.get_close_matches(name, TOOLSETS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ValueError(
                f"There is no tool set {name[:40]!r}.{hint} The tool sets are: "
                f"{', '.join(TOOLSETS)}. Write several with commas."
            )
    return tuple(name for name in dict.fromkeys(names) if name != DEFAULT)


def choice_in(environment: Mapping[str, str]) -> ToolChoice:
    """Return the choice of some environment variables.

    Raises:
        ValueError: A set does not exist; the text is a sentence.
    """
    return ToolChoice(
        read_toolsets(environment.get(TOOLSETS_VARIABLE, "")),
        _is_on(environment.get(OUTPUT_SCHEMAS_VARIABLE, "")),
    )


def choice_of(headers: Mapping[str, str], usual: ToolChoice) -> ToolChoice:
    """Return the choice of a request; without its headers, the usual one.

    Raises:
        ValueError: A set does not exist; the text is a sentence.
    """
    toolsets, schemas = headers.get(TOOLSETS_HEADER), headers.get(OUTPUT_SCHEMAS_HEADER)
    return ToolChoice(
        usual.toolsets if toolsets is None else read_toolsets(toolsets),
        usual.output_schemas if schemas is None else _is_on(schemas),
    )


def options_in(words: Sequence[str]) -> dict[str, str] | None:
    """Return the variables that options of the bridge stand for; None for any other words.

    Raises:
        ValueError: A set does not exist; the text is a sentence.
    """
    variables: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, _, value = rest.pop(0).partition("=")
        if name == "--output-schemas" and not value:
            variables[OUTPUT_SCHEMAS_VARIABLE] = "1"
        elif name == "--toolsets" and (value or rest):
            text = value or rest.pop(0)
            read_toolsets(text)
            variables[TOOLSETS_VARIABLE] = text
        else:
            return None
    return variables


def _is_on(text: str) -> bool:
    return text.strip().casefold() not in {"", "0", "no", "off", "false"}
