"""The extension io.modelcontextprotocol/tasks: long calls as tasks, which are our jobs.

A client that declares it, since 2026-07-28, gets a task where a call is a job: the task is the job.
To all others nothing of this exists. What a job answers in words (its failure, the end of its
budget) is an answer of the tool, so the task is completed; a paused job goes on working, only
later.

After the extension's specification of 2026-07-28 (SEP-2663).
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import mcp_types as types
from mcp.server.context import HandlerResult
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict, JsonValue
from pydantic.alias_generators import to_camel
from starlette.requests import Request

from kiln_mcp.catalogue import Catalogue
from kiln_mcp.doors.server.calls import answer, call, refusal
from kiln_mcp.doors.server.context import Context
from kiln_mcp.operations.job_control.desk import desk_of
from kiln_mcp.operations.job_control.pages import JobPage, read_job
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError
from storage.text.excerpts import excerpt

TASKS: Final = "io.modelcontextprotocol/tasks"
POLL_MS: Final = 1000
Status = Literal["working", "completed", "cancelled"]
_STATUS: Final[Mapping[str, Status]] = {
    "done": "completed",
    "failed": "completed",
    "stopped": "completed",
    "cancelled": "cancelled",
}


class TaskParams(types.RequestParams):
    """Which task is meant."""

    task_id: str


class TaskState(BaseModel):
    """A job, as the extension describes a task. Jobs are kept: their time to live has no end."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    result_type: Literal["task", "complete"] | None = None
    task_id: str
    status: Status
    status_message: str | None
    created_at: str
    last_updated_at: str
    poll_interval_ms: int = POLL_MS
    result: types.CallToolResult | None = None

    def on_the_wire(self) -> dict[str, Any]:
        """Return the message, with the one null that must be said."""
        return {**self.model_dump(mode="json", by_alias=True, exclude_none=True), "ttlMs": None}


class JobTasks:
    """Serves jobs as tasks."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def install(self, server: Server[Workspace]) -> None:
        """Offer the extension; takes over the server's tool calls."""
        server.extensions[TASKS] = {}
        server.add_request_handler("tools/call", types.CallToolRequestParams, self.call)
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", TaskParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    async def call(self, context: Context, params: types.CallToolRequestParams) -> HandlerResult:
        """Call a tool; as a task where it is long and the client can follow one."""
        if not _declared(context):
            return (await call(context, self._catalogue, params)).result
        answered = await call(context, self._catalogue, params, wait_s=0)
        if not answered.job:
            return answered.result
        page = await read_job(context.lifespan_context, answered.job)
        return task_state(page, "task").on_the_wire()

    async def get(self, context: Context, params: TaskParams) -> HandlerResult:
        """Say how a task is; once it is completed, with the tool's answer."""
        return task_state(await _find(context, params), "complete").on_the_wire()

    async def update(self, context: Context, params: TaskParams) -> HandlerResult:
        """Take answers to questions; a job asks none once it is begun."""
        await _find(context, params)
        return {}

    async def cancel(self, context: Context, params: TaskParams) -> HandlerResult:
        """Cancel the job, as cancel_job does."""
        page = await _find(context, params)
        runner = await desk_of(context.lifespan_context).runner()
        await runner.cancel(page.job)
        return {}


def _declared(context: Context) -> bool:
    """Whether the client has declared the extension with this very request."""
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    declared = context.session.client_capabilities
    return declared is not None and TASKS in (declared.extensions or {})


def require_declared(context: Context) -> None:
    """Go on only where the client has declared the extension with this very request.

    Raises:
        MCPError: It has not.
    """
    if not _declared(context):
        missing: JsonValue = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        sentence = f"Only clients that declare {TASKS} can ask for tasks."
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, sentence, missing)


async def _find(context: Context, params: TaskParams) -> JobPage:
    """Return the job that is meant.

    Raises:
        MCPError: The client may not ask, says two different ids, or there is none.
    """
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        raise MCPError(types.METHOD_NOT_FOUND, "Method not found", context.method)
    require_declared(context)
    request = cast("Request | None", context.request)
    if request is not None:  # it came over HTTP
        named = decode_header_value(request.headers.get(MCP_NAME_HEADER))
        if named != params.task_id:
            task, header = excerpt(params.task_id), excerpt(named)
            sentence = f"The header Mcp-Name must say the task: {task!r}, not {header!r}."
            raise MCPError(types.HEADER_MISMATCH, sentence)
    try:
        return await read_job(context.lifespan_context, params.task_id)
    except WorkbenchError as error:
        raise MCPError(types.INVALID_PARAMS, str(error)) from error


def task_state(page: JobPage, result_type: Literal["task", "complete"] | None = None) -> TaskState:
    """Return a job as a task.

    Args:
        page: The job.
        result_type: Which kind of answer this is; None where it answers nothing.
    """
    status: Status = _STATUS.get(page.state, "working")
    result = None
    if page.state == "done":
        result = answer(page.result or {})
    elif status == "completed":
        result = refusal(" ".join([page.error or page.state, *_steps_of(page)]))
    return TaskState(
        result_type=result_type,
        task_id=page.job,
        status=status,
        status_message=_message(page),
        created_at=page.created,
        last_updated_at=page.changed,
        result=result,
    )


def _message(page: JobPage) -> str:
    """Say in a line how far the job is, and what to do where somebody must do something."""
    so_far = f"{page.done:g} of {page.total:g}" if page.total is not None else None
    steps = " ".join(_steps_of(page))
    message = steps if page.state in {"paused", "cancelled"} else page.message
    return ", ".join(filter(None, (page.state, so_far, message)))


def _steps_of(page: JobPage) -> list[str]:
    return [f"Next: {step}." for step in page.next]
