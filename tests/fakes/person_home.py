"""A home folder of a person who has just installed the server."""

import os
from pathlib import Path

from kiln_mcp.doors.bridge import Daemon, Exchange


def environment_of(home: Path, **others: str) -> dict[str, str]:
    """Return the environment of a program that this person starts."""
    path = os.environ["PATH"]
    return {"HOME": str(home), "PATH": path, "KILN_MCP_HOME": str(home / "kiln"), **others}


def stop_daemon(home: Path) -> None:
    """Stop the daemon of this person, if one runs; none is started for this."""
    running = Daemon(home / "kiln")
    if running.is_running():
        with Exchange(running.address, "POST", "/stop", {}, b"") as exchange:
            exchange.send()
