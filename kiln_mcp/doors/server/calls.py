"""Tools: every capability, called as it is.

Both forms of an answer are complete: some clients show a model only the structured form, some
only the text. Errors reach the model in our own words. A plan that waits for the person, or that
they declined, is an ordinary answer with a status.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, cast

import mcp_types as types
from mcp.shared.inbound import decode_header_value
from pydantic import JsonValue
from starlette.requests import Request

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.server.context import Context
from kiln_mcp.doors.server.person import PersonLater, person_of
from kiln_mcp.errors import disk_sentence, unwrap
from kiln_mcp.operations.job_control.calls import call_capability
from kiln_mcp.workbench.capability import AnyCapability, Effect
from kiln_mcp.workbench.plain_text import render
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError
from storage.text.excerpts import excerpt

_log = logging.getLogger(__name__)

MODEL_HEADER: Final = "kiln-mcp-model"
"""In which the bridge lends the default model of its client."""
CLIENT_HEADER: Final = "kiln-mcp-client"
"""In which the bridge says which client it serves: the same as long as it lives."""
SESSION_HEADER: Final = "mcp-session-id"


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The answer to a call.

    Attributes:
        result: What the client is sent.
        job: The job that goes on with the call; empty if there is none.
    """

    result: types.CallToolResult | types.InputRequiredResult
    job: str = ""


def client_of(headers: Mapping[str, str]) -> str:
    """Return by what a client is known again: its bridge's name for it, or its session.

    Without a bridge, requests since 2026-07-28 do not say whose they are.
    """
    return headers.get(CLIENT_HEADER) or headers.get(SESSION_HEADER) or ""


def as_tool(item: AnyCapability) -> types.Tool:
    """Return a capability as a tool."""
    return types.Tool(
        name=item.name,
        title=item.title,
        description=item.help,
        input_schema=item.input_schema,
        annotations=types.ToolAnnotations(
            read_only_hint=item.effect is Effect.READS,
            destructive_hint=item.effect is Effect.DESTROYS,
            open_world_hint=item.sends_out or item.effect is Effect.SPENDS,
        ),
    )


async def call(
    context: Context,
    catalogue: Catalogue,
    params: types.CallToolRequestParams,
    *,
    wait_s: float | None = None,
) -> CallAnswer:
    """Answer one call: never an exception, always a sentence.

    Args:
        context: The request.
        catalogue: What can be called.
        params: What is called, with its arguments.
        wait_s: How long to wait for a job; None for what the caller chose.
    """
    person = person_of(context, params)
    name = _caller_of(context)
    workspace = replace(_workspace_of(context), person=person, caller=name, assistant=name)
    try:
        await workspace.engine.orders.renew(workspace.client)
        item = catalogue.find(params.name)
        outcome = await call_capability(workspace, item, params.arguments or {}, wait_s=wait_s)
    except Exception as error:  # noqa: BLE001 - the outermost door: a client must get an answer
        return CallAnswer(failure(params.name, unwrap(error)))
    if isinstance(person, PersonLater) and person.question is not None:
        return CallAnswer(person.question)
    return CallAnswer(answer(outcome.data), outcome.job if outcome.status == "job" else "")


def failure(tool: str, error: BaseException) -> types.CallToolResult:
    """Return why a call failed, in a sentence."""
    match error:
        case WorkbenchError():
            return refusal(str(error))
        case OSError():
            _log.warning("%s met the system's refusal", tool, exc_info=error)
            return refusal(disk_sentence(error))
        case _:
            _log.error("%s failed", tool, exc_info=error)
            return refusal(
                f"{tool} stopped on an error that was not foreseen "
                f"({type(error).__name__}: {excerpt(error)}). What was saved before stays. "
                "The server's log on stderr has the details."
            )


def _caller_of(context: Context) -> str:
    """Return what a client calls itself; it binds nothing, so it need not be true."""
    params = context.session.client_params
    if params is None:
        return "an MCP client without a name"
    info = params.client_info
    return f"{info.title or info.name} {info.version}".strip()


def _workspace_of(context: Context) -> Workspace:
    """Return what the call works with: its own progress, its client, and its default model."""
    workspace = context.lifespan_context.with_progress(context.session.report_progress)
    request = cast("Request | None", context.request)
    if request is None:
        return workspace
    workspace = replace(workspace, client=client_of(request.headers))
    model = decode_header_value(request.headers.get(MODEL_HEADER))
    return workspace.with_model(model) if model else workspace


def answer(data: dict[str, JsonValue]) -> types.CallToolResult:
    """Return an answer in both forms."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=render(data))], structured_content=data
    )


def refusal(sentence: str) -> types.CallToolResult:
    """Return what went wrong, as the sentence that says so."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=sentence)], is_error=True
    )
