"""What a client keeps between two requests of a call, sealed with a key of the home.

The client cannot read or change it. After a restart of the daemon it still counts, since the key
stays in the home.
"""

from pathlib import Path
from typing import Final

from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState

from kiln_mcp.home import read_key, read_or_new_key

_KEY_FILE: Final = "client-state.key"


def seal(text: str, home: Path) -> str:
    """Return a text as the client keeps it.

    Raises:
        OSError: The home has no key, and none can be written.
    """
    codec = AESGCMRequestStateCodec([read_or_new_key(home / _KEY_FILE)])
    return codec.seal(text.encode("utf-8", "surrogatepass"))


def unseal(token: str, home: Path) -> str | None:
    """Return what this home sealed; None if it sealed something else, or nothing.

    Raises:
        OSError: The key cannot be read.
    """
    key = read_key(home / _KEY_FILE)
    if key is None:
        return None
    try:
        text = AESGCMRequestStateCodec([key]).unseal(token)
    except InvalidRequestState:
        return None
    return text.decode("utf-8", "surrogatepass")
