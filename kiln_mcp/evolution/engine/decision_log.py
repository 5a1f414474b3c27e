"""The append-only log of a search: what it is resumed from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

Event = Mapping[str, object]


class DecisionLog(Protocol):
    """Keeps events in their order."""

    def read(self) -> Sequence[Event]:
        """Return the events so far."""
        ...

    def append(self, event: Event) -> None:
        """Keep an event; it must survive the process when this returns."""
        ...


class MemoryLog:
    """A log that ends with its process.

    Attributes:
        events: The events so far.
    """

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self.events = list(events)

    def read(self) -> Sequence[Event]:
        """Return the events so far."""
        return tuple(self.events)

    def append(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)


class FileLog:
    """A log in a file of JSON lines. A last line that a kill cut off is dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def read(self) -> Sequence[Event]:
        """Return the events so far."""
        if not self.path.exists():
            return ()
        data = self.path.read_bytes()
        complete = data[: data.rfind(b"\n") + 1]
        if len(complete) < len(data):
            with self.path.open("r+b") as file:
                file.truncate(len(complete))
        return tuple(json.loads(line) for line in complete.splitlines())

    def append(self, event: Event) -> None:
        """Write an event as a line, through to the operating system."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        self._file.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
