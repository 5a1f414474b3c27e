"""Listening, since 2026-07-28: a request whose answer is a stream of what has changed.

A client names the pages that it looks at and, where it has declared the extension of tasks, its
tasks. Of a page it is told that it has changed, of a task all that `tasks/get` would answer, as
the extension's specification wants it; the library's own handler knows no tasks.
"""

from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final, Literal, cast

import anyio
import mcp_types as types
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, JsonValue

from kiln_mcp.doors.server.context import Context
from kiln_mcp.doors.server.job_resources import PREFIX, job_uri
from kiln_mcp.doors.server.tasks import require_declared, task_state
from kiln_mcp.operations.job_control.pages import read_job
from storage.errors import WorkbenchError

TASK_IDS: Final = "taskIds"
"""What the extension adds to a filter."""


class TaskNotification(BaseModel):
    """How a task is now; its parameters are a plain object, lest a null in them be left out."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


class Listener:
    """What one client wants to hear, and what of it has not been told yet.

    Only that something has changed is kept, and looked up when it is told: nothing piles up for a
    client that reads slowly.
    """

    def __init__(self, pages: Iterable[str], tasks: Iterable[str]) -> None:
        """Set up.

        Args:
            pages: Addresses of jobs' pages, and of their list.
            tasks: Ids of jobs that are told of as tasks.
        """
        self.pages: Final = frozenset(pages)
        self.tasks: Final = frozenset(job_uri(task) for task in tasks)
        self._untold = dict.fromkeys(self.tasks)  # one may have ended since its client asked
        self._something = anyio.Event()
        if self._untold:
            self._something.set()

    @property
    def addresses(self) -> frozenset[str]:
        """What has to be looked at for this client."""
        return self.pages | self.tasks

    def note(self, address: str) -> None:
        """Take in that a page has changed."""
        if address in self.addresses:
            self._untold[address] = None
            self._something.set()

    async def changes(self) -> AsyncGenerator[str]:
        """Return the addresses of what has changed, for ever."""
        while True:
            await self._something.wait()
            self._something = anyio.Event()
            untold, self._untold = self._untold, {}
            for address in untold:
                yield address


def tasks_asked_for(context: Context, filter_: types.SubscriptionFilter) -> list[str]:
    """Return the tasks that a client wants to hear of.

    Raises:
        MCPError: It has not declared the extension, or they are no list of ids.
    """
    tasks: JsonValue = (filter_.model_extra or {}).get(TASK_IDS) or []
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise MCPError(types.INVALID_PARAMS, f"{TASK_IDS} must be a list of the ids of tasks.")
    if tasks:
        require_declared(context)
    return [str(task) for task in tasks]


async def tell(context: Context, filter_: types.SubscriptionFilter, listener: Listener) -> None:
    """Tell a client what it listens for, until it goes.

    Args:
        context: Of its request, on whose stream it hears.
        asked: What it asked for.
        listener: What of it there is.
    """
    meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: context.request_id}
    own = set(types.SubscriptionFilter.model_fields)
    filter_content = filter_.model_dump(by_alias=True, include=own, exclude_defaults=True)
    if listener.tasks:
        filter_content[TASK_IDS] = sorted(uri.removeprefix(PREFIX) for uri in listener.tasks)
    content = types.SubscriptionsAcknowledgedNotificationParams(
        notifications=types.SubscriptionFilter.model_validate(filter_content), _meta=meta
    )
    await _send(context, types.SubscriptionsAcknowledgedNotification(params=content))
    async for address in listener.changes():
        if address == PREFIX:
            content = types.NotificationParams(_meta=meta)
            await _send(context, types.ResourceListChangedNotification(params=content))
            continue
        if address in listener.pages:
            updated = types.ResourceUpdatedNotificationParams(uri=address, _meta=meta)
            await _send(context, types.ResourceUpdatedNotification(params=updated))
        if address in listener.tasks:
            await _tell_of_task(context, address.removeprefix(PREFIX), meta)


async def _tell_of_task(context: Context, task: str, meta: dict[str, Any]) -> None:
    try:
        page = await read_job(context.lifespan_context, task)
    except WorkbenchError:
        return  # who asks for the task hears why
    params = {**task_state(page).on_the_wire(), "_meta": meta}
    await _send(context, cast("types.ServerNotification", TaskNotification(params=params)))


async def _send(context: Context, notification: types.ServerNotification) -> None:
    await context.session.send_notification(notification, related_request_id=context.request_id)
