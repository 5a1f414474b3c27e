"""Start the server as a client does, and ask it for its tools."""

import time
from dataclasses import dataclass
from typing import Final

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import get_default_environment

from kiln_mcp.doors.clients.client_files import Launch
from kiln_mcp.errors import unwrap
from storage.errors import Refusal
from storage.text.excerpts import excerpt

WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Handshake:
    """A session that a server began.

    Attributes:
        version: The server's version.
        tools: How many tools it offers.
        seconds: From the start of the program to its list of tools.
    """

    version: str
    tools: int
    seconds: float


async def shake_hands(launch: Launch, within_s: float = WITHIN_S) -> Handshake:
    """Start the server, ask for its tools and for its projects, and end it; the daemon stays warm.

    Raises:
        Refusal: It did not start, or did not answer in time.
    """
    environment = {**get_default_environment(), **dict(launch.settings)}
    server = StdioServerParameters(command=launch.command, args=[*launch.args], env=environment)
    started = time.perf_counter()
    result: Handshake | None = None
    reason = f"no answer within {within_s:.0f} s"
    try:
        with anyio.move_on_after(within_s):
            async with Client(server) as client:
                tools = (await client.list_tools()).tools
                seconds = time.perf_counter() - started
                info = client.server_info
                # The list may come from a file; this one is answered by the daemon itself.
                await client.list_resources()
                result = Handshake(info.version if info else "", len(tools), seconds)
    except Exception as error:  # noqa: BLE001 - whatever a foreign program does
        reason = excerpt(unwrap(error))
    if result is not None:
        return result
    raise Refusal(
        "The server does not answer when it is started as the client will start it ({command}): "
        "{reason}. Run kiln-mcp doctor, which says what is wrong.",
        command=" ".join([launch.command, *launch.args]),
        reason=reason.rstrip("."),
    )
