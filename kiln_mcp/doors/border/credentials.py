"""The port and the token of a home's daemon, kept in the home from one start to the next.

HTTP clients are configured with both once, so they stay the same.
"""

import json
import logging
import re
import secrets
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from kiln_mcp.doors.border.peers import fault_of_file
from kiln_mcp.home import write_private
from storage.errors import Refusal

FILE_NAME: Final = "http.json"
HOST: Final = "127.0.0.1"
SHORTEST_TOKEN: Final = 20
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""The characters of a bearer token (RFC 6750)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an HTTP client is configured with.

    Attributes:
        port: The port on 127.0.0.1; 0 if none was chosen so far.
        token: The token that a request must carry.
    """

    port: int
    token: str = field(repr=False)


def load_credentials(home: Path) -> Credentials:
    """Return what the home keeps; a new token and no port if it keeps nothing usable.

    A file that other people may have written is not used.
    """
    file = home / FILE_NAME
    try:
        fault = fault_of_file(file)
        content: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
        credentials = Credentials(int(str(content["port"])), str(content["token"]))
    except FileNotFoundError:
        return Credentials(0, secrets.token_urlsafe(32))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        fault, credentials = f"is damaged ({type(error).__name__})", Credentials(0, "")
    if fault is None and not (0 <= credentials.port < 2**16 and _is_token(credentials.token)):
        fault = "holds no usable port and token"
    if fault is None:
        return credentials
    _log.warning("%s %s: HTTP clients must be configured again.", file, fault)
    return Credentials(0, secrets.token_urlsafe(32))


def save_credentials(home: Path, credentials: Credentials) -> None:
    """Keep the port and the token for the next start.

    Raises:
        OSError: The disk refused.
    """
    content = {"port": credentials.port, "token": credentials.token}
    write_private(home / FILE_NAME, json.dumps(content).encode())


def read_token(file: Path) -> str:
    """Return the token in a file of the person; write a new one if there is no such file.

    Raises:
        Refusal: The file holds no token, or others may write it.
        OSError: It cannot be read or written.
    """
    if not file.exists():
        token = secrets.token_urlsafe(32)
        write_private(file, f"{token}\n".encode())
        return token
    if fault := fault_of_file(file):
        raise Refusal(
            "The token file {file} {fault}. Name a file that only you can write.",
            file=file,
            fault=fault,
        )
    token = file.read_text(encoding="utf-8", errors="replace").strip()
    if not _is_token(token):
        raise Refusal(
            "The token file {file} holds no token: one line of {least} characters or more, of "
            "letters, digits and -._~+/. Remove it, and a new one is written.",
            file=file,
            least=SHORTEST_TOKEN,
        )
    return token


def _is_token(text: str) -> bool:
    return len(text) >= SHORTEST_TOKEN and _TOKEN.fullmatch(text) is not None


def listen(home: Path, request: Credentials) -> tuple[socket.socket, Credentials]:
    """Listen for HTTP clients; return the socket with its port and token.

    Args:
        home: The home, which keeps the port and its own token for the next start.
        request: The port, 0 for the kept one, or a free one if that is in use now; and the
            token, "" for the kept one. A token that is not "" is not kept.

    Raises:
        Refusal: The port that was asked for is in use.
        OSError: The disk refused to keep them.
    """
    credentials = load_credentials(home)
    listener = _bind(request.port or credentials.port, is_required=request.port != 0)
    port = listener.getsockname()[1]
    if request.port or not credentials.port:
        try:
            save_credentials(home, replace(credentials, port=port))
        except BaseException:
            listener.close()
            raise
    return listener, Credentials(port, request.token or credentials.token)


def _bind(port: int, *, is_required: bool) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        if is_required:
            raise Refusal(
                "Port {port} of {host} cannot be used ({reason}). Name another --port, or leave "
                "it out.",
                port=port,
                host=HOST,
                reason=error.strerror or type(error).__name__,
            ) from error
        _log.warning("Port %s is in use, so HTTP clients configured with it fail.", port)
        return socket.create_server((HOST, 0), backlog=128)
