"""Subscriptions: who looks at a job's page is told when the job has changed.

A job may run in another process, so its row is looked at, once a second, while anybody wants to
know. Clients of the handshake era subscribe page by page; since 2026-07-28 they listen.
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
from kiln_mcp.doors.server.task_notifications import Listener, tasks_asked_for, tell
from kiln_mcp.jobs import Job, Progress
from kiln_mcp.operations.job_control.desk import desk_of
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError

LOOK_EVERY_S: Final = 1.0
MOST_SUBSCRIPTIONS: Final = 256
"""Clients go without a word; of their subscriptions the oldest are forgotten."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _PageState:
    """What a page shows, without its signs of life; of the list, its newest job."""

    state: str
    attempt: int = 1
    progress: Progress | None = None

    @classmethod
    def of(cls, job: Job) -> "_PageState":
        return cls(job.state, job.attempt, job.progress)


class JobWatch:
    """Tells clients what has changed."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._sessions: OrderedDict[tuple[str, int], ServerSession] = OrderedDict()
        self._states: dict[str, _PageState] = {}
        self._somebody = anyio.Event()

    async def subscribe(
        self, context: Context, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """Tell a client of the handshake era whenever a job changes.

        Raises:
            MCPError: There is no such job.
        """
        uri = str(params.uri)
        try:
            state = await _look(context.lifespan_context, uri)
        except WorkbenchError as error:
            raise no_such_page(uri, str(error)) from error
        self._states.setdefault(uri, state)
        self._sessions[uri, _client(context)] = context.session
        while len(self._sessions) > MOST_SUBSCRIPTIONS:
            self._sessions.popitem(last=False)
        self._somebody.set()
        return types.EmptyResult()

    async def unsubscribe(
        self, context: Context, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """Tell a client no more."""
        self._sessions.pop((str(params.uri), _client(context)), None)
        return types.EmptyResult()

    async def listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Tell a client what it asked to hear, for as long as it listens.

        Raises:
            MCPError: It asks for tasks, and has not declared their extension.
        """
        filter_, workspace = params.notifications, context.lifespan_context
        tasks = await self._existing_pages(
            workspace, map(job_uri, tasks_asked_for(context, filter_))
        )
        uris = [uri for uri in filter_.resource_subscriptions or () if uri.startswith(PREFIX)]
        if filter_.resources_list_changed:
            uris.append(PREFIX)
        pages = await self._existing_pages(workspace, uris)
        listener = Listener(pages, map(job_of, tasks))
        self._states = {**tasks, **pages, **self._states}
        self._listeners.add(listener)
        self._somebody.set()
        try:
            await tell(context, filter_, listener)
        finally:
            self._listeners.discard(listener)
        return types.SubscriptionsListenResult(_meta={SUBSCRIPTION_ID_META_KEY: context.request_id})

    async def _existing_pages(
        self, workspace: Workspace, uris: Iterable[str]
    ) -> dict[str, _PageState]:
        """Return how those pages are that are there: who asks for others hears nothing of them."""
        pages: dict[str, _PageState] = {}
        for uri in uris:
            try:
                pages[uri] = await _look(workspace, uri)
            except (WorkbenchError, MCPError) as error:
                _log.debug("%s cannot be looked at: %s", uri, error)
        return pages

    async def run(self, workspace: Workspace) -> None:
        """Look at what anybody wants to know about; ends when it is cancelled."""
        while True:
            await self._somebody.wait()
            await anyio.sleep(LOOK_EVERY_S)
            uris = {uri for listener in self._listeners for uri in listener.addresses}
            uris |= {uri for uri, _ in self._sessions}
            if not uris:
                self._somebody = anyio.Event()
                self._states.clear()
            for uri in uris:
                try:
                    if await self._has_changed(workspace, uri):
                        await self._tell(uri)
                except (WorkbenchError, MCPError) as error:
                    _log.debug("%s cannot be looked at: %s", uri, error)

    async def _has_changed(self, workspace: Workspace, uri: str) -> bool:
        """Whether it has changed since it was looked at last."""
        previous = self._states.get(uri)
        self._states[uri] = state = await _look(workspace, uri)
        return previous is not None and previous != state

    async def _tell(self, uri: str) -> None:
        for listener in self._listeners:
            listener.note(uri)
        for (page, client), session in list(self._sessions.items()):
            if page != uri:
                continue
            try:
                await session.send_resource_updated(uri)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                self._sessions.pop((page, client), None)


async def _look(workspace: Workspace, uri: str) -> _PageState:
    """Return what a page shows now.

    Raises:
        UnknownJob: No job has this id.
        MCPError: It is no job's page.
    """
    desk = desk_of(workspace)
    if uri == PREFIX:
        return _PageState(next((job.id for job in await desk.newest(1)), ""))
    return _PageState.of(await (await desk.runner()).find(job_of(uri)))


def _client(context: Context) -> int:
    """Return what tells a client of the handshake era from the others: its own greeting."""
    return id(context.session.client_params)
