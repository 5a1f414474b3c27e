"""Tools: every capability, called as it is.

Both forms of an answer are complete: some clients show a model only the structured form, some
only the text. Errors reach the model in our own words. Approval is asked of the person where
the client can ask (pushed before 2026-07-28, as an input request since), and otherwise given
back as the plan, with the argument that confirms it.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.inbound import decode_header_value
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import JsonValue
from starlette.requests import Request

from kiln_mcp.approvals.errors import ApprovalNeeded
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.capability import AnyCapability, Effect
from kiln_mcp.catalogue import Catalogue
from kiln_mcp.errors import disk_sentence
from kiln_mcp.rendering import plain, render
from kiln_mcp.workspace import Workspace
from storage.errors import WorkbenchError

_log = logging.getLogger(__name__)

MODEL_HEADER: Final = "kiln-mcp-model"
"""In which the bridge lends the default model of its client."""
CLIENT_HEADER: Final = "kiln-mcp-client"
"""In which the bridge says which client it serves: the same as long as it lives."""
SESSION_HEADER: Final = "mcp-session-id"
_APPROVAL_FORM: types.ElicitRequestedSchema = {
    "type": "object",
    "properties": {
        "agree": {"type": "boolean", "title": "Do it", "description": "Whether to go ahead."}
    },
    "required": ["agree"],
}

Context = ServerRequestContext[Workspace]


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
        output_schema=item.output_schema,
        annotations=types.ToolAnnotations(
            read_only_hint=item.effect is Effect.READS,
            destructive_hint=item.effect is Effect.DESTROYS,
            open_world_hint=item.reaches_out,
        ),
    )


async def call(
    context: Context, catalogue: Catalogue, params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    """Answer one call: never an exception, always a sentence."""
    arguments: Mapping[str, JsonValue] = params.arguments or {}
    workspace = _workspace_of(context)
    try:
        await workspace.engine.orders.renew(workspace.client)
        item = catalogue.find(params.name)
        try:
            return answer(await _invoke(item, workspace, arguments))
        except ApprovalNeeded as needed:
            approval = await _ask(context, params, needed.plan)
            if isinstance(approval, types.InputRequiredResult):
                return approval
            if approval is None:
                raise
            if not approval:
                return refusal("The person did not agree. Nothing has been done.")
            return answer(await _invoke(item, workspace, {**arguments, "confirm": True}))
    except WorkbenchError as error:
        return refusal(str(error))
    except OSError as error:
        _log.warning("%s met the system's refusal", params.name, exc_info=error)
        return refusal(disk_sentence(error))
    except Exception as error:  # noqa: BLE001 - the outermost door: a client must get an answer
        _log.exception("%s failed", params.name)
        return refusal(
            f"{params.name} stopped on an error that was not foreseen "
            f"({type(error).__name__}: {error}). What was saved before stays. "
            "The server's log on stderr has the details."
        )


def _workspace_of(context: Context) -> Workspace:
    """Return what the call works with: its own progress, its client, and its default model."""
    workspace = context.lifespan_context.with_progress(context.session.report_progress)
    request = cast("Request | None", context.request)
    if request is None:
        return workspace
    workspace = replace(workspace, client=client_of(request.headers))
    model = decode_header_value(request.headers.get(MODEL_HEADER))
    return workspace.with_model(model) if model else workspace


async def _invoke(
    item: AnyCapability, workspace: Workspace, arguments: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    return plain(await item.invoke(workspace, arguments))


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


async def _ask(
    context: Context, params: types.CallToolRequestParams, plan: Plan
) -> bool | types.InputRequiredResult | None:
    """Ask the person whether to go ahead.

    Returns:
        Their answer; or the request that the client must put to them and then call again; or
        None where the client cannot ask.
    """
    declared = context.session.client_capabilities
    if declared is None or declared.elicitation is None:
        return None
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        # On the call's own stream: the one for all else may not be open yet.
        asked = context.session.elicit_form(
            plan.text, _APPROVAL_FORM, related_request_id=context.request_id
        )
        return _agreed(await asked)
    # The key names the plan, so that an approval cannot be spent on another one.
    key = f"approve-{hashlib.sha256(plan.text.encode()).hexdigest()[:12]}"
    given = (params.input_responses or {}).get(key)
    if isinstance(given, types.ElicitResult):
        return _agreed(given)
    form = types.ElicitRequestFormParams(message=plan.text, requested_schema=_APPROVAL_FORM)
    return types.InputRequiredResult(input_requests={key: types.ElicitRequest(params=form)})


def _agreed(answer: types.ElicitResult) -> bool:
    return answer.action == "accept" and bool((answer.content or {}).get("agree"))
