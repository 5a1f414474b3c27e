"""Subscriptions: a client is notified when a job's page has changed.

A job may run in another process. Its row is therefore read once a second while it has subscribers.
Clients of the handshake era subscribe page by page; since 2026-07-28 they listen.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import anyio
import mcp_types as types
from mcp.server.session import ServerSession
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.shared.exceptions import MCPError

from kiln_mcp.doors.server.context import Context
from kiln_mcp.doors.server.job_resources import PREFIX, job_of, job_uri, no_such_page
from kiln_mcp.doors.server.task_notifications import Listener, notify, task_ids_of
from kiln_mcp.jobs import Job, Progress
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError

MOST_SUBSCRIPTIONS: Final = 256
"""Clients may end without a message, so the oldest subscriptions are dropped."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _PageState:
    """The content of a page without its heartbeat; for the list, its newest job."""

    state: str
    attempt: int = 1
    progress: Progress | None = None

    @classmethod
    def of(cls, job: Job) -> "_PageState":
        return cls(job.state, job.attempt, job.progress)


class JobWatch:
    """Notifies clients of changes."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._sessions: OrderedDict[tuple[str, int], ServerSession] = OrderedDict()
        self._states: dict[str, _PageState] = {}
        self._has_subscriber = anyio.Event()

    async def subscribe(
        self, context: Context, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """Notify a client of the handshake era whenever a job changes.

        Raises:
            MCPError: There is no such job.
        """
        uri = str(params.uri)
        try:
            state = await _read_state(context.lifespan_context, uri)
        except WorkbenchError as error:
            raise no_such_page(uri, str(error)) from error
        self._states.setdefault(uri, state)
        self._sessions[uri, _client(context)] = context.session
        while len(self._sessions) > MOST_SUBSCRIPTIONS:
            self._sessions.popitem(last=False)
        self._has_subscriber.set()
        return types.EmptyResult()

    async def unsubscribe(
        self, context: Context, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """End the notifications of a client."""
        self._sessions.pop((str(params.uri), _client(context)), None)
        return types.EmptyResult()

    async def listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Notify a client of the changes in its filter, for as long as it listens.

        Raises:
            MCPError: It asks for tasks, and has not declared their extension.
        """
        filter_, workspace = params.notifications, context.lifespan_context
        tasks = await self._existing_pages(workspace, map(job_uri, task_ids_of(context, filter_)))
        uris = [uri for uri in filter_.resource_subscriptions or () if uri.startswith(PREFIX)]
        if filter_.resources_list_changed:
            uris.append(PREFIX)
        pages = await self._existing_pages(workspace, uris)
        listener = Listener(pages, map(job_of, tasks))
        self._states = {**tasks, **pages, **self._states}
        self._listeners.add(listener)
        self._has_subscriber.set()
        try:
            await notify(context, filter_, listener)
        finally:
            self._listeners.discard(listener)
        return types.SubscriptionsListenResult(_meta={SUBSCRIPTION_ID_META_KEY: context.request_id})

    async def _existing_pages(
        self, workspace: Workspace, uris: Iterable[str]
    ) -> dict[str, _PageState]:
        """Return the state of each page that exists; a client gets nothing for the others."""
        pages: dict[str, _PageState] = {}
        for uri in uris:
            try:
                pages[uri] = await _read_state(workspace, uri)
            except (WorkbenchError, MCPError) as error:
                _log.debug("%s cannot be read: %s", uri, error)
        return pages

    async def run(self, workspace: Workspace) -> None:
        """Poll the pages with subscribers until cancelled."""
        while True:
            await self._has_subscriber.wait()
            await anyio.sleep(workspace.settings.poll_s)
            uris = {uri for listener in self._listeners for uri in listener.addresses}
            uris |= {uri for uri, _ in self._sessions}
            if not uris:
                self._has_subscriber = anyio.Event()
                self._states.clear()
            for uri in uris:
                try:
                    if await self._has_changed(workspace, uri):
                        await self._notify(uri)
                except (WorkbenchError, MCPError) as error:
                    _log.debug("%s cannot be read: %s", uri, error)

    async def _has_changed(self, workspace: Workspace, uri: str) -> bool:
        """Return whether a page has changed since the last poll."""
        previous = self._states.get(uri)
        self._states[uri] = state = await _read_state(workspace, uri)
        return previous is not None and previous != state

    async def _notify(self, uri: str) -> None:
        for listener in self._listeners:
            listener.note(uri)
        for (page, client), session in list(self._sessions.items()):
            if page != uri:
                continue
            try:
                await session.send_resource_updated(uri)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                self._sessions.pop((page, client), None)


async def _read_state(workspace: Workspace, uri: str) -> _PageState:
    """Return the current state of a page.

    Raises:
        WorkbenchError: No job has this id.
        MCPError: It is not the address of a job.
    """
    job_client = job_client_of(workspace)
    if uri == PREFIX:
        return _PageState(next((job.id for job in await job_client.newest(1)), ""))
    return _PageState.of(await (await job_client.runner()).find(job_of(uri)))


def _client(context: Context) -> int:
    """Return the identity of a client of the handshake era: its own greeting object."""
    return id(context.session.client_params)
