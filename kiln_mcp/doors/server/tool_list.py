"""The list of tools: the sets that a client asks for, with schemas of answers if it wants them."""

from collections.abc import Mapping
from typing import Final, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import JsonValue
from starlette.requests import Request

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.border.tool_choice import TOOLSET_META, ToolChoice, choice_of
from kiln_mcp.doors.server.context import Context
from kiln_mcp.jobs import JsonObject
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.capability_calls import ApprovalNotice
from kiln_mcp.workbench.answer_schemas import answer_schema
from kiln_mcp.workbench.capability import AnyCapability, Effect, Runs, Toolset

ALWAYS_LOAD: Final = "anthropic/alwaysLoad"
SEARCH_HINT: Final = "anthropic/searchHint"
_BOUNDS: Final = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
    }
)


class ToolList:
    """The tools of a catalogue, as clients list them.

    A tool that is not listed can be called all the same: the list says what a model sees.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def list(
        self, context: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        """List the tools of the sets that the client asks for.

        Raises:
            MCPError: It asks for a set that does not exist.
        """
        choice = choice_of_client(context)
        tools = [
            as_tool(item, has_output_schema=choice.output_schemas)
            for item in self._catalogue.capabilities
            if choice.shows(item.discovery.toolset)
        ]
        return types.ListToolsResult(tools=tools)


def choice_of_client(context: Context) -> ToolChoice:
    """Return what the client of a request is shown.

    Raises:
        MCPError: It asks for a set that does not exist.
    """
    settings = context.lifespan_context.settings
    usual = ToolChoice(settings.toolsets, settings.output_schemas)
    request = cast("Request | None", context.request)
    return usual if request is None else choice_or_refusal(request.headers, usual)


def choice_or_refusal(headers: Mapping[str, str], usual: ToolChoice) -> ToolChoice:
    """Return what the client of a request is shown.

    Raises:
        MCPError: It asks for a set that does not exist.
    """
    try:
        return choice_of(headers, usual)
    except ValueError as error:
        raise MCPError(types.INVALID_PARAMS, str(error)) from error


def as_tool(item: AnyCapability, *, has_output_schema: bool = False) -> types.Tool:
    """Return a capability as a tool."""
    return types.Tool(
        name=item.name,
        title=item.title,
        description=item.help,
        input_schema=as_shown(item.input_schema),
        output_schema=_answers_of(item) if has_output_schema else None,
        annotations=types.ToolAnnotations(
            read_only_hint=item.effect is Effect.READS,
            destructive_hint=item.effect is Effect.DESTROYS,
            open_world_hint=item.sends_out or item.effect is Effect.SPENDS,
        ),
        _meta=_hints(item) or None,
    )


def as_shown(schema: JsonObject) -> dict[str, JsonValue]:
    """Return the schema of arguments as a model reads it: without bounds, which cost many tokens.

    They hold all the same, and an error names them.
    """
    return {
        key: _without_bounds_of_arguments(value) if key == "properties" else value
        for key, value in schema.items()
    }


def _without_bounds_of_arguments(node: JsonValue) -> JsonValue:
    if isinstance(node, list):
        return [_without_bounds_of_arguments(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_bounds_of_arguments(value)
        for key, value in node.items()
        if key not in _BOUNDS or isinstance(value, dict)  # an argument may have such a name
    }


def _answers_of(item: AnyCapability) -> dict[str, object]:
    """Return the schema of all that a tool may answer."""
    kinds = [item.result]
    if item.proposes:
        kinds.append(ApprovalNotice)
    if item.runs is Runs.AS_JOB:
        kinds.append(JobReport)
    return dict(answer_schema(kinds))


def _hints(item: AnyCapability) -> dict[str, str | bool]:
    """Return the hints for clients that show a model only names at first, and search for more."""
    discovery, hints = item.discovery, dict[str, str | bool]()
    if discovery.always_load:
        hints[ALWAYS_LOAD] = True
    if discovery.search_hint:
        hints[SEARCH_HINT] = discovery.search_hint
    if discovery.toolset is not Toolset.DEFAULT:
        hints[TOOLSET_META] = discovery.toolset.value
    return hints
