"""Subscriptions: who looks at a job's page is told when the job has changed.

A job may run in another process, so its row is looked at, once a second, while anybody wants to
know. Clients of the handshake era subscribe page by page; since 2026-07-28 they listen.
"""

import logging
from collections import Counter, OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio
import mcp_types as types
from mcp.server.session import ServerSession
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    ResourcesListChanged,
    ResourceUpdated,
)
from mcp.shared.exceptions import MCPError

from kiln_mcp.jobs import Job, Progress
from kiln_mcp.operations.desk import desk_of
from kiln_mcp.server.calls import Context
from kiln_mcp.server.job_pages import PREFIX, job_of, no_such_page
from kiln_mcp.workspace import Workspace
from storage.errors import WorkbenchError

LOOK_EVERY_S: Final = 1.0
MOST_SUBSCRIPTIONS: Final = 256
"""Clients go without a word; of their subscriptions the oldest are forgotten."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a page shows, without its signs of life; of the list, its newest job."""

    state: str
    attempt: int = 1
    progress: Progress | None = None

    @classmethod
    def of(cls, job: Job) -> "_Seen":
        return cls(job.state, job.attempt, job.progress)


class JobWatch:
    """Tells clients what has changed."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self._listening = ListenHandler(self._bus)
        self._wanted: Counter[str] = Counter()
        self._subscribed: OrderedDict[tuple[str, int], ServerSession] = OrderedDict()
        self._seen: dict[str, _Seen] = {}
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
            await self._begin(context.lifespan_context, uri)
        except WorkbenchError as error:
            raise no_such_page(uri, str(error)) from error
        self._subscribed[uri, _client(context)] = context.session
        while len(self._subscribed) > MOST_SUBSCRIPTIONS:
            self._subscribed.popitem(last=False)
        self._somebody.set()
        return types.EmptyResult()

    async def unsubscribe(
        self, context: Context, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """Tell a client no more."""
        self._subscribed.pop((str(params.uri), _client(context)), None)
        return types.EmptyResult()

    async def listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Tell a client what it asked to hear, for as long as it listens."""
        asked = params.notifications
        wanted = [uri for uri in asked.resource_subscriptions or () if uri.startswith(PREFIX)]
        if asked.resources_list_changed:
            wanted.append(PREFIX)
        for uri in wanted:
            with suppress(WorkbenchError, MCPError):  # who asks for what is not there hears nothing
                await self._begin(context.lifespan_context, uri)
        self._wanted.update(wanted)
        self._somebody.set()
        try:
            return await self._listening(context, params)
        finally:
            self._wanted.subtract(wanted)

    async def run(self, workspace: Workspace) -> None:
        """Look at what anybody wants to know about; ends when it is cancelled."""
        while True:
            await self._somebody.wait()
            await anyio.sleep(LOOK_EVERY_S)
            wanted = {uri for uri, count in self._wanted.items() if count > 0}
            wanted |= {uri for uri, _ in self._subscribed}
            if not wanted:
                self._somebody = anyio.Event()
                self._seen.clear()
            for uri in wanted:
                try:
                    if await self._has_changed(workspace, uri):
                        await self._tell(uri)
                except (WorkbenchError, MCPError) as error:
                    _log.debug("%s cannot be looked at: %s", uri, error)

    async def _begin(self, workspace: Workspace, uri: str) -> None:
        """Keep what it is like now, unless somebody looks at it already."""
        if uri not in self._seen:
            await self._has_changed(workspace, uri)

    async def _has_changed(self, workspace: Workspace, uri: str) -> bool:
        """Whether it has changed since it was looked at last."""
        desk, before = desk_of(workspace), self._seen.get(uri)
        if uri == PREFIX:
            now = _Seen(next((job.id for job in await desk.newest(1)), ""))
        else:
            now = _Seen.of(await (await desk.runner()).find(job_of(uri)))
        self._seen[uri] = now
        return before is not None and before != now

    async def _tell(self, uri: str) -> None:
        if uri == PREFIX:
            await self._bus.publish(ResourcesListChanged())
            return
        await self._bus.publish(ResourceUpdated(uri=uri))
        for (page, client), session in list(self._subscribed.items()):
            if page != uri:
                continue
            try:
                await session.send_resource_updated(uri)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                self._subscribed.pop((page, client), None)


def _client(context: Context) -> int:
    """Return what tells a client of the handshake era from the others: its own greeting."""
    return id(context.session.client_params)
