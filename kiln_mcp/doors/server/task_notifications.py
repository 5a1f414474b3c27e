"""Notifications since 2026-07-28: a request is answered by a stream of changes.

A client names pages and, if it has declared the extension of tasks, its tasks. For a page it is
notified of the change. For a task it gets the whole answer of `tasks/get`, as the extension's
specification requires. The library's own handler does not support tasks.
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
from kiln_mcp.doors.server.tasks import require_task_support, task_state
from kiln_mcp.operations.job_control.pages import read_job
from storage.errors import WorkbenchError

TASK_IDS: Final = "taskIds"
"""The field that the extension adds to a filter."""


class TaskNotification(BaseModel):
    """The state of a task; its parameters are a plain object, so that a null in them is sent."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


class Listener:
    """The pages that one client listens to, and the changes that it has not been sent.

    Only the fact of a change is kept, and the state is read when it is sent. Nothing piles up for a
    client that reads slowly.
    """

    def __init__(self, pages: Iterable[str], tasks: Iterable[str]) -> None:
        """Set up.

        Args:
            pages: Addresses of jobs' pages, and of their list.
            tasks: Ids of jobs that are sent as tasks.
        """
        self.pages: Final = frozenset(pages)
        self.tasks: Final = frozenset(job_uri(task) for task in tasks)
        self._changed_pages = dict.fromkeys(self.tasks)  # one may have ended already
        self._has_changes = anyio.Event()
        if self._changed_pages:
            self._has_changes.set()

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses to poll for this client."""
        return self.pages | self.tasks

    def note(self, address: str) -> None:
        """Note that a page has changed."""
        if address in self.addresses:
            self._changed_pages[address] = None
            self._has_changes.set()

    async def changes(self) -> AsyncGenerator[str]:
        """Yield the addresses of changed pages without end."""
        while True:
            await self._has_changes.wait()
            self._has_changes = anyio.Event()
            addresses, self._changed_pages = self._changed_pages, {}
            for address in addresses:
                yield address


def task_ids_of(context: Context, filter_: types.SubscriptionFilter) -> list[str]:
    """Return the ids of tasks in a client's filter.

    Raises:
        MCPError: It has not declared the extension, or the field is not a list of ids.
    """
    tasks: JsonValue = (filter_.model_extra or {}).get(TASK_IDS) or []
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise MCPError(types.INVALID_PARAMS, f"{TASK_IDS} must be a list of the ids of tasks.")
    if tasks:
        require_task_support(context)
    return [str(task) for task in tasks]


async def notify(context: Context, filter_: types.SubscriptionFilter, listener: Listener) -> None:
    """Send a client the changes that it listens to, until it ends.

    Args:
        context: The context of its request, whose stream carries the notifications.
        filter_: The filter of its request.
        listener: The changes.
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
            await _send_task(context, address.removeprefix(PREFIX), meta)


async def _send_task(context: Context, task: str, meta: dict[str, Any]) -> None:
    try:
        page = await read_job(context.lifespan_context, task)
    except WorkbenchError:
        return  # tasks/get answers with the reason
    params = {**task_state(page).to_wire(), "_meta": meta}
    await _send(context, cast("types.ServerNotification", TaskNotification(params=params)))


async def _send(context: Context, notification: types.ServerNotification) -> None:
    await context.session.send_notification(notification, related_request_id=context.request_id)
