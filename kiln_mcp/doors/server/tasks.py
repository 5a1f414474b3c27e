"""The extension io.modelcontextprotocol/tasks: a job is served as a task.

A client that declares the extension, since 2026-07-28, gets a task for a call that becomes a job.
Other clients see nothing of it. A job's failure or the end of its budget is an answer of the tool,
so the task is completed. A paused job counts as working.

Source: the extension's specification of 2026-07-28 (SEP-2663).
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
from kiln_mcp.operations.job_control.capability_calls import step_to_result
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.operations.job_control.pages import JobPage, read_job
from kiln_mcp.workbench.answer_size import fit
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
    """The parameters that name a task."""

    task_id: str


class TaskState(BaseModel):
    """A job as the extension describes a task. Jobs are kept, so their time to live has no end."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True
    )

    result_type: Literal["task", "complete"] | None = None
    task_id: str
    status: Status
    status_message: str | None
    created_at: str
    last_updated_at: str
    poll_interval_ms: int = POLL_MS
    result: types.CallToolResult | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the message with the one null that the protocol requires."""
        return {**self.model_dump(mode="json", by_alias=True, exclude_none=True), "ttlMs": None}


class JobTasks:
    """Serves jobs as tasks."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def install(self, server: Server[Workspace]) -> None:
        """Add the extension to a server; it replaces the handler of tool calls."""
        server.extensions[TASKS] = {}
        server.add_request_handler("tools/call", types.CallToolRequestParams, self.call)
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", TaskParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    async def call(self, context: Context, params: types.CallToolRequestParams) -> HandlerResult:
        """Call a tool; return a task if it becomes a job and the client supports tasks."""
        if not _supports_tasks(context):
            return (await call(context, self._catalogue, params)).result
        call_answer = await call(context, self._catalogue, params, wait_s=0)
        if not call_answer.job:
            return call_answer.result
        page = await read_job(context.lifespan_context, call_answer.job)
        return task_state(page, "task").to_wire()

    async def get(self, context: Context, params: TaskParams) -> HandlerResult:
        """Return the state of a task, with the tool's answer once it is completed."""
        return task_state(await _find(context, params), "complete").to_wire()

    async def update(self, context: Context, params: TaskParams) -> HandlerResult:
        """Accept answers to questions; a running job asks none."""
        await _find(context, params)
        return {}

    async def cancel(self, context: Context, params: TaskParams) -> HandlerResult:
        """Cancel the job, as stop_job does."""
        page = await _find(context, params)
        runner = await job_client_of(context.lifespan_context).runner()
        await runner.cancel(page.job)
        return {}


def _supports_tasks(context: Context) -> bool:
    """Return whether the client declares the extension with this request."""
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    capabilities = context.session.client_capabilities
    return capabilities is not None and TASKS in (capabilities.extensions or {})


def require_task_support(context: Context) -> None:
    """Refuse a request whose client does not declare the extension.

    Raises:
        MCPError: The client does not declare it.
    """
    if not _supports_tasks(context):
        missing: JsonValue = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        sentence = f"Only clients that declare {TASKS} can ask for tasks."
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, sentence, missing)


async def _find(context: Context, params: TaskParams) -> JobPage:
    """Return the job of a task.

    Raises:
        MCPError: The client may not ask, sends two different ids, or there is no such job.
    """
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        raise MCPError(types.METHOD_NOT_FOUND, "Method not found", context.method)
    require_task_support(context)
    request = cast("Request | None", context.request)
    if request is not None:  # it came over HTTP
        header_task = decode_header_value(request.headers.get(MCP_NAME_HEADER))
        if header_task != params.task_id:
            task, header = excerpt(params.task_id), excerpt(header_task)
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
        result_type: The kind of answer; None for a notification.
    """
    status: Status = _STATUS.get(page.state, "working")
    result = None
    if page.state == "done":
        result = answer(fit(page.result or {}, step_to_result(page.job)))
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
    """Return a line with the job's progress, and the next step if it waits for somebody."""
    so_far = f"{page.done:g} of {page.total:g}" if page.total is not None else None
    steps = " ".join(_steps_of(page))
    message = steps if page.state in {"paused", "cancelled"} else page.message
    return ", ".join(filter(None, (page.state, so_far, message)))


def _steps_of(page: JobPage) -> list[str]:
    return [f"Next: {step}." for step in page.next]
