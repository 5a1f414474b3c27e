"""The daemon, as the command line sees it; the bridge passes it in."""

from collections.abc import Callable, Mapping
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
        """Cancel the call that waits."""
        ...


class DaemonDoor(Protocol):
    """The daemon of this person's home."""

    def find(self) -> str | None:
        """Find or start the daemon; return the reason if that fails."""
        ...

    def running_tools(self) -> DaemonTools | None:
        """Return the tools of the daemon that runs; None if none runs."""
        ...


class NoDaemon:
    """Stands in where no daemon may be used."""

    def find(self) -> str | None:
        """Find no daemon."""
        return "there is no daemon here."

    def running_tools(self) -> DaemonTools | None:
        """Return that none runs."""
        return None
