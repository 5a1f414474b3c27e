"""Tool calls: every capability is a tool.

Both forms of an answer are complete, because some clients show a model only the structured form,
and some only the text. An error reaches the model as one sentence of ours. A plan that waits for
the person, or that they declined, is an ordinary answer with a status.
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
from kiln_mcp.doors.server.client_model import sampler_of
from kiln_mcp.doors.server.context import Context
from kiln_mcp.doors.server.elicitation import person_of
from kiln_mcp.doors.server.hidden_steps import with_way_in_words, with_ways_to_hidden_tools
from kiln_mcp.doors.server.question_rounds import QuestionRounds
from kiln_mcp.doors.server.tool_list import choice_of_client
from kiln_mcp.errors import disk_sentence, unwrap
from kiln_mcp.workbench.answer_size import MOST_TOKENS, fit_text
from kiln_mcp.workbench.answer_text import render
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError
from storage.text.excerpts import excerpt

_log = logging.getLogger(__name__)

MODEL_HEADER: Final = "kiln-mcp-model"
"""The header with the default model of the bridge's client."""
CLIENT_HEADER: Final = "kiln-mcp-client"
"""The header with the bridge's id for its client, constant for the life of the bridge."""
ANSWERS_HEADER: Final = "kiln-mcp-answers"
"""The header of a program that wants every answer whole."""
WHOLE: Final = "whole"
SESSION_HEADER: Final = "mcp-session-id"


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The answer to a call.

    Attributes:
        result: The result for the client.
        job: The job that continues the call; empty if there is none.
    """

    result: types.CallToolResult | types.InputRequiredResult
    job: str = ""


def client_of(headers: Mapping[str, str]) -> str:
    """Return the id of a client: the one of its bridge, else its session.

    Without a bridge, requests since 2026-07-28 do not identify their client.
    """
    return headers.get(CLIENT_HEADER) or headers.get(SESSION_HEADER) or ""


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
        catalogue: The capabilities.
        params: The name of the capability and its arguments.
        wait_s: How long to wait for a job; None for the caller's choice.
    """
    person = person_of(context, params)
    name, is_read_by_model = _caller_of(context), not _wants_whole_answers(context)
    workspace = replace(
        _workspace_of(context),
        person=person,
        sampler=sampler_of(context),
        caller=name,
        assistant=name,
        takes_orders=is_read_by_model,
        answer_tokens=MOST_TOKENS if is_read_by_model else None,
    )
    rounds = QuestionRounds(workspace, catalogue, person)
    try:
        outcome = await rounds.call(params, wait_s)
        question = await rounds.question_for_client()
    except Exception as error:  # noqa: BLE001 - the outermost door: a client must get an answer
        sentence = failure_sentence(params.name, unwrap(error))
        if is_read_by_model:
            sentence = with_way_in_words(sentence, catalogue, choice_of_client(context))
        return CallAnswer(refusal(sentence))
    if question is not None:
        return CallAnswer(question)
    data = outcome.data
    if is_read_by_model:
        data = with_ways_to_hidden_tools(data, catalogue, choice_of_client(context))
    return CallAnswer(answer(data), outcome.job if outcome.status == "job" else "")


def failure_sentence(tool: str, error: BaseException) -> str:
    """Return the reason why a call failed."""
    match error:
        case WorkbenchError():
            return str(error)
        case OSError():
            _log.warning("%s failed in a call of the operating system", tool, exc_info=error)
            return disk_sentence(error)
        case _:
            _log.error("%s failed", tool, exc_info=error)
            return (
                f"{tool} stopped on an unexpected error "
                f"({type(error).__name__}: {excerpt(error)}). Earlier changes are saved. "
                "The server's log on stderr has the details."
            )


def _caller_of(context: Context) -> str:
    """Return a client's own name; nothing depends on its truth."""
    params = context.session.client_params
    if params is None:
        return "an MCP client without a name"
    info = params.client_info
    return f"{info.title or info.name} {info.version}".strip()


def _wants_whole_answers(context: Context) -> bool:
    """Return whether a program calls, such as the command line, and no model reads the answer."""
    request = cast("Request | None", context.request)
    return request is not None and request.headers.get(ANSWERS_HEADER) == WHOLE


def _workspace_of(context: Context) -> Workspace:
    """Return the workspace of a call, with its progress, its client and its default model."""
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
    """Return the result of a failed call: one sentence."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=fit_text(sentence))], is_error=True
    )
