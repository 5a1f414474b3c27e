"""The daemon, as the command line sees it; the bridge passes it in."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol


class DaemonTools(Protocol):
    """The tools of a running daemon. Its methods block."""

    def call(
        self,
        tool: str,
        arguments: Mapping[str, object],
        listener: Callable[[Mapping[str, Any]], None],
    ) -> dict[str, Any] | None:
        """Call a tool and return its structured answer; None if the daemon refused the call.

        Args:
            tool: The tool.
            arguments: Its arguments.
            listener: Gets each progress notification, in the thread of the call.

        Raises:
            OSError: The daemon ended, or the call was cancelled.
            ValueError: It answered no message of the protocol.
        """
        ...

    def cancel(self) -> None:
        """Cancel the call that waits, and refuse all later ones."""
        ...


class DaemonDoor(Protocol):
    """The daemon of this person's home."""

    @property
    def home(self) -> Path:
        """The home."""
        ...

    def listing(self, tool: str) -> Mapping[str, Any] | None:
        """Return a tool as clients see it in the list; None if this process must look it up."""
        ...

    def find(self) -> str | None:
        """Find or start the daemon; return the reason if that fails."""
        ...

    def running_tools(self) -> DaemonTools | None:
        """Return the tools of the daemon that runs; None if none runs."""
        ...


class NoDaemon:
    """Stands in where no daemon may be used."""

    @property
    def home(self) -> Path:
        """No home: nobody looks for anything there."""
        return Path()

    def listing(self, tool: str) -> Mapping[str, Any] | None:
        """Return that this process must look it up."""
        return None

    def find(self) -> str | None:
        """Find no daemon."""
        return "there is no daemon here."

    def running_tools(self) -> DaemonTools | None:
        """Return that none runs."""
        return None
