"""The events of one conversation on their way to what shows them."""

import math
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from agent.events import Event


class EventQueue:
    """The events of one conversation: those of a turn, and those between turns."""

    def __init__(self) -> None:
        self._turn: MemoryObjectSendStream[Event] | None = None
        self._direct: Callable[[Event], None] | None = None
        self._between: list[Event] = []
        self._arrival = anyio.Event()

    def emit(self, event: Event) -> None:
        """Pass on an event to the turn; between turns it waits for `background`."""
        if self._turn is not None:
            with suppress(anyio.BrokenResourceError):  # the front has left the turn
                self._turn.send_nowait(event)
            return
        if self._direct is not None:
            self._direct(event)
            return
        self._between.append(event)
        self._arrival.set()

    @contextmanager
    def to(self, show: Callable[[Event], None]) -> Generator[None]:
        """Show events at once while a call of the person runs between turns, in their order."""
        earlier, self._direct = self._direct, show
        try:
            yield
        finally:
            self._direct = earlier

    def begin(self) -> MemoryObjectReceiveStream[Event]:
        """Begin a turn, and return its events."""
        self._turn, events = anyio.create_memory_object_stream[Event](math.inf)
        return events

    def end(self) -> None:
        """End the turn: its events end, and later ones come between turns."""
        if self._turn is not None:
            self._turn.close()
            self._turn = None

    def take_between(self) -> list[Event]:
        """Return the events that have come between turns, once."""
        events, self._between = self._between, []
        return events

    async def background(self) -> AsyncGenerator[Event]:
        """Yield the events between turns, without end."""
        while True:
            await self._arrival.wait()
            self._arrival = anyio.Event()
            for event in self.take_between():
                yield event
